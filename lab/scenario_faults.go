package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// faultsScenario breaks a pair of directors in every way that is known to break one, and says what its users saw: for how
// long nobody was answered, and for how long there were two masters. docs/manual/vrrp.md has its table.
func faultsScenario() scenario {
	return scenario{name: "faults", title: "Every way in which a pair of directors breaks, and what its users see.", spec: faultsSpec,
		takes: "NUMBER…", steps: []func(*scene) error{faultsPlay}}
}

const (
	slowAdverts = "version 3\n    advert_int 1"
	fastAdverts = "version 3\n    advert_int 0.01"
	bfdSession  = `
    track_bfd {
        peer takeover
    }
outside:bfd_instance peer {
    neighbor_ip PEER
    min_rx 50
    min_tx 50
    multiplier 3
}`
	faultsVIP = "192.168.56.200"
)

// faultsSpec is the cluster of the articles with a second director, and a second network between the directors.
func faultsSpec() Spec {
	s := DefaultSpec()
	first, second := &s.Nodes[1], s.Nodes[1]
	second.Name, second.MAC, second.Addrs = "lb2", net.HardwareAddr{8, 0, 0x27, 0xfb, 0x6e, 0x22}, prefixes("192.168.56.102/24")
	first.More = []Wire{{Net: "hb", Interface: "enp0s9", Addrs: prefixes("10.9.0.1/24")}}
	second.More = []Wire{{Net: "hb", Interface: "enp0s9", Addrs: prefixes("10.9.0.2/24")}}
	s.Nodes = append(s.Nodes, second)
	return s
}

// faultsConf is the configuration of a director; more stands in its vrrp_instance, PEER and PEER9 are the other one's addresses.
func faultsConf(node, more string) string {
	state, priority, peer := "MASTER", 200, "2"
	if node == "lb2" {
		state, priority, peer = "BACKUP", 100, "1"
	}
	inside, outside, _ := strings.Cut(more, "outside:")
	text := fmt.Sprintf(`vrrp_instance VI_1 {
    state %s
    interface enp0s8
    virtual_router_id 62
    priority %d
    %s
    virtual_ipaddress {
        %s
    }
}
virtual_server %[4]s 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 192.168.56.103 80 {
        weight 1
    }
    real_server 192.168.56.104 80 {
        weight 1
    }
}
%[5]s
`, state, priority, inside, faultsVIP, outside)
	return strings.NewReplacer("PEER9", "10.9.0."+peer, "PEER", "192.168.56.10"+peer).Replace(text)
}

// fault is one way to break the pair.
type fault struct {
	name   string
	more   string // of the instance
	broken func(p *broken) error
	mend   func(p *broken) error // nil: both directors are started anew anyway
	most   time.Duration         // until the first answer
	both   time.Duration         // with two masters, at most
	lasts  time.Duration         // of the fault, before it is mended; 0: until the backup is master
}

// broken is a pair during a fault.
type broken struct {
	*scene        // as seen from the first director
	second *scene // as seen from the second
	fault  *fault
}

// addressLives is how long the kernel keeps the addresses of a director that is gone, with adverts each second: three intervals
// and one second, and what the kernel adds to a lifetime in whole seconds.
const addressLives = 6 * time.Second

func faults() []fault {
	kill := func(p *broken) error { return p.d.stop(unix.SIGKILL, final) }
	freeze := func(p *broken) error { return p.d.cmd.Process.Signal(unix.SIGSTOP) }
	thaw := func(p *broken) error { return p.d.cmd.Process.Signal(unix.SIGCONT) }
	unplug := func(p *broken) error { return p.port("lb1", (*netlink.Handle).LinkSetDown) }
	plugged := func(p *broken) error { return p.port("lb1", (*netlink.Handle).LinkSetUp) }
	apart := func(on bool) func(p *broken) error {
		return func(p *broken) error {
			isolate := func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetIsolated(l, on) }
			return errors.Join(p.port("lb1", isolate), p.port("lb2", isolate))
		}
	}
	stop := func(p *broken) error { return p.d.stop(unix.SIGTERM, gentle) }
	const skew = time.Second * (256 - 100) / 256
	slow, margin := 3*time.Second+skew+haMargin, haMargin
	second := slowAdverts + "\n    heartbeat {\n        interface enp0s9\n    }"
	return []fault{
		{"clean stop", slowAdverts, stop, nil, margin, 2 * time.Second, 0},
		{"kill -9", slowAdverts, kill, nil, slow, addressLives, 0},
		{"link down", slowAdverts, unplug, plugged, slow, margin, 0},
		{"frozen for 8 s", slowAdverts, freeze, thaw, slow, addressLives, 8 * time.Second},
		{"clean stop, advert_int 0.01", fastAdverts, stop, nil, margin, time.Second, 0},
		{"kill -9, advert_int 0.01", fastAdverts, kill, nil, 100 * time.Millisecond, addressLives, 0},
		{"link down, advert_int 0.01", fastAdverts, unplug, plugged, 100 * time.Millisecond, margin, 0},
		{"frozen for 8 s, advert_int 0.01", fastAdverts, freeze, thaw, 100 * time.Millisecond, addressLives, 8 * time.Second},
		{"kill -9, BFD 50 ms x 3", slowAdverts + bfdSession, kill, nil, 300 * time.Millisecond, addressLives, 0},
		{"frozen for 8 s, BFD 50 ms x 3", slowAdverts + bfdSession, freeze, thaw, 300 * time.Millisecond, addressLives, 8 * time.Second},
		{"directors cannot hear each other for 5 s", slowAdverts, apart(true), apart(false), margin, 6 * time.Second, 5 * time.Second},
		{"the same with a second heartbeat", second, apart(true), apart(false), margin, 0, 5 * time.Second},
	}
}

