package wire

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"dirsw/packet"
)

const (
	frameLen = 60
	// liveFrames is BPF_F_TEST_XDP_LIVE_FRAMES: what the program returns is done, a redirection sends the frame.
	liveFrames = 1 << 1
	// repeat is how many frames one call sends. A call takes 28 ms to begin and to end, so it must be long.
	repeat = 1 << 22
)

// Generator says what the process with the generator sends. It does so until it is killed.
type Generator struct {
	Interface string // to send by
	DstMAC    string // of the director
	Dst       string // IPv4 address
	Flows     int    // a power of two
	CPU       int
}

// template is the frame of the first flow, with the fields that the BPF program changes as it expects them: host 1 in the
// source address, its complement as identification, the complements of both address and port in the payload.
func template(dst net.HardwareAddr, to string) (frame [64]byte) {
	const host, port = 1, 1024
	payload := make([]byte, 18)
	binary.BigEndian.PutUint16(payload, ^uint16(host))
	binary.BigEndian.PutUint16(payload[2:], ^uint16(port))
	s := packet.Spec{SrcMAC: packet.MAC(mac(clientMAC)), DstMAC: packet.MAC(dst), ID: ^uint16(host), Payload: payload,
		Tuple: packet.Tuple{Src: packet.AddrFrom(netip.AddrFrom4([4]byte{198, 18, 0, host})), SrcPort: port,
			Dst: packet.AddrFrom(netip.MustParseAddr(to)), DstPort: servicePort, Proto: packet.ProtoUDP}}
	packet.Build(frame[:0], s)
	return frame
}

// generatorObjects are the program that sends, with its variables set.
type generatorObjects struct {
	Generate *ebpf.Program `ebpf:"generate"`
}

// load makes the program ready to send by the interface with that index.
func (g *Generator) load(index int) (*ebpf.Program, error) {
	dst, err := net.ParseMAC(g.DstMAC)
	if err != nil {
		return nil, err
	}
	if g.Flows <= 0 || g.Flows&(g.Flows-1) != 0 {
		return nil, fmt.Errorf("%d flows: not a power of two", g.Flows)
	}
	spec, err := loadWire()
	if err != nil {
		return nil, err
	}
	for name, v := range map[string]any{wireVarFrame: template(dst, g.Dst), wireVarFlowMask: uint32(g.Flows - 1),
		wireVarInterface: uint32(index)} {
		if err := spec.Variables[name].Set(v); err != nil {
			return nil, fmt.Errorf("set %s of the generator: %w", name, err)
		}
	}
	var o generatorObjects
	if err := spec.LoadAndAssign(&o, nil); err != nil {
		return nil, fmt.Errorf("load the generator: %w", err)
	}
	return o.Generate, nil
}

// Run sends until the process is killed, or an error. It is the main function of a process of its own, which must be in
// the network namespace of the interface.
func (g *Generator) Run() error {
	var cpu unix.CPUSet
	cpu.Set(g.CPU)
	if err := unix.SchedSetaffinity(0, &cpu); err != nil {
		return fmt.Errorf("pin the generator to processor %d: %w", g.CPU, err)
	}
	i, err := net.InterfaceByName(g.Interface)
	if err != nil {
		return err
	}
	p, err := g.load(i.Index)
	if err != nil {
		return err
	}
	for {
		_, err := p.Run(&ebpf.RunOptions{Data: make([]byte, frameLen), Repeat: repeat, Flags: liveFrames})
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

// start starts a process that sends, with the program self and its flag -generate.
func (g *Generator) start(ctx context.Context, self string, n *namespace) (*process, error) {
	b, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-generate", string(b))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	return startProcess(n, "the generator", cmd)
}
