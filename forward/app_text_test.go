package forward

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"dirsw/packet"
)

func textAddr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

// TestFTPText: the forms of commands and answers; what a kernel made of more of them is played by bench/oracle.
func TestFTPText(t *testing.T) {
	const v4, v6 = packet.IPv4Family, packet.IPv6Family
	server := textAddr("2001:db8:2::11")
	for _, c := range []struct {
		name string
		read func(string) (ftpEndpoint, bool)
		text string
		want string // address and port; "" for none
		at   string // the text that said so
	}{
		{"PORT", readPORT, "PORT 10,1,2,3,160,1\r\n", "10.1.2.3:40961", "10,1,2,3,160,1"},
		{"PORT in small letters", readPORT, "port 10,1,2,3,160,1\r\n", "10.1.2.3:40961", "10,1,2,3,160,1"},
		{"PORT without a blank", readPORT, "PORT10,1,2,3,160,1\n", "10.1.2.3:40961", "10,1,2,3,160,1"},
		{"PORT that may go on", readPORT, "PORT 10,1,2,3,160,1", "", ""},
		{"PORT of five", readPORT, "PORT 10,1,2,3,160\r\n", "", ""},
		{"PORT that is another word", readPORT, "PORTS 10,1,2,3,160,1\r\n", "10.1.2.3:40961", "10,1,2,3,160,1"},
		{"PORT cut off", readPORT, "POR", "", ""},
		{"numbers too large", readPORT, "PORT 266,257,2,3,416,1\r\n", "10.1.2.3:40961", "266,257,2,3,416,1"},
		{"EPRT", readEPRT(v4), "EPRT |1|10.1.2.3|40961|\r\n", "10.1.2.3:40961", "|1|10.1.2.3|40961|"},
		{"EPRT with another delimiter", readEPRT(v4), "eprt !1!10.1.2.3!40961!", "10.1.2.3:40961", "!1!10.1.2.3!40961!"},
		{"EPRT of the other family", readEPRT(v4), "EPRT |2|2001:db8::1|40961|\r\n", "", ""},
		{"EPRT without address", readEPRT(v4), "EPRT |||40961|\r\n", "", ""},
		{"EPRT with nothing between", readEPRT(v4), "EPRT |1||40961|\r\n", "", ""},
		{"EPRT without its end", readEPRT(v4), "EPRT |1|10.1.2.3|40961\r\n", "", ""},
		{"EPRT with port 0", readEPRT(v4), "EPRT |1|10.1.2.3|0|\r\n", "", ""},
		{"EPRT delimited by a blank", readEPRT(v4), "EPRT  1 10.1.2.3 40961 \r\n", "", ""},
		{"EPRT of IPv6", readEPRT(v6), "EPRT |2|2001:db8:9::3|40961|\r\n", "[2001:db8:9::3]:40961", "|2|2001:db8:9::3|40961|"},
		{"EPRT of IPv6, mapped", readEPRT(v6), "EPRT |2|::ffff:10.1.2.3|40961|\r\n", "", ""},
		{"227", read227, "227 Entering Passive Mode (172,16,0,11,195,80).\r\n", "172.16.0.11:50000", "172,16,0,11,195,80"},
		{"227 bare", read227, "227 172,16,0,11,195,80\r\n", "172.16.0.11:50000", "172,16,0,11,195,80"},
		{"227 with a digit before", read227, "227 Mode 2 (172,16,0,11,195,80)\r\n", "", ""},
		{"227 of several lines", read227, "227-x\r\n227 (172,16,0,11,195,80)\r\n", "", ""},
		{"227 with a blank", read227, "227 x ( 172,16,0,11,195,80)\r\n", "", ""},
		{"227 with nothing between commas", read227, "227 x (172,,0,11,195,80)\r\n", "172.0.0.11:50000", "172,,0,11,195,80"},
		{"227 of seven", read227, "227 x (172,16,0,11,195,80,9)\r\n", "172.16.0.11:50000", "172,16,0,11,195,80"},
		{"229", read229(v6, server), "229 x (|||50000|)\r\n", "[2001:db8:2::11]:50000", "|||50000|"},
		{"229 with an address", read229(v6, server), "229 x (|2|2001:db8::5|50000|)\r\n", "[2001:db8::5]:50000", "|2|2001:db8::5|50000|"},
		{"229 with one of the other family", read229(v4, server), "229 x (|2|2001:db8::5|50000|)\r\n", "", ""},
		{"229 without parenthesis", read229(v6, server), "229 x |||50000|\r\n", "", ""},
		{"229 that ends early", read229(v6, server), "229 x (||", "", ""},
		{"229 delimited by digits", read229(v6, server), "229 x (111500001)\r\n", "", ""},
		{"229 with a port too large", read229(v6, server), "229 x (|||115536|)\r\n", "[2001:db8:2::11]:50000", "|||115536|"},
	} {
		e, ok := c.read(c.text)
		got, at := "", ""
		if ok {
			got, at = netip.AddrPortFrom(e.addr.Netip(), e.port).String(), c.text[e.start:e.end]
		}
		if got != c.want || at != c.at {
			t.Errorf("%s: %q says %q in %q, want %q in %q", c.name, c.text, got, at, c.want, c.at)
		}
	}
}

