package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Rule is a policy rule with what ip-rule(8) can say of it, in the numbers of rtnetlink(7).
type Rule struct {
	IPv6       bool
	Priority   uint32
	Not        bool
	From, To   netip.Prefix // not valid: any
	IIF, OIF   string
	Mark, Mask uint32 // Mask 0 stands for all bits if Mark is set
	TOS        uint8
	UIDs       *[2]uint32 // first and last
	IPProto    uint8
	SrcPorts   *[2]uint16
	DstPorts   *[2]uint16
	TunnelID   uint64
	L3MDev     bool
	Realm      uint32
	Protocol   uint8 // 0 stands for RouteProtocol

	Action            uint8  // FR_ACT_… (linux/fib_rules.h); 0 stands for the look-up of Table
	Table             uint32 // 0 stands for main
	Goto              uint32
	SuppressPrefixLen int // -1: none
	SuppressGroup     int // -1: none
}

// Actions of rules (linux/fib_rules.h).
const (
	RuleLookup      = 1
	RuleGoto        = 2
	RuleNop         = 3
	RuleBlackhole   = 6
	RuleUnreachable = 7
	RuleProhibit    = 8
)

// AddRule sets a rule. That it is there already is no error.
func (o *Holdings) AddRule(r Rule) error {
	if err := o.one(request{unix.RTM_NEWRULE, unix.NLM_F_CREATE | unix.NLM_F_EXCL, r.body()}, unix.EEXIST); err != nil {
		return fmt.Errorf("add the rule of priority %d: %w", r.Priority, err)
	}
	return nil
}

// DelRule removes a rule. That it is gone already is no error.
func (o *Holdings) DelRule(r Rule) error {
	if err := o.one(request{unix.RTM_DELRULE, 0, r.body()}, unix.ENOENT, unix.ESRCH); err != nil {
		return fmt.Errorf("remove the rule of priority %d: %w", r.Priority, err)
	}
	return nil
}

// body is struct fib_rule_hdr and its attributes (linux/fib_rules.h).
func (r *Rule) body() []byte {
	family, action, protocol, flags := byte(unix.AF_INET), r.Action, r.Protocol, uint32(0)
	if r.IPv6 {
		family = unix.AF_INET6
	}
	if action == 0 {
		action = RuleLookup
	}
	if protocol == 0 {
		protocol = RouteProtocol
	}
	if r.Not {
		flags = unix.FIB_RULE_INVERT
	}
	b := make([]byte, 0, 160)
	b = append(b, family, bits(r.To), bits(r.From), r.TOS, 0, 0, 0, action)
	b = binary.NativeEndian.AppendUint32(b, flags)
	b = appendAttr32(b, unix.FRA_PRIORITY, r.Priority)
	b = appendAttr(b, unix.FRA_PROTOCOL, []byte{protocol})
	b = r.appendSelectors(b)
	switch {
	case r.L3MDev: // the table is the device's
		b = appendAttr(b, unix.FRA_L3MDEV, []byte{1})
	case action == RuleLookup && r.Table == 0:
		b = appendAttr32(b, unix.FRA_TABLE, unix.RT_TABLE_MAIN)
	case action == RuleLookup:
		b = appendAttr32(b, unix.FRA_TABLE, r.Table)
	case action == RuleGoto:
		b = appendAttr32(b, unix.FRA_GOTO, r.Goto)
	}
	if r.Realm != 0 {
		b = appendAttr32(b, unix.FRA_FLOW, r.Realm)
	}
	if r.SuppressPrefixLen >= 0 {
		b = appendAttr32(b, unix.FRA_SUPPRESS_PREFIXLEN, uint32(r.SuppressPrefixLen))
	}
	if r.SuppressGroup >= 0 {
		b = appendAttr32(b, unix.FRA_SUPPRESS_IFGROUP, uint32(r.SuppressGroup))
	}
	return b
}

// bits is the length of a prefix, 0 for none.
func bits(p netip.Prefix) byte { return byte(max(p.Bits(), 0)) }

