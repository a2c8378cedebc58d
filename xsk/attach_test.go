package xsk

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// TestOpenErrors opens what cannot be opened: one sentence that says what is wrong and what to do, and nothing is left
// behind, on the ports that could be opened neither.
func TestOpenErrors(t *testing.T) {
	r := newRig(t, nil)
	bridge := netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", MTU: 1500}}
	if err := r.lb0.In.Links.LinkAdd(&bridge); err != nil {
		t.Fatal(err)
	}
	first := PortOptions{Name: "lb0", Receive: true}
	two := func(name string) []PortOptions { return []PortOptions{first, {Name: name, Receive: true}} }
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"no interface", Options{}, "0 interfaces to open, there must be between 1 and 256"},
		{"unknown interface", Options{Ports: two("eth7")}, "interface eth7 does not exist; name one of lb0, lb1, br0"},
		{"name that is none", Options{Ports: two(strings.Repeat("x", 99))}, "does not exist"},
		{"twice", Options{Ports: two("lb0")}, "interface lb0 is listed twice; name it once"},
		{"more queues than there are", Options{Ports: oneArm(), Queues: 2}, "interface lb0 has 1 queues, not 2; ask for as many as it has, or for all"},
		{"more workers than queues", Options{Ports: oneArm(), Workers: 2}, "run at most as many workers as it has queues"},
		{"few frames", Options{Ports: twoArms(), Frames: 100}, "100 frames are too few for 2 queues; set at least 384"},
		{"no native mode", Options{Ports: two("br0"), Mode: Native}, "attach the packet filter to br0 in native mode: operation not supported; its driver has no support for it; set mode auto or generic"},
		{"no zero copy", Options{Ports: twoArms(), ZeroCopy: ZeroCopyOn}, "bind to queue 0 of lb0: operation not supported; its driver has no zero copy; set zero_copy auto"},
		{"no such queue", Options{Ports: []PortOptions{first, {Name: "lb1", Queues: 3, Receive: true}}}, "bind to queue 1 of lb1: invalid argument; the interface has no such queue, or its driver no AF_XDP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := r.tryOpen(t, tt.o)
			if err == nil {
				s.Close()
				t.Fatal("Open succeeded")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open says\n\t%v, want\n\t%s", err, tt.want)
			}
			r.wantNoPrograms(t)
		})
	}
}

func TestMTUTooLargeForNative(t *testing.T) {
	r := newRig(t, func(r *rig) { r.cl0.MTU, r.lb0.MTU = 9000, 9000 })
	_, err := r.tryOpen(t, Options{Ports: oneArm(), Mode: Native})
	const want = "attach the packet filter to lb0 in native mode: numerical result out of range; its MTU, or that of its veth peer, is too large"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Open says\n\t%v, want\n\t%s…", err, want)
	}
	r.wantNoPrograms(t)
}

// TestBridge opens an interface that has no native mode: Auto takes generic, and says why.
func TestBridge(t *testing.T) {
	r := newRig(t, nil)
	bridge := netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", MTU: 1500}}
	if err := r.lb0.In.Links.LinkAdd(&bridge); err != nil {
		t.Fatal(err)
	}
	got := r.open(t, Options{Ports: []PortOptions{{Name: "br0", Receive: true}}}).Ports()[0]
	if got.Mode != "generic" || !strings.HasPrefix(got.Note, "the driver refuses native mode (operation not supported); ") ||
		!strings.Contains(got.Note, "ethtool -K br0 gro off lro off") {
		t.Errorf("opened as %+v", got)
	}
}

// TestQueueInUse opens a queue that another socket has for good.
func TestQueueInUse(t *testing.T) {
	r := newRig(t, nil)
	sending := []PortOptions{{Name: "lb1"}}
	r.open(t, Options{Ports: sending})
	_, err := r.tryOpen(t, Options{Ports: twoArms()})
	const want = "bind to queue 0 of lb1: device or resource busy; another process has an AF_XDP socket on it; stop that process"
	if err == nil || err.Error() != want {
		t.Errorf("Open says\n\t%v, want\n\t%s", err, want)
	}
	r.wantNoPrograms(t)
}

// TestSecondDirector opens what another dirsw has: it is left alone, with Replace too.
func TestSecondDirector(t *testing.T) {
	r := newRig(t, nil)
	r.open(t, Options{Ports: oneArm()})
	before, _ := r.programs(t, &r.lb0)
	for _, replace := range []bool{false, true} {
		_, err := r.tryOpen(t, Options{Ports: oneArm(), Replace: replace})
		if want := "another dirsw runs on interface lb0; stop it first"; err == nil || err.Error() != want {
			t.Errorf("Open says\n\t%v, want\n\t%s", err, want)
		}
	}
	if after, _ := r.programs(t, &r.lb0); len(after) != 1 || after[0] != before[0] {
		t.Errorf("lb0 has the programs %v, want %v as before", after, before)
	}
}

