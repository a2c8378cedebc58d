package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

const dnsService = `
virtual_server 192.168.56.200 5353 {
    lb_algo rr
    lb_kind DR
    protocol UDP
    real_server 192.168.56.103 5353 {
        weight 1
    }
}
`

// TestDatagramsInFragments sends UDP datagrams of all sizes through the director, which a server sends back turned round:
// the client's kernel cuts them, dirsw puts them together and cuts them again, the server's kernel puts them together.
func TestDatagramsInFragments(t *testing.T) {
	r := newRig(t)
	r.write(plain() + dnsService)
	r.run().ready()
	var server net.PacketConn
	if err := r.c.Do("rs1", func() (err error) {
		server, err = net.ListenPacket("udp4", "192.168.56.200:5353")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(reversed(buf[:n]), from)
		}
	}()
	c, err := r.c.Dial(context.Background(), "client", "udp4", "192.168.56.200:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 1<<16)
	for _, n := range []int{100, 1472, 1473, 3000, 20000, 65507} {
		sent := make([]byte, n)
		for i := range sent {
			sent[i] = byte(rnd.Uint32())
		}
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(testenv.Patience))
		k, err := c.Read(buf)
		if err != nil || !bytes.Equal(buf[:k], reversed(sent)) {
			t.Errorf("%d bytes: %d came back, %v", n, k, err)
		}
	}
	out, code := r.tool("stats", "--socket", r.sock)
	if words := strings.Join(strings.Fields(out), " "); code != 0 || !strings.Contains(words, " 4 datagrams put together from fragments") {
		t.Errorf("stats: exit %d\n%s", code, out)
	}
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i := range b {
		r[len(b)-1-i] = b[i]
	}
	return r
}
