package connsync

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/conntrack"
)

// Source is where records come from: a worker.
type Source interface {
	// TakeRecords moves the oldest records to dst, as many as there are and fit, and returns how many.
	TakeRecords(dst []conntrack.Record) int
}

// MasterOptions are what a Master is made of. Clock, Log, Sockets and Endpoint are required.
type MasterOptions struct {
	Clock    clock.Clock
	Log      *zap.Logger
	Sockets  Sockets
	Endpoint Endpoint // of the first port
	SyncID   uint8
	MaxLen   int // of a message, bytes
	Version  Version
	Ports    int // how many, counted from that of Endpoint; 0: one. Sysctl sync_ports
	QueueMax int // messages that wait for each socket; 0: DefaultQueueMax. Sysctl sync_qlen_max
	Sources  []Source
	// Joined is called, from a goroutine of the Master's, when a backup says that it has just begun; nil: nobody listens.
	// It must not wait.
	Joined func(backup netip.Addr)
}

const (
	// DefaultQueueMax is how many messages wait for a socket where nobody says it: some 160 000 connections.
	DefaultQueueMax = 4096

	pollEvery  = 20 * time.Millisecond  // how often sources are asked
	flushAfter = 200 * time.Millisecond // how old a record is at most in a message that is not full. The kernel has 2 s: that long may be lost with a master
	atOnce     = 64                     // records taken from a source together
	lastWords  = time.Second            // for what is queued when a Master ends
)

// MasterStatus is what a Master has done.
type MasterStatus struct {
	Messages uint64 // sent
	Records  uint64 // in them
	Errors   uint64 // messages that could not be sent
	Dropped  uint64 // records that were lost: in those, in messages that the queue had no room for, and in those refused
	Refused  uint64 // records that messages of this version cannot say
	Queued   int    // messages that wait
}

// Master tells others what its sources say. Run is called once; Status may be called by any goroutine.
type Master struct {
	o     MasterOptions
	lines []*line
	ear   *line                    // by which backups are heard
	batch [atOnce]conntrack.Record // of Run's goroutine

	messages, records, errors, dropped, refused atomic.Uint64
}

// line is a port: the message that is being filled, and those that wait for the socket.
type line struct {
	at      Endpoint
	filling *Message
	since   clock.Mono // of the oldest record in it
	queue   chan *Message
	spare   chan *Message // to be filled again

	mu   sync.Mutex // guards conn and dead
	conn Conn
	dead bool // no conn is to be opened any more

	// Of the goroutine that sends.
	tried  clock.Mono // when a socket was last opened
	failed bool       // and that was told
}

// NewMaster prepares a Master. Nothing is opened before Run.
func NewMaster(o MasterOptions) *Master {
	if o.Ports <= 0 {
		o.Ports = 1
	}
	if o.QueueMax <= 0 {
		o.QueueMax = DefaultQueueMax
	}
	m := &Master{o: o, ear: &line{at: o.Endpoint}}
	for i := range o.Ports {
		l := &line{at: o.Endpoint, queue: make(chan *Message, o.QueueMax), spare: make(chan *Message, atOnce)}
		l.at.Port += uint16(i)
		l.filling = m.blank(l)
		m.lines = append(m.lines, l)
	}
	return m
}

// Status returns the counts. Any goroutine.
func (m *Master) Status() MasterStatus {
	s := MasterStatus{Messages: m.messages.Load(), Records: m.records.Load(), Errors: m.errors.Load(), Dropped: m.dropped.Load(),
		Refused: m.refused.Load()}
	for _, l := range m.lines {
		s.Queued += len(l.queue)
	}
	return s
}

// Run sends until ctx ends, and then what is left.
func (m *Master) Run(ctx context.Context) {
	var senders sync.WaitGroup // and who listens
	for _, l := range m.lines {
		senders.Add(1)
		go func() {
			defer senders.Done()
			m.send(l)
		}()
	}
	if m.o.Joined != nil {
		senders.Add(1)
		go func() {
			defer senders.Done()
			m.listen(ctx)
		}()
	}
	for n := 1; !pause(m.o.Clock, pollEvery, ctx.Done()); n++ {
		m.poll(false)
		if n%int(checkEvery/pollEvery) == 0 {
			m.ear.check()
			for _, l := range m.lines {
				l.check()
			}
		}
	}
	m.ear.shut(true)
	m.poll(true)
	for _, l := range m.lines {
		close(l.queue)
	}
	end := m.o.Clock.AfterFunc(lastWords, func() {
		for _, l := range m.lines {
			l.shut(true)
		}
	})
	defer end.Stop()
	senders.Wait()
}

