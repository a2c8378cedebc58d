package sched

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// pool makes a pool of n destinations with IDs n-1 to 0 (the one added last stands first).
func pool(weights ...int32) *Pool {
	p := &Pool{Cursor: new(Cursor)}
	for i, w := range weights {
		p.Dests = append(p.Dests, dest(uint32(len(weights)-1-i), w))
	}
	return p
}

// dest makes a server with an address of its own.
func dest(id uint32, weight int32) Dest {
	d := Dest{ID: id, Port: 80, Weight: weight, Load: NewLoad(1)}
	d.Addr = packet.AddrFrom(netip.AddrFrom4([4]byte{198, 51, byte(id >> 8), byte(id)}))
	return d
}

// client makes the i-th flow.
func client(i int) *Flow {
	return &Flow{Tuple: packet.Tuple{Src: packet.AddrFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})),
		Dst: packet.AddrFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1})), SrcPort: uint16(i * 7), DstPort: 80}}
}

func made(t testing.TB, name string, p *Pool) Scheduler {
	k, ok := Lookup(name)
	if !ok {
		t.Fatalf("%s is not registered", name)
	}
	s := k.New(0)
	s.Update(p, true)
	return s
}

func TestEveryScheduler(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Run("empty pool", func(t *testing.T) {
				p := pool()
				if got := made(t, name, p).Pick(p, &Flow{}); got != None {
					t.Errorf("Pick = %d, want None", got)
				}
			})
			t.Run("all weights 0", func(t *testing.T) {
				p := pool(0, 0)
				if got := made(t, name, p).Pick(p, &Flow{}); got != None {
					t.Errorf("Pick = %d, want None", got)
				}
			})
			t.Run("never weight 0 or overloaded", func(t *testing.T) { neverUnusable(t, name) })
			t.Run("no allocation", func(t *testing.T) {
				p := pool(1, 2, 3, 4)
				s, f := made(t, name, p), Flow{}
				if n := testing.AllocsPerRun(100, func() { s.Pick(p, &f) }); n != 0 {
					t.Errorf("%v allocations a Pick", n)
				}
			})
			t.Run("several workers", func(t *testing.T) {
				p := pool(1, 2, 3, 4)
				for i := range p.Dests {
					p.Dests[i].Load = NewLoad(4)
				}
				var w sync.WaitGroup
				for worker := range 4 {
					s := made(t, name, p)
					w.Go(func() {
						for n := range 200 {
							i := s.Pick(p, client(n*4+worker))
							if i == None {
								t.Error("no server")
								return
							}
							p.Dests[i].Load.Add(worker, 0, 1, 0)
						}
					})
				}
				w.Wait()
				sum := 0
				for i := range p.Dests {
					sum += p.Inactive(i)
				}
				if sum != 800 {
					t.Errorf("%d connections, want 800", sum)
				}
			})
			t.Run("Update idempotent", func(t *testing.T) {
				p := pool(5, 3, 1)
				s := made(t, name, p)
				s.Pick(p, &Flow{})
				before := p.Cursor.Load()
				s.Update(p, true)
				if got := p.Cursor.Load(); got != before {
					t.Errorf("cursor %#x, want %#x: nothing had changed", got, before)
				}
			})
		})
	}
}

// refuses are the schedulers that turn a client away whose own destination is not usable, though others are.
var refuses = map[string]bool{"dh": true, "sh": true, "mh": true}

func neverUnusable(t *testing.T, name string) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		p := pool()
		for i := range 1 + r.IntN(8) {
			d := dest(uint32(i), int32(r.IntN(4)))
			d.Load.over.Store(r.IntN(3) == 0)
			p.Dests = append(p.Dests, d)
		}
		s := made(t, name, p)
		usable := false
		for i := range p.Dests {
			usable = usable || p.Usable(i)
		}
		for range 20 {
			got := s.Pick(p, &Flow{})
			if got == None && usable && !refuses[name] || got != None && !p.Usable(got) {
				t.Fatalf("seed %d: Pick = %d of %+v", seed, got, p.Dests)
			}
		}
	}
}

