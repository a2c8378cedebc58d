package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"dirsw/config/ipvsadm"
	"dirsw/forward"
	"dirsw/packet"
)

// connectionsCase opens, refreshes and closes connections, and tells which real server got each.
type connectionsCase struct {
	Case       string
	Rules      []string
	Sysctl     map[string]any
	Setup      []string
	Start, End []listed
	Steps      []connectionsStep
}

type connectionsStep struct {
	Op string
	// Seq of newseq: client, virtual address, chosen server or null, reply seen if null, counts after it.
	Proto string
	Seq   [][]json.RawMessage
	// Of pkt and udp-data: a packet of a connection, from the client or the server.
	C, Rs, From, Flags, Data string
	V                        any // of sysctl the value
	Fwd                      int
	To, X                    *string
	// Of cmd, sleep, sysctl and conns.
	Cmd    string
	Exit   int
	Stderr string
	S      float64
	K      string
	Conns  []string
	// N is every server with weight and counts after the step.
	N [][]any
}

func (c *connectionsCase) play(p *player) error {
	return p.withMachine(plainTopology, func(m *machine) error {
		if err := m.sysctls(c.Sysctl); err != nil {
			return err
		}
		if stderr, err := m.rules(c.Rules); err != nil || stderr != "" {
			return errors.Join(err, complaint(stderr))
		}
		if err := m.prepare(c.Setup); err != nil {
			return err
		}
		if c.Start != nil {
			if err := m.sameTable(c.Start, "start"); err != nil {
				return err
			}
		}
		for i := range c.Steps {
			s := &c.Steps[i]
			where := fmt.Sprintf("step %d (%s)", i, s.Op)
			if err := m.connectionsStep(s, where); err != nil {
				return err
			}
			if s.N == nil {
				continue
			}
			if err := m.sameCounts(s.N, where, weightRow); err != nil {
				return err
			}
		}
		if c.End != nil {
			return m.sameTable(c.End, "end")
		}
		return nil
	})
}

func complaint(stderr string) error {
	if stderr == "" {
		return nil
	}
	return differs(strings.TrimSpace(stderr), "nothing", "rules: standard error")
}

func (m *machine) connectionsStep(s *connectionsStep, where string) error {
	switch s.Op {
	case "newseq":
		for k, row := range s.Seq {
			if err := m.open(s.Proto, row, fmt.Sprintf("%s, connection %d", where, k)); err != nil {
				return err
			}
		}
		return nil
	case "pkt":
		return m.further(s, where)
	case "udp-data":
		return m.data(s, where)
	case "cmd":
		return m.edit(s, where)
	case "sleep":
		return m.sleep(s.S)
	case "sysctl":
		return m.sysctl(s.K, s.V)
	case "conns":
		return m.sameConns(s.Conns, where)
	}
	return fmt.Errorf("%s: not a step that is known", where)
}

// edit runs a command of ipvsadm midway.
func (m *machine) edit(s *connectionsStep, where string) error {
	err := m.command(s.Cmd)
	var kernels *ipvsadm.Error
	if err != nil && !errors.As(err, &kernels) {
		return err
	}
	got, want := "", strings.TrimSpace(s.Stderr)
	if kernels != nil {
		got = kernels.Message
	}
	if got != want {
		return differs(got, want, "%s: %s: standard error", where, s.Cmd)
	}
	if got, want := ipvsadm.ExitStatus(err), s.Exit; got != want {
		return differs(got, want, "%s: %s: exit status", where, s.Cmd)
	}
	return nil
}

// IP protocols of tunnels.
const (
	protoIPv4 = 4
	protoIPv6 = 41
)

// reached is where a frame of a client went: the server "addr:port", or "" and what the client was told.
func reached(sent []out, six bool) (server, reply string) {
	for _, o := range sent {
		if o.port != serverSide {
			continue
		}
		name := serverOf(packet.Ethernet(o.frame).Dst(), six)
		at := packet.EthernetLen + packet.IPv4MinLen
		proto := o.frame[23]
		if packet.Ethernet(o.frame).Type() == packet.EtherTypeIPv6 {
			at, proto = packet.EthernetLen+packet.IPv6Len, o.frame[20]
		}
		if proto == protoIPv4 || proto == protoIPv6 || name == "" { // in a tunnel there is no port
			return name, ""
		}
		var port uint16
		if slices.Contains(slices.Collect(maps.Values(protocols)), proto) && len(o.frame) >= at+4 {
			port = uint16(o.frame[at+2])<<8 | uint16(o.frame[at+3])
		}
		return endpoint(netip.MustParseAddr(name), port), ""
	}
	for _, o := range sent {
		return "", describe(o.frame)
	}
	return "", ""
}

// ask sends a packet of a client and says where it went. What is left to the kernel is answered by its stack.
func (m *machine) ask(p parcel) (server, reply string, n int, err error) {
	frame, err := m.build(clientSide, p)
	if err != nil {
		return "", "", 0, err
	}
	sent, taken, err := m.send(clientSide, frame)
	if err != nil {
		return "", "", 0, err
	}
	if !taken {
		if sent, ok := m.top.routed(frame); ok {
			server, reply = reached(sent, p.from.Addr().Is6())
			return server, reply, len(sent), nil
		}
		if reply = kernelAnswer(frame); reply != "" {
			n = 1
		}
		return "", reply, n, m.leftToKernel(frame)
	}
	server, reply = reached(sent, p.from.Addr().Is6())
	return server, reply, len(sent), nil
}

