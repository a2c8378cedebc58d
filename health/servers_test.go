package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
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

// checkText runs a check and compares the text of its failure; want "" is success. It fails if the check takes longer
// than its bound.
func checkText(t *testing.T, c Checker, timeout time.Duration, want string) {
	t.Helper()
	start := time.Now()
	err := c.Check(context.Background())
	if took := time.Since(start); took > stretch*timeout+2*time.Second {
		t.Errorf("took %v with a timeout of %v", took, timeout)
	}
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
