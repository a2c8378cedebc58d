package mail

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
)

// Config is where alerts go, and as whose.
type Config struct {
	// Server is the name or address of the relay; without one, or without recipients, nothing is sent.
	Server string
	// Port is its port; default 25.
	Port uint16
	// Helo is the name to greet it with; default Options.Host.
	Helo string
	// From is the sender's address; default root@ and Options.Host, as keepalived has it.
	From string
	// To are the recipients, each as "a@example.org" or "Name <a@example.org>".
	To []string
	// RouterID stands in brackets before each subject; default Options.Host.
	RouterID string
	// Timeout is how long connecting, and each step after it, may take; default 30 s.
	Timeout time.Duration
}

func (c Config) equal(o Config) bool {
	return c.Server == o.Server && c.Port == o.Port && c.Helo == o.Helo && c.From == o.From && slices.Equal(c.To, o.To) &&
		c.RouterID == o.RouterID && c.Timeout == o.Timeout
}

// Options are what a Sender works with. Clock must be set.
type Options struct {
	Clock clock.Clock
	Log   *zap.Logger // nil: nothing is logged
	// Host is this machine's name; default "localhost".
	Host string
	// Now says what time of day it is, for the Date header; nil leaves the header out, and the relay adds it.
	Now func() time.Time
	// Dial connects to the relay; default is a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Queue is how many alerts wait at most; default 256. When it is full the oldest one is lost.
	Queue int
}

// The waiting times between attempts to deliver an alert, and how long the end of Run is held up by those in the queue.
const (
	firstRetry = 5 * time.Second
	lastRetry  = time.Minute
	attempts   = 8 // 5+10+20+40+60+60+60 s: a bit over 4 minutes
	farewell   = 3 * time.Second
)

// Stats counts alerts.
type Stats struct {
	Sent    uint64 // the relay took them
	Failed  uint64 // given up, or refused
	Dropped uint64 // lost because the queue was full, or there was no time left at the end
	Queued  int    // waiting now
}

// letter is a Message in the queue.
type letter struct {
	Message
	at    time.Time // when it was queued; zero without Options.Now
	tries int
}

// Sender delivers alerts. All methods may be called from any goroutine.
type Sender struct {
	Options
	wake chan struct{} // capacity 1

	mu     sync.Mutex // guards what follows
	config Config
	queue  []letter
	full   bool // said so
	stats  Stats
}

// New returns a Sender that sends nothing until Configure.
func New(o Options) *Sender {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Host == "" {
		o.Host = "localhost"
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	return &Sender{Options: o, wake: make(chan struct{}, 1)}
}

// Configure says from now on where alerts go. Those that wait go there too.
func (s *Sender) Configure(c Config) {
	if c.Port == 0 {
		c.Port = 25
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	for _, name := range []*string{&c.Helo, &c.RouterID} {
		if *name == "" {
			*name = s.Host
		}
	}
	if c.From == "" {
		c.From = "root@" + s.Host
	}
	c.To = slices.Clone(c.To)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.equal(c) {
		return
	}
	s.config = c
	if !s.enabled() {
		s.stats.Dropped += uint64(len(s.queue))
		s.queue = nil
	}
	s.ring()
}

// enabled reports whether there is anybody to write to. mu is held.
func (s *Sender) enabled() bool { return s.config.Server != "" && len(s.config.To) > 0 }

// Send queues an alert and returns at once. It reports whether anything will be sent at all.
func (s *Sender) Send(m Message) bool {
	l := letter{Message: m}
	if s.Now != nil {
		l.at = s.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enabled() {
		return false
	}
	if len(s.queue) >= s.Queue {
		s.queue = slices.Delete(s.queue, 0, 1)
		s.stats.Dropped++
		if !s.full {
			s.Log.Warn("more alerts than can be sent: the oldest ones are lost", zap.Int("queue", s.Queue))
		}
		s.full = true
	}
	s.queue = append(s.queue, l)
	s.ring()
	return true
}

func (s *Sender) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Stats returns the counts.
func (s *Sender) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Queued = len(s.queue)
	return st
}

// Run delivers until ctx is done. Then it tries once more, for at most three seconds, so that the alert about the end
// itself has a chance. It is called once.
func (s *Sender) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := s.deliver(ctx)
		next, stop := s.wake, func() bool { return true }
		if wait > 0 { // a new alert does not hurry a relay that failed
			due := make(chan struct{}, 1)
			next, stop = due, s.Clock.AfterFunc(wait, func() { due <- struct{}{} }).Stop
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
		stop()
	}
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer s.Clock.AfterFunc(farewell, cancel).Stop()
	s.deliver(last)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Dropped += uint64(len(s.queue))
	s.queue = nil
	return nil
}

// deliver sends what is in the queue, over one connection as long as it goes to the same relay. It returns how long to wait
// before trying again, 0 if there is nothing left.
func (s *Sender) deliver(ctx context.Context) (wait time.Duration) {
	var open *session
	var to Config // of open
	defer func() {
		if open != nil {
			open.quit()
		}
	}()
	for ctx.Err() == nil {
		l, c, ok := s.next()
		if !ok {
			return 0
		}
		if open != nil && !to.equal(c) {
			open.quit()
			open = nil
		}
		var err error
		if open == nil {
			open, err = s.open(ctx, c)
			to = c
		}
		if err == nil {
			err = open.send(c, l)
		}
		switch {
		case err == nil:
			s.Log.Info("SMTP alert successfully sent.", zap.String("subject", l.Subject))
			s.count(&s.stats.Sent)
			continue
		case permanent(err):
			s.Log.Warn(s.complaint(c, err)+" The alert is lost.", zap.String("subject", l.Subject), zap.Error(err))
			s.count(&s.stats.Failed)
		default:
			wait = s.retry(c, l, err)
		}
		if open != nil {
			open.close()
			open = nil
		}
		if wait > 0 {
			return wait
		}
	}
	return 0
}

// next takes the oldest alert out of the queue.
func (s *Sender) next() (letter, Config, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.full = false
		return letter{}, s.config, false
	}
	l := s.queue[0]
	s.queue = slices.Delete(s.queue, 0, 1)
	return l, s.config, true
}

// retry puts an alert back, unless it was tried often enough, and returns how long to wait.
func (s *Sender) retry(c Config, l letter, err error) time.Duration {
	l.tries++
	if l.tries >= attempts {
		s.Log.Warn(s.complaint(c, err)+" The alert is lost.", zap.String("subject", l.Subject), zap.Error(err))
		s.count(&s.stats.Failed)
		return 0
	}
	wait := min(firstRetry<<(l.tries-1), lastRetry)
	s.Log.Warn(s.complaint(c, err), zap.String("subject", l.Subject), zap.Error(err), zap.Duration("next try in", wait))
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) < s.Queue {
		s.queue = slices.Insert(s.queue, 0, l)
	} else {
		s.stats.Dropped++
	}
	return wait
}

func (s *Sender) count(n *uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// name is how log lines call the relay.
func (c Config) name() string { return "[" + c.Server + "]:" + strconv.Itoa(int(c.Port)) }
