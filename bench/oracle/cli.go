package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/forward"
	"dirsw/packet"
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

// shell is where the commands of a group are typed. Each command is a case.
//
// What the director refuses stays in the table that is listed, so that each refusal is told once, with its command. What
// traffic did cannot be shown then: traffic holds the reason.
type shell struct {
	group   string
	m       *machine
	err     error     // why nothing can be played
	refused *unserved // by the director, of the table as it is
	traffic *unserved // why the traffic was not played
	played  bool      // there was traffic
	n       int
	ports   ipvsadm.Services
	out     bytes.Buffer
	errs    bytes.Buffer
}

func newShell(group string) *shell {
	s := &shell{group: group}
	if s.m, s.err = newMachine(newTopology(0, 0)); s.err != nil {
		return s
	}
	f, err := os.Open("/etc/services")
	if err != nil {
		s.err = err
		return s
	}
	defer f.Close()
	s.ports, s.err = ipvsadm.ReadServices(f)
	return s
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
		p.shell = newShell(l.Group)
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
	p.r.tell(fmt.Sprintf("cli/%s/%d: %s", l.Group, s.n, *l.Cmd), err)
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
	args := words(*l.Cmd)
	if len(args) == 0 || args[0] != "ipvsadm" {
		return &unserved{why: "what the kernel shows in files: " + *l.Cmd}
	}
	s.out.Reset()
	s.errs.Reset()
	c, err := s.m.parse(args[1:])
	if err == nil {
		err = s.do(c, l.Stdin)
	}
	var u *unserved
	if errors.As(err, &u) {
		return u
	}
	s.complain(err)
	if got, want := ipvsadm.ExitStatus(err), l.Exit; got != want {
		return differs(fmt.Sprintf("%d (%s)", got, strings.TrimSpace(s.errs.String())), want, "exit status")
	}
	if got, want := s.errs.String(), l.Stderr; got != want {
		return differs(strconv.Quote(got), strconv.Quote(want), "standard error")
	}
	return s.sameOutput(c, l.Stdout)
}

// complain writes an error as ipvsadm does; dirsw's own hints are not compared.
func (s *shell) complain(err error) {
	var e *ipvsadm.Error
	switch {
	case errors.As(err, &e) && e.Message == "":
	case errors.As(err, &e):
		bare := *e
		bare.Hint = ""
		s.errs.WriteString(ipvsadm.Stderr(&bare))
	default:
		s.errs.WriteString(ipvsadm.Stderr(err))
	}
}

func (s *shell) do(c ipvsadm.Command, stdin string) error {
	switch c.Op {
	case ipvsadm.OpHelp, ipvsadm.OpVersion:
		return &unserved{why: "ipvsadm's own " + c.Op.String()}
	case ipvsadm.OpList, ipvsadm.OpSave:
		return s.list(c)
	case ipvsadm.OpRestore:
		return s.restore(stdin)
	}
	return s.change(c)
}

// change applies a command to the table that is listed, and to the director's unless it refuses.
func (s *shell) change(c ipvsadm.Command) error {
	if err := c.Apply(&s.m.model); err != nil {
		return err
	}
	before := s.refused
	err := s.m.publish(&s.m.model)
	if s.refused = nil; !errors.As(err, &s.refused) {
		return err
	}
	if before != nil && s.refused.complaints <= before.complaints {
		return nil // told before
	}
	return s.refused
}

// restore is ipvsadm -R: an error of the table is printed and the rest goes on; the status is that of the last line.
func (s *shell) restore(stdin string) error {
	var last, refused error
	for c, err := range s.m.names.Restore(strings.NewReader(stdin)) {
		if err != nil {
			return err
		}
		fresh, _ := s.m.parse(nil)
		c.Schedulers = fresh.Schedulers
		last = s.do(c, "")
		var u *unserved
		if errors.As(last, &u) {
			refused, last = u, nil
		}
		if last != nil {
			s.complain(last)
		}
	}
	if refused != nil {
		return refused
	}
	if last != nil {
		return &ipvsadm.Error{Exit: ipvsadm.ExitStatus(last)}
	}
	return nil
}

func (s *shell) list(c ipvsadm.Command) error {
	if s.traffic != nil {
		return &unserved{why: "traffic that was not played: " + s.traffic.why}
	}
	if c.Format.View == ipvsadm.ViewRate && s.played {
		return &unserved{why: "rates are not measured"}
	}
	l := ipvsadm.FromModel(&s.m.model)
	if s.played {
		if err := s.fill(&l); err != nil {
			return err
		}
	}
	c.Format.Names.Port = s.ports.Name
	return ipvsadm.Print(&s.out, l, c.Format)
}

// fill puts what traffic did into a listing.
func (s *shell) fill(l *ipvsadm.Listing) error {
	m := s.m
	for i := range l.Services {
		to := &l.Services[i]
		svc, err := m.inForce(to.ServiceKey)
		if err != nil {
			return err
		}
		to.Stats = counters(svc.Tally)
		for _, p := range svc.Pool.Dests {
			d := &m.snap.Dests[p.ID]
			for k := range to.Dests {
				if r := &to.Dests[k]; r.RealKey == (config.RealKey{Addr: d.Addr.Netip(), Port: d.Port}) {
					r.Active, r.Inactive = uint32(d.Load.Active()), uint32(d.Load.Inactive())
					r.Persistent, r.Stats = uint32(d.Load.Persistent()), counters(d.Tally)
				}
			}
		}
	}
	list, err := m.conns()
	for i := range list {
		c := &list[i]
		l.Conns = append(l.Conns, ipvsadm.Conn{Proto: config.Protocol(c.Tuple.Proto), State: c.State.String(), Expires: c.Left,
			Client:  address(endpoint(c.Tuple.Src.Netip(), c.Tuple.SrcPort)),
			Virtual: address(endpoint(c.Tuple.Dst.Netip(), c.Tuple.DstPort)), Dest: address(endpoint(c.Dest.Netip(), c.DestPort))})
	}
	return err
}

func counters(t *forward.Tally) ipvsadm.Counters {
	r := t.Read()
	return ipvsadm.Counters{Conns: r.Conns, InPkts: r.Packets, InBytes: r.Bytes}
}

// happen is traffic or a sleep between two commands.
func (s *shell) happen(l *cliLine) error {
	if l.Sleep > 0 {
		return s.m.sleep(l.Sleep)
	}
	s.played = true
	if s.traffic = s.refused; s.traffic != nil {
		return nil
	}
	for _, t := range l.Traffic {
		if err := s.inject(t); err != nil {
			return err
		}
	}
	return s.m.wait(breath)
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
