package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// serve accepts connections on the loopback and gives each to talk, which ends by returning. It returns the address.
func serve(t *testing.T, talk func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// answering is a talk that reads a request and sends text.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		hear(c)
		_, _ = c.Write([]byte(text))
	}
}

// hear reads what the other side says first, so that closing does not reset the connection.
func hear(c net.Conn) string {
	buf := make([]byte, 4096)
	n, _ := c.Read(buf)
	return string(buf[:n])
}

// silent is a talk that says nothing until the other side goes.
func silent(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// dripping sends text again and again, so much at a time with so long between, until the other side goes.
func dripping(text string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := c.Write([]byte(text)); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// patient is the timeout of a check that is to end in a way: the given one if that is running into it, else one that no
// machine is too slow for.
func patient(timeout time.Duration, want string) time.Duration {
	if strings.Contains(strings.ToLower(want), "timeout") {
		return timeout
	}
	return testenv.Patience
}

// checkText runs a check and compares the text of its failure; want "" is success.
func checkText(t *testing.T, c Checker, want string) {
	t.Helper()
	err := c.Check(context.Background())
	got := ""
	if err != nil {
		got = textOf(err)
		var f *Failure
		if !errors.As(err, &f) {
			t.Errorf("error %v is no Failure", err)
		}
	}
	if got != want {
		t.Errorf("failure %q (%v), want %q", got, err, want)
	}
}