// TestSlowTwinRR compares with the plain definition: walk the ring from behind the last choice.
func TestSlowTwinRR(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	p := pool(1, 1, 1, 1, 1)
	s := made(t, "rr", p)
	last := -1
	for range 1000 {
		p.Dests[r.IntN(5)].Weight = int32(r.IntN(2))
		want := None
		for k := 1; k <= 5 && want == None; k++ {
			if i := (last + k) % 5; p.Dests[i].Weight > 0 {
				want = i
			}
		}
		if got := s.Pick(p, &Flow{}); got != want {
			t.Fatalf("seed %d: Pick = %d, want %d", seed, got, want)
		}
		if want != None {
			last = want
		}
	}
}

// TestShareWRR checks what operators rely on: over whole rounds each server gets its weight's share exactly.
func TestShareWRR(t *testing.T) {
	for _, weights := range [][]int32{{3, 2, 1}, {10, 0, 5}, {4, 6, 8}, {100, 1}} {
		p := pool(weights...)
		s := made(t, "wrr", p)
		var g, sum int32
		for _, w := range weights {
			g, sum = gcd(w, g), sum+w
		}
		for range sum / g * 5 { // settle: the first round may start at a lower level
			s.Pick(p, &Flow{})
		}
		got := make([]int32, len(weights))
		for range sum / g * 7 {
			got[s.Pick(p, &Flow{})]++
		}
		for i, w := range weights {
			if want := w / g * 7; got[i] != want {
				t.Errorf("weights %v: server %d was chosen %d times, want %d", weights, i, got[i], want)
			}
		}
	}
}

// untold are the schedulers without a transcript.
var untold = map[string]bool{
	"twos": true, // random
}

type transcript struct {
	Case   string
	Rules  []string
	Sysctl map[string]int
	Steps  []struct {
		Op    string
		S     float64
		Cmd   string
		Proto string
		Seq   [][]json.RawMessage
		N     [][]any
	}
}

// TestOracle plays the kernel's transcripts: every new connection must get the server that the kernel chose.
func TestOracle(t *testing.T) {
	for _, name := range Names() {
		if untold[name] {
			continue
		}
		file := filepath.Join("testdata", "oracle", name+".jsonl.gz")
		f, err := os.Open(file)
		if err != nil {
			t.Errorf("scheduler %s has no transcript: %v", name, err)
			continue
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 16<<20)
		cases := 0
		for lines.Scan() {
			var tr transcript
			if err := json.Unmarshal(lines.Bytes(), &tr); err != nil {
				t.Fatal(err)
			}
			cases++
			t.Run(tr.Case, func(t *testing.T) { play(t, &tr) })
		}
		if lines.Err() != nil || cases == 0 {
			t.Errorf("%s: %d cases, %v", file, cases, lines.Err())
		}
	}
}

// stage is the part of ipvsadm and the connection table that a transcript of one service needs.
type stage struct {
	pool  *Pool
	sched Scheduler
	ids   map[string]uint32 // by addr:port; a server that comes back keeps its ID
	load  map[string]*Load
	now   clock.Mono
}

// apart is the time between two connections of a transcript, about what it was.
const apart = 20 * time.Millisecond

