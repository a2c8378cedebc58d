package main

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"dirsw/lab"
	"dirsw/packet"
)

// call runs a command as from a shell and returns what it printed and its exit status.
func call(args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	code = dispatch(context.Background(), args, strings.NewReader(""), &out, &err)
	return out.String(), err.String(), code
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const replayConf = `virtual_server 192.0.2.100 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    persistence_timeout 50
    real_server 198.51.100.1 80 {
        weight 1
    }
    real_server 198.51.100.2 80 {
        weight 1
    }
}
`

func TestCheckExitStatus(t *testing.T) {
	good := file(t, "good.conf", lab.Pasted)
	bad := file(t, "bad.conf", strings.NewReplacer("lb_algo rr", "lb_algo rrr", "weight 1", "wieght 1").Replace(replayConf))
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"good", []string{"check", "-f", good}, exitOK, []string{"good.conf: good: 1 services, 2 real servers, 1 vrrp instances", "note:"}},
		{"quiet", []string{"check", "-q", "-f", good}, exitOK, nil},
		{"every complaint at once", []string{"check", "-f", bad}, exitComplain,
			[]string{`bad.conf:2:13: unknown scheduler "rrr"`, "bad.conf:7:9:", "bad.conf:10:9:", `write weight`}},
		{"no file", []string{"check", "-f", good + ".not"}, exitConfig, []string{"cannot be read"}},
		{"stray argument", []string{"check", good}, exitUsage, []string{"-f"}},
		{"unknown flag", []string{"check", "-x"}, exitUsage, []string{"usage: dirsw check"}},
		{"unknown command", []string{"chekc"}, exitUsage, []string{`there is no command "chekc"`}},
		{"nothing", nil, exitUsage, []string{"dirsw run"}},
		{"help", []string{"help"}, exitOK, []string{"dirsw replay"}},
		{"version", []string{"version"}, exitOK, []string{"dirsw "}},
		{"ipvsadm's help, and what is ours", []string{"ipvsadm", "-h"}, exitOK, []string{"ipvsadm v1.31", "--persistent-conn", "--replace"}},
		{"ipvsadm's mistakes need no director", []string{"ipvsadm", "-A", "-t"}, 255, []string{"-t: missing argument"}},
		{"ipvsadm with a hint", []string{"ipvsadm", "-E", "-t", "192.0.2.1:80", "-w", "3"}, exitUsage,
			[]string{"Illegal 'weight' option", "hint: a weight belongs to a real server"}},
		{"no director to change", []string{"ipvsadm", "--socket", good + ".sock", "-C"}, exitFailed, []string{good + ".sock"}},
		{"no director", []string{"stats", "--socket", good + ".sock"}, exitFailed, []string{good + ".sock"}},
		{"no director to list", []string{"ipvsadm", "--socket", good + ".sock", "-Ln"}, exitFailed, []string{good + ".sock"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, code := call(c.args...)
			if code != c.code {
				t.Errorf("exit %d, want %d\n%s%s", code, c.code, out, errs)
			}
			for _, want := range c.want {
				if !strings.Contains(out+errs, want) {
					t.Errorf("%q is not in\n%s%s", want, out, errs)
				}
			}
			if c.name == "quiet" && out+errs != "" {
				t.Errorf("not quiet: %s%s", out, errs)
			}
		})
	}
}

func TestExplainAFile(t *testing.T) {
	conf := file(t, "e.conf", replayConf)
	for _, c := range []struct {
		flow string
		code int
		want []string
	}{
		{"tcp 203.0.113.1:4000 > 192.0.2.100:80", exitOK, []string{"server:  198.51.100.2:80 Route weight 1",
			"scheduler rr gives it the turn", "54 bytes", "e.conf:1:1"}},
		{"tcp ACK 203.0.113.1:4000 > 192.0.2.100:80", exitOK, []string{"dropped: no-connection"}},
		{"tcp 203.0.113.1:4000 > 192.0.2.100:81", exitOK, []string{"kernel:  it is nothing of ours"}},
		{"what", exitUsage, []string{"is not a flow"}},
	} {
		out, errs, code := call("explain", "-f", conf, c.flow)
		for _, want := range c.want {
			if code != c.code || !strings.Contains(out+errs, want) {
				t.Errorf("%s: exit %d, %q is not in\n%s%s", c.flow, code, want, out, errs)
			}
		}
	}
}

