package notify

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dirsw/clock"
	"dirsw/internal/testenv"
	"dirsw/mail"
	"dirsw/script"
)

// cast is a Runner whose programs end when the test says, or at once.
type cast struct {
	mu      sync.Mutex
	ran     []string // "<a> <b>", when they started
	running map[string]chan struct{}
	hold    func(c script.Command) bool // those that go on until let, or until ctx ends
	deaf    bool                        // those that are held do not end with ctx either
	most    int
}

func (r *cast) Run(ctx context.Context, c script.Command) script.Result {
	if err := ctx.Err(); err != nil {
		return script.Result{Err: err}
	}
	name := fmt.Sprintf("<%s>", strings.Join(c.Args, "> <"))
	r.mu.Lock()
	r.ran = append(r.ran, name)
	if r.hold == nil || !r.hold(c) {
		r.mu.Unlock()
		return script.Result{}
	}
	end := make(chan struct{})
	r.running[name] = end
	r.most = max(r.most, len(r.running))
	done := ctx.Done()
	if r.deaf {
		done = nil
	}
	r.mu.Unlock()
	var err error
	select {
	case <-end:
	case <-done:
		err = ctx.Err()
	}
	r.mu.Lock()
	delete(r.running, name)
	r.mu.Unlock()
	return script.Result{Err: err}
}

// let lets a program end.
func (r *cast) let(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" runs", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.running[name] != nil })
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.running[name])
	delete(r.running, name)
}

func (r *cast) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ran)
}

func (r *cast) ranAre(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprint(want, " ran"), func() bool { return len(r.list()) >= len(want) })
	time.Sleep(5 * time.Millisecond) // for those that should not run
	if got := r.list(); !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testenv.Await(t, what, ok)
}

type mailbox struct {
	mu  sync.Mutex
	got []mail.Message
}

func (m *mailbox) Send(msg mail.Message) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, msg)
	return true
}

// bench is a Notifier with everything around it.
type bench struct {
	*Notifier
	clk   *clock.Manual
	cast  *cast
	mails *mailbox
	logs  *observer.ObservedLogs
	end   func()
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	b := &bench{clk: &clock.Manual{}, cast: &cast{running: map[string]chan struct{}{}}, mails: &mailbox{}, logs: logs}
	o.Clock, o.Log, o.Runner, o.Mail = b.clk, zap.New(core), b.cast, b.mails
	b.Notifier = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.end = sync.OnceFunc(func() {
		cancel()
		for begin := time.Now(); time.Since(begin) < testenv.Patience; {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				return
			case <-time.After(5 * time.Millisecond):
				b.clk.Advance(500 * time.Millisecond)
			}
		}
		t.Error("Run did not end")
	})
	t.Cleanup(b.end)
	return b
}

func cmd(args ...string) *script.Command { return &script.Command{Args: args} }

func allScripts(v VRRP) VRRP {
	v.Master, v.Backup, v.Fault, v.Stop = cmd("notify_master"), cmd("notify_backup"), cmd("notify_fault"), cmd("notify_stop")
	v.RxLower, v.Any, v.Deleted = cmd("notify_master_rx_lower_pri"), cmd("notify"), cmd("notify_deleted")
	return v
}

// reader opens a pipe and returns what comes, line by line.
func reader(t *testing.T, path string) (next func() string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var came []byte
	return func() string { // what is written is there when the call that writes it returns
		t.Helper()
		for buf := make([]byte, 1<<16); ; {
			if line, rest, ok := bytes.Cut(came, []byte("\n")); ok {
				came = rest
				return string(line)
			}
			n := 0
			if err := raw.Read(func(fd uintptr) bool { n, _ = syscall.Read(int(fd), buf); return true }); err != nil {
				t.Fatal(err)
			}
			if n <= 0 {
				return ""
			}
			came = append(came, buf[:n]...)
		}
	}
}

