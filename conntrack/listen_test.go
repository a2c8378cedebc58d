package conntrack

import (
	"testing"
	"time"
)

// TestOracleListen: where each packet leads from LISTEN, in which a helper leaves what it announced.
func TestOracleListen(t *testing.T) {
	type row struct {
		From, Pkt, Next string
		Left            *int
	}
	all := rows[row](t, "listen")
	for _, r := range all {
		b := newBench(t, "tcp", "nat")
		c := b.send(t, "c", "S")
		if was := b.Listen(c, b.now); was != TCPSynRecv {
			t.Errorf("was %v, want SYN_RECV", was)
		}
		if err := b.shows(b.send(t, r.From, r.Pkt), r.Next, r.Left); err != nil {
			t.Errorf("LISTEN --%s:%s-->: %v", r.From, r.Pkt, err)
		}
	}
	if len(all) != 22 {
		t.Errorf("%d rows, want 22", len(all))
	}
}

// TestListenEarlier: a connection that had a quarter of an hour has two minutes now.
func TestListenEarlier(t *testing.T) {
	b := newBench(t, "tcp", "nat")
	b.send(t, "c", "S")
	c := b.send(t, "c", "A")
	b.Listen(c, b.now)
	if err := b.verify(); err != nil {
		t.Fatal(err)
	}
	if b.Expire(b.now.Add(2*time.Minute-tick), 100, nil); b.Len() != 1 {
		t.Errorf("it ended early")
	}
	if b.Expire(b.now.Add(2*time.Minute+2*tick), 100, nil); b.Len() != 0 {
		t.Errorf("it lives on")
	}
}

// TestUnkeyed: many templates with one key, none of which Template finds.
func TestUnkeyed(t *testing.T) {
	x := newTable(t, Options{MaxConns: 4})
	k := tcp("198.51.100.0", 0)
	spec := &Spec{Tuple: k, Real: addr("203.0.113.7")}
	var all []*Conn
	for range 3 {
		p, err := x.InsertUnkeyed(spec, time.Minute, start)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if x.Template(&k, x.HashTemplate(&k)) != nil || x.Templates() != 3 || x.Len() != 0 {
		t.Errorf("found, or %d templates and %d connections, want 3 and 0", x.Templates(), x.Len())
	}
	if x.At(all[1].Slot()) != all[1] || !all[1].IsTemplate() {
		t.Errorf("not where its slot says")
	}
	client := tcp("198.51.100.1", 4000)
	c, err := x.Insert(&Spec{Tuple: client, Event: TCPSyn}, x.Hash(&client), start)
	if err != nil {
		t.Fatal(err)
	}
	x.Control(c, all[1], start.Add(time.Second))
	x.Retire(all[0])
	if all[0].VirtualPort() != 0xffff || all[1].Users() != 1 || x.TemplateOf(c) != all[1] {
		t.Errorf("retired: port %d; users %d", all[0].VirtualPort(), all[1].Users())
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
	x.Remove(all[2])
	seen := map[*Conn]bool{}
	x.Expire(start.Add(10*time.Minute), 100, func(c *Conn) { seen[c] = true })
	x.Expire(start.Add(20*time.Minute), 100, func(c *Conn) { seen[c] = true })
	if x.Templates() != 0 || !seen[all[0]] || !seen[all[1]] || seen[all[2]] {
		t.Errorf("%d templates left, ended %v", x.Templates(), seen)
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
	for range 4 {
		if _, err := x.InsertUnkeyed(spec, time.Minute, start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.InsertUnkeyed(spec, time.Minute, start.Add(time.Hour)); err != ErrFull {
		t.Errorf("into a full table: %v", err)
	}
}
