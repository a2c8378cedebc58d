package keepalived

import (
	"errors"
	"io"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/config/iptables"
)

// opener opens files of a map, and remembers which.
type opener struct {
	files  map[string]string
	opened []string
}

func (o *opener) open(name string) (io.ReadCloser, error) {
	o.opened = append(o.opened, name)
	text, ok := o.files[name]
	if !ok {
		return nil, errors.New("open " + name + ": no such file")
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func TestIptablesSave(t *testing.T) {
	o := &opener{files: map[string]string{
		"/etc/dirsw/rules.v4": "*mangle\n-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n*nat\n-A X\nCOMMIT\n",
		"/srv/rules.v6":       "*mangle\n-A PREROUTING -m set --match-set x dst -j ACCEPT\nCOMMIT\n",
	}}
	const text = "dataplane {\niptables_save rules.v4\nip6tables_save /srv/rules.v6\niptables_save missing\n" +
		"iptables -t mangle -A PREROUTING -j ACCEPT\n}\n"
	m, notes, err := Parse("/etc/dirsw/k.conf", strings.NewReader(strings.Replace(text, "iptables_save missing\n", "", 1)), &Options{Open: o.open})
	if got := strings.Join(o.opened, " "); got != "/etc/dirsw/rules.v4 /srv/rules.v6" {
		t.Errorf("opened %s", got)
	}
	const want = "/srv/rules.v6:2:18: the match \"set\" cannot be honoured; write the addresses out: -s or -d with commas"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if len(notes) != 1 || notes[0].Pos.File != "/etc/dirsw/rules.v4" {
		t.Errorf("notes %v", notes)
	}
	if c := m.Marks.IPv4.Chain("PREROUTING"); c == nil || len(c.Rules) != 2 || c.Rules[0].Pos.File != "/etc/dirsw/rules.v4" || c.Rules[1].Pos.Line != 4 {
		t.Errorf("rules %+v", m.Marks.IPv4)
	}
	_, _, err = Parse("/etc/dirsw/k.conf", strings.NewReader("dataplane {\niptables_save missing\n}\n"), &Options{Open: o.open})
	if err == nil || err.Error() != "/etc/dirsw/k.conf:2:15: open /etc/dirsw/missing: no such file" {
		t.Errorf("error %v", err)
	}
}

// marks are random rules, made by lines of iptables.
func (g generator) marks() (m config.Marks) {
	lines := []string{"-N WEB", "-N A.b", "-A PREROUTING -d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 6666",
		"-A PREROUTING ! -s 10.0.0.0/255.0.255.0 -i eth+ -j WEB", "-A WEB ! -p tcp -m mark ! --mark 1/2 -j RETURN",
		"-A INPUT -p udp ! --dport 53 --sport 1024: -j MARK --or-mark 4", "-I WEB -p tcp --syn -g A.b", "-A A.b ! -f -j ACCEPT",
		`-A WEB -m comment --comment "{ it's # ! \"x\" \\ }" -p sctp --dport 9`, "-A PREROUTING -j MARK --xor-mark 0xff"}
	for _, i := range g.Perm(len(lines)) {
		words := strings.Fields("-t mangle " + lines[i])
		if strings.Contains(lines[i], "comment") {
			words = append(words[:7], `{ it's # ! "x" \ }`, "-p", "sctp", "--dport", "9")
		}
		c, err := iptables.Parse(false, iptables.Words(words))
		if err != nil {
			panic(err)
		}
		_ = c.Apply(&m, config.FromFile) // a chain may not be there yet
	}
	six, _ := iptables.Parse(true, iptables.Words(strings.Fields("-t mangle -A PREROUTING -d 2001:db8::1,2001:db8::2 -j MARK --set-mark 1")))
	if g.flip() {
		_ = six.Apply(&m, config.FromFile)
	}
	return m
}
