package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func toService(*rig) string  { return virtual }
func toServer(r *rig) string { return r.serverAddr(1) }

// The methods of a director, as keepalived.conf names them.
const (
	DR  = "DR"
	NAT = "NAT"
	TUN = "TUN"
)

// Dirsw returns the maker of the program dirsw that forwards by a method.
func (b *Bench) Dirsw(method string) Maker {
	return func(s Setup) (*Contender, error) {
		if b.o.Dirsw == "" {
			return nil, errors.New("the program dirsw is not there")
		}
		return b.dirsw("dirsw "+method, b.o.Dirsw, method, s), nil
	}
}

// Other is that of the other build, which is a peer.
func (b *Bench) Other(method string) Maker {
	return func(s Setup) (*Contender, error) {
		c := b.dirsw("other dirsw "+method, b.o.Other, method, s)
		c.Ours = false
		return c, nil
	}
}

// dirsw is a build of dirsw.
func (b *Bench) dirsw(name, program, method string, s Setup) *Contender {
	return &Contender{Name: name, Ours: true, Setup: s, dst: toService,
		start: func(ctx context.Context, r *rig, s *Setup) (*process, error) {
			return b.startDirsw(ctx, r, program, s.wait(), r.configuration(method, "UDP"))
		}}
}

// Accelerated returns the maker of dirsw with its accelerator, which is measured once it has all flows. The far end must
// swallow what comes: of a veth, frames from XDP programs are taken by XDP or GRO only.
func (b *Bench) Accelerated(method string) Maker {
	return func(s Setup) (*Contender, error) {
		if b.o.Dirsw == "" {
			return nil, errors.New("the program dirsw is not there")
		}
		start := func(ctx context.Context, r *rig, s *Setup) (*process, error) {
			block := fmt.Sprintf("dataplane {\n\taccelerate %d\n}\n", max(s.Flows, 1<<16))
			return b.startDirsw(ctx, r, b.o.Dirsw, s.wait(), block+r.configuration(method, "UDP"))
		}
		return &Contender{Name: "accelerated " + method, Ours: true, Setup: s, dst: toService, start: start,
			warm: func(ctx context.Context) error { return b.awaitQuick(ctx, s.Flows) }}, nil
	}
}

// awaitQuick waits until the accelerator has nearly all flows.
func (b *Bench) awaitQuick(ctx context.Context, flows int) error {
	const poll, patience = 200 * time.Millisecond, 30 * time.Second
	var s struct{ Quick int }
	for range patience / poll {
		out, err := exec.CommandContext(ctx, b.o.Dirsw, "stats", "--json", "--socket", b.socket()).Output()
		if err == nil {
			err = json.Unmarshal(out, &s)
		}
		if err != nil {
			return fmt.Errorf("ask dirsw for its connections: %w", err)
		}
		if s.Quick >= flows-flows/100 {
			return b.sleep(ctx, b.o.Settle)
		}
		if err := b.sleep(ctx, poll); err != nil {
			return err
		}
	}
	return fmt.Errorf("of %d flows %d are accelerated after %v", flows, s.Quick, patience)
}

func (b *Bench) socket() string { return filepath.Join(b.o.Dir, "dirsw.sock") }

// wait is how the director waits for frames.
func (s *Setup) wait() string {
	if s.OneCore || s.Sleeps || s.Together {
		return "sleep"
	}
	return "busy-poll"
}

// configuration is what dirsw does in this rig: what the forwarder does, and the balancing.
func (r *rig) configuration(method, protocol string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "virtual_server %s %d {\n\tlb_algo rr\n\tlb_kind %s\n\tprotocol %s\n", virtual, servicePort, method, protocol)
	for i := range servers {
		fmt.Fprintf(&s, "\treal_server %s %d {\n\t\tweight 1\n\t}\n", r.serverAddr(i+1), servicePort)
	}
	s.WriteString("}\n")
	return s.String()
}

func (b *Bench) startDirsw(ctx context.Context, r *rig, program, wait, text string) (*process, error) {
	conf := filepath.Join(b.o.Dir, "dirsw.conf")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	ports := r.in
	if r.arms == 2 {
		ports += "," + r.out
	}
	cmd := exec.CommandContext(ctx, program, "run", "-f", conf, "--socket", b.socket(), "--interface",
		ports, "--mode", "native", "--wait", wait, "--cores", strconv.Itoa(b.last))
	p, err := startProcess(r.director, "dirsw", cmd)
	if err != nil {
		return nil, err
	}
	return p, b.awaitAttached(ctx, r, p)
}

// Forwarding is the kernel's own, without any balancing.
func (b *Bench) Forwarding(s Setup) (*Contender, error) {
	return b.kernel("kernel ip_forward", s, toServer, func(*rig) error { return nil })
}

// Nftables is DNAT by a hash of the client, which is what one would take without a director. Where its flows do not fit the
// kernel's table, which is a setting of the whole machine, there is room for them while it is measured: see RaisedFor.
func (b *Bench) Nftables(s Setup) (*Contender, error) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		return nil, errors.New("the program nft is not there; install nftables")
	}
	return b.kernel("nftables DNAT", s, toService, func(r *rig) error {
		if RaisedFor(s.Flows) {
			undo, err := makeRoom(2 * s.Flows)
			if err != nil {
				return err
			}
			r.undo = append(r.undo, undo)
		}
		return r.director.run(nft, r.ruleset())
	})
}

// RaisedFor reports whether the kernel tracks too few connections for so many flows of nftables, so that nf_conntrack_max and
// nf_conntrack_buckets are raised whenever that is measured, and put back after it.
func RaisedFor(flows int) bool { return tracks(flows) < flows }

// ruleset is nft's command line.
func (r *rig) ruleset() string {
	var to []string
	for i := range servers {
		to = append(to, fmt.Sprintf("%d : %s", i, r.serverAddr(i+1)))
	}
	return fmt.Sprintf("table ip lb { chain pre { type nat hook prerouting priority dstnat; ip daddr %s udp dport %d dnat to "+
		"jhash ip saddr . udp sport mod %d map { %s } ; } ; }", virtual, servicePort, servers, strings.Join(to, ", "))
}

// kernel is a contender without a process. It receives as a NIC's driver does, with GRO, without which veth has no NAPI.
func (b *Bench) kernel(name string, s Setup, dst func(*rig) string, prepare func(*rig) error) (*Contender, error) {
	ethtool, err := exec.LookPath("ethtool")
	if err != nil {
		return nil, errors.New("the program ethtool is not there; install it")
	}
	return &Contender{Name: name, Setup: s, dst: dst, start: func(_ context.Context, r *rig, _ *Setup) (*process, error) {
		if err := r.director.run(ethtool, "-K", r.in, "gro", "on"); err != nil {
			return nil, err
		}
		return nil, prepare(r)
	}}, nil
}
