package wire

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

//go:embed c/forwarder.c
var forwarderSource []byte

var errNoCompiler = errors.New("there is no C compiler; install gcc or clang")

// Forwarder is plain AF_XDP in C.
func (b *Bench) Forwarder(s Setup) (*Contender, error) {
	if b.forwarder == "" {
		return nil, errNoCompiler
	}
	return &Contender{Name: "AF_XDP in C", Setup: s, dst: toService, start: func(ctx context.Context, r *rig, s *Setup) (*process, error) {
		if s.OneCore || s.Sleeps {
			return b.startForwarder(ctx, r, pollAtOnce, false)
		}
		return b.startForwarder(ctx, r, "spin", false)
	}}, nil
}

// pollAtOnce has the forwarder sleep as soon as it found nothing once.
const pollAtOnce = "1"

// takeObjects are the filter of the forwarder in C.
type takeObjects struct {
	Take   *ebpf.Program `ebpf:"take"`
	Socket *ebpf.Map     `ebpf:"socket"`
}

// startForwarder starts the forwarder in C between the director's interfaces: to the servers, and from them if both.
func (b *Bench) startForwarder(ctx context.Context, r *rig, wait string, both bool) (*process, error) {
	args := []string{strconv.Itoa(b.last), wait, r.in, r.out, r.outgoingMAC().String(), r.sinkMAC().String()}
	from := []string{r.in}
	if both {
		args, from = append(args, mac(inMAC).String(), mac(clientMAC).String()), append(from, r.out)
	}
	cmd := exec.CommandContext(ctx, b.forwarder, args...)
	for _, dev := range from {
		f, err := r.take(dev)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	line := make(chan string, 1)
	p, err := startProcess(r.director, "the forwarder in C", cmd)
	if err != nil {
		return nil, err
	}
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- s
	}()
	if <-line != "ready\n" {
		<-p.ended
		return nil, p.failure()
	}
	return p, nil
}

// take puts the filter of the forwarder on an interface of the director and returns the map that its socket belongs into.
func (r *rig) take(dev string) (*os.File, error) {
	var o takeObjects
	if err := loadWireObjects(&o, nil); err != nil {
		return nil, fmt.Errorf("load the filter of the forwarder: %w", err)
	}
	r.undo = append(r.undo, o.Take.Close, o.Socket.Close)
	err := r.director.do(func() error {
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: o.Take, Interface: i.Index, Flags: link.XDPDriverMode})
		if err != nil {
			return fmt.Errorf("attach the filter of the forwarder: %w", err)
		}
		r.undo = append(r.undo, l.Close)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return dupFile(o.Socket.FD(), "socket map")
}
