package ipvsadm

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"dirsw/config"
)

// ParseArgs parses a command line without the command's own name, asking the system for names of ports and hosts. Its
// errors are *Error, with ipvsadm's texts and exit statuses.
func ParseArgs(args []string) (Command, error) { return Resolver{}.ParseArgs(args) }

// ParseArgs is the function ParseArgs, asking r for names.
func (r Resolver) ParseArgs(args []string) (Command, error) {
	p := &parser{r: r, scan: scanner{specs: specs()}}
	p.scan.words, p.cmd.Notes = mend(args, p.scan.specs)
	words := p.scan.words
	if err := p.parse(); err != nil {
		err.Hint = hint(words, err)
		return Command{Notes: p.cmd.Notes}, err
	}
	return p.cmd, nil
}

// parser is a command line being parsed.
type parser struct {
	r     Resolver
	scan  scanner
	cmd   Command
	given options
	words []string // that are no options

	mask       string
	flags      string
	tunnel     string
	hasPort    bool // of the real server
	markOption bool // -f was given
	origin     bool // --origin was
}

func (p *parser) parse() *Error {
	if len(p.scan.words) == 0 {
		p.cmd.Op = OpList
		return nil
	}
	if err := p.command(); err != nil || p.cmd.Op == OpHelp || p.cmd.Op == OpVersion {
		return err
	}
	for {
		it, ok, err := p.scan.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if it.name == "" {
			p.words = append(p.words, it.value)
			continue
		}
		if err := p.option(it); err != nil {
			return err
		}
	}
	return p.finish()
}

// command takes the first option, which must say what to do.
func (p *parser) command() *Error {
	for {
		it, ok, err := p.scan.next()
		if err != nil || !ok {
			return usage()
		}
		if it.name == "" {
			p.words = append(p.words, it.value)
			continue
		}
		p.cmd.Op = operation(it.name)
		switch p.cmd.Op {
		case OpNone:
			return usage()
		case OpStartDaemon, OpStopDaemon:
			return p.role(it.value)
		}
		return nil
	}
}

func usage() *Error { e := *ErrUsage; return &e }

func fail(message string) *Error { return &Error{Message: message, Exit: 2} }

func operation(name string) Op {
	switch name {
	case "add-service":
		return OpAddService
	case "edit-service":
		return OpEditService
	case "delete-service":
		return OpDeleteService
	case "clear":
		return OpClear
	case "list":
		return OpList
	case "zero":
		return OpZero
	case "add-server":
		return OpAddServer
	case "edit-server":
		return OpEditServer
	case "delete-server":
		return OpDeleteServer
	case "help":
		return OpHelp
	case "version":
		return OpVersion
	case "restore":
		return OpRestore
	case "save":
		return OpSave
	case "set":
		return OpSetTimeouts
	case "start-daemon":
		return OpStartDaemon
	case "stop-daemon":
		return OpStopDaemon
	}
	return OpNone
}

// role reads the word after --start-daemon and --stop-daemon.
func (p *parser) role(word string) *Error {
	p.cmd.Daemon = Daemon{Master: word == "master", Port: 8848, TTL: 1, Group: netip.AddrFrom4([4]byte{224, 0, 0, 81})}
	if word == "master" || word == "backup" {
		return nil
	}
	if p.cmd.Op == OpStartDaemon {
		return fail("illegal start-daemon parameter specified")
	}
	return fail("illegal start_daemon specified")
}

// mark remembers that an option of the group was given; twice is a mistake.
func (p *parser) mark(o opt) *Error {
	if p.given.has(o) {
		return fail("multiple '" + o.String() + "' options specified")
	}
	p.given |= set(o)
	return nil
}

// option takes an option that is no command.
func (p *parser) option(it item) *Error {
	if operation(it.name) != OpNone {
		return fail("invalid option `" + it.given + "'")
	}
	if it.name == "sort" {
		return nil
	}
	if it.name == "ipv6" {
		return p.six()
	}
	if it.name == "origin" || it.name == "atomic" || it.name == "replace" {
		return p.own(it.name)
	}
	if err := p.mark(group(it.name)); err != nil {
		return err
	}
	switch it.name {
	case "tcp-service":
		return p.service(it.value, config.TCP)
	case "udp-service":
		return p.service(it.value, config.UDP)
	case "sctp-service":
		return p.service(it.value, config.SCTP)
	case "fwmark-service":
		return p.fwmark(it.value)
	case "scheduler", "persistent", "netmask", "pe", "ops", "sched-flags":
		return p.serviceOption(it)
	case "real-server", "masquerading", "ipip", "gatewaying", "weight", "u-threshold", "l-threshold", "tun-type", "tun-port",
		"tun-nocsum", "tun-csum", "tun-remcsum":
		return p.serverOption(it)
	case "syncid", "sync-maxlen", "mcast-interface", "mcast-group", "mcast-port", "mcast-ttl":
		return p.daemonOption(it)
	}
	return nil // options of listings: that they were given is all there is to know
}

// own takes an option that ipvsadm does not have.
func (p *parser) own(name string) *Error {
	switch {
	case name == "origin" && p.cmd.Op == OpList:
		p.origin = true
	case name == "atomic" && p.cmd.Op == OpRestore:
		p.cmd.Atomic = true
	case name == "replace" && p.cmd.Op == OpRestore:
		p.cmd.Atomic, p.cmd.Replace = true, true
	default:
		return fail("Illegal '" + name + "' option with the '" + p.cmd.Op.String() + "' command")
	}
	return nil
}