// TestToldAsKeepalived plays the events of told.txt and compares with what the real one ran and wrote.
func TestToldAsKeepalived(t *testing.T) {
	data, err := os.ReadFile("testdata/keepalived/told.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := Config{All: FIFO{Path: dir + "/all"}, Instances: FIFO{Path: dir + "/vrrp"}, Servers: FIFO{Path: dir + "/lvs"}}
	for _, name := range []string{"VI_1", "VI_2", "VI_3"} {
		c.VRRP = append(c.VRRP, allScripts(VRRP{Name: name, TellDeleted: name == "VI_3", TellPriority: name == "VI_2"}))
	}
	c.VRRP = append(c.VRRP, allScripts(VRRP{Name: "G1", Group: true}))
	blocks := strings.Split(strings.TrimSpace(string(data)), "\n\n")[1:]
	for _, block := range blocks {
		what, rest, _ := strings.Cut(strings.SplitN(block, "\n", 2)[0], " ")
		switch f := strings.Split(rest, " | "); what {
		case "real":
			c.Reals = append(c.Reals, Real{Service: f[1], Name: f[0], Up: cmd("notify_up"), Down: cmd("notify_down")})
		case "quorum":
			c.Services = append(c.Services, Service{Name: f[0], Up: cmd("quorum_up"), Down: cmd("quorum_down")})
		}
	}
	b := newBench(t, Options{})
	if err := b.Set(c); err != nil {
		t.Fatal(err)
	}
	all, instances, servers := reader(t, dir+"/all"), reader(t, dir+"/vrrp"), reader(t, dir+"/lvs")
	for _, block := range blocks {
		lines := strings.Split(block, "\n")
		var piped string
		var want []string
		for _, l := range lines[1:] {
			if l[0] == '>' {
				piped = l[2:]
			} else {
				want = append(want, l[2:])
			}
		}
		b.cast.mu.Lock()
		b.cast.ran = nil
		b.cast.mu.Unlock()
		own, other := instances, servers
		what, rest, _ := strings.Cut(lines[0], " ")
		switch f := strings.Split(rest, " | "); what {
		case "real":
			own, other = servers, instances
			b.Real(f[1], f[0], f[2] == "UP", "")
		case "quorum":
			own, other = servers, instances
			b.Quorum(f[0], f[1] == "UP", false, 1, 0, 1)
		default:
			w := strings.Fields(rest)
			prio, _ := strconv.Atoi(w[2])
			b.VRRP(Event{Group: what == "group", Name: w[0], State: State(w[1]), Priority: prio})
		}
		b.cast.ranAre(t, want...)
		if a, o, n := all(), own(), other(); a != piped || o != piped || n != "" {
			t.Errorf("%s: pipes got %q, %q and %q, want %q twice", lines[0], a, o, n, piped)
		}
	}
	if len(b.mails.got) != 0 {
		t.Errorf("mails %v, nobody wants them", b.mails.got)
	}
}

func TestMails(t *testing.T) {
	b := newBench(t, Options{})
	c := Config{
		VRRP:     []VRRP{{Name: "VI_1", Mail: true}, {Name: "VI_2"}, {Name: "G1", Group: true, Mail: true}, {Name: "VI_3", Mail: true, TellDeleted: true}},
		Services: []Service{{Name: "FWM 7", Mail: true}},
		Reals:    []Real{{Service: "FWM 7", Name: "[192.0.2.11]:none:0", Mail: true}},
	}
	must := func() {
		t.Helper()
		if err := b.Set(c); err != nil {
			t.Fatal(err)
		}
	}
	must()
	for _, e := range []Event{
		{Name: "VI_1", State: Master}, {Name: "VI_1", State: MasterRxLower}, {Name: "VI_1", State: MasterPriority}, {Name: "VI_2", State: Master},
		{Name: "nobody", State: Master}, {Group: true, Name: "G1", State: Fault}, {Group: true, Name: "G1", State: Deleted},
		{Name: "VI_1", State: Deleted}, {Name: "VI_3", State: Deleted},
	} {
		b.VRRP(e)
	}
	b.Real("FWM 7", "[192.0.2.11]:none:0", false, "TCP CHECK failed on service")
	b.Real("FWM 7", "[192.0.2.12]:none:0", false, "TCP CHECK failed on service")
	b.Quorum("FWM 7", false, false, 1, 0, 0)
	c.NoFaultMail = true
	must()
	b.VRRP(Event{Name: "VI_1", State: Fault})
	b.VRRP(Event{Name: "VI_1", State: Backup})
	want := []mail.Message{
		{Subject: "VRRP Instance VI_1 - Entering MASTER state", Body: "=> VRRP Instance is now owning VRRP VIPs <="},
		{Subject: "VRRP Group G1 - Entering FAULT state", Body: "=> All VRRP group instances are now in FAULT state <="},
		{Subject: "VRRP Instance VI_1 - Entering FAULT state", Body: "=> VRRP Instance is no longer owning VRRP VIPs <="},
		{Subject: "VRRP Instance VI_3 - Deleted", Body: "=> VRRP Deleted at reload <="},
		{Subject: "Realserver [192.0.2.11]:none:0 of virtual server FWM 7 - DOWN", Body: "=> TCP CHECK failed on service <="},
		{Subject: "Virtualserver FWM 7 - DOWN", Body: "=> Lost quorum 1+0=1 <= 0 <="},
		{Subject: "VRRP Instance VI_1 - Entering BACKUP state", Body: "=> VRRP Instance is no longer owning VRRP VIPs <="},
	}
	if !slices.Equal(b.mails.got, want) {
		t.Errorf("got\n%v\nwant\n%v", b.mails.got, want)
	}
}

// TestRemoved: what is told of an object after it was removed is told as its last configuration said.
func TestRemoved(t *testing.T) {
	b := newBench(t, Options{})
	full := Config{
		VRRP:     []VRRP{{Name: "a", Deleted: cmd("deleted"), TellDeleted: true, Mail: true}},
		Services: []Service{{Name: "s", Down: cmd("quorum_down")}},
		Reals:    []Real{{Service: "s", Name: "r", Down: cmd("notify_down")}},
	}
	tell := func() {
		b.VRRP(Event{Name: "a", State: Deleted})
		b.Real("s", "r", false, "Removing")
		b.Quorum("s", false, false, 1, 0, 0)
	}
	for i, c := range []Config{full, {}, {}} {
		if err := b.Set(c); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			tell()
		}
		eventually(t, "all ran", func() bool { return len(b.cast.list()) >= min(i, 1)*3 })
	}
	time.Sleep(5 * time.Millisecond)
	got := b.cast.list()
	slices.Sort(got)
	if want := []string{"<deleted>", "<notify_down>", "<quorum_down>"}; !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q once", got, want)
	}
	if len(b.mails.got) != 1 {
		t.Errorf("mails %v", b.mails.got)
	}
}

