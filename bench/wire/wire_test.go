package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"dirsw/clock"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// TestMain makes this program the processes of the generator and of the probe too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-generate" {
		var g Generator
		err := json.Unmarshal([]byte(os.Args[2]), &g)
		if err == nil {
			err = g.Run()
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if len(os.Args) == 3 && os.Args[1] == "-probe" {
		var p Probe
		err := json.Unmarshal([]byte(os.Args[2]), &p)
		var l *Latency
		if err == nil {
			l, err = p.Run(clock.NewSystem())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		json.NewEncoder(os.Stdout).Encode(l)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newBench(t *testing.T) *Bench {
	t.Helper()
	testenv.NeedNetAdmin(t)
	b, err := New(context.Background(), Options{Self: os.Args[0], Dir: t.TempDir(), Clock: clock.NewSystem(),
		Settle: 50 * time.Millisecond, Window: 300 * time.Millisecond})
	if err != nil && testenv.Privileged() {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return b
}

func TestTemplateParses(t *testing.T) {
	f := template(mac(inMAC), virtual)
	var m packet.Meta
	if r := packet.Parse(f[:frameLen], &m); r != packet.NoDrop || m.End != frameLen || m.Proto != packet.ProtoUDP ||
		m.Dst.String() != virtual || m.DstPort != servicePort {
		t.Errorf("%v, %+v", r, m)
	}
}

func TestGeneratorMakesEveryFlowOnce(t *testing.T) {
	testenv.NeedNetAdmin(t)
	const flows = 1 << 12
	g := Generator{DstMAC: mac(inMAC).String(), Dst: virtual, Flows: flows}
	p, err := g.load(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const redirect = 4 // XDP_REDIRECT
	seen := map[packet.Tuple]bool{}
	for i := range flows + 100 {
		out := make([]byte, 256)
		o := ebpf.RunOptions{Data: make([]byte, frameLen), DataOut: out}
		code, err := p.Run(&o)
		if err != nil || code != redirect || len(o.DataOut) != frameLen {
			t.Fatalf("frame %d: code %d, %d bytes, %v", i, code, len(o.DataOut), err)
		}
		var m packet.Meta
		if r := packet.Parse(o.DataOut, &m); r != packet.NoDrop {
			t.Fatalf("frame %d: %v: % x", i, r, o.DataOut)
		}
		if packet.UDP(o.DataOut[packet.EthernetLen+packet.IPv4MinLen:]).Checksum() == 0 || !packet.ChecksumOK(o.DataOut, &m) {
			t.Fatalf("frame %d has no good checksum of UDP: % x", i, o.DataOut)
		}
		if net.HardwareAddr(o.DataOut[:6]).String() != g.DstMAC {
			t.Fatalf("frame %d is to % x", i, o.DataOut[:6])
		}
		if seen[m.Tuple] != (i >= flows) {
			t.Fatalf("frame %d: %v seen before: %v", i, m.Tuple, seen[m.Tuple])
		}
		seen[m.Tuple] = true
	}
}

// tries is how often a contender may be measured until there is a rate. Overloaded on purpose on a machine that others use too,
// one now and then gets no processor for as long as the window: it is tried again, as go run ./bench does.
const tries = 5

// measure expects a rate and a cost of a contender.
func measure(t *testing.T, b *Bench, c *Contender) {
	t.Helper()
	for try := 1; ; try++ {
		r, err := b.Measure(context.Background(), c)
		if err == nil && r.Mpps > 0 && r.CPU > 0 {
			return
		}
		if try == tries {
			t.Fatalf("%+v, %v; want a rate and a cost", r, err)
		}
		t.Logf("try %d: %+v, %v", try, r, err)
	}
}

func TestPeersForward(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name  string
		make  func(Setup) (*Contender, error)
		setup Setup
	}{
		{"C one-armed", b.Forwarder, Setup{Arms: 1, Flows: 64}},
		{"C two-armed", b.Forwarder, Setup{Arms: 2, Flows: 64}},
		{"C on one core", b.Forwarder, Setup{Arms: 2, OneCore: true, Flows: 64}},
		{"ip_forward", b.Forwarding, Setup{Arms: 2, OneCore: true, Flows: 64}},
		{"nftables", b.Nftables, Setup{Arms: 2, OneCore: true, Flows: 1024}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := c.make(c.setup)
			if err != nil {
				t.Skip(err)
			}
			measure(t, b, k)
		})
	}
}

// buildDirsw builds the program itself.
func buildDirsw(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dirsw")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "dirsw/cmd/dirsw").CombinedOutput(); err != nil {
		t.Fatalf("build dirsw: %v: %s", err, out)
	}
	return path
}

func TestDirswForwards(t *testing.T) {
	b := newBench(t)
	b.o.Dirsw = buildDirsw(t)
	for _, k := range []struct {
		method string
		Setup
	}{{DR, Setup{Arms: 1, Flows: 1024}}, {DR, Setup{Arms: 2, Flows: 1024}}, {DR, Setup{Arms: 2, OneCore: true, Flows: 1024}},
		{NAT, Setup{Arms: 2, Flows: 1024}}, {TUN, Setup{Arms: 2, Flows: 1024}}} {
		t.Run(fmt.Sprintf("%+v", k), func(t *testing.T) {
			c, err := b.Dirsw(k.method)(k.Setup)
			if err != nil {
				t.Fatal(err)
			}
			measure(t, b, c)
		})
	}
}

func TestAnotherBuildIsAPeer(t *testing.T) {
	b := newBench(t)
	b.o.Dirsw = buildDirsw(t)
	if all, _ := b.WebContenders(); slices.ContainsFunc(all, func(c *WebContender) bool { return strings.HasPrefix(c.Name, "other") }) {
		t.Error("there is one that nobody named")
	}
	b.o.Other = b.o.Dirsw
	c, err := b.Other(DR)(Setup{Arms: 1, Flows: 1024})
	if err != nil || c.Ours {
		t.Fatalf("%+v, %v, want a peer", c, err)
	}
	measure(t, b, c)
	all, _ := b.WebContenders()
	for _, c := range all {
		if ours := strings.HasPrefix(c.Name, "dirsw "); c.Ours != ours {
			t.Errorf("%s: ours %v, want %v", c.Name, c.Ours, ours)
		}
	}
}

func TestLatency(t *testing.T) {
	b := newBench(t)
	c, err := b.Forwarder(Setup{Arms: 1, Flows: 1})
	if err != nil {
		t.Skip(err)
	}
	l, err := b.Latency(context.Background(), c, 200, 50*time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	if l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.P999 {
		t.Errorf("%+v: want growing times", l)
	}
	c.Arms = 2
	if _, err := b.Latency(context.Background(), c, 200, 50*time.Microsecond); err == nil {
		t.Error("two-armed: no error")
	}
	nobody := Contender{Setup: Setup{Arms: 1}, dst: toService,
		start: func(context.Context, *rig, *Setup) (*process, error) { return nil, nil }}
	if _, err := b.Latency(context.Background(), &nobody, 5, time.Millisecond); err == nil || !strings.Contains(err.Error(), "no probe has come back") {
		t.Errorf("without a director: %v", err)
	}
}

func TestFailuresAreTold(t *testing.T) {
	b := newBench(t)
	ends := func(_ context.Context, r *rig, _ *Setup) (*process, error) {
		return startProcess(r.director, "the director", exec.Command("sh", "-c", "echo no such interface >&2; exit 3"))
	}
	idle := func(context.Context, *rig, *Setup) (*process, error) { return nil, nil }
	for _, c := range []struct {
		name string
		c    Contender
		want []string
	}{
		{"the director ends", Contender{start: ends, dst: toService, Setup: Setup{Arms: 1, Flows: 64}},
			[]string{"the director has ended (exit status 3): no such interface"}},
		{"the generator ends", Contender{start: idle, dst: toService, Setup: Setup{Arms: 1, Flows: 63}},
			[]string{"the generator has ended", "63 flows: not a power of two"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.Measure(context.Background(), &c.c)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Measure(ctx, &Contender{start: idle, dst: toService, Setup: Setup{Arms: 1, Flows: 64}}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestRigIsOutOfSight(t *testing.T) {
	testenv.NeedNetAdmin(t)
	before, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRig(2, 99999, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{r.cl, r.in, r.out, r.sv} {
		if thread := "napi/" + name + "-"; len(thread) > 15 {
			t.Errorf("%s: longer than the name of a thread", thread)
		}
		if _, err := net.InterfaceByName(name); err == nil {
			t.Errorf("%s can be seen in our own namespace", name)
		}
		if err := r.director.run("test", "-d", "/sys/class/net/"+name); (err == nil) != (name == r.in || name == r.out) {
			t.Errorf("/sys of the director and %s: %v", name, err)
		}
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	after, err := net.Interfaces()
	if err != nil || len(after) != len(before) {
		t.Errorf("%d interfaces before, %d after, %v", len(before), len(after), err)
	}
}

func TestParseWrk(t *testing.T) {
	got, err := parseWrk(`Running 3s test @ http://192.0.2.80:80/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.04ms   12.38ms 207.36ms   93.49%
    Req/Sec     7.05k     1.01k    8.62k    73.33%
  Latency Distribution
     50%    3.47ms
     75%    5.83ms
     90%   11.21ms
     99%    1.07s 
  21043 requests in 3.00s, 5.02MB read
  Socket errors: connect 0, read 1, write 2, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:   7012.11
Transfer/sec:      1.67MB
`)
	if want := (said{requests: 21043, perSecond: 7012.11, p99: 1070, errors: 10}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := parseWrk("unable to connect\n"); err == nil {
		t.Error("no report: no error")
	}
}

func TestRoomIsMadeAndPutBack(t *testing.T) {
	testenv.NeedNetAdmin(t)
	setting := func(path string) int {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Skip(err) // no connection tracking in this kernel
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	room, buckets := setting(trackMax), setting(trackBuckets)
	if f, err := os.OpenFile(trackMax, os.O_WRONLY, 0); err != nil {
		t.Skip(err) // not the machine's own namespace
	} else {
		f.Close()
	}
	if RaisedFor(room) || !RaisedFor(room+1) {
		t.Errorf("room for %d: for that many %v, for one more %v", room, RaisedFor(room), RaisedFor(room+1))
	}
	undo, err := makeRoom(max(room, buckets) + 1024)
	if err != nil {
		t.Fatal(err)
	}
	if n := setting(trackMax); n != max(room, buckets)+1024 {
		t.Errorf("room for %d, want %d", n, max(room, buckets)+1024)
	}
	if n := setting(trackBuckets); n <= buckets {
		t.Errorf("%d buckets, want more than %d", n, buckets)
	}
	if err := undo(); err != nil || setting(trackMax) != room || setting(trackBuckets) != buckets {
		t.Errorf("put back: room for %d in %d buckets, %v; want %d in %d", setting(trackMax), setting(trackBuckets), err, room, buckets)
	}
	undo, err = makeRoom(1)
	if err != nil || undo() != nil || setting(trackMax) != room || setting(trackBuckets) != buckets {
		t.Errorf("for one connection: room for %d in %d buckets, %v", setting(trackMax), setting(trackBuckets), err)
	}
}

func TestBooks(t *testing.T) {
	testenv.NeedNetAdmin(t)
	here := os.Getpid()
	idle := exec.Command("sleep", "60")
	if err := idle.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { idle.Process.Kill(); idle.Wait() }()
	b, err := openBooks(here, idle.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	const spin = 200 * time.Millisecond
	before, from := cpuTime(here), time.Now()
	for time.Since(from) < spin {
	}
	time.Sleep(time.Millisecond) // what has been used is written at a switch
	mine, err := b.used(here)
	if kernel := cpuTime(here) - before; err != nil || mine < kernel/2 || mine > 2*kernel+int64(spin) {
		t.Errorf("%d ns of this process, %v; the kernel says %d", mine, err, kernel)
	}
	if its, err := b.used(idle.Process.Pid); err != nil || its > mine/4 {
		t.Errorf("%d ns of one that sleeps, %v", its, err)
	}
	if n, err := b.used(1 << 22); err == nil {
		t.Errorf("%d ns of a process that is not written down", n)
	}
	if sleeps(idle.Process.Pid) == 0 || sleeps(1<<22) != 0 {
		t.Errorf("%d sleeps of one that sleeps, %d of nobody", sleeps(idle.Process.Pid), sleeps(1<<22))
	}
}

func TestWhatARequestTakes(t *testing.T) {
	run := said{requests: 1000, perSecond: 500, p99: 2, errors: 10}
	before := effort{cpu: 5_000_000, process: 1, receive: 2, sleeps: 10, polls: 20, frames: 7}
	after := effort{cpu: 25_000_000, process: 12_000_001, receive: 4_000_002, sleeps: 510, polls: 1020, frames: 5007}
	got, err := run.by(before, after)
	want := Web{PerSecond: 500, PerCPUSecond: 50_000, Process: 15, Receive: 5, Frames: 5, Sleeps: 0.5, Polls: 1, P99: 2}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	run.errors = 11
	if _, err := run.by(before, after); err == nil {
		t.Error("eleven of a thousand failed: no error")
	}
	run.errors = 0
	if _, err := run.by(before, before); err == nil {
		t.Error("no processor time: no error")
	}
}

func TestWeb(t *testing.T) {
	b := newBench(t)
	b.o.Dirsw = buildDirsw(t)
	all, missing := b.WebContenders()
	for _, m := range missing {
		t.Log(m)
	}
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			for try := 1; ; try++ {
				w, err := b.MeasureWeb(context.Background(), c)
				if err == nil && w.PerSecond > 0 && w.PerCPUSecond > 0 && w.P99 > 0 {
					return
				}
				if try == tries {
					t.Fatalf("%+v, %v", w, err)
				}
				t.Logf("try %d: %+v, %v", try, w, err)
			}
		})
	}
}

func TestWake(t *testing.T) {
	testenv.NeedProgram(t, "cc")
	b := newBench(t)
	if us, err := b.Wake(context.Background(), 5, time.Millisecond); err != nil || us <= 0 {
		t.Errorf("%v us, %v", us, err)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		said string
		want float64
	}{{"3.5\n", 3.5}, {"9.0\n1.5\n4.0\n", 4}, {"", 0}, {"1\nabout two\n", 0}} {
		if got, err := median([]byte(tt.said)); got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%q: %v, %v, want %v", tt.said, got, err, tt.want)
		}
	}
}
