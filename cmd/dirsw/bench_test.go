package main

import (
	"encoding/json"
	"strings"
	"testing"

	"dirsw/packet"
)

func TestBench(t *testing.T) {
	conf := file(t, "b.conf", waysConf)
	in := capture(t,
		tcp("203.0.113.1:4000", "192.0.2.100:80", packet.SYN),
		tcp("198.51.100.3:8080", "203.0.113.1:4000", packet.SYN|packet.ACK),
		tcp("203.0.113.1:4000", "192.0.2.100:80", packet.ACK),
		tcp("203.0.113.1:4000", "192.0.2.200:80", packet.SYN))
	text, errs, code := call("bench", "-f", conf, in, "-for", "40ms")
	for _, want := range []string{"3 frames, again and again; 1 of the capture are not for a service here", "packets/s of one processor",
		"allocations a packet", "us in the worker at the median", "100.00 % forwarded"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s%s", want, text, errs)
		}
	}
	if code != exitOK {
		t.Errorf("exit %d: %s", code, errs)
	}
	text, errs, code = call("bench", "-f", conf, "-for", "40ms", "-json", in)
	var r benchReport
	if err := json.Unmarshal([]byte(text), &r); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v: %s%s", code, err, text, errs)
	}
	if r.Frames != 3 || r.LeftToKernel != 1 || r.Packets == 0 || r.Ns <= 0 || r.Latency.Max < r.Latency.P50 || r.Forwarded != 1 || r.Allocs > 0.1 {
		t.Errorf("%s", text)
	}
}

func TestBenchRefuses(t *testing.T) {
	conf := file(t, "b.conf", replayConf)
	other := capture(t, tcp("203.0.113.1:4000", "192.0.2.200:80", packet.SYN))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no capture", []string{"-f", conf}, exitUsage, "name one capture"},
		{"no time", []string{"-f", conf, other, "-for", "0s"}, exitUsage, "at least 10ms"},
		{"next to no time", []string{"-f", conf, other, "-for", "1ns"}, exitUsage, "at least 10ms"},
		{"no address", []string{"-f", conf, "-mac", "x", other}, exitUsage, "not an Ethernet address"},
		{"no such file", []string{"-f", conf, other + "x"}, exitFailed, "no such file"},
		{"not a capture", []string{"-f", conf, conf}, exitFailed, "not a capture"},
		{"nothing for a service", []string{"-f", conf, other}, exitFailed, "no packet of the capture is for a service"},
		{"no configuration", []string{"-f", conf + "x", other}, exitConfig, "b.confx"},
	} {
		if text, errs, code := call(append([]string{"bench"}, c.args...)...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d, want %d with %q: %s%s", c.name, code, c.code, c.want, text, errs)
		}
	}
}
