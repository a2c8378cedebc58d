package config

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// String returns the rule without its chain, as iptables-save writes it: "-d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j MARK
// --set-xmark 0x1/0xffffffff".
func (r *MarkRule) String() string {
	list := r.Words()
	for i := 1; i < len(list); i++ {
		if list[i-1] == "--comment" {
			list[i] = quoteText(list[i])
		}
	}
	return strings.Join(list, " ")
}

// Words returns the words of String, none of them quoted.
func (r *MarkRule) Words() []string {
	var w words
	w.addr("-s", r.Src)
	w.addr("-d", r.Dst)
	if r.In.Name != "" {
		w.add(r.In.Not, "-i", r.In.Name)
	}
	if r.Proto.Number != 0 {
		w.add(r.Proto.Not, "-p", ProtocolName(r.Proto.Number))
	}
	if r.Fragment != AnyFragment {
		w.add(r.Fragment == NoFragment, "-f")
	}
	for i := range r.Matches {
		w.match(&r.Matches[i])
	}
	w.target(&r.Target)
	return w.list
}

// quoteText writes a text as iptables-save does: in quotation marks unless it is of letters, digits, '-' and '_' only.
func quoteText(s string) string {
	plain := s != ""
	for _, c := range []byte(s) {
		plain = plain && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if plain {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace(s) + `"`
}

// words is a line in the making.
type words struct{ list []string }

// add appends words, after "!" if the condition is turned round.
func (w *words) add(not bool, words ...string) {
	if not {
		w.list = append(w.list, "!")
	}
	w.list = append(w.list, words...)
}

func (w *words) addr(option string, a MarkAddr) {
	if !a.Addr.IsValid() {
		return
	}
	w.add(a.Not, option, a.String())
}

// String returns the address with its mask: as a number of bits, or where it has holes as an address.
func (a MarkAddr) String() string {
	if !a.Addr.IsValid() {
		return ""
	}
	if n, ok := maskBits(a.Mask); ok {
		return a.Addr.String() + "/" + strconv.Itoa(n)
	}
	return a.Addr.String() + "/" + a.Mask.String()
}

// maskBits returns the length of a mask without holes.
func maskBits(mask netip.Addr) (int, bool) {
	n := 0
	rest := false // a 0 bit was seen
	for _, b := range mask.AsSlice() {
		ones := bits.LeadingZeros8(^b)
		if rest && b != 0 || b<<ones != 0 {
			return 0, false
		}
		n += ones
		rest = rest || ones < 8
	}
	return n, true
}

func (w *words) match(m *MarkMatch) {
	switch m.Kind {
	case MatchTransport:
		w.add(false, "-m", ProtocolName(m.Proto))
		w.port("--sport", m.Source)
		w.port("--dport", m.Dest)
		if f := m.Flags; f != (MarkTCPFlags{}) {
			w.add(f.Not, "--tcp-flags", tcpFlags(f.Mask), tcpFlags(f.Set))
		}
	case MatchMultiport:
		list := make([]string, len(m.Ports))
		for i, p := range m.Ports {
			list[i] = p.String()
		}
		w.add(false, "-m", "multiport")
		w.add(m.Not, word(int(m.Side), "--sports", "--dports", "--ports"), strings.Join(list, ","))
	case MatchMark:
		w.add(false, "-m", "mark")
		w.add(m.Not, "--mark", masked(m.Value, m.Mask))
	case MatchComment:
		w.add(false, "-m", "comment", "--comment", m.Text)
	}
}

func (w *words) port(option string, p MarkPort) {
	if p.Given {
		w.add(p.Not, option, p.Range.String())
	}
}

// String returns "80", or "80:90".
func (p PortRange) String() string {
	if p.Low == p.High {
		return strconv.Itoa(int(p.Low))
	}
	return fmt.Sprintf("%d:%d", p.Low, p.High)
}

// masked writes a mark; a mask of all bits goes without saying.
func masked(value, mask uint32) string {
	if mask == ^uint32(0) {
		return fmt.Sprintf("%#x", value)
	}
	return fmt.Sprintf("%#x/%#x", value, mask)
}

// tcpFlags writes a set of TCP flags.
func tcpFlags(f uint8) string {
	var list []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if f&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return or(strings.Join(list, ","), "NONE")
}

func (w *words) target(t *MarkTarget) {
	switch t.Kind {
	case TargetMark:
		w.add(false, "-j", "MARK", "--set-xmark", fmt.Sprintf("%#x/%#x", t.Value, t.Mask))
	case TargetAccept:
		w.add(false, "-j", "ACCEPT")
	case TargetReturn:
		w.add(false, "-j", "RETURN")
	case TargetJump:
		w.add(false, "-j", t.Chain)
	case TargetGoto:
		w.add(false, "-g", t.Chain)
	}
}

// ProtocolName returns the name of an IP protocol as iptables-save writes it, or its number.
func ProtocolName(n uint8) string {
	for _, p := range protocolNames() {
		if p.number == n {
			return p.name
		}
	}
	return strconv.Itoa(int(n))
}

// ProtocolNumber returns the number of an IP protocol that goes by a name, in whatever case.
func ProtocolNumber(name string) (uint8, bool) {
	for _, p := range protocolNames() {
		if strings.EqualFold(p.name, name) {
			return p.number, true
		}
	}
	return 0, false
}

type protocolName struct {
	name   string
	number uint8
}

// protocolNames are the protocols by name; the first name of a number is the one that is written.
func protocolNames() []protocolName {
	return []protocolName{{"tcp", 6}, {"udp", 17}, {"sctp", 132}, {"icmp", 1}, {"ipv6-icmp", 58}, {"icmpv6", 58}, {"esp", 50},
		{"ah", 51}, {"udplite", 136}, {"dccp", 33}, {"gre", 47}, {"igmp", 2}, {"ipencap", 4}, {"ipv6", 41}, {"ospf", 89},
		{"pim", 103}, {"vrrp", 112}, {"l2tp", 115}}
}