func readPORT(s string) (ftpEndpoint, bool) { return ftpPORT([]byte(s)) }
func read227(s string) (ftpEndpoint, bool)  { return ftp227([]byte(s)) }

func readEPRT(family uint8) func(string) (ftpEndpoint, bool) {
	return func(s string) (ftpEndpoint, bool) { return ftpEPRT([]byte(s), family) }
}

func read229(family uint8, server packet.Addr) func(string) (ftpEndpoint, bool) {
	return func(s string) (ftpEndpoint, bool) { return ftp229([]byte(s), family, server) }
}

func TestFTPAsked(t *testing.T) {
	const v4, v6 = packet.IPv4Family, packet.IPv6Family
	for _, c := range []struct {
		text   string
		family uint8
		mode   ftpMode
		done   bool
	}{
		{"PASV\r\n", v4, ftpPassive, true},
		{"pasv\r\n", v4, ftpPassive, true},
		{"NOOP\r\nPaSv\r\nLIST\r\n", v4, ftpPassive, true},
		{"PASV\n", v4, ftpActive, false},
		{"PASV", v4, ftpActive, false},
		{"PASV\r\n", v6, ftpActive, false},
		{"EPSV\r\n", v4, ftpExtended, true},
		{"EPSV 1\r\n", v4, ftpExtended, true},
		{"EPSV 1\r", v4, ftpExtended, true},
		{"EPSV 2\r\n", v4, ftpActive, true},
		{"EPSV 2\r\n", v6, ftpExtended, true},
		{"EPSV ALL\r\n", v4, ftpActive, true},
		{"EPSV\r", v4, ftpActive, false},
		{"EPSV\n\n", v4, ftpActive, false},
		{"EPSV \r\n", v4, ftpActive, true},
		{"PORT 1,2,3,4,5,6\r\n", v4, ftpActive, false},
		{"", v4, ftpActive, false},
	} {
		if mode, done := ftpAsked([]byte(c.text), c.family, ftpActive); mode != c.mode || done != c.done {
			t.Errorf("%q in IPv%d: mode %d done %v, want %d %v", c.text, c.family, mode, done, c.mode, c.done)
		}
	}
	if mode, done := ftpAsked([]byte("EPSV 2\r\n"), v4, ftpPassive); mode != ftpPassive || !done {
		t.Errorf("what cannot be served changed the mode to %d", mode)
	}
}

