package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

// cliLine is a command of a group with what it printed, or something that happened between two commands.
type cliLine struct {
	Group          string
	Cmd            *string
	Stdin          string
	Exit           int
	Stdout, Stderr string
	Traffic        []string
	Sleep          float64
}

// shell is where the commands of a group are typed: the product's own shell on the machine's table. Each command is a case.
type shell struct {
	group     string
	m         *machine
	err       error // why nothing can be played
	n         int
	shell     ipvsadm.Shell
	estimates director.Estimates
	estimate  clock.Mono // when the counters are looked at next
	out, errs bytes.Buffer
}

const (
	// The kernel looks at its counters every two seconds, the transcript does not say when. They are looked at here when two
	// seconds have passed for certain since the traffic, and earlier where a listing shows that the kernel had, see orEarlier.
	estimateEvery = 2 * time.Second

	// perCommand is how much later than by our clock it may be after a command: the guest was slow.
	perCommand = 300 * time.Millisecond
)

func (p *player) newShell(group string) *shell {
	s := &shell{group: group}
	if s.m, s.err = p.newMachine(newTopology(0, 0)); s.err != nil {
		return s
	}
	s.m.repeats = 0 // its packets are counted
	s.estimate = s.m.now.Add(estimateEvery)
	f, err := os.Open("/etc/services")
	if err != nil {
		s.err = err
		return s
	}
	defer f.Close()
	names, err := ipvsadm.ReadServices(f)
	s.err = err
	s.shell = ipvsadm.Shell{Table: s, Resolver: s.m.names, Names: ipvsadm.Names{Port: names.Name, Host: hostName}, Schedulers: transcriptSchedulers(),
		Link: func(name string) (int, bool) {
			if name == "lo" {
				return 65536, true
			}
			port, err := portOf(name)
			if err != nil {
				return 0, false
			}
			return s.m.top.mtu[port], true
		}}
	return s
}

// hostName is the name of an address in /etc/hosts of the guest.
func hostName(a netip.Addr) string {
	if a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return "localhost"
	}
	return ""
}

// transcriptSchedulers are those of the kernel that the transcripts are of, which was built without twos.
func transcriptSchedulers() []string {
	return append(slices.DeleteFunc(sched.Names(), func(name string) bool { return name == "twos" }), sched.Nobody)
}

func (s *shell) close() {
	if s.m != nil {
		s.m.close()
	}
}

func (p *player) cliLine(line []byte) error {
	var l cliLine
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	if p.shell == nil || p.shell.group != l.Group {
		if p.shell != nil {
			p.shell.close()
		}
		p.shell = p.newShell(l.Group)
	}
	s := p.shell
	s.n++
	if l.Cmd == nil {
		if s.err == nil {
			s.err = guarded(func() error { return s.happen(&l) })
		}
		return nil
	}
	err := s.err
	if err == nil {
		err = guarded(func() error { return s.command(&l) })
	}
	p.tell(fmt.Sprintf("cli/%s/%d: %s", l.Group, s.n, *l.Cmd), err)
	return nil
}

// words splits a command as a shell would; the only quotation in transcripts is that of the empty word.
func words(cmd string) []string {
	list := strings.Fields(cmd)
	for i := range list {
		list[i] = strings.Trim(list[i], `"`)
	}
	return list
}

// command runs a command and compares exit status, standard output and standard error.
func (s *shell) command(l *cliLine) error {
	s.m.late += perCommand
	args := words(*l.Cmd)
	switch {
	case len(args) > 0 && (args[0] == "ipvsadm-save" || args[0] == "ipvsadm-restore"):
		words, err := ipvsadm.Script(args[0], args[1:])
		if err != nil {
			return sameAnswer(ipvsadm.ExitStatus(err), ipvsadm.Stderr(err), l)
		}
		return s.typed(words, l)
	case len(args) == 0 || args[0] != "ipvsadm":
		return s.orEarlier(*l.Cmd, func() error { return s.file(*l.Cmd, l.Stdout) })
	}
	return s.orEarlier(*l.Cmd, func() error { return s.typed(args[1:], l) })
}

// orEarlier compares what shows counters; where they differ, it does so again as if the kernel had looked at its counters
// a moment ago.
func (s *shell) orEarlier(cmd string, compare func() error) error {
	err := compare()
	if err == nil || !strings.Contains(cmd, "stats") && !strings.Contains(cmd, "--rate") {
		return err
	}
	s.estimates.Sample(s.m.snap)
	if compare() != nil {
		return err
	}
	s.estimate = s.m.now.Add(estimateEvery)
	return nil
}

func (s *shell) typed(args []string, l *cliLine) error {
	s.out.Reset()
	s.errs.Reset()
	exit := s.shell.Run(args, strings.NewReader(l.Stdin), &s.out, &s.errs)
	if err := sameAnswer(exit, withoutHint(s.errs.String()), l); err != nil {
		return err
	}
	c, _ := s.m.names.ParseArgs(args)
	return s.sameOutput(c, l.Stdout)
}

// sameAnswer compares all but standard output.
func sameAnswer(exit int, stderr string, l *cliLine) error {
	if exit != l.Exit {
		return differs(fmt.Sprintf("%d (%s)", exit, strings.TrimSpace(stderr)), l.Exit, "exit status")
	}
	if stderr != l.Stderr {
		return differs(strconv.Quote(stderr), strconv.Quote(l.Stderr), "standard error")
	}
	return nil
}

// withoutHint takes away the last line of standard error if it is dirsw's own.
func withoutHint(stderr string) string {
	body := strings.TrimSuffix(stderr, "\n")
	at := strings.LastIndexByte(body, '\n') + 1
	if strings.HasPrefix(body[at:], "hint: ") {
		return stderr[:at]
	}
	return stderr
}