// TestUnknownState: nobody is told of states that are none for them.
func TestUnknownState(t *testing.T) {
	path := t.TempDir() + "/f"
	b := newBench(t, Options{})
	if err := b.Set(Config{All: FIFO{Path: path}, VRRP: []VRRP{allScripts(VRRP{Name: "a", Mail: true})}}); err != nil {
		t.Fatal(err)
	}
	next := reader(t, path)
	for _, s := range []State{"", "INIT", "master"} {
		b.VRRP(Event{Name: "a", State: s})
	}
	if got := next(); got != "" || len(b.cast.list()) != 0 || len(b.mails.got) != 0 {
		t.Errorf("pipe %q, ran %q, mails %v", got, b.cast.list(), b.mails.got)
	}
}

// TestOrder: scripts of one object run one after the other, those of others do not wait for them.
func TestOrder(t *testing.T) {
	b := newBench(t, Options{})
	b.cast.hold = func(c script.Command) bool { return true }
	if err := b.Set(Config{VRRP: []VRRP{{Name: "a", Master: cmd("am"), Backup: cmd("ab"), Any: cmd("aa")}, {Name: "b", Master: cmd("bm")}}}); err != nil {
		t.Fatal(err)
	}
	b.VRRP(Event{Name: "a", State: Master, Priority: 1})
	b.cast.ranAre(t, "<am>")
	b.VRRP(Event{Name: "a", State: Backup, Priority: 2})
	b.VRRP(Event{Name: "b", State: Master})
	b.cast.ranAre(t, "<am>", "<bm>")
	b.cast.let(t, "<am>")
	b.cast.ranAre(t, "<am>", "<bm>", "<aa> <INSTANCE> <a> <MASTER> <1>")
	b.cast.let(t, "<aa> <INSTANCE> <a> <MASTER> <1>")
	b.cast.ranAre(t, "<am>", "<bm>", "<aa> <INSTANCE> <a> <MASTER> <1>", "<ab>")
	b.cast.let(t, "<ab>")
	b.cast.let(t, "<aa> <INSTANCE> <a> <BACKUP> <2>")
	b.cast.let(t, "<bm>")
}

