package director

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dirsw/config"
	"dirsw/connsync"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/internal/testenv"
	"dirsw/packet"
	"dirsw/sched"
	"dirsw/stats"
)

// wire are sockets of connection synchronisation in memory.
type wire struct {
	mu    sync.Mutex
	open  []string // what is open now: "master 8848"
	heard []conntrack.Record
	in    chan []byte // to receivers
}

type wireEnd struct {
	w    *wire
	name string
	once sync.Once
	end  chan struct{}
}

func (w *wire) end(name string, e connsync.Endpoint) (connsync.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name += " " + netip.AddrPortFrom(e.Group, e.Port).String()
	w.open = append(w.open, name)
	return &wireEnd{w: w, name: name, end: make(chan struct{})}, nil
}

func (w *wire) OpenSender(e connsync.Endpoint) (connsync.Conn, error)   { return w.end("master", e) }
func (w *wire) OpenReceiver(e connsync.Endpoint) (connsync.Conn, error) { return w.end("backup", e) }

// state is what is open, in order.
func (w *wire) state() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.open)
	return strings.Join(w.open, ", ")
}

func (c *wireEnd) Send(msg []byte) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	new(connsync.Reader).Read(msg, func(r *conntrack.Record) { c.w.heard = append(c.w.heard, *r) })
	return nil
}

func (c *wireEnd) Receive(buf []byte) (int, netip.Addr, error) {
	select {
	case msg := <-c.w.in:
		return copy(buf, msg), netip.MustParseAddr("192.0.2.253"), nil
	case <-c.end:
		return 0, netip.Addr{}, errors.New("closed")
	}
}

func (c *wireEnd) Check() error { return nil }

func (c *wireEnd) Close() error {
	c.once.Do(func() {
		close(c.end)
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		i := slices.Index(c.w.open, c.name)
		c.w.open = slices.Delete(c.w.open, i, i+1)
	})
	return nil
}

// roles are the daemons that run, as they are listed.
func roles(d *Director) (list []string) {
	var s stats.Stats
	d.ReadStats(&s)
	for i := range s.Daemons {
		name := "backup "
		if s.Daemons[i].Master {
			name = "master "
		}
		list = append(list, name+s.Daemons[i].Interface)
	}
	return list
}

// told is a record of a connection of the service in directorConf.
func told(port uint16) conntrack.Record {
	at := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	return conntrack.Record{Tuple: packet.Tuple{Src: at("203.0.113.1"), Dst: at("192.0.2.100"), SrcPort: port, DstPort: 80,
		Proto: packet.ProtoTCP, Family: packet.IPv4Family}, Real: at("192.0.2.1"), RealPort: 80, State: conntrack.TCPEstablished,
		Flags: conntrack.RecordRoute | conntrack.RecordNoOutput, Timeout: 15 * time.Minute}
}

func message(t *testing.T, list ...conntrack.Record) []byte {
	t.Helper()
	m := connsync.NewMessage(connsync.Version1, 7, 1472)
	for i := range list {
		if m.Add(&list[i]) != connsync.Added {
			t.Fatal("a record does not fit")
		}
	}
	return m.Bytes()
}

// daemon is one that a command starts.
func daemon(master bool) config.SyncDaemon {
	return config.SyncDaemon{Master: master, Interface: "eth0", SyncID: 7, MaxLen: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848}
}

// startSynced is start with sockets for synchronisation.
func startSynced(t *testing.T) (*Director, *wire, *string) {
	w := &wire{in: make(chan []byte)}
	d, _, text := startWith(t, func(o *Options) { o.Sync = w })
	return d, w, text
}

