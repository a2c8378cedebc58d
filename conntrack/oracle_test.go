package conntrack

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// rows reads testdata/oracle/name.jsonl.gz, a transcript of what a Linux 6.1 kernel did.
func rows[T any](t *testing.T, name string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "oracle", name+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r T
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// bench plays one client against one server, deciding as the forwarder does.
type bench struct {
	*Table
	proto  uint8
	flags  Flags
	sloppy bool
	reuse  ReuseMode
	reused bool // the last packet replaced a connection
	now    clock.Mono
	act    [2]int // active and inactive connections of the server
}

func newBench(t *testing.T, proto, method string) *bench {
	b := &bench{Table: newTable(t, Options{MaxConns: 16}), reuse: ReuseClosed, now: start}
	b.proto = map[string]uint8{"tcp": packet.ProtoTCP, "udp": packet.ProtoUDP, "sctp": packet.ProtoSCTP}[proto]
	if b.proto == 0 {
		t.Fatalf("protocol %q", proto)
	}
	if method != "nat" {
		b.flags = OneWay
	}
	return b
}

// frame makes the packet that the transcript calls what: TCP flags, SCTP chunks, or "u".
func (b *bench) frame(t *testing.T, k packet.Tuple, what string) []byte {
	t.Helper()
	s := packet.Spec{Tuple: k, Tag: 7}
	switch b.proto {
	case packet.ProtoTCP:
		if what != "none" {
			for _, f := range what {
				i := strings.IndexRune("FSRPAU", f)
				if i < 0 {
					t.Fatalf("flag %q", f)
				}
				s.TCPFlags |= 1 << i
			}
		}
	case packet.ProtoSCTP:
		for chunk := range strings.SplitSeq(what, "+") {
			typ, ok := chunkTypes[chunk]
			if !ok {
				t.Fatalf("chunk %q", chunk)
			}
			s.Payload = append(s.Payload, typ, 0, 0, 7, 1, 2, 3, 0)
		}
	}
	return packet.Build(nil, s)
}

var chunkTypes = map[string]uint8{"DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "ABORT": 6,
	"SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10, "COOKIE_ACK": 11, "SHUTDOWN_COMPLETE": 14}

func (b *bench) count(s State, n int) {
	if s.Active() {
		b.act[0] += n
	} else {
		b.act[1] += n
	}
}

// send handles a packet and returns its connection; nil if there is none now.
func (b *bench) send(t *testing.T, from, what string) *Conn {
	t.Helper()
	k := tcp("198.51.100.1", 4000)
	k.Proto = b.proto
	spec := Spec{Tuple: k, Real: addr("203.0.113.7"), RealPort: 8080, Flags: b.flags}
	if from == "s" {
		k = packet.Tuple{Src: spec.Real, SrcPort: 8080, Dst: k.Src, DstPort: k.SrcPort, Proto: k.Proto, Family: k.Family}
	}
	frame := b.frame(t, k, what)
	var m packet.Meta
	if why := packet.Parse(frame, &m); why != packet.NoDrop {
		t.Fatalf("%s %s: %v", from, what, why)
	}
	ev := EventOf(frame, &m)
	h := b.Hash(&m.Tuple)
	c, d := b.Lookup(&m.Tuple, h)
	b.reused = false
	if c != nil && d == FromClient && c.Reuses(ev, b.reuse) {
		b.count(c.State(), -1)
		b.Remove(c)
		c, b.reused = nil, true
	}
	if c != nil {
		was, is := b.Advance(c, d, ev, b.now)
		b.count(was, -1)
		b.count(is, +1)
		return c
	}
	if from == "s" || !ev.Opens(b.sloppy) {
		return nil
	}
	spec.Event = ev
	c, err := b.Insert(&spec, h, b.now)
	if err != nil {
		t.Fatal(err)
	}
	b.count(c.State(), +1)
	return c
}

// shows compares with a line of ipvsadm -Lnc. The kernel truncates the seconds left, so one may be gone.
func (b *bench) shows(c *Conn, state string, left *int) error {
	if state == "" {
		if c != nil {
			return fmt.Errorf("%v, want no connection", c.State())
		}
		return nil
	}
	if c == nil {
		return fmt.Errorf("no connection, want %s", state)
	}
	if got := c.State().String(); got != state {
		return fmt.Errorf("state %s, want %s", got, state)
	}
	if got := int(c.Left(b.now) / time.Second); got != *left && got != *left+1 {
		return fmt.Errorf("%s with %d s left, want %d", state, got, *left)
	}
	return nil
}

func TestOracleTransitions(t *testing.T) {
	type row struct {
		Table, State, From, Pkt, Next, Via string
		Left                               *int
	}
	all := rows[row](t, "transitions")
	for _, r := range all {
		parts := strings.Split(r.Table, "/") // protocol, method, sysctl
		b := newBench(t, parts[0], parts[1])
		if len(parts) > 2 {
			b.sloppy = parts[2] == "sloppy"
			b.SetSecureTCP(parts[2] == "secure_tcp=3")
		}
		for _, step := range strings.Fields(r.Via) {
			from, what, _ := strings.Cut(step, ":")
			b.send(t, from, what)
		}
		if err := b.shows(b.send(t, r.From, r.Pkt), r.Next, r.Left); err != nil {
			t.Errorf("%s: %s --%s:%s-->: %v", r.Table, r.State, r.From, r.Pkt, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 2360 {
		t.Errorf("%d rows, want 2360", len(all))
	}
}

// TestOracleSwitch: connections that were opened with secure_tcp and met the next packet without it, and the reverse.
func TestOracleSwitch(t *testing.T) {
	type row struct {
		Fwd, Via, Ev string
		From, To     int // of secure_tcp
		Was, Is      []any
	}
	all := rows[row](t, "switch")
	for _, r := range all {
		b := newBench(t, "tcp", r.Fwd)
		b.SetSecureTCP(r.From == 3)
		send := func(step string, want []any) {
			from, what, _ := strings.Cut(step, ":")
			state, _ := want[0].(string)
			left, _ := want[1].(float64)
			seconds := int(left)
			if c := b.send(t, from, what); state != "" {
				if err := b.shows(c, state, &seconds); err != nil {
					t.Errorf("%s, secure_tcp %d to %d: %s %s: %v", r.Fwd, r.From, r.To, r.Via, step, err)
				}
			}
		}
		via := strings.Fields(r.Via)
		for i, step := range via {
			want := []any{nil, nil}
			if i == len(via)-1 {
				want = r.Was
			}
			send(step, want)
		}
		b.SetSecureTCP(r.To == 3)
		send(r.Ev, r.Is)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 160 {
		t.Errorf("%d rows, want 160", len(all))
	}
}

// stepRow is a packet and what the kernel showed after it; Act is the change since the start of the case.
type stepRow struct {
	From, Pkt, State string
	Left             *int
	Act              [2]int
}

// play sends the packets of a case and compares after each.
func (b *bench) play(t *testing.T, steps []stepRow) (c *Conn) {
	for i, s := range steps {
		c = b.send(t, s.From, s.Pkt)
		if err := b.shows(c, s.State, s.Left); err != nil {
			t.Errorf("step %d, %s:%s: %v", i, s.From, s.Pkt, err)
		}
		if b.act != s.Act {
			t.Errorf("step %d, %s:%s: active and inactive %v, want %v", i, s.From, s.Pkt, b.act, s.Act)
		}
	}
	return c
}

// set does what ipvsadm --set does.
func (b *bench) set(t *testing.T, s string) {
	var o [3]int
	if s == "" {
		return
	}
	if _, err := fmt.Sscan(s, &o[0], &o[1], &o[2]); err != nil {
		t.Fatal(err)
	}
	sec := func(n int) time.Duration { return time.Duration(n) * time.Second }
	b.SetTimeouts(Timeouts{TCP: sec(o[0]), TCPFin: sec(o[1]), UDP: sec(o[2])})
}

func TestOracleSequences(t *testing.T) {
	type row struct {
		Case, Set string
		Steps     []stepRow
	}
	all := rows[row](t, "sequences")
	for _, r := range all {
		t.Run(r.Case, func(t *testing.T) {
			parts := strings.Split(r.Case, "/")
			b := newBench(t, parts[0], parts[1])
			b.set(t, r.Set)
			b.play(t, r.Steps)
		})
	}
	if len(all) != 122 {
		t.Errorf("%d rows, want 122", len(all))
	}
}

// TestOracleExpiry moves the time as the transcript did, which looked about every 0.2 s: after[i] was seen first then,
// so that up to 0.25 s before it was after[i-1] that was shown.
func TestOracleExpiry(t *testing.T) {
	type row struct {
		Case, Set string
		Steps     []stepRow
		After     [][]any
	}
	all := rows[row](t, "expiry")
	for _, r := range all {
		t.Run(r.Case, func(t *testing.T) {
			b := newBench(t, strings.Split(r.Case, "/")[0], "nat")
			b.set(t, r.Set)
			c := b.play(t, r.Steps)
			last := b.now
			for _, a := range r.After {
				now := last.Add(time.Duration(a[0].(float64) * float64(time.Second)))
				b.now = now
				b.Expire(now, 1000, func(c *Conn) { b.count(c.State(), -1) })
				if b.Len() == 0 {
					c = nil
				}
				state, _ := a[1].(string)
				left := 0
				if f, ok := a[2].(float64); ok {
					left = int(f)
				}
				if err := b.shows(c, state, &left); err != nil {
					t.Errorf("after %v s: %v", a[0], err)
				}
				act := a[3].([]any)
				if want := [2]int{int(act[0].(float64)), int(act[1].(float64))}; b.act != want {
					t.Errorf("after %v s: active and inactive %v, want %v", a[0], b.act, want)
				}
			}
		})
	}
	if len(all) != 7 {
		t.Errorf("%d rows, want 7", len(all))
	}
}

// TestOracleReuse: with two servers in turn, the kernel chose another server for the SYN if, and only if, it had
// replaced the connection. Rows in which it did so because the server had been emptied are the forwarder's matter.
func TestOracleReuse(t *testing.T) {
	type row struct {
		Mode    ReuseMode `json:"conn_reuse_mode"`
		Fwd     string
		Persist string
		Nodest  int `json:"expire_nodest_conn"`
		Prefix  string
		First   string
		Again   string `json:"syn_again"`
	}
	n := 0
	for _, r := range rows[row](t, "reuse") {
		if r.Nodest != 0 {
			continue
		}
		n++
		b := newBench(t, "tcp", r.Fwd)
		b.reuse = r.Mode
		for i, step := range strings.Fields(r.Prefix) {
			from, what, _ := strings.Cut(step, ":")
			c := b.send(t, from, what)
			if i == 0 && r.Persist != "" {
				k := tcp("198.51.100.1", 0)
				p, err := b.InsertTemplate(&Spec{Tuple: k}, b.HashTemplate(&k), time.Minute, b.now)
				if err != nil {
					t.Fatal(err)
				}
				b.Control(c, p, b.now)
			}
		}
		b.send(t, "c", "S")
		if want := r.First != r.Again; b.reused != want {
			t.Errorf("mode %d, %s, %q, %s: scheduled anew %v, want %v", r.Mode, r.Fwd, r.Persist, r.Prefix, b.reused, want)
		}
	}
	if n != 192 {
		t.Errorf("%d rows, want 192", n)
	}
}
