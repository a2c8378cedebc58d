package xsk

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"dirsw/forward"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// comesBack reports whether a frame that the client sends is bounced soon. On a busy machine that may take several tries.
func comesBack(t *testing.T, cl *testenv.Tap, sport uint16) bool {
	t.Helper()
	return comesBackWithin(t, cl, sport, testenv.Patience)
}

// comesBackWithin is comesBack for one who tries again: frames may be lost.
func comesBackWithin(t *testing.T, cl *testenv.Tap, sport uint16, d time.Duration) bool {
	t.Helper()
	frame := request(sport, 40)
	cl.Send(t, frame)
	swapMACs(frame)
	return cl.Recv(t, d, func(f []byte) bool { return bytes.Equal(f, frame) }) != nil
}

// TestLinkDownAndUp takes either end down and up again: forwarding goes on without opening anything anew, and a link that
// is down costs next to no system calls.
func TestLinkDownAndUp(t *testing.T) {
	for _, which := range []string{"ours", "peer"} {
		t.Run(which, func(t *testing.T) {
			r := newRig(t, nil)
			end := &r.lb0
			if which == "peer" {
				end = &r.cl0
			}
			l := r.open(t, Options{Ports: oneArm()}).Lane(0)
			stop := forwarder(l, 0)
			cl := testenv.OpenTap(t, &r.cl0)
			testenv.Await(t, "frames come back to begin with", func() bool { return comesBack(t, cl, 1) })
			end.SetUp(t, false)
			for i := range 50 {
				cl.Send(t, request(uint16(i), 1))
			}
			end.SetUp(t, true)
			testenv.Await(t, "frames come back after the link is up", func() bool { return comesBackWithin(t, cl, 2, 20*time.Millisecond) })
			if err := stop(); err != nil {
				t.Error(err)
			}
			audit(t, l)
		})
	}
}

// fill has the lane hold n frames and send them by port, in batches.
func fill(t *testing.T, l forward.Lane, n int, port uint8) (queued int) {
	t.Helper()
	var b packet.Batch
	frame := request(3, 100)
	for n > 0 {
		for b.N < packet.BatchSize && n > 0 {
			f, ok := l.Alloc()
			if !ok {
				t.Fatalf("no free frame, %d are left to send", n)
			}
			f.Resize(len(frame))
			copy(f.Bytes(), frame)
			f.Port = port
			b.Add(f)
			n--
		}
		k, err := l.Send(&b)
		if err != nil || b.N != 0 {
			t.Fatalf("Send: %v, %d frames are left in the batch", err, b.N)
		}
		queued += k
		audit(t, l)
	}
	return queued
}