// TestConfigurationsOfTheDocuments checks what is there to be pasted.
func TestConfigurationsOfTheDocuments(t *testing.T) {
	for _, c := range []struct{ doc, from, to string }{
		{"README.md", "\n```\n! /etc/keepalived/keepalived.conf\n", "\n```\n"},
		{"docs/manual/dirsw.md", "\n    cat >lab.conf <<'END'\n", "\n    END\n"},
	} {
		text, err := os.ReadFile("../../" + c.doc)
		if err != nil {
			t.Fatal(err)
		}
		_, conf, _ := strings.Cut(string(text), c.from)
		conf, _, ok := strings.Cut(conf, c.to)
		if !ok {
			t.Fatalf("%s has no configuration behind %q", c.doc, c.from)
		}
		if out, errs, code := call("check", "-f", file(t, "d.conf", conf+"\n")); code != exitOK || !strings.Contains(out, "2 real servers, 1 vrrp instances") {
			t.Errorf("%s: exit %d\n%s%s", c.doc, code, out, errs)
		}
	}
}

// TestExplainNotAcceptedOfAFile asks of an address that its master does not answer at.
func TestExplainNotAcceptedOfAFile(t *testing.T) {
	conf := file(t, "n.conf", "global_defs {\n    vrrp_strict\n}\n"+
		"vrrp_instance VI_1 {\n    interface eth0\n    virtual_router_id 51\n    priority 100\n    virtual_ipaddress { 192.0.2.100 }\n}\n"+replayConf)
	out, errs, code := call("explain", "-f", conf, "tcp 203.0.113.1:4000 > 192.0.2.100:22")
	for _, want := range []string{"dropped: not-accepted: ", "because: vrrp_instance VI_1 (", "n.conf:4:1) has no_accept, which vrrp_strict and strict_mode imply"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q is not in\n%s%s", code, want, out, errs)
		}
	}
	if out, _, _ := call("explain", "-f", conf, "tcp 203.0.113.1:4000 > 192.0.2.100:80"); !strings.Contains(out, "server:  198.51.100.2:80") {
		t.Errorf("what the service wants:\n%s", out)
	}
}

// waysConf has every way that a packet can take to a server, a service each.
const waysConf = `virtual_server 192.0.2.100 80 {
    lb_algo wlc
    lb_kind NAT
    protocol TCP
    real_server 198.51.100.1 8080 {
        weight 1
    }
    real_server 198.51.100.2 8080 {
        weight 0
    }
    real_server 198.51.100.3 8080 {
        weight 1
    }
}
virtual_server 192.0.2.100 81 {
    lb_algo rr
    lb_kind TUN
    protocol TCP
    real_server 198.51.100.1 81 {
        weight 1
    }
}
virtual_server 192.0.2.100 82 {
    lb_algo rr
    lb_kind DR
    protocol UDP
    real_server 127.0.0.1 82 {
        weight 1
    }
}
virtual_server 192.0.2.100 83 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
}
virtual_server fwmark 7 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 198.51.100.1 0 {
        weight 1
    }
}
dataplane {
    iptables -t mangle -A PREROUTING -d 192.0.2.7/32 -p tcp -j MARK --set-mark 7
}
`