func edit1(t *testing.T, d *Director, change func(*config.Model)) {
	t.Helper()
	if _, err := d.Edit(func(m *config.Model) error { change(m); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestSyncByCommands starts daemons, learns of a connection, tells of it, and stops them.
func TestSyncByCommands(t *testing.T) {
	d, w, _ := startSynced(t)
	if _, err := d.TellAll(); !errors.Is(err, ErrNoSyncMaster) {
		t.Errorf("TellAll without a master: %v", err)
	}
	edit1(t, d, func(m *config.Model) { m.Daemons = []config.SyncDaemon{daemon(false)} })
	if got := roles(d); !slices.Equal(got, []string{"backup eth0"}) {
		t.Errorf("daemons %v", got)
	}
	foreign := slices.Clone(message(t, told(1)))
	foreign[1] = 8
	w.in <- foreign
	w.in <- message(t, told(4000), told(4001))
	var conns []stats.Conn
	testenv.AwaitOr(t, func() bool {
		conns = nil
		return d.Conns(func(c stats.Conn) bool { conns = append(conns, c); return true }) == nil && len(conns) == 2
	}, func() { t.Fatalf("connections %v", conns) })
	for _, c := range conns {
		if !slices.Equal(c.Flags, []string{stats.Synced}) || c.Dest.String() != "192.0.2.1:80" || c.State != "ESTABLISHED" {
			t.Errorf("listed: %+v", c)
		}
	}
	var s stats.Stats
	testenv.AwaitOr(t, func() bool {
		s = stats.Stats{}
		d.ReadStats(&s)
		return s.SyncRecords.Learned == 2
	}, func() { t.Fatalf("records %+v", s.SyncRecords) })
	if b := s.Sync[0]; b.Messages != 2 || b.Records != 2 || len(b.Faults) != 1 || b.Faults[0] != (stats.Drop{Reason: "foreign-syncid", Frames: 1}) ||
		b.From != netip.MustParseAddr("192.0.2.253") {
		t.Errorf("backup %+v", b)
	}

	edit1(t, d, func(m *config.Model) { m.Daemons = []config.SyncDaemon{daemon(true)} })
	w.in <- connsync.NewMessage(connsync.Version1, 7, 8).Bytes() // the greeting of a backup that has begun
	testenv.AwaitOr(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.heard) == 2
	}, func() { t.Fatal("a backup that has begun is not told of everything") })
	edit1(t, d, func(m *config.Model) { m.Daemons = []config.SyncDaemon{daemon(true), daemon(false)} })
	if got := roles(d); !slices.Equal(got, []string{"master eth0", "backup eth0"}) {
		t.Errorf("daemons %v", got)
	}
	if n, err := d.TellAll(); n != 2 || err != nil {
		t.Errorf("TellAll: %d, %v", n, err)
	}
	edit1(t, d, func(m *config.Model) { m.Daemons = nil })
	if got := roles(d); len(got) != 0 || w.state() != "" {
		t.Errorf("daemons %v, open %s", got, w.state())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.heard) != 4 { // each twice
		t.Fatalf("told of %d connections", len(w.heard))
	}
	for _, r := range w.heard {
		want := told(r.SrcPort)
		if r.Flags &^= conntrack.RecordSync; r != want || r.SrcPort/2 != 2000 {
			t.Errorf("told\n%+v, want\n%+v", r, want)
		}
	}
}

// TestSyncFollowsTheInstance: the daemon of lvs_sync_daemon is that of the instance's role, and one that a setting is about
// starts anew.
func TestSyncFollowsTheInstance(t *testing.T) {
	d, w, text := startSynced(t)
	const owner = directorConf // VI_1 is master
	await := func(want string) {
		t.Helper()
		testenv.AwaitOr(t, func() bool { return strings.Join(roles(d), ", ") == want },
			func() { t.Fatalf("daemons %v, want %s", roles(d), want) })
	}
	reload := func(conf string) {
		t.Helper()
		*text = conf
		if _, _, err := d.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	reload("global_defs {\n lvs_sync_daemon eth0 VI_1\n}\n" + owner)
	await("master eth0")
	if s := d.now.Load().snap.Sync; !s.Master || s.Backup || s.Threshold != 3 || s.Period != 50 {
		t.Errorf("the workers follow %+v", s)
	}
	reload("global_defs {\n lvs_sync_daemon eth0\n}\ndataplane {\n sysctl sync_ports 2\n sysctl sync_threshold 5 70\n sysctl backup_only 1\n}\n" + owner)
	await("master eth0, backup eth0")
	// The two of the backup, and the ear of the master for backups that begin.
	testenv.AwaitOr(t, func() bool {
		return w.state() == "backup 224.0.0.81:8848, backup 224.0.0.81:8848, backup 224.0.0.81:8849"
	},
		func() { t.Fatalf("open: %s", w.state()) })
	if s := d.now.Load().snap.Sync; !s.Master || !s.Backup || !s.BackupOnly || s.Threshold != 5 || s.Period != 70 {
		t.Errorf("the workers follow %+v", s)
	}
	reload(owner)
	await("")
	if s := d.now.Load().snap.Sync; s.Master || s.Backup || w.state() != "" {
		t.Errorf("the workers follow %+v, open %s", s, w.state())
	}
}

// TestServersAreAwaited: a server that does not answer now keeps a slot for the connections that another director tells of.
func TestServersAreAwaited(t *testing.T) {
	whole := parse(t, directorConf)
	without := whole.Clone()
	without.Services[0].Reals = without.Services[0].Reals[1:] // 192.0.2.1 does not answer
	rec := told(1)
	var prev *forward.Snapshot
	slot := -1
	for i, step := range []struct {
		model, wanted         *config.Model
		known, there, awaited bool
	}{
		{without, nil, false, false, false},
		{without, whole, true, true, true},
		{whole, whole, true, true, false},
		{without, whole, true, true, true},
		{without, without, false, true, false},
	} {
		s, err := Compile(&Inputs{Model: step.model, Wanted: step.wanted, Workers: 1}, prev)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(s.Dests, func(d forward.Dest) bool { return d.Addr == rec.Real })
		if (at >= 0) != step.there || s.Servers().Knows(&rec) != step.known {
			t.Fatalf("step %d: slot %d, known %v", i, at, s.Servers().Knows(&rec))
		}
		if at >= 0 {
			d := &s.Dests[at]
			if slot >= 0 && at != slot {
				t.Errorf("step %d: slot %d, it was %d", i, at, slot)
			}
			in := slices.ContainsFunc(s.Services[0].Pool.Dests, func(p sched.Dest) bool { return p.ID == uint32(at) })
			if d.Awaited != step.awaited || d.Gone == in || in != (step.model == whole) {
				t.Errorf("step %d: awaited %v, gone %v, in the pool %v", i, d.Awaited, d.Gone, in)
			}
			slot = at
		}
		prev = s
	}
}
