package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"

	"dirsw/packet"
)

const (
	// tapBudget is the most frames that one breath reads from the tap, each by a system call.
	tapBudget = 16
	// tapAwake is for how many reads that found nothing, after a frame went either way, the tap is read every other breath.
	tapAwake = 4096
	// tapPause is the number of breaths between two reads of a tap that sleeps: a system call of 0.2 µs. Wait wakes it.
	tapPause = 64
)

// tap is the port to the kernel's own network stack. It belongs to the lane's goroutine. Answers come as a rule when
// something was written, so that is when reading is worth a system call.
type tap struct {
	port  uint8
	fd    int
	name  string
	reads bool // of several lanes, the first one reads

	pause int  // breaths until the next read
	idle  int  // reads that found nothing since a frame went either way
	gone  bool // somebody deleted the interface
}

// newTap returns nil if no port is a tap.
func newTap(ports []port, worker int) *tap {
	for i := range ports {
		if p := &ports[i]; p.Tap {
			return &tap{port: uint8(i), fd: p.FD, name: p.Name, reads: worker == 0, idle: tapAwake}
		}
	}
	return nil
}

// wake has the next breath read.
func (t *tap) wake() { t.pause, t.idle = 0, 0 }

// take moves what the kernel has sent by the tap into b, as far as there is room. If somebody has raised its MTU, what is too
// long for a frame comes cut short (tun_chr_read_iter), and Parse will not have it. What is for a group is from programs that
// introduce themselves on every interface: answers to clients have the address of the tap.
func (t *tap) take(u *umem, b *packet.Batch) {
	if t.pause > 0 {
		t.pause--
		return
	}
	if !t.reads {
		return
	}
	n := min(tapBudget, packet.BatchSize-b.N, len(u.free)-reserve)
	for range n {
		base, _ := u.pop()
		buf := u.buf(base)
		k, err := unix.Read(t.fd, buf[headroom:])
		if err != nil || k < packet.EthernetLen {
			u.push(base)
			t.rest(err)
			return
		}
		if buf[headroom]&1 != 0 {
			u.push(base)
			continue
		}
		b.Frames[b.N].Lend(buf, headroom, k, t.port, base)
		b.N++
		t.wake()
	}
}

// rest chooses when to read again after a read that gave nothing.
func (t *tap) rest(err error) {
	t.gone = err == unix.EBADFD
	if t.idle++; t.idle < tapAwake {
		t.pause = 1
		return
	}
	t.pause = tapPause
}

// give has the kernel receive a frame; false if it does not. A tag is taken off: the tap is in no VLAN.
func (t *tap) give(f *packet.Frame) bool {
	b := f.Bytes()
	if packet.Ethernet(b).Type() == packet.EtherTypeVLAN && len(b) >= packet.EthernetLen+packet.VLANTagLen {
		copy(b[packet.VLANTagLen:], b[:12])
		b = b[packet.VLANTagLen:]
	}
	for {
		_, err := unix.Write(t.fd, b)
		switch err {
		case nil:
			t.wake()
			return true
		case unix.EINTR:
			continue
		case unix.EBADFD:
			t.gone = true
		}
		return false
	}
}

// completeTap verifies what is said of a tap: nothing is asked of the kernel.
func (p *PortOptions) completeTap() error {
	switch {
	case p.FD < 0 || p.MTU <= 0 || p.MAC == packet.MAC{}:
		return fmt.Errorf("the tap %s needs its descriptor, MAC and MTU", p.Name)
	case p.Receive:
		return fmt.Errorf("the tap %s cannot have a packet filter", p.Name)
	case p.MTU > maxMTU:
		return fmt.Errorf("the tap %s has an MTU of %d, it may have %d", p.Name, p.MTU, maxMTU)
	}
	return nil
}
