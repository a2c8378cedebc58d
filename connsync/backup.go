package connsync

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/conntrack"
)

// BackupOptions are what a Backup is made of. Clock, Log, Sockets, Endpoint and Deliver are required.
type BackupOptions struct {
	Clock    clock.Clock
	Log      *zap.Logger
	Sockets  Sockets
	Endpoint Endpoint // of the first port
	SyncID   uint8    // 0: those of every master
	MaxLen   int      // of a message, bytes; one that is longer is cut, and so a fault
	Ports    int      // as in MasterOptions
	// Deliver takes a record, which is valid until it returns. It returns false if there is no room for it just now. It is not
	// called by two goroutines at a time.
	Deliver func(*conntrack.Record) bool
}

const (
	checkEvery   = 2 * time.Second  // that the interface is the one the socket was opened on
	deliverAgain = time.Millisecond // when there was no room
	deliverTries = 100              // after which a record is dropped
)

// BackupStatus is what a Backup has done.
type BackupStatus struct {
	Counts
	Dropped uint64     // records that nobody had room for
	From    netip.Addr // the sender of the last message that a record was taken from, invalid before there was one
	Last    clock.Mono // when that came
}

// Backup passes on what masters tell. Run is called once; Status may be called by any goroutine.
type Backup struct {
	o     BackupOptions
	lines []*line

	mu     sync.Mutex // guards status, and orders calls of Deliver
	status BackupStatus
}

// NewBackup prepares a Backup. Nothing is opened before Run.
func NewBackup(o BackupOptions) *Backup {
	b := &Backup{o: o}
	for i := range max(o.Ports, 1) {
		l := &line{at: o.Endpoint}
		l.at.Port += uint16(i)
		b.lines = append(b.lines, l)
	}
	return b
}

// Status returns the counts. Any goroutine.
func (b *Backup) Status() BackupStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// Run receives until ctx ends.
func (b *Backup) Run(ctx context.Context) {
	var receivers sync.WaitGroup
	for _, l := range b.lines {
		receivers.Add(1)
		go func() {
			defer receivers.Done()
			b.receive(ctx, l)
		}()
	}
	for n := 0; ; n++ {
		if n < helloTries && !b.Status().From.IsValid() {
			b.sayHello()
		}
		if pause(b.o.Clock, checkEvery, ctx.Done()) {
			break
		}
		for _, l := range b.lines {
			l.check()
		}
	}
	for _, l := range b.lines {
		l.shut(true)
	}
	receivers.Wait()
}

// check closes a socket that has to be opened again.
func (l *line) check() {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c != nil && c.Check() != nil {
		l.shut(false)
	}
}

// receive takes what comes by one port until ctx ends.
func (b *Backup) receive(ctx context.Context, l *line) {
	buf := make([]byte, b.o.MaxLen+1) // a message that fills it is too long
	r := Reader{SyncID: b.o.SyncID}
	for ctx.Err() == nil {
		c, err := l.open(b.o.Clock, b.o.Sockets.OpenReceiver)
		for err == nil {
			var n int
			var from netip.Addr
			if n, from, err = c.Receive(buf); err == nil {
				l.report(b.o.Log, "", "connection synchronisation receives again", nil)
				b.take(ctx, &r, buf[:n], from)
			}
		}
		if l.shut(false); ctx.Err() != nil {
			return
		}
		l.report(b.o.Log, "connection synchronisation cannot receive", "", err)
		if pause(b.o.Clock, reopenAfter, ctx.Done()) {
			return
		}
	}
}

// take takes a message apart and passes its records on.
func (b *Backup) take(ctx context.Context, r *Reader, msg []byte, from netip.Addr) {
	before := r.Counts
	var dropped uint64
	r.Read(msg, func(rec *conntrack.Record) {
		if !b.deliver(ctx, rec) {
			dropped++
		}
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.status
	s.Messages++
	s.Dropped += dropped
	s.Records += r.Counts.Records - before.Records
	for i := range s.Faults {
		s.Faults[i] += r.Counts.Faults[i] - before.Faults[i]
	}
	if r.Counts.Records > before.Records {
		s.From, s.Last = from, b.o.Clock.Now()
	}
}

// deliver passes a record on, and waits a little where there is no room: the socket's buffer is the queue.
func (b *Backup) deliver(ctx context.Context, rec *conntrack.Record) bool {
	for range deliverTries {
		b.mu.Lock()
		ok := b.o.Deliver(rec)
		b.mu.Unlock()
		if ok {
			return true
		}
		if pause(b.o.Clock, deliverAgain, ctx.Done()) {
			return false
		}
	}
	return false
}
