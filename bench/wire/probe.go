package wire

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/clock"
	"dirsw/packet"
)

// Probe says what the process sends that measures how long a frame takes through a one-armed director and back.
type Probe struct {
	Interface string // to send by, and where the frame comes back
	DstMAC    string // of the director
	Dst       string // IPv4 address
	CPU       int
	Count     int           // of probes
	Every     time.Duration // from one to the next
}

// Latency is how long frames took, in microseconds: medians and the like of one run.
type Latency struct {
	P50, P99, P999 float64
	Lost           int
}

const (
	probePatience = 20 * time.Millisecond // after which a probe is lost
	probeMark     = 0x6469727377_6c6174   // "dirsw", "lat"
	probeData     = packet.EthernetLen + packet.IPv4MinLen + packet.UDPLen
)

// Run sends one probe after the other and returns what it measured. It is the main function of a process of its own, which
// must be in the network namespace of the interface.
func (p *Probe) Run(c clock.Clock) (*Latency, error) {
	if p.Count < 1 {
		return nil, fmt.Errorf("%d probes", p.Count)
	}
	if err := pinTo(p.CPU, 0); err != nil {
		return nil, err
	}
	fd, to, err := p.open()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	dst, err := net.ParseMAC(p.DstMAC)
	if err != nil {
		return nil, err
	}
	frame := template(dst, p.Dst)
	binary.BigEndian.PutUint64(frame[probeData:], probeMark)
	var took []float64
	l, at := new(Latency), c.Now()
	for i := range p.Count {
		for at = at.Add(p.Every); c.Now() < at; { // spinning: a timer would be later than what is measured
		}
		binary.BigEndian.PutUint64(frame[probeData+8:], uint64(i))
		sent := c.Now()
		if err := unix.Sendto(fd, frame[:frameLen], 0, to); err != nil {
			return nil, fmt.Errorf("send a probe: %w", err)
		}
		back, err := await(fd, c, sent, uint64(i))
		if err != nil {
			return nil, err
		}
		if back == 0 {
			l.Lost++
			continue
		}
		took = append(took, float64(back.Sub(sent))/float64(time.Microsecond))
	}
	if len(took) == 0 {
		return nil, errors.New("no probe has come back")
	}
	slices.Sort(took)
	at999 := func(n int) float64 { return took[(len(took)-1)*n/1000] }
	l.P50, l.P99, l.P999 = at999(500), at999(990), at999(999)
	return l, nil
}

// open makes a raw socket on the interface that sees what comes in and does not block. It takes every protocol: one for IP
// would come after the sink, which leaves nothing.
func (p *Probe) open() (fd int, to *unix.SockaddrLinklayer, err error) {
	i, err := net.InterfaceByName(p.Interface)
	if err != nil {
		return -1, nil, err
	}
	const all = unix.ETH_P_ALL << 8 // in network order
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, fmt.Errorf("open a raw socket: %w", err)
	}
	to = &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil {
		err = unix.Bind(fd, to)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, fmt.Errorf("bind a raw socket to %s: %w", p.Interface, err)
	}
	return fd, to, nil
}

// await spins until probe n has come back and returns when; 0 if it has not within the patience.
func await(fd int, c clock.Clock, sent clock.Mono, n uint64) (clock.Mono, error) {
	var b [2 * frameLen]byte
	for {
		got, _, err := unix.Recvfrom(fd, b[:], 0)
		now := c.Now()
		switch {
		case err == nil && got >= probeData+16 && binary.BigEndian.Uint64(b[probeData:]) == probeMark &&
			binary.BigEndian.Uint64(b[probeData+8:]) == n:
			return now, nil
		case err != nil && err != unix.EAGAIN && err != unix.EINTR:
			return 0, fmt.Errorf("receive a probe: %w", err)
		case now.Sub(sent) > probePatience:
			return 0, nil
		}
	}
}

// Latency measures a contender once with count probes, so far from each other. It must be one-armed.
func (b *Bench) Latency(ctx context.Context, c *Contender, count int, every time.Duration) (l *Latency, err error) {
	if c.Arms != 1 || c.OneCore {
		return nil, errors.New("latency is measured one-armed, the director on a processor of its own")
	}
	r, err := b.rig(1, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	dut, err := c.start(ctx, r, &c.Setup)
	if err != nil {
		return nil, err
	}
	if dut != nil {
		defer dut.stop()
	}
	p := Probe{Interface: r.cl, DstMAC: mac(inMAC).String(), Dst: c.dst(r), CPU: b.first, Count: count, Every: every}
	said, err := json.Marshal(&p)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.o.Self, "-probe", string(said))
	cmd.Env = append(os.Environ(), "GOGC=off")
	var out []byte
	if err := r.client.do(func() (err error) { out, err = cmd.Output(); return err }); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %w", err, firstLine(exit.Stderr))
		}
		return nil, fmt.Errorf("the probe: %w", err)
	}
	l = new(Latency)
	if err := json.Unmarshal(out, l); err != nil {
		return nil, fmt.Errorf("what the probe says: %w", err)
	}
	if l.Lost > max(count/100, 10) {
		return nil, fmt.Errorf("%d of %d probes were lost", l.Lost, count)
	}
	return l, nil
}
