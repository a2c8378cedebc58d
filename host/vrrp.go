package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// VRRP is what one thread needs of the kernel to run virtual routers: sockets for their advertisements, news of links,
// announcements of addresses, and questions for strangers who have them. Everything that may come is waited for in one
// place, Receive, which blocks the thread itself and not only its goroutine. Addresses, routes and rules are set
// through the embedded Holdings.
//
// One goroutine uses it, but for Wake and for what Holdings allows.
type VRRP struct {
	*Holdings
	host  *Host
	log   *zap.Logger
	epoll int
	bell  int // eventfd of Wake
	news  int // netlink socket: links and addresses

	links   linkTable
	changed []string      // links of which is to be told before anything is read
	paths   map[int]*path // by the number given to Add
	ears    map[earKey]*ear
	mouths  map[mouthKey]*mouth
	packets int // AF_PACKET socket that announcements and probes leave by
	guards  map[guardKey]*guard

	byFD  map[int32]readable
	ready []readable // sockets that had something when epoll was last asked
	reads int        // since then
	buf   []byte     // what Receive returns a part of
	oob   []byte
	ids   []int
	dead  bool // closed; guarded by bellMu

	bellMu sync.Mutex // makes Wake safe beside Close

	leases leases
}

// readable is a socket of a VRRP: read reads once from it, and reports whether that gave an event, and whether there
// may be more to read.
type readable interface {
	read(v *VRRP) (e Event, ok, more bool)
}

// EventKind says what an Event is about.
type EventKind uint8

// Kinds of events.
const (
	NoEvent      EventKind = iota
	AdvertCame             // Event.Packet
	LinkChanged            // Event.Link
	AnswerCame             // Event.Answer
	addressNews            // for the loop only: an address of a link changed
	numEventKind           // their number
)

// String names the kind in one word.
func (k EventKind) String() string {
	if k >= numEventKind {
		return "invalid"
	}
	return [numEventKind]string{"none", "advert", "link", "answer", "address"}[k]
}

// Event is one thing that Receive brought.
type Event struct {
	Kind   EventKind
	Packet Packet    // valid iff Kind is AdvertCame
	Link   LinkState // valid iff Kind is LinkChanged
	Answer Answer    // valid iff Kind is AnswerCame
}

// packetRoom is the longest packet that is received whole; what is longer is cut, and its codec will say so. An advert
// has at most 255 addresses of 16 bytes, an authentication header and two IP headers' worth of options.
const packetRoom = 8192

// OpenVRRP makes the object. It needs CAP_NET_RAW, and CAP_NET_ADMIN for what changes the machine.
func (h *Host) OpenVRRP() (*VRRP, error) {
	v := &VRRP{
		host: h, log: h.log, epoll: -1, bell: -1, news: -1, packets: -1,
		paths: map[int]*path{}, ears: map[earKey]*ear{}, mouths: map[mouthKey]*mouth{}, guards: map[guardKey]*guard{},
		byFD: map[int32]readable{}, buf: make([]byte, packetRoom), oob: make([]byte, 512),
	}
	var err error
	if v.Holdings, err = h.OpenHoldings(); err == nil {
		err = h.within(v.open)
	}
	if err != nil {
		v.shut()
		return nil, fmt.Errorf("open sockets for VRRP: %w", err)
	}
	v.leases.start(v.Holdings)
	return v, nil
}

// open makes the sockets that do not depend on what is configured.
func (v *VRRP) open() error {
	var err error
	if v.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		v.epoll = -1
		return fmt.Errorf("epoll: %w", err)
	}
	if v.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		v.bell = -1
		return fmt.Errorf("eventfd: %w", err)
	}
	if err := v.listen(v.bell, bell{v.bell}); err != nil {
		return err
	}
	// Protocol 0: nothing is queued on it.
	if v.packets, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		v.packets = -1
		return fmt.Errorf("packet socket: %w", err)
	}
	return v.openNews()
}

// Close ends all sockets. Addresses that are held stay until their lifetime ends. No other method may be called after it,
// but for Wake, which then does nothing.
func (v *VRRP) Close() error {
	v.leases.stop()
	return v.shut()
}

func (v *VRRP) shut() error {
	for id := range v.paths {
		v.Remove(id)
	}
	for k := range v.guards {
		v.dropGuard(k)
	}
	v.bellMu.Lock()
	defer v.bellMu.Unlock()
	v.dead = true
	var err error
	for _, fd := range []*int{&v.epoll, &v.bell, &v.news, &v.packets} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	if v.Holdings != nil {
		err = errors.Join(err, v.Holdings.Close())
	}
	return err
}