func TestExplainEveryWay(t *testing.T) {
	conf := file(t, "w.conf", waysConf)
	for _, c := range []struct {
		flow string
		want []string
	}{
		{"tcp 203.0.113.1:4000 > 192.0.2.100:80", []string{
			"server:  198.51.100.3:8080 Masq weight 1", "candidates of wlc, in the order of its list:",
			"* 198.51.100.3:8080 weight 1, 0 active, 0 inactive: chosen, (256 active + inactive) / weight = 0/1",
			"  198.51.100.2:8080 weight 0, 0 active, 0 inactive: weight 0 takes no new connections",
			"  198.51.100.1:8080 weight 1, 0 active, 0 inactive: (256 active + inactive) / weight = 0/1 is not less, and it stands behind",
			"time to live: 64 -> 63 (byte 22: 40 -> 3f)",
			"destination: 192.0.2.100 -> 198.51.100.3 (bytes 30-33: c0 00 02 64 -> c6 33 64 03)",
			"destination port: 80 -> 8080 (bytes 36-37: 00 50 -> 1f 90)", "TCP checksum: "}},
		{"tcp 203.0.113.1:4000 > 192.0.2.100:81", []string{"Tunnel weight 1", "  prepended: IPv4 ", " > 198.51.100.1, protocol 4, time to live 63",
			"time to live: 64 -> 63"}},
		{"udp 203.0.113.1:4000 > 192.0.2.100:82", []string{"server:  127.0.0.1:82 Route", "out of the way to this host's own network stack"}},
		{"tcp 203.0.113.1:4000 > 192.0.2.100:83", []string{"candidates: the service has no real server", "dropped: no-server"}},
		{"tcp 203.0.113.1:4000 > 192.0.2.7:1234", []string{"mark:    7", "service: fwmark 7 rr (w.conf:", "server:  198.51.100.1:0 Route"}},
		{"tcp 203.0.113.1:4000 > 192.0.2.8:1234", []string{"kernel:  it is nothing of ours"}},
	} {
		out, errs, code := call("explain", "-f", conf, c.flow)
		for _, want := range c.want {
			if code != exitOK || !strings.Contains(strings.ReplaceAll(out, filepath.Dir(conf)+"/", ""), want) {
				t.Errorf("%s: exit %d, %q is not in\n%s%s", c.flow, code, want, out, errs)
			}
		}
	}
}

// TestReplayEveryWay plays requests and answers; what goes to the director's own stack is not in the capture that is written.
func TestReplayEveryWay(t *testing.T) {
	conf := file(t, "w.conf", waysConf)
	answer := tcp("198.51.100.3:8080", "203.0.113.1:4000", packet.SYN|packet.ACK)
	in := capture(t,
		tcp("203.0.113.1:4000", "192.0.2.100:80", packet.SYN),
		answer,
		tcp("203.0.113.1:4000", "192.0.2.100:81", packet.SYN),
		tcp("203.0.113.1:4000", "192.0.2.7:99", packet.SYN),
		tcp("198.51.100.3:8080", "203.0.113.9:4000", packet.ACK))
	out := in + ".out"
	text, errs, code := call("replay", "-f", conf, in, "-w", out)
	for _, want := range []string{
		"1 0.000000 tcp 203.0.113.1:4000 > 192.0.2.100:80 SYN -> 198.51.100.3:8080: scheduler wlc",
		"2 1.000000 tcp 198.51.100.3:8080 > 203.0.113.1:4000 SYN,ACK -> client: connection",
		"3 2.000000 tcp 203.0.113.1:4000 > 192.0.2.100:81 SYN -> 198.51.100.1:81: scheduler rr",
		"4 3.000000 tcp 203.0.113.1:4000 > 192.0.2.7:99 SYN -> 198.51.100.1:0: scheduler rr",
		"5 4.000000 tcp 198.51.100.3:8080 > 203.0.113.9:4000 ACK -> own stack: left to the kernel",
		"5 packets: 5 to the director, 4 forwarded, 0 dropped, 0 answered; 1 left to the kernel",
	} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("exit %d, %q is not in\n%s%s", code, want, text, errs)
		}
	}
	r := openCapture(t, out)
	var lengths []int
	for data, _, err := r.ReadPacketData(); err == nil; data, _, err = r.ReadPacketData() {
		lengths = append(lengths, len(data))
	}
	if !slices.Equal(lengths, []int{54, 54, 74, 54}) {
		t.Errorf("frames of %v bytes left, want 54 54 74 54", lengths)
	}
}

// openCapture reads a file that replay wrote.
func openCapture(t *testing.T, path string) *pcapgo.Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// capture writes frames a second apart.
func capture(t *testing.T, specs ...packet.Spec) string {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, s := range specs {
		frame := packet.Build(nil, s)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1000+int64(i), 0), CaptureLength: len(frame),
			Length: len(frame)}, frame); err != nil {
			t.Fatal(err)
		}
	}
	return file(t, "in.pcap", b.String())
}