// Edit has the worker follow a changed table.
func (s *shell) Edit(change func(*config.Model) error) error {
	next := s.m.model.Clone()
	if err := change(next); err != nil {
		return err
	}
	if err := s.m.publish(next); err != nil {
		return err
	}
	s.m.model = *next
	return nil
}

// Zero has counters begin anew.
func (s *shell) Zero(only *config.ServiceKey) error {
	if only != nil && s.m.model.Service(*only) == nil {
		return ipvsadm.ErrNoService
	}
	s.estimates.Restart(s.m.snap, only)
	return nil
}

// Listing is the table with what traffic did.
func (s *shell) Listing(ipvsadm.Format) (ipvsadm.Listing, error) {
	l := ipvsadm.FromModel(&s.m.model)
	return l, s.fill(&l)
}

func (s *shell) fill(l *ipvsadm.Listing) error {
	m := s.m
	for i := range l.Services {
		to := &l.Services[i]
		svc, err := m.inForce(to.ServiceKey)
		if err != nil {
			return err
		}
		to.Stats, to.Rate = s.counters(svc.Tally)
		for _, p := range svc.Pool.Dests {
			d := &m.snap.Dests[p.ID]
			for k := range to.Dests {
				if r := &to.Dests[k]; r.RealKey == (config.RealKey{Addr: d.Addr.Netip(), Port: d.Port}) {
					r.Active, r.Inactive = uint32(d.Load.Active()), uint32(d.Load.Inactive())
					r.Persistent = uint32(d.Load.Persistent())
					r.Stats, r.Rate = s.counters(d.Tally)
				}
			}
		}
	}
	now, listed, rate := s.estimates.Total(m.snap)
	l.Total = ipvsadm.Totals{Now: ipvsadm.Counters(now), Listed: ipvsadm.Counters(listed), Rate: ipvsadm.Counters(rate)}
	list, err := m.conns()
	l.Conns = func(yield func(*ipvsadm.Conn) bool) error {
		for i := range list {
			c := &list[i]
			if !yield(&ipvsadm.Conn{Proto: config.Protocol(c.Tuple.Proto), State: c.State.String(), Expires: c.Left,
				Engine: c.Engine.String(), EngineData: c.Call,
				Client:  address(endpoint(c.Tuple.Src.Netip(), c.Tuple.SrcPort)),
				Virtual: address(endpoint(c.Tuple.Dst.Netip(), c.Tuple.DstPort)), Dest: address(endpoint(c.Dest.Netip(), c.DestPort))}) {
				break
			}
		}
		return nil
	}
	return err
}

func (s *shell) counters(t *forward.Tally) (listed, rate ipvsadm.Counters) {
	_, l, r := s.estimates.Of(t)
	return ipvsadm.Counters(l), ipvsadm.Counters(r)
}

// happen is traffic or a sleep between two commands.
func (s *shell) happen(l *cliLine) error {
	if l.Sleep > 0 {
		s.m.late += latePerSleep
		return s.pass(time.Duration(l.Sleep * float64(time.Second)))
	}
	for _, t := range l.Traffic {
		if err := s.inject(t); err != nil {
			return err
		}
	}
	if err := s.m.wait(breath); err != nil {
		return err
	}
	s.estimate = s.m.now.Add(estimateEvery)
	return nil
}

// pass lets time go by, with looks at the counters.
func (s *shell) pass(d time.Duration) error {
	for end := s.m.now.Add(d); s.m.now < end; {
		if err := s.m.wait(min(end, s.estimate).Sub(s.m.now)); err != nil {
			return err
		}
		if s.m.now >= s.estimate {
			s.estimates.Sample(s.m.snap)
			s.estimate = s.estimate.Add(estimateEvery)
		}
	}
	return nil
}

// inject sends "c0 hex", an IP packet as it comes in by an interface, or so many packets that are told in words.
func (s *shell) inject(t string) error {
	name, text, _ := strings.Cut(t, " ")
	if b, err := hex.DecodeString(text); err == nil && len(b) > 0 {
		port, err := portOf(name)
		if err != nil {
			return err
		}
		_, _, err = s.m.send(port, s.framed(port, b))
		return err
	}
	p := parcel{proto: "tcp", from: address("10.1.0.1:4000"), to: address(stateVirtual), content: "S"}
	if t == "SYN" {
		_, _, _, err := s.m.ask(p)
		return err
	}
	f := many.FindStringSubmatch(t)
	if f == nil {
		return &unserved{why: "traffic: " + t}
	}
	n, _ := strconv.Atoi(f[1])
	length, _ := strconv.Atoi(f[3])
	port := clientSide
	p.content, p.data = "PA", make([]byte, max(0, length-packet.IPv4MinLen-packet.TCPMinLen))
	if f[2] == "server" {
		port, p.from, p.to = serverSide, address(stateServer), p.from
	}
	frame, err := s.m.build(port, p)
	for range n {
		if err == nil {
			_, _, err = s.m.send(port, frame)
		}
	}
	return err
}

// many is traffic told in words.
var many = regexp.MustCompile(`^(\d+) x (client|server) data of IP length (\d+)$`)

// framed puts an Ethernet header before an IP packet.
func (s *shell) framed(port int, ip []byte) []byte {
	f := make([]byte, packet.EthernetLen, packet.EthernetLen+len(ip))
	e := packet.Ethernet(f)
	e.SetDst(s.m.top.ports[port].MAC)
	e.SetSrc(gateway)
	e.SetType(packet.EtherTypeIPv4)
	if ip[0]>>4 == 6 {
		e.SetType(packet.EtherTypeIPv6)
	}
	if mac, ok := serverMAC(1, port == serverSide); ok {
		e.SetSrc(mac)
	}
	return append(f, ip...)
}
