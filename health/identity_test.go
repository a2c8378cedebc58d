package health

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"dirsw/script"
)

// TestIdentities demands that checks that ask the same have the same text, and others have not: a reload keeps state by it.
func TestIdentities(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.11:80"), netip.MustParseAddrPort("192.0.2.11:81")
	all := []func() fmt.Stringer{
		func() fmt.Stringer { return &TCP{Dial{Addr: a}} },
		func() fmt.Stringer { return &TCP{Dial{Addr: b}} },
		func() fmt.Stringer { return &TCP{Dial{Addr: a, Bind: b}} },
		func() fmt.Stringer { return &TCP{Dial{Addr: a, Device: "eth0"}} },
		func() fmt.Stringer { return &TCP{Dial{Addr: a, Mark: 1}} },
		func() fmt.Stringer { return &TCP{Dial{Addr: a, Timeout: time.Second}} },
		func() fmt.Stringer { return &UDP{Dial: Dial{Addr: a}} },
		func() fmt.Stringer { return &UDP{Dial: Dial{Addr: a}, Payload: []byte{1}} },
		func() fmt.Stringer { return &UDP{Dial: Dial{Addr: a}, Require: true} },
		func() fmt.Stringer { return &UDP{Dial: Dial{Addr: a}, Require: true, Reply: []byte{1}} },
		func() fmt.Stringer {
			return &UDP{Dial: Dial{Addr: a}, Require: true, Reply: []byte{1}, Mask: []byte{1}}
		},
		func() fmt.Stringer { return &UDP{Dial: Dial{Addr: a}, Min: 1} },
		func() fmt.Stringer { return &Misc{Command: script.Command{Args: []string{"/bin/true"}}} },
		func() fmt.Stringer { return &Misc{Command: script.Command{Args: []string{"/bin/true", ""}}} },
		func() fmt.Stringer { return &Misc{Command: script.Command{Args: []string{"/bin/true"}}, Dynamic: true} },
		func() fmt.Stringer {
			return &Misc{Command: script.Command{Args: []string{"/bin/true"}, Timeout: time.Second}}
		},
		func() fmt.Stringer {
			return &Misc{Command: script.Command{Args: []string{"/bin/true"}, User: &script.User{Name: "nobody", UID: 65534}}}
		},
		func() fmt.Stringer { return &Agent{Dial: Dial{Addr: a}} },
		func() fmt.Stringer { return &Agent{Dial: Dial{Addr: a}, Send: "x\n"} },
		func() fmt.Stringer { return &Agent{Dial: Dial{Addr: a}, Required: true} },
		func() fmt.Stringer { return &PathCheck{Server: a.Addr(), VIP: b} },
		func() fmt.Stringer { return &PathCheck{Server: a.Addr(), VIP: a} },
		func() fmt.Stringer { return &PathCheck{Server: a.Addr(), VIP: b, Tunnel: TunnelGUE, TunnelPort: 6080} },
	}
	seen := map[string]int{}
	for i, f := range all {
		c := f()
		text := fmt.Sprintf("%T %s", c, c)
		if again := f(); text != fmt.Sprintf("%T %s", again, again) {
			t.Errorf("%d: %q and %q for the same settings", i, text, again)
		}
		if j, ok := seen[text]; ok {
			t.Errorf("%d and %d are both %q", i, j, text)
		}
		seen[text] = i
	}
	if c := (&Ping{Dial{Addr: a}}); c.String() == (&Ping{Dial{Addr: b}}).String() {
		t.Error("pings of different addresses are the same")
	}
}

func TestDialAddrOfALinkHasItsZone(t *testing.T) {
	for _, tt := range []struct{ addr, device, want string }{
		{"[fe80::1]:80", "eth0", "[fe80::1%eth0]:80"},
		{"[fe80::1%eth1]:80", "eth0", "[fe80::1%eth1]:80"},
		{"[2001:db8::1]:80", "eth0", "[2001:db8::1]:80"},
		{"192.0.2.1:80", "eth0", "192.0.2.1:80"},
	} {
		d := Dial{Addr: netip.MustParseAddrPort(tt.addr), Device: tt.device}
		if got := d.addr().String(); got != tt.want {
			t.Errorf("%s on %s: %s, want %s", tt.addr, tt.device, got, tt.want)
		}
	}
}

