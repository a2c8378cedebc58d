package xsk

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"dirsw/forward"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// rig is cl0 --veth-- lb0 (director) lb1 --veth-- sv0, each machine a namespace. The machines have addresses on the first
// pair; the virtual service is at vip4 and vip6, which nobody has.
type rig struct {
	cl0, lb0, lb1, sv0 testenv.End
}

const (
	vip4 = "203.0.113.10"
	vip6 = "2001:db8:ff::10"
	cl4  = "192.0.2.1"
	cl6  = "2001:db8:1::1"
	lb4  = "192.0.2.254"
	lb6  = "2001:db8:1::fe"
)

// newRig makes the networks. Edit may change the ends before they are made.
func newRig(t testing.TB, edit func(*rig)) *rig {
	t.Helper()
	cl, lb, sv := testenv.NewNamespace(t), testenv.NewNamespace(t), testenv.NewNamespace(t)
	r := &rig{
		cl0: testenv.End{In: cl, Name: "cl0", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Addrs: []string{cl4 + "/24", cl6 + "/64"}},
		lb0: testenv.End{In: lb, Name: "lb0", MAC: [6]byte{2, 0, 0, 0, 0, 2}, Addrs: []string{lb4 + "/24", lb6 + "/64"}},
		lb1: testenv.End{In: lb, Name: "lb1", MAC: [6]byte{2, 0, 0, 0, 0, 3}},
		sv0: testenv.End{In: sv, Name: "sv0", MAC: [6]byte{2, 0, 0, 0, 0, 4}},
	}
	if edit != nil {
		edit(r)
	}
	testenv.Veth(t, r.cl0, r.lb0)
	testenv.Veth(t, r.lb1, r.sv0)
	return r
}

// oneArm and twoArms are the ports of most tests.
func oneArm() []PortOptions { return []PortOptions{{Name: "lb0", Receive: true}} }

func twoArms() []PortOptions {
	return []PortOptions{{Name: "lb0", Receive: true}, {Name: "lb1", Receive: true}}
}

// open opens a Set in the director's namespace, with the usual services. It is closed when t ends.
func (r *rig) open(t testing.TB, o Options) *Set {
	t.Helper()
	s, err := r.tryOpen(t, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := s.SetFilter(services); err != nil {
		t.Fatalf("SetFilter: %v", err)
	}
	return s
}

func (r *rig) tryOpen(t testing.TB, o Options) (s *Set, err error) {
	t.Helper()
	r.lb0.In.Do(t, func() { s, err = Open(o) })
	return s, err
}

// services is what the filter takes in most tests.
var services = forward.Filter{Keys: []forward.FilterKey{
	{Addr: addr(vip4), Proto: packet.ProtoTCP, Port: 80},
	{Addr: addr(vip4), Proto: packet.ProtoUDP, Port: 53},
	{Addr: addr(vip6), Proto: packet.ProtoTCP, Port: 443},
	{Addr: addr(vip6), Proto: packet.ProtoSCTP, Port: 0},
}}

// request is a frame of a client to the service at vip4, as the client sends it to lb0.
func request(sport uint16, payload int) []byte {
	return packet.Build(nil, packet.Spec{
		SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 2},
		Tuple:   tuple(packet.ProtoUDP, cl4, sport, vip4, 53),
		Payload: bytes.Repeat([]byte{0xa5}, payload),
	})
}

// received are frames copied from a lane.
type received struct {
	port  uint8
	bytes []byte
}

// receive takes n frames from the lane, or fewer if no more come, and drops them.
func receive(t testing.TB, l forward.Lane, n int) (got []received) {
	t.Helper()
	receiveUntil(t, func() bool { return len(got) >= n }, func() int {
		more := breathe(t, l)
		got = append(got, more...)
		return len(more)
	})
	return got
}

// receiveUntil calls more, which says how much has come, until done or until nothing can come any more.
func receiveUntil(t testing.TB, done func() bool, more func() int) {
	t.Helper()
	for end := time.Now().Add(testenv.Patience); !done() && time.Now().Before(end); {
		if more() > 0 {
			end = time.Now().Add(testenv.Patience)
		}
	}
}

// breathe takes the frames that are there, and drops them; if there are none it sleeps a little.
func breathe(t testing.TB, l forward.Lane) (got []received) {
	t.Helper()
	var b packet.Batch
	k, err := l.Recv(&b)
	if err != nil {
		t.Fatalf("Recv: %v", err)
	}
	for i := range k {
		got = append(got, received{b.Frames[i].Port, bytes.Clone(b.Frames[i].Bytes())})
	}
	l.Drop(&b)
	if k == 0 {
		if err := l.Wait(time.Millisecond); err != nil {
			t.Fatalf("Wait: %v", err)
		}
	}
	return got
}

// nothingMore fails the test if the lane has a frame before one that is sent now.
func nothingMore(t testing.TB, l forward.Lane, cl *testenv.Tap) {
	t.Helper()
	last := request(64000, 1)
	cl.Send(t, last)
	if got := receive(t, l, 1); len(got) == 0 {
		t.Error("the lane receives nothing any more")
	} else if !bytes.Equal(got[0].bytes, last) {
		t.Errorf("the lane has % x besides", got[0].bytes)
	}
}

// bounce is a breath of a forwarder: what comes in on any port leaves by port out with the addresses swapped. It returns
// how many frames came.
func bounce(l forward.Lane, b *packet.Batch, out uint8) (int, error) {
	n, err := l.Recv(b)
	if n == 0 || err != nil {
		return n, err
	}
	for i := range n {
		swapMACs(b.Frames[i].Bytes())
		b.Frames[i].Port = out
	}
	_, err = l.Send(b)
	return n, err
}

func swapMACs(f []byte) {
	var m packet.MAC
	copy(m[:], f)
	copy(f, f[6:12])
	copy(f[6:], m[:])
}

// forwarder bounces in a goroutine until stop is called, which returns why it ended.
func forwarder(l forward.Lane, out uint8) (stop func() error) {
	f := startForwarder(l, out)
	return sync.OnceValue(func() error {
		close(f.quit)
		<-f.ended
		return f.err
	})
}

// forwarding is a goroutine that bounces.
type forwarding struct {
	quit  chan struct{} // closed to end it
	ended chan struct{} // closed when err is why it ended
	err   error
}

func startForwarder(l forward.Lane, out uint8) *forwarding {
	f := &forwarding{quit: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		var b packet.Batch
		for f.err == nil {
			select {
			case <-f.quit:
				return
			default:
			}
			var n int
			if n, f.err = bounce(l, &b, out); f.err == nil && n == 0 {
				f.err = l.Wait(time.Millisecond)
			}
		}
	}()
	return f
}

// fails waits until it ends by itself, and returns why.
func (f *forwarding) fails(t testing.TB) error {
	t.Helper()
	select {
	case <-f.ended:
	case <-time.After(testenv.Patience):
		close(f.quit)
		<-f.ended
		if f.err == nil {
			t.Error("the lane goes on")
		}
	}
	return f.err
}

// mine accepts the frames of request.
func mine(f []byte) bool {
	var m packet.Meta
	return packet.Parse(f, &m) == packet.NoDrop && m.Dst == addr(vip4)
}

// audit fails the test if a frame of the lane is not accounted for.
func audit(t testing.TB, l forward.Lane) {
	t.Helper()
	if err := l.(*lane).audit(); err != nil {
		t.Error(err)
	}
}