// port does something with the switch's port of a node.
func (p *broken) port(node string, do func(*netlink.Handle, netlink.Link) error) error {
	h, err := p.c.Netlink(switchName)
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(node)
	if err != nil {
		return err
	}
	return do(h, l)
}

func faultsPlay(s *scene) error {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tfirst answer after\tanswers lost\ttwo masters for")
	chosen, err := chosenFaults(s.args)
	if err != nil {
		return err
	}
	for _, f := range chosen {
		b := &broken{scene: s, fault: &f}
		line, err := b.play()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.begin("What was seen.")
	s.saw("%s", table.String())
	return nil
}

// chosenFaults are those with the given numbers, counted from 1; all of them, if there is none.
func chosenFaults(numbers []string) ([]fault, error) {
	all := faults()
	if len(numbers) == 0 {
		return all, nil
	}
	var out []fault
	for _, s := range numbers {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > len(all) {
			return nil, fmt.Errorf("%w: there is no fault %q; there are 1 to %d", errUsage, s, len(all))
		}
		out = append(out, all[n-1])
	}
	return out, nil
}

// play starts both directors, breaks them, and looks.
func (b *broken) play() (line string, err error) {
	f := b.fault
	b.begin(strings.ToUpper(f.name[:1]) + f.name[1:] + ".")
	b.machine = b.newMachine("lb1")
	b.second = b.at(b.newMachine("lb2"))
	defer stopAll(b.machine, b.second.machine)
	if err := errors.Join(b.boot(faultsConf("lb1", f.more)), b.second.boot(faultsConf("lb2", f.more))); err != nil {
		return "", err
	}
	if err := b.said(place{}, ample, "Entering MASTER STATE"); err != nil {
		return "", err
	}
	if err := pause(b.ctx, b.c.clk, 500*time.Millisecond); err != nil {
		return "", err
	}
	holders := b.watchHolders()
	w := b.watch(demoClient, "http://"+faultsVIP+"/", haEvery)
	err = pause(b.ctx, b.c.clk, 200*time.Millisecond)
	begin := b.c.clk.Now()
	err = errors.Join(err, f.broken(b))
	switch {
	case f.lasts > 0:
		err = errors.Join(err, pause(b.ctx, b.c.clk, f.lasts))
	default:
		err = errors.Join(err, b.second.said(place{}, ample, "Entering MASTER STATE"), pause(b.ctx, b.c.clk, time.Second))
	}
	if f.mend != nil {
		err = errors.Join(err, f.mend(b))
	}
	err = errors.Join(err, pause(b.ctx, b.c.clk, b.settle()))
	list, two := w.end(), holders.end(begin)
	if err != nil {
		return "", err
	}
	gap, err := outage(list, begin)
	if err != nil {
		return "", err
	}
	lost := len(failures(list, begin, begin.Add(time.Hour)))
	b.saw("the first answer came %.2f s after, %d of %d requests were not answered, two masters for %.2f s", gap.Seconds(), lost, len(list), two.Seconds())
	b.within(gap, f.most, "somebody answers within %.2f s", f.most.Seconds())
	b.within(two, f.both+haMargin, "there are not two masters for more than %.1f s", f.both.Seconds())
	return fmt.Sprintf("%s\t%.2f s\t%d of %d\t%.2f s", f.name, gap.Seconds(), lost, len(list), two.Seconds()), nil
}

// settle is how long to look on after a fault: until the addresses of one that is gone have gone too.
func (b *broken) settle() time.Duration {
	if b.fault.both >= addressLives && b.fault.mend == nil {
		return addressLives
	}
	return 4 * time.Second
}

// holders looks every 20 ms which directors have the virtual address.
type holders struct {
	clk  clock.Clock
	stop chan struct{}
	done sync.WaitGroup
	two  []clock.Mono // when both had it
}

const holdersEvery = 20 * time.Millisecond

func (b *broken) watchHolders() *holders {
	h := &holders{clk: b.c.clk, stop: make(chan struct{})}
	h.done.Go(func() {
		for {
			select {
			case <-h.stop:
				return
			default:
			}
			if vip := netip.MustParseAddr(faultsVIP); b.has("lb1", vip) && b.has("lb2", vip) {
				h.two = append(h.two, h.clk.Now())
			}
			if pause(b.ctx, h.clk, holdersEvery) != nil {
				return
			}
		}
	})
	return h
}

// end returns for how long both had it since a time.
func (h *holders) end(since clock.Mono) (d time.Duration) {
	close(h.stop)
	h.done.Wait()
	for _, at := range h.two {
		if at >= since {
			d += holdersEvery
		}
	}
	return d
}
