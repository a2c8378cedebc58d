package connsync

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dirsw/clock"
	"dirsw/conntrack"
)

type backupRig struct {
	*Backup
	n    *network
	tick ticks
	logs *observer.ObservedLogs
	took chan conntrack.Record
	full atomic.Int64 // how often there is no room
	end  func()
}

func newBackupRig(t *testing.T, change func(*BackupOptions)) *backupRig {
	core, logs := observer.New(zap.DebugLevel)
	r := &backupRig{n: newNetwork(), tick: ticks{t: t, c: &clock.Manual{}}, logs: logs, took: make(chan conntrack.Record, 100)}
	r.tick.c.Advance(reopenAfter)
	o := BackupOptions{Clock: r.tick.c, Log: zap.New(core), Sockets: r.n, SyncID: 7, MaxLen: 1472,
		Endpoint: Endpoint{Interface: "eth1", Group: netip.MustParseAddr("224.0.0.81"), Port: DefaultPort},
		Deliver: func(rec *conntrack.Record) bool {
			if r.full.Load() > 0 {
				r.full.Add(-1)
				return false
			}
			r.took <- *rec
			return true
		}}
	if change != nil {
		change(&o)
	}
	r.Backup = NewBackup(o)
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

func TestBackupPassesOn(t *testing.T) {
	r := newBackupRig(t, nil)
	rec := record()
	m := NewMessage(Version1, 7, 1472)
	m.Add(&rec)
	r.n.inbox <- m.Bytes()
	if got := <-r.took; got != rec {
		t.Errorf("got %+v, want %+v", got, rec)
	}
	other := bytes.Clone(m.Bytes())
	other[1] = 8
	r.n.inbox <- other
	r.n.inbox <- make([]byte, 1473) // which would be longer, and was cut
	r.n.inbox <- []byte{1, 7}
	r.end()
	want := BackupStatus{Counts: Counts{Messages: 4, Records: 1}, From: netip.MustParseAddr("192.0.2.1"), Last: clock.Mono(reopenAfter)}
	want.Faults[Foreign], want.Faults[Length], want.Faults[Short] = 1, 1, 1
	if s := r.Status(); s != want {
		t.Errorf("status %+v, want %+v", s, want)
	}
}

func TestBackupHearsOthersOnly(t *testing.T) {
	r := newBackupRig(t, nil)
	rec := record()
	m := NewMessage(Version1, 8, 1472)
	m.Add(&rec)
	r.n.inbox <- m.Bytes()
	r.end()
	if s := r.Status(); s.From.IsValid() || s.Messages != 1 || s.Faults[Foreign] != 1 {
		t.Errorf("status %+v", s)
	}
}

// TestBackupWaits for room, and gives up after a while.
func TestBackupWaits(t *testing.T) {
	r := newBackupRig(t, nil)
	rec := record()
	m := NewMessage(Version1, 7, 1472)
	m.Add(&rec)
	r.full.Store(3)
	r.n.inbox <- m.Bytes()
	r.tick.pass(deliverAgain, 3)
	<-r.took
	r.full.Store(deliverTries)
	r.n.inbox <- m.Bytes()
	r.tick.pass(deliverAgain, deliverTries)
	r.n.inbox <- m.Bytes()
	<-r.took
	r.end()
	if s := r.Status(); s.Dropped != 1 || s.Records != 3 {
		t.Errorf("status %+v", s)
	}
}

// TestBackupEndsWithoutRoom: a worker that takes nothing does not keep it.
func TestBackupEndsWithoutRoom(t *testing.T) {
	r := newBackupRig(t, nil)
	rec := record()
	m := NewMessage(Version1, 7, 1472)
	m.Add(&rec)
	r.full.Store(1 << 40)
	r.n.inbox <- m.Bytes()
	r.tick.c.Await(deliverAgain, 1)
	r.end()
	if s := r.Status(); s.Dropped != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestBackupOpensAgain(t *testing.T) {
	r := newBackupRig(t, func(o *BackupOptions) { o.Ports = 2 })
	opened := func(n int) { r.n.await(func() bool { return len(r.n.heard) >= n }) }
	opened(2)
	if a, b := r.n.heard[0].Port, r.n.heard[1].Port; min(a, b) != DefaultPort || max(a, b) != DefaultPort+1 {
		t.Errorf("ports %d and %d", a, b)
	}
	r.n.set(func() { r.n.moved, r.n.open = true, errors.New("no such device") })
	r.tick.pass(checkEvery, 1)
	r.tick.c.Await(reopenAfter, 2)
	r.tick.c.Advance(reopenAfter)
	opened(4)
	r.tick.c.Await(reopenAfter, 4)
	r.n.set(func() { r.n.open = nil })
	r.tick.c.Advance(reopenAfter)
	opened(6)
	rec := record()
	m := NewMessage(Version1, 7, 1472)
	m.Add(&rec)
	r.n.inbox <- m.Bytes()
	<-r.took
	if n := r.logs.FilterMessage("connection synchronisation cannot receive").Len(); n != 2 {
		t.Errorf("told %d times that it cannot receive, want one for each port", n)
	}
	r.end()
	if n := r.logs.FilterMessage("connection synchronisation receives again").Len(); n != 1 {
		t.Errorf("told %d times that it receives again, want once", n)
	}
	if time.Duration(r.tick.c.Now()) > time.Minute {
		t.Error("the clock ran away")
	}
}

// TestBackupSaysHello until it hears a master, but not for ever; a Master that hears it says so, others do not.
func TestBackupSaysHello(t *testing.T) {
	r := newBackupRig(t, nil)
	sent := func(n int) [][]byte {
		r.n.await(func() bool { return len(r.n.sent[DefaultPort]) >= n })
		r.n.mu.Lock()
		defer r.n.mu.Unlock()
		return r.n.sent[DefaultPort]
	}
	if got := sent(1); !bytes.Equal(got[0], []byte{0, 7, 0, 8, 0, 1, 0, 0}) {
		t.Errorf("said % x", got[0])
	}
	r.n.inbox <- hello(7) // of another backup: that is no master
	r.tick.pass(checkEvery, 1)
	sent(2)
	rec := record()
	m := NewMessage(Version1, 7, 1472)
	m.Add(&rec)
	r.n.inbox <- m.Bytes()
	<-r.took
	for !r.Status().From.IsValid() { // which is noted after that
		time.Sleep(time.Millisecond)
	}
	r.tick.pass(checkEvery, 3)
	if got := sent(2); len(got) != 2 {
		t.Errorf("%d times although there is a master", len(got))
	}
	alone := newBackupRig(t, nil)
	alone.tick.pass(checkEvery, 2*helloTries)
	alone.end()
	if got := len(alone.n.sent[DefaultPort]); got != helloTries {
		t.Errorf("%d times without a master, want %d", got, helloTries)
	}
}