func tcp(from, to string, flags uint8) packet.Spec {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	return packet.Spec{SrcMAC: packet.MAC{2, 0, 0, 0, 0, 9}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 1}, TCPFlags: flags,
		Tuple: packet.Tuple{Src: packet.AddrFrom(src.Addr()), Dst: packet.AddrFrom(dst.Addr()), SrcPort: src.Port(),
			DstPort: dst.Port(), Proto: packet.ProtoTCP, Family: packet.IPv4Family}}
}

func TestReplay(t *testing.T) {
	conf := file(t, "r.conf", replayConf)
	elsewhere := tcp("203.0.113.1:4000", "192.0.2.100:80", packet.ACK)
	elsewhere.DstMAC = packet.MAC{2, 0, 0, 0, 0, 2}
	in := capture(t,
		tcp("203.0.113.1:4000", "192.0.2.100:80", packet.SYN),
		tcp("203.0.113.1:4000", "192.0.2.100:80", packet.ACK),
		tcp("203.0.113.1:4001", "192.0.2.100:80", packet.SYN),
		tcp("203.0.113.1:4000", "192.0.2.100:22", packet.SYN),
		elsewhere,
		tcp("203.0.113.2:4000", "192.0.2.100:80", packet.ACK))
	out := in + ".out"
	text, errs, code := call("replay", "-f", conf, in, "-w", out)
	for _, want := range []string{
		"1 0.000000 tcp 203.0.113.1:4000 > 192.0.2.100:80 SYN -> 198.51.100.2:80: scheduler rr",
		"2 1.000000 tcp 203.0.113.1:4000 > 192.0.2.100:80 ACK -> 198.51.100.2:80: connection, 15m0s left",
		"3 2.000000 tcp 203.0.113.1:4001 > 192.0.2.100:80 SYN -> 198.51.100.2:80: persistence template, 50s left",
		"6 5.000000 tcp 203.0.113.2:4000 > 192.0.2.100:80 ACK: dropped, no-connection",
		"6 packets: 4 to the director, 3 forwarded, 1 dropped, 1 answered; 1 left to the kernel",
		"1 for a service but addressed to another station than 02:00:00:00:00:01",
		"2 connections and 1 templates remain",
	} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("exit %d, %q is not in\n%s%s", code, want, text, errs)
		}
	}
	r := openCapture(t, out)
	n := 0
	for {
		data, ci, err := r.ReadPacketData()
		if err != nil {
			break
		}
		if n++; n == 3 && (ci.Timestamp.Unix() != 1002 || len(data) != 54) {
			t.Errorf("third packet: %v, %d bytes", ci.Timestamp, len(data))
		}
	}
	if n != 4 { // three forwarded, one RST
		t.Errorf("%d packets were written, want 4", n)
	}
}

func TestReplayRefusals(t *testing.T) {
	conf := file(t, "r.conf", replayConf)
	whole, err := os.ReadFile(capture(t, tcp("203.0.113.1:4000", "192.0.2.100:80", packet.SYN)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, content, want string }{
		{"not a capture", "root:x:0:0", "not a capture"},
		{"empty", "", "empty"},
		{"cut off", string(whole[:len(whole)-9]), "ends before its first packet is whole"},
	} {
		in := file(t, "x.pcap", c.content)
		out, errs, code := call("replay", "-f", conf, in)
		if code != exitFailed || !strings.Contains(errs, c.want) || !strings.Contains(errs, in) {
			t.Errorf("%s: exit %d, %s%s", c.name, code, out, errs)
		}
	}
	if _, errs, code := call("replay", "-f", conf); code != exitUsage || errs == "" {
		t.Errorf("no capture named: exit %d, %s", code, errs)
	}
	if _, errs, code := call("replay", "-f", conf, "-mac", "zz", "x"); code != exitUsage || !strings.Contains(errs, "zz") {
		t.Errorf("bad address: exit %d, %s", code, errs)
	}
}
