package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dirsw/packet"
)

// framesCase is frames in and, byte for byte, frames out.
type framesCase struct {
	Case       string
	Rules      []string
	RulesError string `json:"rules_error"`
	Sysctl     map[string]any
	Setup      []string
	ExtraIP    []string `json:"extra_ip"`
	MTUClient  int      `json:"mtu_c"`
	MTUServer  int      `json:"mtu_s"`
	Steps      []framesStep
}

type framesStep struct {
	Desc string
	In   *struct{ If, Hex string }
	Out  []wanted
	// Instead of a frame: a command or a sleep.
	Op    string
	Arg   json.RawMessage
	Conns []string
}

// wanted is a frame that the kernel sent; Vary are the bytes of it that differ from run to run.
type wanted struct {
	If, Hex, Sum string
	Vary         []int
}

// topology is the network of the case.
func (c *framesCase) topology() (*topology, error) {
	t := newTopology(c.MTUClient, c.MTUServer)
	for _, l := range c.ExtraIP {
		if err := t.command(l); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (c *framesCase) play(p *player) error {
	return p.withMachine(c.topology, func(m *machine) error {
		if err := m.sysctls(c.Sysctl); err != nil {
			return err
		}
		stderr, err := m.rules(c.Rules)
		if err != nil {
			return err
		}
		if got, want := strings.TrimSpace(stderr), strings.TrimSpace(c.RulesError); got != want {
			return differs(got, want, "rules: standard error")
		}
		if err := m.prepare(c.Setup); err != nil {
			return err
		}
		for i := range c.Steps {
			s := &c.Steps[i]
			where := fmt.Sprintf("step %d (%s)", i, s.Desc)
			if err := m.framesStep(s, where); err != nil {
				return err
			}
			if !c.listed() {
				continue
			}
			if err := m.sameConns(s.Conns, where); err != nil {
				return err
			}
		}
		return nil
	})
}

// listed reports whether connections were listed after the steps. An empty list is not written down, so a case without any
// has none, or nobody looked: then something went to a server.
func (c *framesCase) listed() bool {
	forwarded := false
	for i := range c.Steps {
		s := &c.Steps[i]
		if len(s.Conns) > 0 {
			return true
		}
		forwarded = forwarded || s.In != nil && slices.ContainsFunc(s.Out, func(w wanted) bool { return w.If != s.In.If && !announced(w) })
	}
	return !forwarded
}

func (m *machine) framesStep(s *framesStep, where string) error {
	if s.In == nil {
		return m.framesOp(s, where)
	}
	in, err := hex.DecodeString(s.In.Hex)
	if err != nil {
		return err
	}
	port, err := portOf(s.In.If)
	if err != nil {
		return err
	}
	sent, taken, err := m.send(port, in)
	if err != nil {
		return err
	}
	want := slices.DeleteFunc(slices.Clone(s.Out), announced)
	if len(want) != len(s.Out) {
		m.late += latePerSleep
		if err := m.wait(neighbourWait); err != nil {
			return err
		}
		sent = append(sent, m.left()...)
	}
	if !taken {
		return m.kernelFrames(port, in, want, where)
	}
	for side, name := range []string{"c0", "s0"} {
		var got [][]byte
		for _, o := range sent {
			if o.port == side {
				got = append(got, o.frame)
			}
		}
		for _, w := range want {
			if w.If != name {
				continue
			}
			if len(got) == 0 {
				return differs(fmt.Sprintf("nothing (%v)", m.last.Drop), w, "%s: by %s", where, name)
			}
			if m.last.Drop != packet.NoDrop {
				w.anyID()
			}
			if err := sameFrame(got[0], w, name == s.In.If, where+": by "+name); err != nil {
				return err
			}
			got = got[1:]
		}
		if len(got) > 0 {
			return differs(hex.EncodeToString(got[0]), "nothing", "%s: by %s", where, name)
		}
	}
	return nil
}

// framesOp is a step without a frame.
func (m *machine) framesOp(s *framesStep, where string) error {
	var seconds float64
	var line string
	switch {
	case s.Op == "sleep" && json.Unmarshal(s.Arg, &seconds) == nil:
		return m.sleep(seconds)
	case s.Op == "cmd" && json.Unmarshal(s.Arg, &line) == nil:
		if strings.HasPrefix(line, "ip ") {
			return errors.Join(m.top.command(line), m.publish(&m.model))
		}
		if strings.HasPrefix(line, "ipvsadm ") {
			return m.command(line)
		}
	}
	return &unserved{why: where + ": " + s.Op + " " + string(s.Arg)}
}

// anyID adds the identification of an ICMP error, which the kernel draws, to what varies, where a case was run but once.
func (w *wanted) anyID() {
	const id, sum = packet.EthernetLen + 4, packet.EthernetLen + 10
	b, err := hex.DecodeString(w.Hex)
	if err == nil && len(b) > packet.EthernetLen+packet.IPv4MinLen && packet.Ethernet(b).Type() == packet.EtherTypeIPv4 &&
		packet.IPv4(b[packet.EthernetLen:]).Protocol() == packet.ProtoICMP {
		w.Vary = append(slices.Clone(w.Vary), id, id+1, sum, sum+1)
	}
}

func (w wanted) String() string {
	if w.Sum != "" {
		return w.Sum + " = " + w.Hex
	}
	return w.Hex
}

// announced reports frames that are not the forwarder's: questions for link layer addresses and the like, to groups.
func announced(w wanted) bool {
	b, err := hex.DecodeString(w.Hex)
	return err == nil && len(b) > 0 && b[0]&1 != 0
}

// kernelFrames compares what the kernel did to a frame that the packet filter leaves to it: it is right to do so if the
// kernel would have done the same without IPVS.
func (m *machine) kernelFrames(port int, in []byte, want []wanted, where string) error {
	for _, w := range want {
		b, err := hex.DecodeString(w.Hex)
		if err != nil {
			return err
		}
		to, err := portOf(w.If)
		if err != nil {
			return err
		}
		if m.stackAnswers(port, in, to, b) || routes(in, b) {
			continue
		}
		return differs("left to the kernel", w, "%s: by %s", where, w.If)
	}
	if len(want) > 0 {
		return nil
	}
	if err := m.leftToKernel(in); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

// addresses returns source and destination of an IP packet in a frame.
func addresses(frame []byte) (src, dst packet.Addr, ok bool) {
	if len(frame) < packet.EthernetLen+packet.IPv4MinLen {
		return src, dst, false
	}
	ip := frame[packet.EthernetLen:]
	switch {
	case packet.Ethernet(frame).Type() == packet.EtherTypeIPv4:
		return packet.IPv4(ip).Src(), packet.IPv4(ip).Dst(), true
	case packet.Ethernet(frame).Type() == packet.EtherTypeIPv6 && len(ip) >= packet.IPv6Len:
		return packet.IPv6(ip).Src(), packet.IPv6(ip).Dst(), true
	}
	return src, dst, false
}

// stackAnswers reports whether out is an answer of the director's own stack to in: from where in went, to where it came from.
func (m *machine) stackAnswers(inPort int, in []byte, outPort int, out []byte) bool {
	src, dst, ok := addresses(in)
	from, to, ok2 := addresses(out)
	return ok && ok2 && inPort == outPort && from == dst && to == src && within(dst.Netip(), m.top.local)
}

// routes reports whether out is in, routed: the same addresses and the same content.
func routes(in, out []byte) bool {
	src, dst, ok := addresses(in)
	from, to, ok2 := addresses(out)
	if !ok || !ok2 || len(in) != len(out) || src != from || dst != to {
		return false
	}
	return bytes.Equal(in[packet.EthernetLen+packet.IPv4MinLen:], out[packet.EthernetLen+packet.IPv4MinLen:])
}

// sameFrame compares all bytes but those that vary. An answer of the director's own stack has a flow label that is drawn
// anew at each boot, though not always with other bits.
func sameFrame(got []byte, w wanted, answer bool, where string) error {
	want, err := hex.DecodeString(w.Hex)
	if err != nil {
		return err
	}
	masked := bytes.Clone(got)
	varies := func(i int) {
		if i < len(masked) && i < len(want) {
			masked[i] = want[i]
		}
	}
	for _, i := range w.Vary {
		varies(i)
	}
	for _, i := range timestamps(want, w.Vary) {
		varies(i)
	}
	if answer && len(masked) > 17 && len(want) > 17 && packet.Ethernet(want).Type() == packet.EtherTypeIPv6 {
		masked[15] = masked[15]&0xf0 | want[15]&0x0f
		varies(16)
		varies(17)
	}
	if !bytes.Equal(masked, want) {
		return differs(firstByte(masked, want)+hex.EncodeToString(got), w, "%s", where)
	}
	return sumsRight(got, w.Vary, where)
}

// timestamps are the bytes of IPv4 timestamp options of which some are known to vary, and of the header checksums over
// them: the others do so on other days.
func timestamps(frame []byte, vary []int) (all []int) {
	const option, pointer = 0x44, 4 // RFC 791, section 3.1: the times begin behind type, length, pointer and flags
	for _, v := range vary {
		for at := v - pointer; at > v-40 && at >= packet.IPv4MinLen; at-- {
			end := at + int(frame[at+1])
			if frame[at] != option || v >= end || end > min(at+40, len(frame)) {
				continue
			}
			for i := at + pointer; i < end; i++ {
				all = append(all, i)
			}
			for h := at - packet.IPv4MinLen; h >= max(0, at-60); h-- {
				if frame[h]>>4 == 4 && h+packet.IPv4(frame[h:]).HeaderLen() >= end {
					all = append(all, h+10, h+11)
					break
				}
			}
			break
		}
	}
	return all
}

// firstByte tells where two frames begin to differ.
func firstByte(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("byte %d %02x, want %02x, ", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d bytes, want %d, ", len(got), len(want))
}

// sumsRight verifies the checksums of a frame of which some could not be compared, because they are over what varies.
func sumsRight(got []byte, vary []int, where string) error {
	if len(vary) == 0 {
		return nil
	}
	var m packet.Meta
	why := packet.Parse(got, &m)
	if why == packet.DropBadChecksum {
		return differs(why, "none", "%s: IPv4 header checksum", where)
	}
	at := map[uint8]int{packet.ProtoTCP: 16, packet.ProtoUDP: 6, packet.ProtoSCTP: 8}[m.Proto]
	if why != packet.NoDrop || at == 0 || m.Flags&(packet.ICMPError|packet.Fragment) != 0 {
		return nil
	}
	if slices.Contains(vary, int(m.L4)+at) && !packet.ChecksumOK(got, &m) {
		return differs("wrong", "right", "%s: transport checksum", where)
	}
	return nil
}

// address is a shorthand of the tests and of states.
func address(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