func TestLinesOfKeepalived(t *testing.T) {
	n := Names{Server: "[192.0.2.11]:tcp:80", Service: "FWM 7"}
	timeout, refused := &Failure{Kind: ErrTimeout, Text: "x"}, &Failure{Kind: ErrRefused, Text: "x"}
	last, first := Try{N: 2, Retry: 2}, Try{N: 2, Retry: 2, First: true}
	for _, tt := range []struct{ got, want string }{
		{(&TCP{}).Failed(n, timeout, last), "TCP connection to [192.0.2.11]:tcp:80 timeout."},
		{(&TCP{}).Failed(n, refused, last), "TCP connection to [192.0.2.11]:tcp:80 failed."},
		{(&TCP{}).Down(n, refused, first), "TCP_CHECK on service [192.0.2.11]:tcp:80 failed."},
		{(&UDP{}).Down(n, refused, last), "UDP_CHECK on service [192.0.2.11]:tcp:80 failed after 2 retries."},
		{(&UDP{}).Failed(n, errMismatch, last), "UDP check to [192.0.2.11]:tcp:80 reply data mismatch."},
		{(&Ping{}).Failed(n, timeout, last), "ICMP connection to address [192.0.2.11]:tcp:80 timeout."},
		{(&Ping{}).Failed(n, refused, last), "ICMP connection to [192.0.2.11]:tcp:80 of FWM 7 failed."},
		{(&Ping{}).Down(n, refused, last), "ICMP CHECK on service [192.0.2.11]:tcp:80 of FWM 7 failed after 2 retries."},
		{(&Ping{}).Down(n, refused, first), "ICMP CHECK on service [192.0.2.11]:tcp:80 failed."},
		{disagreement(n, KindPath, true, false, ""), "service [192.0.2.11]:tcp:80 fails its checks, but answers clients of VS FWM 7 (check_path)"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// TestMailSubjects has the texts of smtp_alert in keepalived's check_*.c.
func TestMailSubjects(t *testing.T) {
	failed := &Failure{Text: "Bad greeting banner from server", Err: &Failure{Kind: ErrTimeout, Text: "x"}}
	for _, tt := range []struct {
		kind Kind
		up   bool
		want string
	}{
		{KindTCP, true, "=> TCP CHECK succeed on service <="},
		{KindUDP, false, "=> UDP CHECK failed on service <="},
		{KindPing, false, "=> ICMP CHECK failed on service <="},
		{KindDNS, true, "=> DNS_CHECK: succeed on service <="},
		{KindDNS, false, "=> DNS_CHECK: failed on service <="},
		{KindHTTP, true, "=> CHECK succeed on service <="},
		{KindSSL, false, "=> CHECK failed on service : HTTP request failed <="},
		{KindMisc, true, "=> MISC CHECK succeeded on service <="},
		{KindMisc, false, "=> MISC CHECK timed out on service <="},
		{KindBFD, true, "=> BFD CHECK peer succeeded on service <="},
	} {
		c := Check{Kind: tt.kind, Feed: "peer"}
		if got := c.subject(tt.up, failed); got != tt.want {
			t.Errorf("%s up=%t: %q, want %q", tt.kind, tt.up, got, tt.want)
		}
	}
	mail := Check{Kind: KindSMTP, Checker: NewSMTP(SMTPOptions{Dial: Dial{Addr: netip.MustParseAddrPort("192.0.2.11:25")}})}
	if got, want := mail.subject(false, failed), "=> CHECK failed on service : Bad greeting banner from server [192.0.2.11]:25 <="; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
