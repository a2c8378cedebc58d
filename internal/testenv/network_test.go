package testenv

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestVethCarriesFrames(t *testing.T) {
	a := End{In: NewNamespace(t), Name: "ta", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Queues: 2}
	b := End{In: NewNamespace(t), Name: "tb", MAC: [6]byte{2, 0, 0, 0, 0, 2}, MTU: 1400}
	Veth(t, a, b)
	if got := b.Link(t).Attrs(); got.MTU != 1400 || !bytes.Equal(got.HardwareAddr, b.MAC[:]) {
		t.Errorf("peer has MTU %d and address %v, want 1400 and %v", got.MTU, got.HardwareAddr, b.MAC)
	}
	if got := a.Link(t).Attrs().NumRxQueues; got != 2 {
		t.Errorf("first end has %d receive queues, want 2", got)
	}
	in, out := OpenTap(t, &a), OpenTap(t, &b)
	frame := append(append(append([]byte{}, b.MAC[:]...), a.MAC[:]...), "\x88\xb5 a frame of no protocol, long enough for all"...)
	in.Send(t, frame)
	if got := out.Recv(t, Patience, func(f []byte) bool { return f[12] == 0x88 }); !bytes.Equal(got, frame) {
		t.Errorf("received %q, want %q", got, frame)
	}
	if got := in.Recv(t, 10*time.Millisecond, func([]byte) bool { return true }); got != nil {
		t.Errorf("the sender sees %q, want nothing", got)
	}
	b.Delete(t)
	if _, err := a.In.Links.LinkByName(a.Name); err == nil {
		t.Error("the other end is left after Delete")
	}
}

func TestDoIsInside(t *testing.T) {
	n := NewNamespace(t)
	before, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	n.Do(t, func() {
		ifs, err := net.Interfaces()
		if err != nil || len(ifs) != 1 || ifs[0].Flags&net.FlagUp == 0 {
			t.Errorf("inside are %v (%v), want the loopback alone, up", ifs, err)
		}
		out, err := exec.Command("cat", "/proc/net/dev").Output()
		if err != nil || strings.Count(string(out), ":") != 1 {
			t.Errorf("a child sees %q (%v), want the loopback alone", out, err)
		}
	})
	n.Sysctl(t, "ipv4.ip_forward", "1")
	if after, _ := os.Readlink("/proc/thread-self/ns/net"); after != before {
		t.Errorf("after Do the thread is in %s, want %s", after, before)
	}
}