// TestAddresses compares with net/netip, which knows no zeros before a number.
func TestAddresses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	const chars = "0123456789abcdefABCDEF::::..g%"
	both := 0
	for i := range 300_000 {
		var s string
		switch rnd.IntN(3) {
		case 0: // an address, changed in one place
			var a [16]byte
			for k := range a {
				if rnd.IntN(3) > 0 {
					a[k] = byte(rnd.Uint32())
				}
			}
			s = netip.AddrFrom16(a).String()
			if rnd.IntN(2) == 0 {
				s = netip.AddrFrom4([4]byte(a[:4])).String()
			}
			if at := rnd.IntN(len(s) + 1); rnd.IntN(2) == 0 {
				s = s[:at] + string(chars[rnd.IntN(len(chars))]) + s[min(at+rnd.IntN(2), len(s)):]
			}
		default:
			b := make([]byte, rnd.IntN(12))
			for k := range b {
				b[k] = chars[rnd.IntN(len(chars))]
			}
			s = string(b)
		}
		want, err := netip.ParseAddr(s)
		var got packet.Addr
		if ok := parseIPv4([]byte(s), &got); ok != (err == nil && want.Is4()) && !zeros(s) || ok && !zeros(s) && got != packet.AddrFrom(want) {
			t.Fatalf("%d: IPv4 %q: %v %v, want %v", i, s, ok, got, want)
		}
		six := err == nil && want.Is6() && !want.Is4In6() && want.Zone() == ""
		if ok := parseIPv6([]byte(s), &got); ok != six && !zeros(s) || ok && !zeros(s) && got != packet.AddrFrom(want) {
			t.Fatalf("%d: IPv6 %q: %v %v, want %v %v", i, s, ok, got, want, err)
		}
		if err == nil {
			both++
		}
	}
	if both < 10_000 {
		t.Errorf("only %d addresses among them", both)
	}
}

// zeros reports whether a decimal number begins with 0 and goes on.
func zeros(s string) bool {
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == ':' }) {
		if len(part) > 1 && part[0] == '0' && strings.Contains(s, ".") {
			return true
		}
	}
	return false
}

func TestCallID(t *testing.T) {
	const head = "INVITE sip:x@example.org SIP/2.0\r\n"
	long := strings.Repeat("x", callIDMax)
	for _, c := range []struct{ text, want string }{
		{head + "Call-ID: a1\r\n\r\n", "a1"},
		{head + "i: a2\r\n", "a2"},
		{head + "cALL-iD:a3\n", "a3"},
		{head + "Call-ID\t :\r\n a4\r", "a4"},
		{head + "Call-ID\r\n\t: a5\r\n", "a5"},
		{head + "Call-ID: a6@192.0.2.1\r\n", "a6@192.0.2.1"},
		{head + "Call-ID: a\xe9\r\n", "a\xe9"},
		{head + "Call-ID: a\xd7\r\n", ""},
		{head + "i\xe9: x\r\n", ""},
		{head + "i1: x\r\n", ""},
		{head + "Call-ID: a\x00\r\n", ""},
		{head + "Call-ID: " + long + "\r\n", long},
		{head + "Call-ID: " + long + "x\r\n", ""},
		{head + "Call-ID: a b\r\n", ""},
		{head + "Call-ID: a", ""},
		{head + "Call-ID: ", ""},
		{head + "Call-ID:", ""},
		{head + "Call-ID", ""},
		{head + "X-Call-ID: a\r\n", ""},
		{"Call-ID: a\r\n", ""},
		{"\r\nCall-ID: a\r\n", "a"},
		{head + "\r\n\r\ni: body\r\n", "body"},
		{head + "\ni: hidden\r\n", ""},
		{head + "Call-ID: @x\r\nCall-ID: y\r\n", "y"},
		{"", ""}, {"\r", ""}, {"\n", ""}, {"\r\n", ""}, {"\r\ni", ""}, {"\r\ni:\r\n ", ""},
	} {
		if got := string(callID([]byte(c.text))); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// FuzzFTPText: whatever a segment says, what is found lies within it, and what takes its place is read as the same port.
func FuzzFTPText(f *testing.F) {
	for _, s := range []string{"PORT 10,1,2,3,160,1\r\n", "EPRT |1|10.1.2.3|40961|\r\n", "EPRT |2|2001:db8::1|40961|\r\n",
		"227 x (172,16,0,11,195,80)\r\n", "229 x (|||50000|)\r\n", "229 x (|2|::1|50000|)\r\n", "EPSV 1\r\n", "NOOP\r\nPASV\r\n"} {
		f.Add([]byte(s))
	}
	virtual := textAddr("192.0.2.100")
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, family := range []uint8{packet.IPv4Family, packet.IPv6Family} {
			ftpAsked(data, family, ftpActive)
			if e, ok := ftpEPRT(data, family); ok {
				within(t, data, e)
				if e.port == 0 || e.addr.Is4() != (family == packet.IPv4Family) {
					t.Fatalf("%q: %v port %d", data, e.addr, e.port)
				}
			}
			if e, ok := ftp229(data, family, virtual); ok {
				within(t, data, e)
				changed(t, data, e, ftpExtended, func(b []byte) (ftpEndpoint, bool) { return ftp229(b, family, virtual) })
			}
		}
		if e, ok := ftpPORT(data); ok {
			within(t, data, e)
		}
		if e, ok := ftp227(data); ok {
			within(t, data, e)
			changed(t, data, e, ftpPassive, ftp227)
		}
	})
}

