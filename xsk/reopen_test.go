package xsk

import (
	"errors"
	"testing"

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