// TestHanging: a script that hangs delays the one that is told of everything, and then what comes later, but not for
// ever.
func TestHanging(t *testing.T) {
	b := newBench(t, Options{})
	b.cast.hold = func(c script.Command) bool { return c.Args[0] == "hang" }
	if err := b.Set(Config{VRRP: []VRRP{{Name: "a", Master: cmd("hang"), Backup: cmd("ab"), Any: cmd("aa")}}}); err != nil {
		t.Fatal(err)
	}
	b.VRRP(Event{Name: "a", State: Master, Priority: 1})
	b.cast.ranAre(t, "<hang>")
	b.clk.Await(apart, 1)
	b.clk.Advance(apart - 1)
	b.cast.ranAre(t, "<hang>")
	b.clk.Advance(1)
	b.cast.ranAre(t, "<hang>", "<aa> <INSTANCE> <a> <MASTER> <1>")
	b.clk.Advance(time.Hour) // nothing newer: it may go on
	b.VRRP(Event{Name: "a", State: Backup, Priority: 1})
	b.clk.Advance(patience - 1)
	b.cast.ranAre(t, "<hang>", "<aa> <INSTANCE> <a> <MASTER> <1>")
	b.clk.Advance(1)
	b.cast.ranAre(t, "<hang>", "<aa> <INSTANCE> <a> <MASTER> <1>", "<ab>", "<aa> <INSTANCE> <a> <BACKUP> <1>")
}

// TestUnkillable: a script that the kernel cannot end is left behind.
func TestUnkillable(t *testing.T) {
	b := newBench(t, Options{})
	b.cast.hold = func(c script.Command) bool { return c.Args[0] == "hang" }
	b.cast.deaf = true
	if err := b.Set(Config{VRRP: []VRRP{{Name: "a", Master: cmd("hang"), Backup: cmd("ab")}}}); err != nil {
		t.Fatal(err)
	}
	b.VRRP(Event{Name: "a", State: Master})
	b.cast.ranAre(t, "<hang>")
	b.VRRP(Event{Name: "a", State: Backup})
	b.clk.Advance(patience)
	b.cast.ranAre(t, "<hang>")
	b.clk.Advance(hopeless)
	b.cast.ranAre(t, "<hang>", "<ab>")
	if n := b.logs.FilterMessageSnippet("cannot be ended").Len(); n != 1 {
		t.Errorf("log %v", b.logs.All())
	}
	b.cast.let(t, "<hang>")
}

// TestNeverBlocks: thousands of events of an object whose script hangs are taken at once, and the latest are told.
func TestNeverBlocks(t *testing.T) {
	b := newBench(t, Options{})
	b.cast.hold = func(c script.Command) bool { return strings.Contains(c.String(), " 0") }
	if err := b.Set(Config{VRRP: []VRRP{{Name: "a", Any: cmd("aa")}}}); err != nil {
		t.Fatal(err)
	}
	b.VRRP(Event{Name: "a", State: Master, Priority: 0})
	b.cast.ranAre(t, "<aa> <INSTANCE> <a> <MASTER> <0>")
	for i := range 5000 {
		b.VRRP(Event{Name: "a", State: Backup, Priority: i + 1})
	}
	b.cast.let(t, "<aa> <INSTANCE> <a> <MASTER> <0>")
	eventually(t, "the last one", func() bool { l := b.cast.list(); return l[len(l)-1] == "<aa> <INSTANCE> <a> <BACKUP> <5000>" })
	if n := len(b.cast.list()); n != 1+maxWaiting {
		t.Errorf("%d runs, want %d", n, 1+maxWaiting)
	}
	if n := b.logs.FilterMessageSnippet("left out").Len(); n != 1 {
		t.Errorf("said %d times that some are left out", n)
	}
}