// appendSelectors appends what packets the rule is for.
func (r *Rule) appendSelectors(b []byte) []byte {
	if r.From.Bits() > 0 {
		b = appendAttr(b, unix.FRA_SRC, r.From.Masked().Addr().AsSlice())
	}
	if r.To.Bits() > 0 {
		b = appendAttr(b, unix.FRA_DST, r.To.Masked().Addr().AsSlice())
	}
	if r.IIF != "" {
		b = appendAttr(b, unix.FRA_IIFNAME, append([]byte(r.IIF), 0))
	}
	if r.OIF != "" {
		b = appendAttr(b, unix.FRA_OIFNAME, append([]byte(r.OIF), 0))
	}
	if r.Mark != 0 || r.Mask != 0 {
		b = appendAttr32(b, unix.FRA_FWMARK, r.Mark)
	}
	if r.Mask != 0 {
		b = appendAttr32(b, unix.FRA_FWMASK, r.Mask)
	}
	if r.TunnelID != 0 {
		b = appendAttr(b, unix.FRA_TUN_ID, binary.BigEndian.AppendUint64(nil, r.TunnelID))
	}
	if r.UIDs != nil {
		b = appendAttr(b, unix.FRA_UID_RANGE, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, r.UIDs[0]), r.UIDs[1]))
	}
	if r.IPProto != 0 {
		b = appendAttr(b, unix.FRA_IP_PROTO, []byte{r.IPProto})
	}
	if r.SrcPorts != nil {
		b = appendAttr(b, unix.FRA_SPORT_RANGE, span16(r.SrcPorts))
	}
	if r.DstPorts != nil {
		b = appendAttr(b, unix.FRA_DPORT_RANGE, span16(r.DstPorts))
	}
	return b
}

// span16 is struct fib_rule_port_range.
func span16(s *[2]uint16) []byte {
	return binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, s[0]), s[1])
}

// Sweep removes all routes and rules that bear RouteProtocol: those of a director, or a keepalived, that was killed. It
// is for the start, before any is set. Routes and rules for which the configuration names another protocol are not
// known again: setting them takes them over.
func (o *Holdings) Sweep() error {
	o.sockMu.Lock()
	defer o.sockMu.Unlock()
	var err error
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		err = errors.Join(err,
			o.sweep(family, unix.RTM_GETROUTE, unix.RTM_DELROUTE, func(m []byte) bool { return len(m) > 5 && m[5] == RouteProtocol }),
			o.sweep(family, unix.RTM_GETRULE, unix.RTM_DELRULE, ruleIsOurs))
	}
	return err
}

// ruleIsOurs looks for RouteProtocol in a message of a rule.
func ruleIsOurs(m []byte) bool {
	if len(m) < unix.SizeofRtMsg {
		return false
	}
	for kind, value := range attributes(m[unix.SizeofRtMsg:]) {
		if kind == unix.FRA_PROTOCOL {
			return len(value) == 1 && value[0] == RouteProtocol
		}
	}
	return false
}

// sweep lists and sends what is ours back to the kernel as it came, to be deleted: so nothing of it is lost.
func (o *Holdings) sweep(family byte, get, del uint16, ours func([]byte) bool) error {
	q := o.host.request(int(get), unix.NLM_F_DUMP)
	q.AddRawData([]byte{family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	msgs, err := q.Execute(unix.NETLINK_ROUTE, get-2) // RTM_NEW… is two below RTM_GET…
	if err != nil {
		if absent(err) {
			return nil
		}
		return fmt.Errorf("list what was left behind: %w", err)
	}
	var reqs []request
	for _, m := range msgs {
		if ours(m) {
			reqs = append(reqs, request{kind: del, body: m})
		}
	}
	if len(reqs) > 0 {
		o.log.Info("removing routes or rules that were left behind", zap.Int("number", len(reqs)))
	}
	for len(reqs) > 0 {
		part := reqs[:min(len(reqs), batchSize)]
		reqs = reqs[len(part):]
		errs, failed := o.sock.do(part)
		if failed != nil {
			return failed
		}
		for _, e := range errs {
			if e != nil && !errors.Is(e, unix.ESRCH) && !errors.Is(e, unix.ENOENT) && !errors.Is(e, unix.ENODEV) {
				err = errors.Join(err, fmt.Errorf("remove what was left behind: %w", e))
			}
		}
	}
	return err
}