// leftToKernel complains of a packet of a living connection that the packet filter does not take, while there is any
// service: with none the kernel forwards nothing either.
func (m *machine) leftToKernel(frame []byte) error {
	var meta packet.Meta
	if packet.Parse(frame, &meta) != packet.NoDrop || len(m.snap.Lookup) == 0 {
		return nil
	}
	list, err := m.conns()
	if err != nil {
		return err
	}
	t := meta.Tuple
	if meta.Flags&packet.ICMPError != 0 {
		t = t.Reverse()
	}
	if meta.Flags&packet.QuotedFragment != 0 && meta.Family == packet.IPv6Family { // has no ports
		return nil
	}
	for i := range list {
		c := &list[i]
		back := c.Tuple.Reverse()
		back.Src, back.SrcPort = c.Dest, c.DestPort
		if !c.Template && (c.Tuple == t || back == t && m.method(c.Dest) != "Route") {
			return differs("left to the kernel", "taken", "packet of %v", entryOf(c))
		}
	}
	return nil
}

// method is how frames reach a server, as far as any service has it.
func (m *machine) method(a packet.Addr) string {
	for i := range m.snap.Dests {
		if m.snap.Dests[i].Addr == a {
			return m.snap.Dests[i].Method.String()
		}
	}
	return ""
}

// dying reports whether the kernel ends an entry about now: expire_nodest_conn is set and its server is in no service. It
// does so by work that it puts off, for some hundredths of a second; a RST of its own network stack that goes out before
// makes it a closed connection of 10 s in direct routing. Here such entries are gone at once.
func (m *machine) dying(e entry) bool {
	at, err := netip.ParseAddrPort(e.dest)
	if err != nil || !m.snap.Settings.ExpireNodest {
		return false
	}
	return !slices.ContainsFunc(m.snap.Dests, func(d forward.Dest) bool { return !d.Gone && d.Addr.Netip() == at.Addr() })
}

// noted writes a server or reply of a transcript, null as "none".
func noted(s *string) string {
	if s == nil || *s == "" {
		return "none"
	}
	return *s
}

// open opens a connection.
func (m *machine) open(proto string, row []json.RawMessage, where string) error {
	var client, virtual string
	var want, reply *string
	var counts [][]any
	for i, to := range []any{&client, &virtual, &want, &reply, &counts} {
		if i < len(row) {
			if err := json.Unmarshal(row[i], to); err != nil {
				return err
			}
		}
	}
	p, err := firstPacket(proto, client, virtual)
	if err != nil {
		return err
	}
	where += " from " + client
	server, told, _, err := m.ask(p)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if got, want := noted(&server), noted(want); got != want {
		return differs(fmt.Sprintf("%s (%v)", got, m.last.Drop), want, "%s: server", where)
	}
	if got, want := noted(&told), noted(reply); server == "" && got != want {
		return differs(fmt.Sprintf("%s (%v)", got, m.last.Drop), want, "%s: reply", where)
	}
	if counts != nil {
		return m.sameCounts(counts, where, countRow)
	}
	return nil
}

// firstPacket is what opens a connection.
func firstPacket(proto, client, virtual string) (p parcel, err error) {
	p.proto, p.content = proto, map[string]string{"tcp": "S", "sctp": "INIT"}[proto]
	if p.from, err = netip.ParseAddrPort(client); err == nil {
		p.to, err = netip.ParseAddrPort(virtual)
	}
	return p, err
}

// further sends a packet of a connection that is known.
func (m *machine) further(s *connectionsStep, where string) error {
	p, err := firstPacket(s.Proto, s.C, fmt.Sprint(s.V))
	if err != nil {
		return err
	}
	if p.content = s.Flags; s.Proto == "sctp" {
		p.content = map[string]string{"S": "INIT"}[s.Flags]
		if p.content == "" {
			p.content = "DATA"
		}
	}
	where += fmt.Sprintf(" %s:%s of %s", s.From, s.Flags, s.C)
	if s.From == "s" {
		return m.backwards(s, p, where)
	}
	server, _, n, err := m.ask(p)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if got, want := noted(&server), noted(s.To); s.To != nil && got != want {
		return differs(fmt.Sprintf("%s (%v)", got, m.last.Drop), want, "%s: server", where)
	}
	if n != s.Fwd {
		return differs(fmt.Sprintf("%d (%v)", n, m.last.Drop), s.Fwd, "%s: frames out", where)
	}
	return nil
}

// backwards sends a packet of the server to the client.
func (m *machine) backwards(s *connectionsStep, p parcel, where string) error {
	at, err := netip.ParseAddrPort(s.Rs)
	if err != nil {
		return err
	}
	p.from, p.to = at, p.from
	frame, err := m.build(serverSide, p)
	if err != nil {
		return err
	}
	sent, taken, err := m.send(serverSide, frame)
	if err != nil {
		return err
	}
	n := len(sent)
	if !taken {
		n = 1 // the kernel routes it
		if err := m.leftToKernel(frame); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	if n != s.Fwd {
		return differs(fmt.Sprintf("%d (%v)", n, m.last.Drop), s.Fwd, "%s: frames out", where)
	}
	return nil
}

// data sends a datagram with content, for persistence engines.
func (m *machine) data(s *connectionsStep, where string) error {
	p, err := firstPacket("udp", s.C, fmt.Sprint(s.V))
	if err != nil {
		return err
	}
	p.data = []byte(s.Data)
	server, told, _, err := m.ask(p)
	if err != nil {
		return err
	}
	if got, want := noted(&server), noted(s.To); got != want {
		return differs(got, want, "%s from %s: server", where, s.C)
	}
	if got, want := noted(&told), noted(s.X); got != want {
		return differs(got, want, "%s from %s: reply", where, s.C)
	}
	return m.sameConns(s.Conns, where)
}