// listen has epoll watch fd for r.
func (v *VRRP) listen(fd int, r readable) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(v.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	v.byFD[int32(fd)] = r
	return nil
}

// deafen ends what listen began and closes fd.
func (v *VRRP) deafen(fd int) {
	r := v.byFD[int32(fd)]
	delete(v.byFD, int32(fd))
	for i := range v.ready {
		if v.ready[i] == r {
			v.ready[i] = bell{-1}
		}
	}
	unix.Close(fd) // which also ends its part in epoll: there is no other descriptor of it
}

// bell is the eventfd of Wake; a negative one is nothing.
type bell struct{ fd int }

func (b bell) read(*VRRP) (Event, bool, bool) {
	var count [8]byte
	if b.fd >= 0 {
		_, _ = unix.Read(b.fd, count[:]) // nothing to read is no harm
	}
	return Event{}, false, false
}

// Wake ends a Receive that is under way, or else the next one. Any goroutine may call it.
func (v *VRRP) Wake() {
	v.bellMu.Lock()
	defer v.bellMu.Unlock()
	if v.dead {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(v.bell, one[:]) // it is full only if it rings already
}

// Receive blocks the calling thread until something has come, Wake was called, or wait is over, and returns what has
// come; the slices in it are valid until the next call. A wait of zero or less only looks. It returns false when there
// is nothing, which may be before wait is over.
//
// Sockets that have something are read in turn, one packet at a time, so that a flood on one does not silence the
// others.
func (v *VRRP) Receive(wait time.Duration) (Event, bool) {
	if v.reads >= readsAtOnce { // others may have become ready meanwhile
		v.poll(0)
	}
	if e, ok := v.next(); ok {
		return e, true
	}
	if v.reads >= readsAtOnce || !v.poll(wait) {
		return Event{}, false
	}
	return v.next()
}

// readsAtOnce bounds how often sockets are read before epoll is asked which are ready now, and how often one Receive reads
// what gives no event, so that the caller's timers do not wait: the news of thousands of addresses whose lifetime was
// prolonged take 5 µs each.
const readsAtOnce = 32

// next returns the first event of what has changed or is ready.
func (v *VRRP) next() (Event, bool) {
	for {
		if len(v.changed) > 0 {
			name := v.changed[0]
			v.changed = v.changed[1:]
			return Event{Kind: LinkChanged, Link: v.links.state(name)}, true
		}
		if len(v.ready) == 0 || v.reads >= readsAtOnce {
			return Event{}, false
		}
		v.reads++
		r := v.ready[0]
		v.ready = v.ready[1:]
		e, ok, more := r.read(v)
		if more {
			v.ready = append(v.ready, r)
		}
		if ok {
			return e, true
		}
	}
}

// poll waits and fills v.ready anew. It reports whether anything is.
func (v *VRRP) poll(wait time.Duration) bool {
	v.reads, v.ready = 0, v.ready[:0]
	// epoll_wait counts in milliseconds, which is too coarse for adverts each 10 ms; ppoll of the epoll descriptor is not.
	if wait > 0 {
		limit := unix.NsecToTimespec(wait.Nanoseconds())
		fds := [1]unix.PollFd{{Fd: int32(v.epoll), Events: unix.POLLIN}}
		if n, err := unix.Ppoll(fds[:], &limit, nil); n <= 0 || err != nil {
			return false // EINTR: the caller looks at the clock and comes back
		}
	}
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(v.epoll, events[:], 0)
	if err != nil || n <= 0 {
		return false
	}
	for _, e := range events[:n] {
		if r := v.byFD[e.Fd]; r != nil {
			v.ready = append(v.ready, r)
		}
	}
	return true
}

// LinkState is what is known of a link.
type LinkState struct {
	Name   string
	Index  int
	Exists bool // else it has vanished, or has another name now, and nothing but Name is valid
	Up     bool // administratively up, with a carrier
	MAC    [6]byte
	Parent int // index of the link below it, as of a macvlan; 0: none
	// Addrs are its addresses but those that Holdings holds: first the IPv4 ones that are not secondary, as the kernel
	// orders them, then the IPv6 ones of link scope, then the other IPv6 ones.
	Addrs []netip.Addr
}
