package connsync

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dirsw/clock"
	"dirsw/conntrack"
)

// masterRig is a Master under test.
type masterRig struct {
	*Master
	n    *network
	src  *ring
	tick ticks
	logs *observer.ObservedLogs
	end  func()
}

func newMasterRig(t *testing.T, change func(*MasterOptions)) *masterRig {
	core, logs := observer.New(zap.DebugLevel)
	r := &masterRig{n: newNetwork(), src: &ring{}, tick: ticks{t: t, c: &clock.Manual{}}, logs: logs}
	r.tick.c.Advance(reopenAfter) // a clock does not begin at 0
	o := MasterOptions{Clock: r.tick.c, Log: zap.New(core), Sockets: r.n, SyncID: 7, MaxLen: 1472, Version: Version1,
		Endpoint: Endpoint{Interface: "eth1", Group: netip.MustParseAddr("224.0.0.81"), Port: DefaultPort, TTL: 1}, Sources: []Source{r.src}}
	if change != nil {
		change(&o)
	}
	r.Master = NewMaster(o)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	r.end = func() { stop(); <-done }
	t.Cleanup(r.end)
	return r
}

// got is how many records each message of a port has.
func (r *masterRig) got(t *testing.T, port uint16) (list []int) {
	t.Helper()
	r.n.set(func() {
		for _, msg := range r.n.sent[port] {
			read := Reader{SyncID: 7}
			read.Read(msg, func(*conntrack.Record) {})
			if read.Counts.Faults != [Faults]uint64{} {
				t.Errorf("a message has faults: %+v", read.Counts)
			}
			list = append(list, int(read.Counts.Records))
		}
	})
	return list
}

// sent waits until a port has sent that many messages.
func (r *masterRig) sent(port uint16, n int) {
	r.n.await(func() bool { return len(r.n.sent[port]) >= n })
}

func TestMasterSendsFullAndOldMessages(t *testing.T) {
	r := newMasterRig(t, nil)
	r.src.put(1, 100)
	r.tick.pass(pollEvery, 1)
	r.sent(DefaultPort, 2)
	if got := r.got(t, DefaultPort); len(got) != 2 || got[0] != 40 || got[1] != 40 {
		t.Errorf("at once: %v, want two full messages of 40", got)
	}
	r.tick.pass(pollEvery, int(flushAfter/pollEvery)-1)
	if got := r.got(t, DefaultPort); len(got) != 2 {
		t.Errorf("before %v: %v", flushAfter, got)
	}
	r.tick.pass(pollEvery, 1)
	r.sent(DefaultPort, 3)
	if got := r.got(t, DefaultPort); got[2] != 20 {
		t.Errorf("after %v: %v, want 20 more", flushAfter, got)
	}
	r.src.put(1, 3)
	r.end()
	if got := r.got(t, DefaultPort); len(got) != 4 || got[3] != 3 {
		t.Errorf("at its end: %v, want 3 more", got)
	}
	if s := r.Status(); s != (MasterStatus{Messages: 4, Records: 103}) {
		t.Errorf("status %+v", s)
	}
}

func TestMasterKeepsToItsPorts(t *testing.T) {
	r := newMasterRig(t, func(o *MasterOptions) { o.Ports = 4 })
	r.src.put(1, 64)
	r.end()
	total := 0
	for i := range uint16(4) {
		got := r.got(t, DefaultPort+i)
		if len(got) != 1 || got[0] != 16 {
			t.Errorf("port %d: %v, want one message of 16", DefaultPort+i, got)
		}
		total += got[0]
	}
	if total != 64 {
		t.Errorf("%d of 64 records", total)
	}
}

func TestMasterDropsWhatTheQueueHasNoRoomFor(t *testing.T) {
	r := newMasterRig(t, func(o *MasterOptions) { o.QueueMax, o.MaxLen = 2, 44 })
	block := make(chan struct{})
	r.n.set(func() { r.n.blocked = block })
	r.src.put(1, 2)
	r.tick.pass(pollEvery, 1) // the first is sent, the second fills a message
	r.n.await(func() bool { return len(r.n.opened) == 1 })
	r.src.put(3, 10)
	r.tick.pass(pollEvery, 1)
	close(block)
	r.end()
	s := r.Status()
	if s.Records+s.Dropped != 12 || s.Dropped == 0 || s.Records < 3 || s.Queued != 0 {
		t.Errorf("status %+v: want 12 records, some dropped", s)
	}
}

