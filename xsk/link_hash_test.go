package xsk

import (
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// TestClassesLayout compares with struct ethtool_rxnfc on 64 bits.
func TestClassesLayout(t *testing.T) {
	var c classes
	if size, data := unsafe.Sizeof(c), unsafe.Offsetof(c.data); size != 192 || data != 8 {
		t.Errorf("%d bytes, data at %d; want 192, and 8", size, data)
	}
}

// TestReceiveHash asks a veth, which has no hash, and an interface that does not exist.
func TestReceiveHash(t *testing.T) {
	ns := testenv.NewNamespace(t)
	testenv.Veth(t, testenv.End{In: ns, Name: "v0", Queues: 2}, testenv.End{In: ns, Name: "v1", Queues: 2})
	for name, want := range map[string]error{"v0": unix.EOPNOTSUPP, "nothing": unix.ENODEV} {
		for _, flow := range []FlowType{FlowTCP4, FlowUDP4, FlowTCP6, FlowUDP6, FlowIPv4, FlowIPv6} {
			var fields HashFields
			var err error
			ns.Do(t, func() { fields, err = ReceiveHash(name, flow) })
			if !errors.Is(err, want) || fields != 0 {
				t.Errorf("%s, flow type %#x: fields %#x, %v; want %v", name, uint32(flow), uint32(fields), err, want)
			}
		}
	}
}
