package xsk

import (
	"errors"
	"slices"
	"testing"

	"dirsw/forward"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// TestReopen: an interface that was not there comes, and one goes. Frames for the services are never seen by the kernel, go
// to the socket as soon as there is one, and those between are counted.
func TestReopen(t *testing.T) {
	r := newRig(t, nil)
	cl := testenv.OpenTap(t, &r.cl0)
	ports := oneArm()
	late := PortOptions{Name: "eth7", Receive: true, Absent: true}
	s := r.open(t, Options{Ports: append(ports, late)})
	if got := s.Ports()[1].Mode; got != "absent" {
		t.Errorf("the port that is not there is %q", got)
	}
	if f, ok := s.Lane(0).Alloc(); !ok {
		t.Error("no frame")
	} else {
		f.Port = 1
		var b packet.Batch
		b.Add(f)
		if n, err := s.Lane(0).Send(&b); n != 0 || err != nil {
			t.Errorf("%d frames sent by a port that is not there, %v", n, err)
		}
	}
	if n := s.Lane(0).Counters().SendFailed; n != 1 {
		t.Errorf("%d frames counted as not sent, want 1", n)
	}
	reopen := func(ports []PortOptions) (n *Set, err error) {
		r.lb0.In.Do(t, func() { n, err = s.Reopen(Options{Ports: ports}) })
		return n, err
	}

	if _, err := reopen([]PortOptions{{Name: "lb0", Receive: true}, {Name: "eth7"}}); err == nil {
		t.Fatal("an interface that does not exist was opened")
	}
	for i := range 3 {
		cl.Send(t, request(uint16(1000+i), 20))
	}
	waitDropped(t, s, 3)
	n, err := reopen([]PortOptions{{Name: "lb0", Receive: true}, {Name: "lb1", Receive: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.SetFilter(services); !errors.Is(err, ErrClosed) {
		t.Errorf("SetFilter of the old set: %v", err)
	}
	if got := n.Lane(0).Counters().RxDropped; got != 3 {
		t.Errorf("%d frames counted as dropped meanwhile, want 3", got)
	}
	if got := n.Ports()[1].Mode; got != "native" {
		t.Errorf("the port that came is %q", got)
	}
	cl.Send(t, request(2000, 20))
	if got := receive(t, n.Lane(0), 1); len(got) != 1 || got[0].port != 0 {
		t.Errorf("got %d frames after Reopen", len(got))
	}
	sv := testenv.OpenTap(t, &r.sv0)
	if err := n.SetFilter(services); err != nil { // the new gate is told what to look for
		t.Fatal(err)
	}
	f := request(2001, 20)
	copy(f, r.lb1.MAC[:])
	sv.Send(t, f)
	if got := receive(t, n.Lane(0), 1); len(got) != 1 || got[0].port != 1 {
		t.Errorf("got %d frames by the port that came", len(got))
	}
	r.checkKernel(t)
}

// waitDropped waits until the filter has dropped n frames.
func waitDropped(t *testing.T, s *Set, n uint32) {
	t.Helper()
	testenv.Await(t, "the filter drops the frames", func() bool {
		var state uint32
		if err := s.ports[0].gate.xdp.Queues.Lookup(uint32(0), &state); err != nil {
			t.Fatal(err)
		}
		return state == held+n
	})
}

// TestQueuesCome has an interface that was opened with one of its queues use another one: what comes for the services goes to
// the sockets of both once these were opened anew, by a filter that knows what the one before knew.
func TestQueuesCome(t *testing.T) {
	r := newRig(t, func(r *rig) { r.cl0.Queues, r.lb0.Queues = 2, 2 })
	r.cl0.In.Do(t, func() { testenv.SetQueues(t, "cl0", 1) })
	r.lb0.In.Do(t, func() { testenv.SetQueues(t, "lb0", 1) })
	s := r.open(t, Options{Ports: oneArm()})
	virtual := packet.MAC{0, 0, 0x5e, 0, 1, 51}
	if err := s.SetMACs(0, []packet.MAC{r.lb0.MAC, virtual}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetFilter(withServer); err != nil {
		t.Fatal(err)
	}
	cl := testenv.OpenTap(t, &r.cl0)
	if cl.Send(t, request(1, 20)); s.Ports()[0].Queues != 1 || len(receive(t, s.Lane(0), 1)) != 1 {
		t.Fatalf("opened as %+v", s.Ports())
	}
	r.lb0.In.Do(t, func() { testenv.SetQueues(t, "lb0", 2) })
	r.cl0.In.Do(t, func() { testenv.SetQueues(t, "cl0", 2) })
	before := s.ports[0].gate
	stranger := r.open(t, Options{Ports: []PortOptions{{Name: "lb1"}}})
	reopen := func(ports []PortOptions) (n *Set, err error) {
		r.lb0.In.Do(t, func() { n, err = s.Reopen(Options{Ports: ports}) })
		return n, err
	}
	if _, err := reopen([]PortOptions{{Name: "lb0", Receive: true}, {Name: "eth7"}}); err == nil {
		t.Fatal("an interface that does not exist was opened")
	}
	cl.Send(t, request(2, 20))
	waitDropped(t, s, 1)
	if _, err := reopen(twoArms()); err == nil || s.ports[0].gate == before { // the queue of lb1 is the stranger's
		t.Fatalf("opened anew in vain: %v; another filter: %v", err, s.ports[0].gate != before)
	}
	cl.Send(t, request(3, 20))
	waitDropped(t, s, 2)
	n, err := reopen(oneArm())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := n.Ports()[0]; got.Queues != 2 || got.Mode != "native" {
		t.Errorf("opened anew as %+v, want two queues in native mode", got)
	}
	if got := n.Lane(0).Counters().RxDropped; got != 2 {
		t.Errorf("%d frames counted as dropped meanwhile, want 2", got)
	}
	var extras uint32
	if err := n.ports[0].gate.extras.Get(&extras); err != nil || extras == 0 {
		t.Errorf("the filter looks for %b besides services (%v), want replies of servers", extras, err)
	}
	f := request(4, 20)
	copy(f, virtual[:])
	if cl.Send(t, f); len(receive(t, n.Lane(0), 1)) != 1 {
		t.Error("nothing came for the virtual router")
	}
	const flows = 100
	r.sendUDP(t, flows)
	if came := len(receive(t, n.Lane(0), flows)); came != flows {
		t.Errorf("%d of %d frames came", came, flows)
	}
	for _, k := range n.Lane(0).(*lane).receivers {
		if k.rx.cachedOwn == 0 {
			t.Errorf("nothing came by queue %d", k.queue)
		}
	}
	if err := stranger.Close(); err != nil {
		t.Error(err)
	}
	r.checkKernel(t)
}

// withServer is services, and a server whose replies are translated.
var withServer = forward.Filter{Keys: append(slices.Clone(services.Keys),
	forward.FilterKey{Addr: addr("198.51.100.1"), Proto: packet.ProtoTCP, Port: 8080, Kind: forward.FromServer})}
