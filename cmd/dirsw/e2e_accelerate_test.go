package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
	"dirsw/stats"
)

// capable lets the lab carry what the accelerator sends: frames of XDP programs are taken by GRO, and what a client leaves to its
// network card is the worker's.
func (r *rig) capable() {
	r.t.Helper()
	testenv.NeedProgram(r.t, "ethtool")
	for node, args := range map[string][]string{"switch": {"-K", "lb1", "gro", "on"}, "client": {"-K", "enp0s8", "tx", "off"}} {
		if out, err := r.c.Command(context.Background(), node, "ethtool", args...).CombinedOutput(); err != nil {
			r.t.Fatalf("%v: %s", err, out)
		}
	}
}

// stats asks for them as JSON.
func (r *rig) stats() (s stats.Stats) {
	r.t.Helper()
	out, code := r.tool("stats", "--json", "--socket", r.sock)
	if err := json.Unmarshal([]byte(out), &s); code != 0 || err != nil {
		r.t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	return s
}

// talk opens a connection and asks so many times.
func (r *rig) talk(times int) (net.Conn, func() error) {
	r.t.Helper()
	conn, err := r.c.Dial(context.Background(), "client", "tcp", r.vip)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	in := bufio.NewReader(conn)
	ask := func() error {
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: vip\r\n\r\n")
		return err
	}
	for range times {
		if err := ask(); err != nil {
			r.t.Fatal(err)
		}
		page(r.t, in)
	}
	return conn, ask
}

// TestAccelerated talks over one connection with the accelerator and without: what is listed and counted is the same, a FIN ends
// the connection, and a server that is removed is asked nothing more.
func TestAccelerated(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(map[bool]string{false: "off", true: "on"}[on], func(t *testing.T) {
			r := newRig(t)
			r.capable()
			conf := plain()
			if on {
				conf += "\ndataplane {\n  accelerate on\n}\n"
			}
			r.write(conf)
			p := r.run().ready()
			if strings.Contains(p.text(), "accelerated") {
				t.Fatalf("dirsw says:\n%s", p.text())
			}
			r.accelerates(on)
		})
	}
}

func (r *rig) accelerates(on bool) {
	t := r.t
	const asked = 200
	conn, _ := r.talk(asked)
	quick := 0
	if on {
		quick = 1
	}
	testenv.Await(t, "counters to come back", func() bool {
		s := r.stats()
		return s.Quick == quick && s.InPkts >= asked && (s.Accelerated >= asked/2) == on
	})
	list := func() string {
		out, _ := r.tool("ipvsadm", "--socket", r.sock, "-Lnc")
		return out
	}
	if out := list(); !strings.Contains(out, "14:5") || !strings.Contains(out, "ESTABLISHED") {
		t.Errorf("listed is\n%s", out)
	}
	conn.Close()
	testenv.Await(t, "the FIN to end the connection", func() bool {
		return strings.Contains(list(), "FIN_WAIT") && r.stats().Quick == 0
	})
	conn, ask := r.talk(asked)
	testenv.Await(t, "the second connection", func() bool { return r.stats().Quick == quick })
	for _, server := range []string{"192.168.56.103", "192.168.56.104"} {
		if out, code := r.tool("ipvsadm", "--socket", r.sock, "-d", "-t", r.vip, "-r", server); code != 0 {
			t.Fatal(out)
		}
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("a server that was removed has answered %d bytes", n)
	}
}