// stranger is a program of somebody else, which drops nothing.
func stranger(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "stranger", Type: ebpf.XDP, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestForeignProgram finds the program of somebody else on the interface. It is named and left alone, or displaced.
func TestForeignProgram(t *testing.T) {
	for _, tt := range []struct {
		name   string
		byLink bool
		theirs int // flags
		ours   Mode
		hint   string
	}{
		{"netlink, native", false, unix.XDP_FLAGS_DRV_MODE, Auto, `"ip link set dev lb1 xdp off"`},
		{"netlink, generic", false, unix.XDP_FLAGS_SKB_MODE, Auto, `"ip link set dev lb1 xdp off"`},
		{"netlink, both generic", false, unix.XDP_FLAGS_SKB_MODE, Generic, `"ip link set dev lb1 xdp off"`},
		{"link, native", true, unix.XDP_FLAGS_DRV_MODE, Auto, `"bpftool link detach id `},
		{"link, generic", true, unix.XDP_FLAGS_SKB_MODE, Auto, `"bpftool link detach id `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			prog := stranger(t)
			at := r.lb1.Link(t)
			if tt.byLink {
				r.lb1.In.Do(t, func() {
					l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: at.Attrs().Index, Flags: link.XDPAttachFlags(tt.theirs)})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { l.Close() })
				})
			} else {
				r.lb1.In.Do(t, func() {
					if err := netlink.LinkSetXdpFdWithFlags(at, prog.FD(), tt.theirs); err != nil {
						t.Fatal(err)
					}
				})
			}
			before, err := r.programs(t, &r.lb1)
			if err != nil || len(before) != 1 {
				t.Fatalf("lb1 has the programs %v (%v), want one", before, err)
			}
			_, err = r.tryOpen(t, Options{Ports: twoArms(), Mode: tt.ours})
			want := fmt.Sprintf("interface lb1 has the XDP program stranger (id %d) of somebody else; detach it with %s", before[0].id, tt.hint)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Open says\n\t%v, want\n\t%s…", err, want)
			}
			if after, _ := r.programs(t, &r.lb1); len(after) != 1 || after[0] != before[0] {
				t.Errorf("lb1 has %v afterwards, want %v", after, before)
			}
			if left, _ := r.programs(t, &r.lb0); len(left) != 0 {
				t.Errorf("lb0 has %v afterwards, want nothing", left)
			}
			s := r.open(t, Options{Ports: twoArms(), Mode: tt.ours, Replace: true})
			if after, _ := r.programs(t, &r.lb1); len(after) != 1 || after[0].id == before[0].id {
				t.Errorf("lb1 has %v after Replace, want another than %v", after, before)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			r.wantNoPrograms(t)
		})
	}
}

// TestExplain reads every hint, also of kernels that no test machine has.
func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{unix.EAFNOSUPPORT, "open: address family not supported by protocol; " + hintOld},
		{fmt.Errorf("deep: %w", unix.EPERM), "open: operation not permitted; " + hintRoot},
		{unix.ENOBUFS, "open: no buffer space available; " + hintLock},
		{unix.ENOMEM, "open: cannot allocate memory; " + hintLock},
		{fmt.Errorf("deep: %w", ebpf.ErrNotSupported), "open: not supported; " + hintOld},
		{unix.EIO, "open: input/output error"},
		{unix.ENODEV, "open: no such device; special"},
		{errors.New("else"), "open: else"},
	} {
		err := explain("open", tt.err, map[unix.Errno]string{unix.ENODEV: "special"})
		if err.Error() != tt.want {
			t.Errorf("explain says\n\t%v, want\n\t%s", err, tt.want)
		}
		if errno := unix.Errno(0); errors.As(tt.err, &errno) && !errors.Is(err, errno) {
			t.Errorf("%v does not wrap %v", err, errno)
		}
	}
	if err := explain("open", nil, nil); err != nil {
		t.Errorf("explain makes %v of nothing", err)
	}
}

// TestDown opens an interface that is down; it forwards once it is up.
func TestDown(t *testing.T) {
	r := newRig(t, nil)
	r.lb0.SetUp(t, false)
	defer forwarder(r.open(t, Options{Ports: oneArm()}).Lane(0), 0)()
	r.lb0.SetUp(t, true)
	cl := testenv.OpenTap(t, &r.cl0)
	testenv.Await(t, "frames come back", func() bool { return comesBackWithin(t, cl, 1, 20*time.Millisecond) })
}
