package forward_test

import (
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// newQuickBench is a bench whose lane has an accelerator, which takes a connection after its fourth packet.
func newQuickBench(t *testing.T, rules ...string) (*bench, *forwardtest.Accelerator) {
	b := newBench(t, forward.Options{Accelerate: forward.Accelerate{Every: 4, Within: 100 * time.Millisecond}}, rules...)
	b.lane = forwardtest.New(t, forwardtest.Options{Accelerate: func() clock.Mono { return b.now }})
	b.w.SetLane(b.lane)
	return b, b.lane.Accelerator().(*forwardtest.Accelerator)
}

// talk sends n packets with ACK, a millisecond apart, and returns how many left.
func (b *bench) talk(from string, n int, flags uint8) (left int) {
	b.t.Helper()
	for range n {
		b.now = b.now.Add(time.Millisecond)
		left += len(b.send(packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoTCP, from, vip), SrcMAC: clientMAC, DstMAC: directorMAC,
			TCPFlags: flags, DF: true})))
	}
	return left
}

// TestAccelerates follows a connection from its SYN to its end: the accelerator has it while it is established, and all that is
// listed and counted is as without.
func TestAccelerates(t *testing.T) {
	b, quick := newQuickBench(t, oneServer...)
	b.talk(client(1), 1, packet.SYN)
	if b.talk(client(1), 2, packet.ACK); quick.Len() != 0 {
		t.Errorf("the accelerator has it after three packets")
	}
	if b.talk(client(1), 1, packet.ACK); quick.Len() != 1 {
		t.Errorf("the accelerator does not have it after four packets")
	}
	before := b.counters().Received
	if left := b.talk(client(1), 50, packet.ACK|packet.PSH); left != 50 || b.counters().Received != before {
		t.Errorf("of 50 packets %d left, %d by the worker", left, b.counters().Received-before)
	}
	b.now = b.now.Add(300 * time.Millisecond)
	b.step()
	b.now = b.now.Add(time.Millisecond)
	b.step()
	if c := b.counters(); c.Accelerated != 50 || c.Quick != 1 {
		t.Errorf("%d packets, %d connections, want 50 and 1", c.Accelerated, c.Quick)
	}
	if got := b.snap.Dests[0].Tally.Read(); got.Packets != 54 || got.Bytes != 54*40 {
		t.Errorf("%d packets and %d bytes of the server, want 54 and %d", got.Packets, got.Bytes, 54*40)
	}
	conns := b.conns()
	if len(conns) != 1 || conns[0].State != conntrack.TCPEstablished || conns[0].Left.Round(10*time.Millisecond) != 900*time.Second-300*time.Millisecond {
		t.Errorf("listed is %+v, want it established with the time since its last packet gone", conns)
	}
	b.talk(client(1), 1, packet.FIN|packet.ACK)
	if conns := b.conns(); quick.Len() != 0 || len(conns) != 1 || conns[0].State != conntrack.TCPFinWait {
		t.Errorf("after its FIN the accelerator has %d connections, and listed is %+v", quick.Len(), conns)
	}
	if b.talk(client(1), 8, packet.ACK); quick.Len() != 0 {
		t.Error("the accelerator has a connection that is closing")
	}
}

// TestAcceleratedLives: a connection that only the accelerator hears of does not end, and ends in time when that hears nothing.
func TestAcceleratedLives(t *testing.T) {
	b, quick := newQuickBench(t, oneServer...)
	b.edit(func(s *forward.Snapshot) { s.Timeouts.TCP = 2 * time.Second })
	b.talk(client(1), 1, packet.SYN)
	b.talk(client(1), 3, packet.ACK)
	for range 100 { // packets and breaths a tenth of a second apart, for ten seconds
		b.now = b.now.Add(100 * time.Millisecond)
		b.step()
		b.talk(client(1), 1, packet.ACK)
	}
	if quick.Len() != 1 || len(b.conns()) != 1 {
		t.Fatalf("the accelerator has %d connections, the table %d, want 1", quick.Len(), len(b.conns()))
	}
	b.now = b.now.Add(1900 * time.Millisecond)
	b.step()
	if len(b.conns()) != 1 {
		t.Error("it ended before its time")
	}
	b.now = b.now.Add(150 * time.Millisecond)
	b.step()
	if quick.Len() != 0 || len(b.conns()) != 0 || b.snap.Dests[0].Load.Active() != 0 {
		t.Errorf("at its end the accelerator has %d connections, the table %d, its server %d", quick.Len(), len(b.conns()),
			b.snap.Dests[0].Load.Active())
	}
}