func TestMasterCountsWhatItCannotSay(t *testing.T) {
	r := newMasterRig(t, func(o *MasterOptions) { o.Version = Version0 })
	rec := record()
	rec.Src, rec.Dst, rec.Real = [16]byte{1}, [16]byte{1}, [16]byte{1}
	r.src.list = append(r.src.list, rec)
	r.end()
	if s := r.Status(); s != (MasterStatus{Dropped: 1, Refused: 1}) {
		t.Errorf("status %+v", s)
	}
}

// TestMasterOpensAgain has sockets fail, to open and to send, and interfaces change.
func TestMasterOpensAgain(t *testing.T) {
	r := newMasterRig(t, func(o *MasterOptions) { o.MaxLen = 44 })
	failures := uint64(0)
	// one sends a record, a second after the one before.
	one := func() {
		r.src.put(1, 1)
		r.tick.pass(pollEvery, int((flushAfter+reopenAfter)/pollEvery))
	}
	fails := func(f func()) {
		t.Helper()
		r.n.set(f)
		failures++
		one()
		for r.Status().Errors < failures { // it is counted by another goroutine
			r.tick.pass(pollEvery, 1)
		}
		r.tick.pass(pollEvery, int(reopenAfter/pollEvery))
	}
	works := func(messages int) {
		t.Helper()
		r.n.set(func() { r.n.open, r.n.send = nil, nil })
		one()
		r.sent(DefaultPort, messages)
	}
	fails(func() { r.n.open = errors.New("no such device") })
	works(1)
	fails(func() { r.n.send = errors.New("network is down") })
	works(2)
	r.n.set(func() { r.n.moved = true })
	opened := len(r.n.opened) // nothing sends now
	for n := range 4 {
		works(3 + n)
	}
	if got := len(r.n.opened) - opened; got != 1 {
		t.Errorf("a socket on an interface that has changed was opened %d times anew", got)
	}
	r.end()
	if s := r.Status(); s.Errors != 2 || s.Dropped != 2 || s.Messages != 6 {
		t.Errorf("status %+v", s)
	}
	if n := r.logs.FilterMessage("connection synchronisation cannot send").Len(); n != 2 {
		t.Errorf("told %d times that it cannot send", n)
	}
	if n := r.logs.FilterMessage("connection synchronisation sends again").Len(); n != 2 {
		t.Errorf("told %d times that it sends again", n)
	}
}

// TestMasterEnds although its socket does not.
func TestMasterEnds(t *testing.T) {
	r := newMasterRig(t, nil)
	r.n.set(func() { r.n.blocked = make(chan struct{}) })
	r.src.put(1, 1)
	ended := make(chan struct{})
	go func() { r.end(); close(ended) }()
	r.tick.c.Await(lastWords, 1)
	r.n.await(func() bool { return len(r.n.opened) == 1 })
	r.tick.c.Advance(lastWords)
	<-ended
	if s := r.Status(); s.Errors != 1 || s.Dropped != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestMasterHearsBackups(t *testing.T) {
	joined := make(chan netip.Addr, 10)
	r := newMasterRig(t, func(o *MasterOptions) { o.Joined = func(a netip.Addr) { joined <- a } })
	rec := record()
	m := NewMessage(Version1, 7, 1472)
	m.Add(&rec)
	v0 := []byte{0, 7, 0, 4}
	for _, msg := range [][]byte{hello(8), m.Bytes(), v0, append(hello(7), 0), {}} { // none of them is for this one
		r.n.inbox <- msg
	}
	r.n.inbox <- hello(7)
	if got := <-joined; got != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("joined: %v", got)
	}
	r.n.inbox <- hello(0)
	<-joined
	if len(joined) != 0 {
		t.Errorf("%d more", len(joined))
	}
	var seen Reader
	if seen.Read(hello(7), func(*conntrack.Record) { t.Error("a hello tells of something") }); seen.Counts != (Counts{Messages: 1}) {
		t.Errorf("a hello is %+v", seen.Counts)
	}
}