func within(t *testing.T, data []byte, e ftpEndpoint) {
	t.Helper()
	if e.start < 0 || e.start >= e.end || e.end > len(data) {
		t.Fatalf("%q: from %d to %d", data, e.start, e.end)
	}
}

// changed puts the service's address in, reads it again, and compares.
func changed(t *testing.T, data []byte, e ftpEndpoint, mode ftpMode, read func([]byte) (ftpEndpoint, bool)) {
	t.Helper()
	virtual := textAddr("192.0.2.100")
	text := ftpText(nil, mode, &virtual, e.port)
	if len(text) > ftpTextLen {
		t.Fatalf("%q is %d long", text, len(text))
	}
	again := string(data[:e.start]) + string(text) + string(data[e.end:])
	got, ok := read([]byte(again))
	if !ok || got.addr != virtual || got.port != e.port || again[got.start:got.end] != string(text) {
		t.Fatalf("%q became %q, which says %v %d %v", data, again, got.addr, got.port, ok)
	}
}

// FuzzCallID: a Call-ID is a part of the message, of characters that may be in one, and ends its line.
func FuzzCallID(f *testing.F) {
	for _, s := range []string{"\r\nCall-ID: a@b\r\n", "x\ni : \r\n y\r\n", "\rCALL-ID:@\n\ri:z\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		id := callID(msg)
		if id == nil {
			return
		}
		if len(id) == 0 || len(id) > callIDMax || strings.Count(string(id), "@") > 1 {
			t.Fatalf("%q in %q", id, msg)
		}
		for _, c := range id {
			if c != '@' && !isWord(c) {
				t.Fatalf("%q in %q", id, msg)
			}
		}
		text := string(msg)
		for {
			i := strings.Index(text, string(id))
			if i < 0 {
				t.Fatalf("%q is not followed by the end of a line in %q", id, msg)
			}
			if text = text[i+1:]; len(text) >= len(id) && lineEnd(text[len(id)-1]) {
				return
			}
		}
	})
}

// TestCallsHash: Call-IDs that differ little are spread over the heads, and another seed spreads them otherwise.
func TestCallsHash(t *testing.T) {
	var a, b sipCalls
	a.prepare(1<<12, 1)
	b.prepare(1<<12, 2)
	used, same := map[*uint32]bool{}, 0
	const n = 1 << 12
	for i := range n {
		id := []byte{'c', 'a', 'l', 'l', byte('0' + i>>9), byte('0' + i>>6&7), byte('0' + i>>3&7), byte('0' + i&7)}
		used[a.head(a.hash(id))] = true
		if a.hash(id) == b.hash(id) {
			same++
		}
	}
	if len(used) < n/2 || same > 0 { // at random it is 0.63 of them
		t.Errorf("%d heads for %d Call-IDs, %d hashes the same with another seed", len(used), n, same)
	}
}
