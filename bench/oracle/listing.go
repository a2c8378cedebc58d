package main

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/packet"
)

// entry is an entry of the connection table as a transcript lists it.
type entry struct {
	key   string // protocol, client, virtual address
	dest  string
	state string
	left  time.Duration // ours: exact; the kernel's: whole seconds
	tail  string        // of a persistence engine
}

func (e entry) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %v %s", e.key, e.dest, e.state, e.left, e.tail))
}

// endpoint writes an address as transcripts do.
func endpoint(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// parseEntry reads "PROTO client vip server STATE seconds", or a line of /proc/net/ip_vs_conn, whose addresses and ports are
// hexadecimal.
func parseEntry(s string) (entry, error) {
	f := strings.Fields(s)
	bad := fmt.Errorf("connection %q", s)
	if len(f) >= 8 && len(f[2]) == 4 {
		at := make([]string, 3)
		for i := range at {
			b, err := hex.DecodeString(strings.ReplaceAll(f[1+2*i], ":", ""))
			a, ok := netip.AddrFromSlice(b)
			port, err2 := strconv.ParseUint(f[2+2*i], 16, 16)
			if err != nil || err2 != nil || !ok {
				return entry{}, bad
			}
			at[i] = endpoint(a, uint16(port))
		}
		f = append([]string{f[0], at[0], at[1], at[2]}, f[7:]...)
	}
	if len(f) < 6 {
		return entry{}, bad
	}
	n, err := strconv.Atoi(f[5])
	if err != nil {
		return entry{}, bad
	}
	return entry{key: strings.Join(f[:3], " "), dest: f[3], state: f[4], left: time.Duration(n) * time.Second,
		tail: strings.Join(f[6:], " ")}, nil
}

func protocolName(p uint8) string {
	switch p {
	case packet.ProtoTCP:
		return "TCP"
	case packet.ProtoUDP:
		return "UDP"
	case packet.ProtoSCTP:
		return "SCTP"
	case packet.ProtoESP:
		return "ESP"
	case packet.ProtoAH:
		return "AH"
	}
	return "IP"
}

func entryOf(c *forward.ConnInfo) entry {
	t := &c.Tuple
	e := entry{key: protocolName(t.Proto) + " " + endpoint(t.Src.Netip(), t.SrcPort) + " " + endpoint(t.Dst.Netip(), t.DstPort),
		dest: endpoint(c.Dest.Netip(), c.DestPort), state: c.State.String(), left: c.Left}
	if c.Engine != forward.NoEngine {
		e.tail = c.Engine.String() + " " + c.Call
	}
	return e
}

// sameLeft reports whether the kernel's whole seconds can be what is left by our clock, which may be late.
func (m *machine) sameLeft(ours, kernels time.Duration) bool {
	return kernels <= (ours+10*time.Millisecond).Truncate(time.Second) && kernels >= (ours-m.late).Truncate(time.Second)
}

// sameConns compares the connection table with a listing, in whatever order.
func (m *machine) sameConns(want []string, where string) error {
	list, err := m.conns()
	if err != nil {
		return err
	}
	ours := make([]entry, len(list))
	for i := range list {
		ours[i] = entryOf(&list[i])
	}
	for _, line := range want {
		w, err := parseEntry(line)
		if err != nil {
			return err
		}
		at, got := -1, "no such entry"
		for i, o := range ours {
			if o.key != w.key {
				continue
			}
			got = o.String()
			if o.dest == w.dest && o.state == w.state && o.tail == w.tail && m.sameLeft(o.left, w.left) {
				at = i
				break
			}
		}
		if at < 0 && m.dying(w) {
			continue
		}
		if at < 0 {
			return differs(got, w, "%s: connections", where)
		}
		ours = append(ours[:at], ours[at+1:]...)
	}
	for _, o := range ours {
		if o.left > m.late { // else it may be gone in the kernel, whose clock was ahead
			return differs(o, "no such entry", "%s: connections", where)
		}
	}
	return nil
}

// listed is a service of the table as /proc/net/ip_vs has it.
type listed struct {
	Svc   string
	Sched string
	Flags []string
	Dests [][]any // address, port, method, weight, active, inactive
}

// inForce finds a service in the snapshot.
func (m *machine) inForce(k config.ServiceKey) (*forward.Service, error) {
	key := forward.ServiceKey{Addr: packet.AddrFrom(k.Addr), Port: k.Port, Proto: uint8(k.Proto)}
	if k.Mark != 0 {
		key = forward.MarkKey(k.Mark, markFamily(k))
	}
	id, ok := m.snap.Lookup[key]
	if !ok {
		return nil, fmt.Errorf("service %v is not in the snapshot", k)
	}
	return &m.snap.Services[id], nil
}

// table lists the services in force, real servers in the kernel's order.
func (m *machine) table() []listed {
	var all []listed
	for i := range m.model.Services {
		s := &m.model.Services[i]
		svc, err := m.inForce(s.Key())
		if err != nil {
			all = append(all, listed{Svc: s.Key().String(), Sched: err.Error()})
			continue
		}
		l := listed{Svc: protocolName(uint8(s.Proto)) + " " + endpoint(s.Addr, s.Port), Sched: svc.Kind.Name}
		if s.Mark != 0 {
			l.Svc = markWord(s)
		}
		if s.OnePacket {
			l.Flags = append(l.Flags, "ops")
		}
		if s.Persistence > 0 {
			l.Flags = append(l.Flags, "persistent", fmt.Sprint(int(s.Persistence/time.Second)*hertz), maskWord(svc, !s.Key().Is6()))
		}
		for _, p := range svc.Pool.Dests {
			d := &m.snap.Dests[p.ID]
			l.Dests = append(l.Dests, []any{d.Addr.Netip().String(), int(d.Port), d.Method.String(), int(d.Weight),
				d.Load.Active(), d.Load.Inactive()})
		}
		all = append(all, l)
	}
	return all
}

// hertz is how many ticks the kernel of the transcripts counts in a second.
const hertz = 100

// maskWord is how /proc/net/ip_vs shows a netmask, and a prefix length of IPv6, which it takes for one.
func maskWord(svc *forward.Service, four bool) string {
	if four {
		return fmt.Sprintf("%X", svc.Mask[12:])
	}
	n := 0
	for _, b := range svc.Mask {
		for ; b != 0; b <<= 1 {
			n++
		}
	}
	return fmt.Sprintf("%02X000000", n)
}

// sameTable compares the table with that of a transcript; the order of services means nothing.
func (m *machine) sameTable(want []listed, where string) error {
	ours := m.table()
	for _, w := range want {
		at := -1
		for i := range ours {
			if ours[i].Svc == w.Svc {
				at = i
			}
		}
		if at < 0 {
			return differs("none", w.Svc, "%s: service", where)
		}
		o := ours[at]
		if got, want := o.Sched+" "+strings.Join(o.Flags, " "), w.Sched+" "+strings.Join(w.Flags, " "); got != want {
			return differs(got, want, "%s: %s", where, w.Svc)
		}
		if got, want := rows(o.Dests), rows(w.Dests); got != want {
			return differs(got, want, "%s: %s: servers", where, w.Svc)
		}
		ours = append(ours[:at], ours[at+1:]...)
	}
	if len(ours) > 0 {
		return differs(ours[0].Svc, "none", "%s: service", where)
	}
	return nil
}

// rows writes a table of JSON values so that equal ones are equal text.
func rows(table [][]any) string {
	var b strings.Builder
	for i, r := range table {
		if i > 0 {
			b.WriteString(", ")
		}
		for k, v := range r {
			if k > 0 {
				b.WriteByte(' ')
			}
			if f, ok := v.(float64); ok { // a number of JSON
				v = int64(f)
			}
			fmt.Fprint(&b, v)
		}
	}
	return "[" + b.String() + "]"
}

// sameCounts compares rows that tell of all servers with ours, made by row from a line of table. Services stand in an
// order of the kernel's own, so every order of them will do.
func (m *machine) sameCounts(want [][]any, where string, row func([]any) []any) error {
	var services [][][]any
	for _, l := range m.table() {
		var s [][]any
		for _, d := range l.Dests {
			s = append(s, row(d))
		}
		services = append(services, s)
	}
	text := rows(want)
	var first string
	if !anyOrder(services, nil, func(flat [][]any) bool {
		got := rows(flat)
		if first == "" {
			first = got
		}
		return got == text
	}) {
		return differs(first, text, "%s: servers", where)
	}
	return nil
}

// anyOrder reports whether fits holds for the lists one after the other in some order.
func anyOrder(lists [][][]any, before [][]any, fits func([][]any) bool) bool {
	if len(lists) == 0 {
		return fits(before)
	}
	for i := range lists {
		rest := append(append([][][]any{}, lists[:i]...), lists[i+1:]...)
		if anyOrder(rest, append(before[:len(before):len(before)], lists[i]...), fits) {
			return true
		}
		if len(lists) > maxOrders {
			return false // too many to try
		}
	}
	return false
}

// maxOrders is of how many services every order is tried.
const maxOrders = 6

func countRow(d []any) []any { return []any{d[4], d[5]} }

func weightRow(d []any) []any {
	a := netip.MustParseAddr(d[0].(string))
	return []any{endpoint(a, uint16(d[1].(int))), d[3], d[4], d[5]}
}