// TestManyServers: scripts of servers wait for each other, but not for long, and those of instances not at all.
func TestManyServers(t *testing.T) {
	b := newBench(t, Options{AtOnce: 4})
	b.cast.hold = func(c script.Command) bool { return true }
	c := Config{VRRP: []VRRP{{Name: "a", Master: cmd("am")}}}
	for i := range 10 {
		c.Reals = append(c.Reals, Real{Service: "s", Name: fmt.Sprint(i), Down: cmd(fmt.Sprint("d", i))})
	}
	if err := b.Set(c); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		b.Real("s", fmt.Sprint(i), false, "")
	}
	eventually(t, "4 run", func() bool { return len(b.cast.list()) == 4 })
	time.Sleep(10 * time.Millisecond)
	b.VRRP(Event{Name: "a", State: Master})
	eventually(t, "and that of the instance", func() bool { l := b.cast.list(); return len(l) == 5 && l[4] == "<am>" })
	b.clk.Await(slotWait, 10)
	b.clk.Advance(slotWait)
	eventually(t, "all", func() bool { return len(b.cast.list()) == 11 })
	if b.cast.most != 11 {
		t.Errorf("%d at once, want 11 after all waited in vain", b.cast.most)
	}
}

// TestFarewell: at the end scripts that run or wait are finished if they take no longer than Farewell; then they are
// ended.
func TestFarewell(t *testing.T) {
	b := newBench(t, Options{})
	b.cast.hold = func(c script.Command) bool { return c.Args[0] != "notify_backup" }
	if err := b.Set(Config{VRRP: []VRRP{allScripts(VRRP{Name: "a"}), allScripts(VRRP{Name: "b"})}}); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	b.VRRP(Event{Name: "a", State: Stop})
	b.VRRP(Event{Name: "b", State: Backup})
	b.VRRP(Event{Name: "b", State: Stop})
	eventually(t, "both", func() bool { return len(b.cast.list()) == 3 })
	go b.cast.let(t, "<notify_stop>")
	b.end()
	want := "<notify_stop>"
	if !slices.Contains(b.cast.list(), want) {
		t.Errorf("%q did not run: %q", want, b.cast.list())
	}
	b.VRRP(Event{Name: "a", State: Master})
	time.Sleep(10 * time.Millisecond)
	if slices.Contains(b.cast.list(), "<notify_master>") {
		t.Error("a script was run after the end")
	}
	eventually(t, "nobody is left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestOnce(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	n := New(Options{Clock: clock.NewSystem(), Log: zap.New(core)})
	for _, tc := range []struct {
		line, log string
		ok        bool
	}{
		{"true", "startup script script succeeded", true},
		{"echo broken >&2; exit 3", "startup script script failed, status 3: broken", false},
		{"kill -9 $$", "startup script script failed, signal 9", false},
		{"sleep 100", "startup script script failed, timed out", false},
	} {
		c := script.Command{Args: []string{"/bin/sh", "-c", tc.line}, Timeout: time.Minute}
		if strings.HasPrefix(tc.line, "sleep") {
			c.Timeout = 10 * time.Millisecond
		}
		err := n.Once(context.Background(), "startup", c)
		got := logs.TakeAll()
		if (err == nil) != tc.ok || len(got) != 2 || got[0].Message != "Running startup script /bin/sh" || got[1].Message != tc.log {
			t.Errorf("%s: %v, log %v", tc.line, err, got)
		}
	}
	err := n.Once(context.Background(), "shutdown", script.Command{Args: []string{"/nonexistent/x"}})
	if got := logs.TakeAll(); err == nil || got[1].Message != "Call of shutdown script /nonexistent/x failed" {
		t.Errorf("%v, log %v", err, got)
	}
}