func (s *stage) command(t *testing.T, line string) {
	w := strings.Fields(strings.TrimPrefix(line, "ipvsadm "))
	opt := func(name, otherwise string) string {
		if i := slices.Index(w, name); i >= 0 && i+1 < len(w) {
			return w[i+1]
		}
		return otherwise
	}
	number := func(name, otherwise string) int {
		n, err := strconv.Atoi(opt(name, otherwise))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	key := opt("-r", "")
	at := slices.IndexFunc(s.pool.Dests, func(d Dest) bool { return key != "" && d.ID == s.ids[key] })
	switch w[0] {
	case "-A", "-E":
		k, ok := Lookup(opt("-s", "wlc"))
		if !ok {
			t.Fatalf("%s: no such scheduler", line)
		}
		s.sched, s.pool.Cursor = k.New(flagsOf(opt("-b", ""))), new(Cursor)
	case "-a":
		if _, ok := s.ids[key]; !ok {
			s.ids[key], s.load[key] = uint32(len(s.ids)), NewLoad(1)
		}
		d := Dest{ID: s.ids[key], Weight: int32(number("-w", "1")), Upper: uint32(number("-x", "0")),
			Lower: uint32(number("-y", "0")), Load: s.load[key]}
		real := netip.MustParseAddrPort(key)
		if d.Addr, d.Port = packet.AddrFrom(real.Addr()), real.Port(); !slices.Contains(w, "-m") {
			v, _ := netip.ParseAddrPort(w[2]) // not of a firewall mark: port 0
			d.Port = v.Port()
		}
		s.pool.Dests = append([]Dest{d}, s.pool.Dests...)
	case "--set":
		return
	case "-e":
		d, old := &s.pool.Dests[at], s.pool.Dests[at]
		d.Load.Rethreshold(d.Upper, uint32(number("-x", "0")))
		d.Weight, d.Upper, d.Lower = int32(number("-w", "1")), uint32(number("-x", "0")), uint32(number("-y", "0"))
		*d = d.After(&old)
	case "-d":
		s.pool.Dests = slices.Delete(slices.Clone(s.pool.Dests), at, at+1)
	default:
		t.Fatalf("%s: not understood", line)
	}
	s.sched.Update(s.pool, true)
}

func flagsOf(names string) (f Flags) {
	for _, n := range strings.Split(names, ",") {
		f |= map[string]Flags{"flag-1": Flag1, "sh-fallback": Flag1, "mh-fallback": Flag1, "flag-2": Flag2, "sh-port": Flag2,
			"mh-port": Flag2}[n]
	}
	return f
}

func (s *stage) pick(from, to string, proto string) string {
	c, v := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	f := Flow{Tuple: packet.Tuple{Src: packet.AddrFrom(c.Addr()), Dst: packet.AddrFrom(v.Addr()), SrcPort: c.Port(),
		DstPort: v.Port()}, Now: s.now}
	s.now = s.now.Add(apart)
	i := s.sched.Pick(s.pool, &f)
	if i == None {
		return ""
	}
	d := &s.pool.Dests[i]
	if proto == "tcp" {
		d.Load.Add(0, 1, 0, 0)
	} else {
		d.Load.Add(0, 0, 1, 0)
	}
	d.Load.Bound(d.Upper)
	for key, id := range s.ids {
		if id == d.ID {
			return key
		}
	}
	return fmt.Sprint("ID ", d.ID)
}

// count sets the connections of a destination to what the transcript says.
func (d *Dest) count(active, inactive int) {
	more := active + inactive - d.Load.Active() - d.Load.Inactive()
	d.Load.Add(0, int32(active-d.Load.Active()), int32(inactive-d.Load.Inactive()), 0)
	if more > 0 {
		d.Load.Bound(d.Upper)
	} else if more < 0 {
		d.Load.Unbound(d.Upper, d.Lower)
	}
}

func play(t *testing.T, tr *transcript) {
	s := &stage{pool: &Pool{Cursor: new(Cursor)}, ids: map[string]uint32{}, load: map[string]*Load{}}
	s.pool.Expire = time.Duration(tr.Sysctl["net.ipv4.vs.lblcr_expiration"]) * time.Second
	for _, r := range tr.Rules {
		if s.pool.Family = packet.IPv4Family; strings.Contains(tr.Rules[0], " [") {
			s.pool.Family = packet.IPv6Family
		}
		s.command(t, r)
	}
	picks := 0
	for n, step := range tr.Steps {
		s.now = s.now.Add(time.Duration(step.S * float64(time.Second)))
		if step.Op == "cmd" {
			s.command(t, step.Cmd)
		}
		for k, c := range step.Seq {
			var from, to, want string
			for i, to := range []*string{&from, &to, &want} {
				if err := json.Unmarshal(c[i], to); err != nil {
					t.Fatal(err)
				}
			}
			got := s.pick(from, to, step.Proto)
			picks++
			// DR and firewall marks send to the port of the frame; the server is told by its address there.
			if got != want && (want == "" || host(got) != host(want) || strings.HasSuffix(tr.Case, "sameaddr/masq")) {
				t.Fatalf("step %d, connection %d: %q, the kernel chose %q", n, k, got, want)
			}
			if len(c) > 4 {
				var counts [][2]int
				if err := json.Unmarshal(c[4], &counts); err != nil {
					t.Fatal(err)
				}
				for i, n := range counts {
					s.pool.Dests[i].count(n[0], n[1])
				}
			}
		}
		for _, line := range step.N {
			for i := range s.pool.Dests {
				if d := &s.pool.Dests[i]; s.ids[line[0].(string)] == d.ID {
					d.count(int(line[2].(float64)), int(line[3].(float64)))
				}
			}
		}
	}
	if picks == 0 {
		t.Fatal("no connection in this transcript")
	}
}

// host is the address of a server; tunnelled frames have no port.
func host(s string) string {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().String()
	}
	return s
}