// group returns the group of an option.
func group(name string) opt {
	switch name {
	case "tcp-service", "udp-service", "sctp-service", "fwmark-service":
		return optService
	case "masquerading", "ipip", "gatewaying":
		return optForward
	}
	for o := opt(0); o < optCount; o++ {
		if o.String() == name {
			return o
		}
	}
	return optCount
}

func (p *parser) six() *Error {
	if !p.markOption {
		return fail("-6 used before -f\n")
	}
	p.cmd.Service.IPv6 = true
	return nil
}

func (p *parser) service(word string, proto config.Protocol) *Error {
	s := &p.cmd.Service
	s.Proto = proto
	e, ok := p.r.endpoint(word, proto)
	if !ok {
		return fail("illegal virtual server address[:port] specified")
	}
	s.Addr, s.Port = e.addr, e.port
	p.cmd.HasService = true
	return nil
}

func (p *parser) fwmark(word string) *Error {
	n, ok := decimal(word, 1, math.MaxUint32)
	if !ok {
		return fail("invalid fwmark value `" + word + "' specified")
	}
	p.cmd.Service.Mark = uint32(n)
	p.cmd.HasService, p.markOption = true, true
	return nil
}

func (p *parser) serviceOption(it item) *Error {
	s := &p.cmd.Service
	switch it.name {
	case "scheduler":
		s.Scheduler = it.value
	case "persistent":
		s.Persistence = 360 * time.Second // although ipvsadm(8) says 300
		if it.has {
			d, err := timeout(it.value, 1)
			s.Persistence = d
			return err
		}
	case "netmask":
		p.mask = it.value
	case "pe":
		s.Engine = it.value
	case "ops":
		s.OnePacket = true
	case "sched-flags":
		p.flags = it.value
	}
	return nil
}

// timeout reads seconds, at most 31 days of them.
func timeout(word string, low int64) (time.Duration, *Error) {
	n, ok := decimal(word, low, int64(config.MaxTimeout/time.Second))
	if !ok {
		return 0, fail("invalid timeout value `" + word + "' specified")
	}
	return time.Duration(n) * time.Second, nil
}

func (p *parser) serverOption(it item) *Error {
	r := &p.cmd.Real
	switch it.name {
	case "real-server":
		proto := p.cmd.Service.Proto // 0 as long as no service was named
		if p.markOption {
			proto = config.TCP
		}
		e, ok := p.r.endpoint(it.value, proto)
		if !ok {
			return fail("illegal real server address[:port] specified")
		}
		r.Addr, r.Port, p.hasPort = e.addr, e.port, e.hasPort
		if !e.hasPort {
			r.Port = p.cmd.Service.Port
		}
	case "masquerading":
		r.Method = config.NAT
	case "ipip":
		r.Method = config.TUN
	case "gatewaying":
		r.Method = config.DR
	case "weight":
		n, ok := decimal(it.value, 0, math.MaxInt32)
		if !ok {
			return fail("illegal weight specified")
		}
		r.Weight = int(n)
	case "u-threshold", "l-threshold":
		return p.threshold(it)
	case "tun-type":
		p.tunnel = it.value
		return p.tunnelType(it.value)
	case "tun-port":
		n, ok := decimal(it.value, 1, math.MaxUint16)
		if !ok {
			return fail("illegal tunnel port specified")
		}
		r.Tunnel.Port = uint16(n)
	case "tun-nocsum":
		r.Tunnel.Sum = config.NoSum
	case "tun-csum":
		r.Tunnel.Sum = config.Sum
	case "tun-remcsum":
		r.Tunnel.Sum = config.RemoteSum
	}
	return nil
}

func (p *parser) threshold(it item) *Error {
	n, ok := decimal(it.value, 0, math.MaxInt32)
	if !ok {
		return fail("illegal " + strings.Replace(it.name, "-", "_", 1) + " specified")
	}
	if it.name == "u-threshold" {
		p.cmd.Real.Upper = uint32(n)
	} else {
		p.cmd.Real.Lower = uint32(n)
	}
	return nil
}

func (p *parser) tunnelType(word string) *Error {
	for _, t := range []config.TunnelType{config.IPIP, config.GUE, config.GRE} {
		if t.String() == word {
			p.cmd.Real.Tunnel.Type = t
			return nil
		}
	}
	return fail("illegal tunnel type specified")
}

func (p *parser) daemonOption(it item) *Error {
	d := &p.cmd.Daemon
	number := func(to *int, low, high int64) *Error {
		n, ok := decimal(it.value, low, high)
		if !ok {
			return fail("illegal " + it.name + " specified")
		}
		*to = int(n)
		return nil
	}
	switch it.name {
	case "syncid":
		return number(&d.SyncID, 0, 255)
	case "sync-maxlen":
		return number(&d.MaxLen, 1, 65507)
	case "mcast-ttl":
		return number(&d.TTL, 1, 255)
	case "mcast-port":
		port := 0
		err := number(&port, 1, math.MaxUint16)
		d.Port = uint16(port)
		return err
	case "mcast-interface":
		d.Interface = it.value
	case "mcast-group":
		a, err := netip.ParseAddr(it.value)
		switch {
		case err == nil && a.IsMulticast():
			d.Group = a
		case strings.Contains(it.value, ":"):
			return fail("invalid IPv6 mcast-group `" + it.value + "'")
		default:
			return fail("invalid IPv4 mcast-group `" + it.value + "'")
		}
	}
	return nil
}
