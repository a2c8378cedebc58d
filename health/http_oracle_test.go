package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// TestAnswersAsKeepalived asks servers that answer as those did that keepalived asked, and compares what it logged.
func TestAnswersAsKeepalived(t *testing.T) {
	file, err := os.ReadFile("testdata/keepalived-answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	makers := answerMakers(t)
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		make, ok := makers[name]
		if !ok {
			t.Errorf("no server for %q", name)
			continue
		}
		delete(makers, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, check := make()
			got := "up"
			if err := check.Check(context.Background()); err != nil {
				protocol := "tcp"
				if strings.HasPrefix(name, "dns") {
					protocol = "udp"
				}
				n := Names{Server: fmt.Sprintf("[%s]:%s:%d", addr.Addr(), protocol, addr.Port())}
				w := check.(Wording)
				got = w.Failed(n, err, Try{Retry: 1}) + " | " + w.Down(n, err, Try{N: 1, Retry: 1})
				got = strings.ReplaceAll(got, n.Server, "SERVER")
				got = strings.ReplaceAll(got, fmt.Sprintf("[%s]:%d", addr.Addr(), addr.Port()), "PAIR")
			}
			if got != want {
				t.Errorf("%s\nwant\n%s", got, want)
			}
		})
	}
	for name := range makers {
		t.Errorf("keepalived was not asked about %q", name)
	}
}

// answerMakers are the servers by name, each with the check that asks it.
func answerMakers(t *testing.T) map[string]func() (netip.AddrPort, Checker) {
	const timeout = 2 * time.Second // in which what is said before the silence must come
	const header = "HTTP/1.0 200 OK\r\nServer: marker\r\n\r\n"
	web := func(addr netip.AddrPort, tls *TLS, u URL) (netip.AddrPort, Checker) {
		u.Path = "/"
		h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: addr, Timeout: timeout}, TLS: tls, URLs: []URL{u}})
		if err != nil {
			t.Fatal(err)
		}
		return addr, h
	}
	http := func(talk func(net.Conn), u URL) func() (netip.AddrPort, Checker) {
		return func() (netip.AddrPort, Checker) { return web(serve(t, talk), nil, u) }
	}
	regex := func(pattern string, limit int) URL {
		r, err := CompileRegex(pattern, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Max = limit
		return URL{Regex: r}
	}
	good := &tls.Config{Certificates: []tls.Certificate{certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))}}
	ssl := func(talk func(net.Conn)) func() (netip.AddrPort, Checker) {
		return func() (netip.AddrPort, Checker) { return web(serve(t, talk), &TLS{}, URL{}) }
	}
	secured := func(talk func(*tls.Conn)) func() (netip.AddrPort, Checker) {
		return func() (netip.AddrPort, Checker) { return web(serveTLS(t, good, talk), &TLS{}, URL{}) }
	}
	smtp := func(talk func(net.Conn)) func() (netip.AddrPort, Checker) {
		return func() (netip.AddrPort, Checker) {
			addr := serve(t, talk)
			return addr, NewSMTP(SMTPOptions{Dial: Dial{Addr: addr, Timeout: timeout}})
		}
	}
	dns := func(addr func() netip.AddrPort) func() (netip.AddrPort, Checker) {
		return func() (netip.AddrPort, Checker) {
			a := addr()
			d, err := NewDNS(DNSOptions{Dial: Dial{Addr: a, Timeout: timeout}})
			if err != nil {
				t.Fatal(err)
			}
			return a, d
		}
	}
	named := func(answer func([]byte) [][]byte) func() netip.AddrPort {
		return func() netip.AddrPort { return nameServer(t, answer) }
	}
	polite := map[string]string{"HELO": "250 hi\r\n", "QUIT": "221 bye\r\n"}
	return map[string]func() (netip.AddrPort, Checker){
		"http 404":             http(answering("HTTP/1.0 404 No\r\n\r\n"), URL{}),
		"http silent":          http(silent, URL{}),
		"http refused":         func() (netip.AddrPort, Checker) { return web(refusing(t), nil, URL{}) },
		"http digest":          http(answering(header+"hello world"), URL{Digest: &[16]byte{}}),
		"http regex":           http(answering(header+"bye"), regex("hello", -1)),
		"http regex in header": http(answering(header+"bye"), regex("marker", -1)),
		"http regex in header, body apart": http(func(c net.Conn) {
			answering(header)(c)
			time.Sleep(timeout / 4)
			_, _ = c.Write([]byte("bye"))
		}, regex("marker", -1)),
		"http regex anchored": http(answering(header+"a"), regex("^a$", -1)),
		"http regex beyond 5": http(answering(header+"hello world"), regex("hello", 5)),
		"http nothing":        http(func(c net.Conn) { hear(c) }, URL{}),
		"http reset": http(func(c net.Conn) {
			hear(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		}, URL{}),
		"http hangs":  http(func(c net.Conn) { answering(header + "hello")(c); silent(c) }, URL{}),
		"http short":  http(answering("HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\nhello"), URL{}),
		"ssl fine":    secured(say(true)),
		"ssl plain":   ssl(answering(header + "hello")),
		"ssl silent":  ssl(silent),
		"ssl hangs":   secured(func(c *tls.Conn) { answering(header + "hello")(c); silent(c) }),
		"ssl nothing": secured(func(c *tls.Conn) { hear(c); c.Close() }),
		"smtp fine":   smtp(mailServer("220 mx\r\n", polite, nil)),
		"smtp banner": smtp(mailServer("554 no\r\n", polite, nil)),
		"smtp helo":   smtp(mailServer("220 mx\r\n", map[string]string{"HELO": "501 who\r\n"}, nil)),
		"smtp silent": smtp(silent),
		"smtp closes": smtp(func(net.Conn) {}),
		"smtp refused": func() (netip.AddrPort, Checker) {
			addr := refusing(t)
			return addr, NewSMTP(SMTPOptions{Dial: Dial{Addr: addr, Timeout: timeout}})
		},
		"dns fine":     dns(named(func(q []byte) [][]byte { return [][]byte{reply(q, 0)} })),
		"dns nxdomain": dns(named(func(q []byte) [][]byte { return [][]byte{reply(q, 3)} })),
		"dns silent":   dns(named(func([]byte) [][]byte { return nil })),
		"dns refused":  dns(func() netip.AddrPort { return refusing(t) }),
	}
}