// TestAcceleratorFollowsSnapshots: what a snapshot says of a server is in force for the accelerator at once.
func TestAcceleratorFollowsSnapshots(t *testing.T) {
	b, quick := newQuickBench(t, oneServer...)
	b.talk(client(1), 1, packet.SYN)
	b.talk(client(1), 3, packet.ACK)
	quickly := func(want bool, what string) {
		t.Helper()
		before := b.counters().Received
		b.talk(client(1), 1, packet.ACK)
		if got := b.counters().Received == before; got != want {
			t.Errorf("%s: accelerated %v, want %v", what, got, want)
		}
	}
	quickly(true, "at first")
	other := packet.MAC{2, 0, 0, 0, 9, 9}
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Hop.Dst = other })
	b.now = b.now.Add(time.Millisecond)
	out := b.send(packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), vip), SrcMAC: clientMAC, DstMAC: directorMAC,
		TCPFlags: packet.ACK}))
	if len(out) != 1 || packet.Ethernet(out[0]).Dst() != other {
		t.Errorf("with another next hop %d frames left", len(out))
	}
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Hop.OK = false })
	quickly(false, "no next hop")
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Hop.OK = true })
	quickly(true, "a next hop again")
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Method, s.Dests[0].WasNAT = forward.NAT, true })
	if quickly(false, "another method"); quick.Len() != 0 {
		t.Error("the accelerator has a connection whose server is reached by another method")
	}
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Method, s.Dests[0].WasNAT = forward.DR, false })
	b.talk(client(1), 4, packet.ACK)
	quickly(true, "the method of before")
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Gone = true })
	if left := b.talk(client(1), 1, packet.ACK); left != 0 || b.last.Drop != packet.DropServerGone {
		t.Errorf("of a server that is gone %d frames left, %v", left, b.last.Drop)
	}
	b.w.SetLane(forwardtest.New(t, forwardtest.Options{}))
	if conns := b.conns(); len(conns) != 1 || b.counters().Quick != 0 {
		t.Errorf("on a lane without accelerator %d connections are listed, %d of the accelerator", len(conns), b.counters().Quick)
	}
}

// TestManyAccelerated has more connections than there is room for come, go and take turns, and counts what left.
func TestManyAccelerated(t *testing.T) {
	const many = 1500 // the accelerator takes 1024
	b, quick := newQuickBench(t, twoServers...)
	left, sent := 0, 0
	for p := range many {
		left += b.talk(client(1000+p), 1, packet.SYN)
		left += b.talk(client(1000+p), 4, packet.ACK)
		sent += 5
		if p%3 == 0 {
			left += b.talk(client(1000+p-p/2), 1, packet.FIN|packet.ACK)
			sent++
		}
	}
	if left != sent {
		t.Errorf("%d of %d packets left", left, sent)
	}
	if n := b.counters().Quick; int(n) != quick.Len() || n < 500 || n > 1024 {
		t.Errorf("the accelerator has %d connections, the worker counts %d", quick.Len(), n)
	}
	b.now = b.now.Add(20 * time.Minute)
	for range 200 {
		b.now = b.now.Add(20 * time.Millisecond)
		b.step()
	}
	var packets uint64
	for i := range b.snap.Dests {
		packets += b.snap.Dests[i].Tally.Read().Packets
	}
	if quick.Len() != 0 || len(b.conns()) != 0 || packets != uint64(sent) {
		t.Errorf("in the end the accelerator has %d connections, the table %d; %d packets counted, want %d", quick.Len(),
			len(b.conns()), packets, sent)
	}
}
