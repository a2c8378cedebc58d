package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"dirsw/config"
)

const markConf = `dataplane {
    iptables -t mangle -A PREROUTING -d 192.0.2.100 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 6666
}
virtual_server fwmark 6666 {
    lb_algo rr
    lb_kind DR
    real_server 198.51.100.1 0 {
    }
}
`

// TestMarkOnAFile tries commands on a configuration: nothing needs a director.
func TestMarkOnAFile(t *testing.T) {
	conf := file(t, "k.conf", markConf)
	const seed = "-A PREROUTING -d 192.0.2.100/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x1a0a/0xffffffff"
	for _, row := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		want  []string
	}{
		{"list", []string{"list"}, "", exitOK, []string{"*mangle", seed, "COMMIT"}},
		{"list with origins", []string{"list", "--origin"}, "", exitOK, []string{"k.conf:2:14 (file)\n" + seed}},
		{"list IPv6", []string{"list", "-6"}, "", exitOK, []string{"ip6tables-restore", "rules for IPv4 too"}},
		{"add", []string{"add", "--", "-p", "tcp", "--dport", "22", "-j", "MARK", "--set-mark", "1"}, "", exitOK,
			[]string{"+ rule iptables -A PREROUTING -p tcp -m tcp --dport 22 -j MARK --set-xmark 0x1/0xffffffff"}},
		{"add as typed", []string{"add", "--", "ip6tables", "-t", "mangle", "-I", "PREROUTING", "-j", "MARK", "--set-mark", "1"}, "", exitOK,
			[]string{"+ rule ip6tables -A PREROUTING -j MARK --set-xmark 0x1/0xffffffff"}},
		{"del", []string{"del", "--", "-d", "192.0.2.100", "-p", "tcp", "-m", "multiport", "--dports", "80,443", "-j", "MARK", "--set-mark", "6666"},
			"", exitOK, []string{"- rule iptables " + seed}},
		{"del what was added", []string{"del", "--", "-t", "mangle", "-A", "PREROUTING", "-d", "192.0.2.100", "-p", "tcp", "-m", "multiport", "--dports",
			"80,443", "-j", "MARK", "--set-mark", "6666"}, "", exitOK, []string{"- rule iptables " + seed}},
		{"del by number", []string{"del", "--", "-D", "PREROUTING", "1"}, "", exitOK, []string{"- rule iptables " + seed}},
		{"del what is not there", []string{"del", "--", "-j", "ACCEPT"}, "", exitFailed, []string{"Bad rule (does a matching rule exist in that chain?)"}},
		{"cannot be honoured", []string{"add", "--", "-m", "conntrack", "--ctstate", "NEW", "-j", "MARK", "--set-mark", "1"}, "", exitUsage,
			[]string{`iptables: the match "conntrack" cannot be honoured` + "\niptables: leave it out"}},
		{"restore", []string{"restore", "-"}, "*mangle\n-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n", exitOK,
			[]string{"- rule iptables " + seed, "+ rule iptables -A PREROUTING -j MARK", "note: -:2:1: no virtual server is for fwmark 1", "no rule gives the mark of fwmark 6666"}},
		{"restore nonsense", []string{"restore", "-"}, "*mangle\n-A PREROUTING -j LOG\n-A PREROUTING -j NO\nCOMMIT\n", exitFailed,
			[]string{"-:2:18: the target LOG cannot be honoured", "-:3:1: Chain 'NO' does not exist"}},
		{"restore a missing file", []string{"restore", conf + ".not"}, "", exitFailed, []string{"no such file"}},
		{"no operation", nil, "", exitUsage, []string{"write add, del, list or restore", "usage: dirsw mark"}},
		{"no rule", []string{"add"}, "", exitUsage, []string{"write -- and the rule"}},
		{"no dashes", []string{"add", "-p", "tcp"}, "", exitUsage, []string{"write -- before the rule"}},
		{"no configuration", []string{"list", "-f", conf + ".not"}, "", exitConfig, []string{"cannot be read"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"mark"}
			if len(row.args) > 0 {
				args = append(args, row.args[0], "-f", conf)
				args = append(args, row.args[1:]...)
			}
			var out, errs bytes.Buffer
			code := dispatch(context.Background(), args, strings.NewReader(row.stdin), &out, &errs)
			if code != row.code {
				t.Errorf("exit %d, want %d\n%s%s", code, row.code, &out, &errs)
			}
			for _, want := range row.want {
				if !strings.Contains(out.String()+errs.String(), want) {
					t.Errorf("%q is missing in\n%s%s", want, &out, &errs)
				}
			}
		})
	}
}

// TestIptablesLines carries out whole command lines one after the other.
func TestIptablesLines(t *testing.T) {
	var model config.Model
	table := markTable{marks: func() config.Marks { return model.Marks.Clone() }, edit: func(change func(*config.Model) error) ([]config.Change, []config.Note, error) {
		next := model.Clone()
		err := change(next)
		if err == nil {
			model = *next
		}
		return nil, nil, err
	}}
	for _, row := range []struct {
		line string
		exit int
		want string
	}{
		{"iptables -t mangle -A PREROUTING -d 192.168.0.220 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 6666", 0, ""},
		{"iptables -t mangle -S PREROUTING", 0, "-P PREROUTING ACCEPT\n-A PREROUTING -d 192.168.0.220/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x1a0a/0xffffffff\n"},
		{"iptables -t mangle -C PREROUTING -j ACCEPT", 1, "iptables: Bad rule"},
		{"iptables -t mangle -N A", 0, ""},
		{"iptables -t mangle -A A -j A", 1, "iptables: Too many links"},
		{"iptables -A PREROUTING -j ACCEPT", 2, "iptables: no table is named"},
		{"ip6tables -t mangle -S NO", 1, "ip6tables: No chain/target/match by that name"},
		{"iptables -t mangle -F", 0, ""},
		{"iptables -t mangle -S PREROUTING", 0, "-P PREROUTING ACCEPT\n"},
	} {
		words := strings.Fields(row.line)
		o := table.do(append([]string{"do"}, words...), "")
		if got := o.Stdout + o.Stderr; o.Exit != row.exit || row.want == "" && got != "" || !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: exit %d, want %d\n%s", row.line, o.Exit, row.exit, got)
		}
	}
	for _, args := range [][]string{nil, {"do"}, {"do", "ebtables"}, {"other", "iptables"}} {
		if o := table.do(args, ""); o.Exit != exitUsage {
			t.Errorf("%q: exit %d", args, o.Exit)
		}
	}
}
