package health

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// nameServer answers each question over UDP with what answer returns; nil is silence. The test ends it.
func nameServer(t *testing.T, answer func(query []byte) [][]byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			for _, a := range answer(bytes.Clone(buf[:n])) {
				_, _ = c.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// reply makes an answer of a question: with QR set and this code.
func reply(query []byte, rcode byte) []byte {
	b := bytes.Clone(query)
	b[2] |= 0x80
	b[3] = rcode
	return b
}

func TestDNS(t *testing.T) {
	const timeout = 200 * time.Millisecond
	other := func(q []byte) []byte {
		b := reply(q, 0)
		b[0]++
		return b
	}
	for _, tt := range []struct {
		name   string
		answer func([]byte) [][]byte
		want   string
	}{
		{"no error", func(q []byte) [][]byte { return [][]byte{reply(q, 0)} }, ""},
		{"NXDOMAIN", func(q []byte) [][]byte { return [][]byte{reply(q, 3)} }, "read error occurred. (rcode = 3)"},
		{"SERVFAIL", func(q []byte) [][]byte { return [][]byte{reply(q, 2)} }, "read error occurred. (rcode = 2)"},
		{"silence", func([]byte) [][]byte { return nil }, "read timeout from socket"},
		{"another ID", func(q []byte) [][]byte { return [][]byte{other(q)} }, "read timeout from socket"},
		{"the question itself", func(q []byte) [][]byte { return [][]byte{q} }, "read timeout from socket"},
		{"a short message", func(q []byte) [][]byte { return [][]byte{reply(q, 0)[:11]} }, "read timeout from socket"},
		{"garbage before the answer", func(q []byte) [][]byte { return [][]byte{{}, []byte("garbage"), other(q), q, reply(q, 0)} }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := NewDNS(DNSOptions{Dial: Dial{Addr: nameServer(t, tt.answer), Timeout: patient(timeout, tt.want)}, Name: "www.example.org", Type: DNSTypeA})
			if err != nil {
				t.Fatal(err)
			}
			checkText(t, d, tt.want)
		})
	}
}

func TestDNSRefused(t *testing.T) {
	d, err := NewDNS(DNSOptions{Dial: Dial{Addr: refusing(t), Timeout: testenv.Patience}})
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, d, "failed to read socket; errno 111 (Connection refused)")
}

func TestDNSOverTCP(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		buf := make([]byte, 512)
		n, err := readPrefixed(c, buf)
		if err != nil {
			return
		}
		a := reply(buf[:n], 0)
		whole := append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)
		_, _ = c.Write(whole[:3])
		time.Sleep(20 * time.Millisecond)
		_, _ = c.Write(whole[3:])
		silent(c)
	})
	d, err := NewDNS(DNSOptions{Dial: Dial{Addr: addr, Timeout: testenv.Patience}, TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, d, "")
	d, err = NewDNS(DNSOptions{Dial: Dial{Addr: serve(t, dripping("\xff", 20*time.Millisecond)), Timeout: 200 * time.Millisecond}, TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, d, "read timeout from socket")
}

// TestDNSQuery compares with bytes on the wire.
func TestDNSQuery(t *testing.T) {
	const header = "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	long := strings.Repeat("a", 63)
	for _, tt := range []struct {
		name string
		t    DNSType
		want string // after the header; "" is an error
	}{
		{"", DNSTypeSOA, "\x00\x00\x06\x00\x01"},
		{".", DNSTypeSOA, "\x00\x00\x06\x00\x01"},
		{"www.example.org", DNSTypeA, "\x03www\x07example\x03org\x00\x00\x01\x00\x01"},
		{"www.example.org.", DNSTypeAAAA, "\x03www\x07example\x03org\x00\x00\x1c\x00\x01"},
		{long, DNSTypeMX, "\x3f" + long + "\x00\x00\x0f\x00\x01"},
		{long + "a", DNSTypeMX, ""},
		{"a..b", DNSTypeA, ""},
		{".a", DNSTypeA, ""},
		{strings.Repeat(long+".", 4), DNSTypeA, ""},
	} {
		got, err := dnsQuery(tt.name, tt.t)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%q: no error", tt.name)
		case tt.want != "" && (err != nil || string(got) != header+tt.want):
			t.Errorf("%q: %q, %v; want %q", tt.name, got, err, header+tt.want)
		}
	}
}

func TestDNSTypeWords(t *testing.T) {
	for w, want := range map[string]DNSType{"A": 1, "ns": 2, "CNAME": 5, "Soa": 6, "MX": 15, "TXT": 16, "AAAA": 28, "RRSIG": 46, "DNSKEY": 48} {
		if got, ok := ParseDNSType(w); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", w, got, ok, want)
		}
	}
	if _, ok := ParseDNSType("ANY"); ok {
		t.Error("ANY is a type")
	}
}

func TestDNSLines(t *testing.T) {
	d, err := NewDNS(DNSOptions{Dial: Dial{Addr: netip.MustParseAddrPort("192.0.2.53:53")}})
	if err != nil {
		t.Fatal(err)
	}
	n, e := Names{Server: "[192.0.2.53]:udp:53"}, &Failure{Text: "read timeout from socket"}
	for _, tt := range []struct{ got, want string }{
		{d.Up(n), ""},
		{d.Down(n, e, Try{First: true, Retry: 3}), "DNS_CHECK ([192.0.2.53]:udp:53) read timeout from socket"},
		{d.Down(n, e, Try{N: 3, Retry: 3}), "DNS_CHECK ([192.0.2.53]:udp:53) read timeout from socket after 3 retries"},
		{d.Failed(n, e, Try{N: 1, Retry: 3}), "DNS_CHECK ([192.0.2.53]:udp:53) read timeout from socket"},
		{textOf(d.connectFailure(&Failure{Kind: ErrUnreach})), "network unreachable for [192.0.2.53]:53"},
	} {
		if tt.got != tt.want {
			t.Errorf("line\n%s, want\n%s", tt.got, tt.want)
		}
	}
	if !errors.Is(d.connectFailure(&Failure{Kind: ErrLocal}), ErrLocal) {
		t.Error("a local failure is not told as one")
	}
}

// FuzzDNSAnswer reads any message: no panic, and nothing is an answer that has another ID or is a question.
func FuzzDNSAnswer(f *testing.F) {
	q, err := dnsQuery("www.example.org", DNSTypeA)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reply(q, 3), uint16(0))
	f.Add(q, uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, id uint16) {
		rcode, ok := dnsAnswer(b, id)
		if rcode < 0 || rcode > 15 {
			t.Errorf("rcode %d", rcode)
		}
		if ok && (len(b) < 12 || b[2]&0x80 == 0 || binary.BigEndian.Uint16(b) != id) {
			t.Errorf("%x taken for an answer to %d", b, id)
		}
	})
}

// FuzzDNSQuery makes a question of any name: what comes out is one question whose labels are the name's.
func FuzzDNSQuery(f *testing.F) {
	f.Add("www.example.org.")
	f.Fuzz(func(t *testing.T, name string) {
		q, err := dnsQuery(name, DNSTypeA)
		if err != nil {
			return
		}
		var labels []string
		b := q[dnsHeaderLen:]
		for ; b[0] != 0; b = b[1+int(b[0]):] {
			labels = append(labels, string(b[1:1+int(b[0])]))
		}
		if got := strings.Join(labels, "."); got != strings.TrimSuffix(name, ".") || len(b) != 5 {
			t.Errorf("%q: labels %q and %d bytes", name, labels, len(b))
		}
	})
}