// poll takes what the sources have, and queues messages that are full or old; with all of them.
func (m *Master) poll(all bool) {
	now := m.o.Clock.Now()
	for _, s := range m.o.Sources {
		for n := atOnce; n == atOnce; {
			n = s.TakeRecords(m.batch[:])
			for i := range m.batch[:n] {
				m.add(&m.batch[i], now)
			}
		}
	}
	for _, l := range m.lines {
		if l.filling.Len() > 0 && (all || now.Sub(l.since) >= flushAfter) {
			m.push(l)
		}
	}
}

// add puts a record in the message of its connection's port: one after the other, as it was told.
func (m *Master) add(r *conntrack.Record, now clock.Mono) {
	l := m.lines[(int(r.Src[15])^int(r.SrcPort))%len(m.lines)]
	result := l.filling.Add(r)
	if result == Full {
		m.push(l)
		result = l.filling.Add(r)
	}
	switch {
	case result != Added:
		m.refused.Add(1)
		m.dropped.Add(1)
	case l.filling.Len() == 1:
		l.since = now
	}
}

// push queues the message that is being filled.
func (m *Master) push(l *line) {
	select {
	case l.queue <- l.filling:
		l.filling = m.blank(l)
	default:
		m.dropped.Add(uint64(l.filling.Len()))
		l.filling.Reset()
	}
}

// blank returns an empty message.
func (m *Master) blank(l *line) *Message {
	select {
	case b := <-l.spare:
		b.Reset()
		return b
	default:
		return NewMessage(m.o.Version, m.o.SyncID, m.o.MaxLen)
	}
}

// send sends what is queued for a port until the queue is closed.
func (m *Master) send(l *line) {
	defer l.shut(true)
	for msg := range l.queue {
		err := m.deliver(l, msg.Bytes())
		if err == nil {
			m.messages.Add(1)
			m.records.Add(uint64(msg.Len()))
		} else {
			m.errors.Add(1)
			m.dropped.Add(uint64(msg.Len()))
		}
		l.report(m.o.Log, "connection synchronisation cannot send", "connection synchronisation sends again", err)
		select {
		case l.spare <- msg:
		default:
		}
	}
}

// deliver sends one message. A socket that fails is opened anew, but not each time.
func (m *Master) deliver(l *line, msg []byte) error {
	c, err := l.open(m.o.Clock, m.o.Sockets.OpenSender)
	if err != nil {
		return err
	}
	if err = c.Send(msg); err != nil {
		l.shut(false)
	}
	return err
}

// open returns the socket. One that is missing is opened if the last attempt was long enough ago.
func (l *line) open(c clock.Clock, how func(Endpoint) (Conn, error)) (Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		return l.conn, nil
	}
	now := c.Now()
	if l.dead || l.tried != 0 && now.Sub(l.tried) < reopenAfter {
		return nil, errGone
	}
	l.tried = now
	conn, err := how(l.at)
	if err == nil {
		l.conn = conn
	}
	return conn, err
}

// shut closes the socket; for good, no other is opened.
func (l *line) shut(forGood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = l.dead || forGood
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// report logs that a socket fails, or does no more: each once.
func (l *line) report(log *zap.Logger, fails, works string, err error) {
	switch {
	case err != nil && !l.failed:
		log.Error(fails, zap.String("interface", l.at.Interface), zap.Stringer("group", l.at.Group), zap.Uint16("port", l.at.Port), zap.Error(err))
	case err == nil && l.failed:
		log.Info(works, zap.String("interface", l.at.Interface), zap.Stringer("group", l.at.Group), zap.Uint16("port", l.at.Port))
	}
	l.failed = err != nil
}
