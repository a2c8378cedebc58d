package host

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// source is something to read that has as many packets as it says, over an eventfd that is readable while there are any.
type source struct {
	fd   int
	name string
	left int
}

func (s *source) read(*VRRP) (Event, bool, bool) {
	if s.left == 0 {
		return Event{}, false, false
	}
	if s.left--; s.left == 0 {
		var count [8]byte
		_, _ = unix.Read(s.fd, count[:])
	}
	return Event{Kind: AdvertCame, Packet: Packet{Link: s.name}}, true, s.left > 0
}

// sources makes a VRRP that has nothing to read but what it is given.
type sources struct {
	t *testing.T
	v *VRRP
}

func newSources(t *testing.T) *sources {
	t.Helper()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(t, err)
	t.Cleanup(func() { unix.Close(epoll) })
	return &sources{t, &VRRP{epoll: epoll, byFD: map[int32]readable{}}}
}

// add makes packets come by a new source.
func (s *sources) add(name string, packets int) {
	s.t.Helper()
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(s.t, err)
	s.t.Cleanup(func() { unix.Close(fd) })
	must(s.t, s.v.listen(fd, &source{fd, name, packets}))
}

// receive returns the names of the sources of the next n packets.
func (s *sources) receive(n int) []string {
	s.t.Helper()
	var names []string
	for range n {
		e, ok := s.v.Receive(0)
		if !ok {
			s.t.Fatalf("nothing came after %d of %d packets", len(names), n)
		}
		names = append(names, e.Packet.Link)
	}
	return names
}

// TestSocketsAreReadInTurn: of whatever is ready one packet is taken in each round, in whichever order epoll told of it,
// so that two floods leave room for each other and for the one packet of a third.
func TestSocketsAreReadInTurn(t *testing.T) {
	s := newSources(t)
	s.add("flood", 1000)
	s.add("advert", 1)
	s.add("torrent", 1000)
	if got := s.receive(3); !slices.Contains(got, "flood") || !slices.Contains(got, "advert") || !slices.Contains(got, "torrent") {
		t.Errorf("the first three packets are of %v, want one of each", got)
	}
	got := s.receive(200)
	for i := 2; i < len(got); i++ { // two in a row where epoll was asked between them
		if got[i] == got[i-1] && got[i] == got[i-2] {
			t.Fatalf("packets %d to %d are all of %s, want the two floods in turn", i-2, i, got[i])
		}
	}
}

// TestFloodDoesNotHideNews: what becomes ready while a socket never is empty is read soon, not when the flood has ended.
func TestFloodDoesNotHideNews(t *testing.T) {
	s := newSources(t)
	s.add("flood", 1000)
	s.receive(3)
	s.add("advert", 1)
	if got := s.receive(50); !slices.Contains(got, "advert") {
		t.Error("the advert is not among the next 50 packets, want it as soon as epoll is asked again")
	}
	s.receive(1000 + 1 - 3 - 50)
	if e, ok := s.v.Receive(0); ok {
		t.Errorf("got %+v when all was read", e)
	}
}