// TestRingOverflow sends by a link that is down until the TX ring is full: what does not fit is freed and counted, and
// what does is sent when the link is up again.
func TestRingOverflow(t *testing.T) {
	r := newRig(t, nil)
	l := r.open(t, Options{Ports: twoArms()}).Lane(0)
	sv := testenv.OpenTap(t, &r.sv0)
	ring := len(l.(*lane).send[1].tx.entries)
	r.lb1.SetUp(t, false)
	if got := fill(t, l, ring+500, 1); got != ring {
		t.Errorf("%d frames were queued, want %d", got, ring)
	}
	c := l.Counters()
	if c.SendFailed != 500 || c.SendFull != 0 || c.Sent != uint64(ring) {
		t.Errorf("counters are %+v, want 500 failed and %d sent", c, ring)
	}
	if c.Wakeups > 20 {
		t.Errorf("%d system calls were made for a link that is down, want a few", c.Wakeups)
	}
	var b packet.Batch
	for range 100000 { // spinning, without Wait
		if _, err := l.Recv(&b); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.Counters().Wakeups - c.Wakeups; got > 100 {
		t.Errorf("%d system calls were made in 100000 breaths, want a few", got)
	}
	r.lb1.SetUp(t, true)
	arrived := 0
	testenv.Await(t, "all queued frames arrive", func() bool {
		l.Recv(&b)
		l.Wait(time.Millisecond)
		for sv.Recv(t, 0, mine) != nil {
			arrived++
		}
		return arrived == ring
	})
	l.Recv(&b)
	if got := l.(*lane).send[1].outstanding; got != 0 {
		t.Errorf("%d frames have not come back from the kernel", got)
	}
	audit(t, l)
}

// TestRxOverflow leaves frames unread until the kernel drops: all are accounted for, and reception goes on.
func TestRxOverflow(t *testing.T) {
	r := newRig(t, nil)
	l := r.open(t, Options{Ports: oneArm(), Frames: 4 * least}).Lane(0)
	cl := testenv.OpenTap(t, &r.cl0)
	const sent = 1000
	for i := range sent {
		cl.Send(t, request(uint16(i), 10))
	}
	came := 0
	dropped := func() int { return int(l.Counters().RxDropped) } // as of the last look, which an idle breath takes
	receiveUntil(t, func() bool { return came+dropped() >= sent }, func() int {
		n := len(breathe(t, l))
		came += n
		return n
	})
	if came == 0 || came+dropped() != sent {
		t.Errorf("%d frames came and %d were dropped, want %d in all", came, dropped(), sent)
	}
	for i := range 2 * least {
		cl.Send(t, request(uint16(i), 10))
		if got := receive(t, l, 1); len(got) != 1 {
			t.Fatalf("frame %d after the overflow has not come", i)
		}
	}
	audit(t, l)
}

// TestInterfaceDeleted deletes an interface while frames flow: the lane says which one, whether it was the one that
// receives or the one that sends, busy or idle. The Set can be closed, and opened when the interface is back.
func TestInterfaceDeleted(t *testing.T) {
	for _, tt := range []struct {
		name, gone string
		busy       bool
	}{
		{"receiving, busy", "lb0", true}, {"sending, busy", "lb1", true},
		{"receiving, idle", "lb0", false}, {"sending, idle", "lb1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			ports := []PortOptions{{Name: "lb0", Receive: true}, {Name: "lb1"}}
			s := r.open(t, Options{Ports: ports})
			l := s.Lane(0)
			f := startForwarder(l, 1)
			cl, quit := testenv.OpenTap(t, &r.cl0), make(chan struct{})
			flowing := make(chan struct{})
			go func() {
				defer close(flowing)
				for tt.busy {
					select {
					case <-quit:
						return
					default:
						cl.Send(t, request(1, 100))
					}
				}
			}()
			time.Sleep(20 * time.Millisecond)
			if tt.gone == "lb0" {
				r.lb0.Delete(t)
			} else {
				r.lb1.Delete(t)
			}
			var gone *PortGoneError
			err := f.fails(t)
			close(quit)
			<-flowing
			if !errors.As(err, &gone) || gone.Name != tt.gone {
				t.Errorf("the lane ended with %v, want that %s is gone", err, tt.gone)
			}
			audit(t, l)
			var b packet.Batch
			if n, err := l.Recv(&b); n != 0 || !errors.As(err, &gone) {
				t.Errorf("Recv again says %d, %v", n, err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if tt.gone == "lb0" {
				testenv.Veth(t, r.cl0, r.lb0)
			} else {
				testenv.Veth(t, r.lb1, r.sv0)
			}
			l = r.open(t, Options{Ports: twoArms()}).Lane(0)
			defer forwarder(l, 0)()
			cl = testenv.OpenTap(t, &r.cl0)
			testenv.Await(t, "frames come back over the new interface", func() bool { return comesBack(t, cl, 5) })
		})
	}
}

// TestFilterChangesWhileFramesFlow changes the filter all the time: a service that stays is never interrupted, in
// particular when it becomes one port of what was all ports.
func TestFilterChangesWhileFramesFlow(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: oneArm()})
	defer forwarder(s.Lane(0), 0)()
	cl, kernel := testenv.OpenTap(t, &r.cl0), testenv.OpenTap(t, &r.lb0)
	quit, done := make(chan struct{}), make(chan error)
	go func() {
		all := forward.Filter{Keys: []forward.FilterKey{{Addr: addr(vip4), Proto: packet.ProtoUDP}, {Addr: addr(vip6), Proto: packet.ProtoTCP, Port: 1}}}
		for i := 0; ; i++ {
			select {
			case <-quit:
				done <- nil
				return
			default:
			}
			f := services
			if i%2 == 0 {
				f = all
			}
			if err := s.SetFilter(f); err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 2000 {
		frame := request(uint16(i), 40)
		cl.Send(t, frame)
		swapMACs(frame)
		if cl.Recv(t, testenv.Patience, func(f []byte) bool { return bytes.Equal(f, frame) }) == nil {
			t.Fatalf("frame %d has not come back, the kernel has got % x", i, kernel.Recv(t, 0, mine))
		}
	}
	close(quit)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := kernel.Recv(t, 10*time.Millisecond, mine); got != nil {
		t.Errorf("the kernel has got % x", got)
	}
}

// TestOpenAgain closes and opens at once: the kernel lets a queue go some time after its socket was closed.
func TestOpenAgain(t *testing.T) {
	r := newRig(t, nil)
	cl := testenv.OpenTap(t, &r.cl0)
	for i := range 10 {
		s := r.open(t, Options{Ports: twoArms()})
		stop := forwarder(s.Lane(0), 0)
		testenv.Await(t, "frames come back", func() bool { return comesBack(t, cl, uint16(i)) })
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.SetFilter(services); !errors.Is(err, ErrClosed) {
			t.Errorf("SetFilter after Close: %v, want %v", err, ErrClosed)
		}
	}
	r.checkKernel(t)
}
