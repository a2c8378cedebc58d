package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/ctl"
	"dirsw/sched"
	"dirsw/stats"
)

// cmdIpvsadm is ipvsadm for the running director. Only "--socket PATH" before the other arguments is our own. What only
// looks is done here, piece by piece as the director tells it; what changes something is done by the director.
func cmdIpvsadm(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	socket, args := socketOf(args)
	cmd, _ := anyNames().ParseArgs(args) // the shell says what is wrong
	switch cmd.Op {
	case ipvsadm.OpNone, ipvsadm.OpList, ipvsadm.OpSave, ipvsadm.OpHelp, ipvsadm.OpVersion:
		return localShell(remoteTable{socket}, cmd.Format.Numeric).Run(args, stdin, stdout, stderr)
	}
	var text []byte
	if cmd.Op == ipvsadm.OpRestore {
		var err error
		if text, err = io.ReadAll(stdin); err != nil {
			return fail(stderr, "ipvsadm", err)
		}
	}
	c, err := ctl.Dial(socket)
	if err != nil {
		return fail(stderr, "ipvsadm", err)
	}
	out, errs, exit, err := c.Do("ipvsadm", args, string(text))
	if err != nil {
		return fail(stderr, "ipvsadm", err)
	}
	fmt.Fprint(stdout, out)
	fmt.Fprint(stderr, errs)
	return exit
}

// anyNames takes every name without asking anybody: whoever carries out the command does.
func anyNames() ipvsadm.Resolver {
	return ipvsadm.Resolver{Port: func(string, config.Protocol) (uint16, bool) { return 1, true },
		Host: func(string) (netip.Addr, bool) { return netip.AddrFrom4([4]byte{192, 0, 2, 1}), true }}
}

// ownOptions are those that ipvsadm does not have.
const ownOptions = `
Options of dirsw:
  --socket PATH                       control socket of the director; must come first
  --origin                            with -L: where each entry comes from, file:line or command
  --atomic                            with -R: all lines or none
  --replace                           with -R: as --atomic, in the place of the whole table
`

// socketOf takes our own option from the beginning of the arguments.
func socketOf(args []string) (socket string, rest []string) {
	if len(args) > 0 {
		if v, ok := strings.CutPrefix(strings.TrimPrefix(args[0], "-"), "-socket="); ok {
			return v, args[1:]
		}
		if args[0] == "--socket" && len(args) > 1 {
			return args[1], args[2:]
		}
	}
	if env := os.Getenv("DIRSW_SOCKET"); env != "" {
		return env, args
	}
	return defaultSocket, args
}

// calledAs carries out the command that belongs to a name the binary was called by: those of the ipvsadm package do what
// they do there. ok is false for other names.
func calledAs(name string, args []string, stdin io.Reader, stdout, stderr io.Writer) (exit int, ok bool) {
	switch base := filepath.Base(name); base {
	case "ipvsadm":
		return cmdIpvsadm(args, stdin, stdout, stderr), true
	case "ipvsadm-save", "ipvsadm-restore":
		words, err := ipvsadm.Script(base, args)
		if err != nil {
			fmt.Fprint(stderr, ipvsadm.Stderr(err))
			return ipvsadm.ExitStatus(err), true
		}
		return cmdIpvsadm(words, stdin, stdout, stderr), true
	}
	return 0, false
}

// cmdProc shows a file that the kernel's IPVS has below /proc/net.
func cmdProc(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("proc", "[--socket PATH] "+strings.Join(ipvsadm.Files(), " | "), stderr)
	socket := fs.String("socket", defaultSocket, "control socket `path`")
	if code := parse(args); code >= 0 {
		return code
	}
	if fs.NArg() != 1 || !slices.Contains(ipvsadm.Files(), fs.Arg(0)) {
		fs.Usage()
		return exitUsage
	}
	c, err := ctl.Dial(*socket)
	if err != nil {
		return fail(stderr, "proc", err)
	}
	var f ipvsadm.Format
	if strings.HasPrefix(fs.Arg(0), "ip_vs_conn") {
		f.View = ipvsadm.ViewConns
	}
	l, err := listing(c, f)
	if err == nil {
		err = ipvsadm.PrintFile(stdout, fs.Arg(0), l)
	}
	if err != nil {
		return fail(stderr, "proc", err)
	}
	return exitOK
}

// source is who tells what is in force: the director itself, or its control socket.
type source interface {
	Stats() (stats.Stats, error)
	Conns(yield func(stats.Conn) bool) error
}

// localShell is a shell for what only looks.
func localShell(t ipvsadm.Table, numeric bool) *ipvsadm.Shell {
	s := &ipvsadm.Shell{Table: t}
	if numeric {
		return s
	}
	s.Names.Host = hostNames(2 * time.Second)
	if f, err := os.Open("/etc/services"); err == nil {
		if names, err := ipvsadm.ReadServices(f); err == nil {
			s.Names.Port = names.Name
		}
		f.Close()
	}
	return s
}

// hostNames returns a function that asks for the name of an address, of each only once. All questions together may take
// as long as patience: a listing in numbers is better than none.
func hostNames(patience time.Duration) func(netip.Addr) string {
	known := map[netip.Addr]string{}
	return func(a netip.Addr) string {
		name, ok := known[a]
		if ok || patience <= 0 {
			return name
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if list, err := net.DefaultResolver.LookupAddr(ctx, a.String()); err == nil && len(list) > 0 {
			name = strings.TrimSuffix(list[0], ".")
		}
		patience -= time.Since(start)
		known[a] = name
		return name
	}
}

// remoteTable is the table of the director behind a socket, to look at.
type remoteTable struct{ socket string }

func (t remoteTable) Listing(f ipvsadm.Format) (ipvsadm.Listing, error) {
	c, err := ctl.Dial(t.socket)
	if err != nil {
		return ipvsadm.Listing{}, &ipvsadm.Error{Message: "dirsw ipvsadm: " + err.Error(), Exit: exitFailed}
	}
	return listing(c, f)
}

// Edit and Zero are the director's: what changes something is carried out there.
func (remoteTable) Edit(func(*config.Model) error) error { return errOnlyLooks }

// Zero is refused as Edit is.
func (remoteTable) Zero(*config.ServiceKey) error { return errOnlyLooks }

var errOnlyLooks = &ipvsadm.Error{Message: "dirsw ipvsadm: this is for the director to do", Exit: exitFailed}

// ownTable is the table of the director in this process, for one command line.
type ownTable struct {
	b       *backend
	remarks []string
}

var _ ipvsadm.Remarker = (*ownTable)(nil)

func (t *ownTable) Listing(f ipvsadm.Format) (ipvsadm.Listing, error) { return listing(t.b, f) }

// Edit remarks on servers that came and cannot be reached from here, of many the first.
func (t *ownTable) Edit(change func(*config.Model) error) error {
	changes, err := t.b.changes(change)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Action != config.Added || c.Kind != config.KindReal {
			continue
		}
		if why := t.b.d.Unreachable(c.Real.Addr); why != "" && len(t.remarks) == 0 {
			t.remarks = append(t.remarks, fmt.Sprintf("%v cannot be reached: %s", c.Real.Addr, why))
		}
	}
	return nil
}

// Remarks is for the Shell.
func (t *ownTable) Remarks() []string { return t.remarks }

func (t *ownTable) Zero(only *config.ServiceKey) error {
	if !t.b.d.Zero(only) {
		return ipvsadm.ErrNoService
	}
	return nil
}

// ipvsadm runs a command line of ipvsadm in the director's process.
func (b *backend) ipvsadm(args []string, stdin string) (o ctl.Outcome) {
	s := ipvsadm.Shell{Table: &ownTable{b: b}, Schedulers: append(sched.Names(), sched.Nobody), Time: time.Now(), Link: b.link}
	var out, errs strings.Builder
	o.Exit = s.Run(args, strings.NewReader(stdin), &out, &errs)
	o.Stdout, o.Stderr = out.String(), errs.String()
	return o
}

// link returns the MTU of an interface of this host.
func (b *backend) link(name string) (mtu int, ok bool) {
	l, err := b.h.Link(name)
	return l.MTU, err == nil
}

// listing asks a director for what a format shows. Connections are told while they come in.
func listing(from source, f ipvsadm.Format) (ipvsadm.Listing, error) {
	var l ipvsadm.Listing
	s, err := from.Stats()
	if err != nil {
		return l, err
	}
	l.Timeouts = config.Timeouts(s.Timeouts)
	l.Total = ipvsadm.Totals{Now: ipvsadm.Counters(s.Counters), Listed: ipvsadm.Counters(s.Listed), Rate: ipvsadm.Counters(s.Rate)}
	for i := range s.Services {
		l.Services = append(l.Services, listedService(&s.Services[i]))
	}
	for _, d := range s.Daemons {
		l.Daemons = append(l.Daemons, ipvsadm.Daemon(d))
	}
	if f.View != ipvsadm.ViewConns {
		return l, nil
	}
	l.Conns = func(yield func(*ipvsadm.Conn) bool) error {
		return from.Conns(func(c stats.Conn) bool {
			return yield(&ipvsadm.Conn{Proto: protocol(c.Proto), Client: c.Client, Virtual: c.Virtual, Dest: c.Dest,
				State: c.State, Expires: c.Left, Engine: c.Engine, EngineData: c.EngineData,
				Synced: slices.Contains(c.Flags, stats.Synced)})
		})
	}
	return l, nil
}

func listedService(s *stats.Service) ipvsadm.Service {
	out := ipvsadm.Service{ServiceKey: config.ServiceKey{Proto: protocol(s.Proto), Addr: s.Addr, Port: s.Port, Mark: s.Mark,
		IPv6: s.Mark != 0 && s.IPv6}, Scheduler: s.Scheduler, SchedFlags: s.Flags, Persistence: s.Persistence,
		Granularity: s.Granularity, Netmask: s.Netmask, Engine: s.Engine, OnePacket: s.OnePacket, Stats: ipvsadm.Counters(s.Listed),
		Rate: ipvsadm.Counters(s.Rate), Origin: s.Whence}
	for i := range s.Dests {
		d := &s.Dests[i]
		out.Dests = append(out.Dests, ipvsadm.Dest{RealKey: config.RealKey{Addr: d.Addr, Port: d.Port}, Weight: d.Weight,
			Method: methods[d.Method], Tunnel: tunnel(d.Tunnel), Upper: d.Upper, Lower: d.Lower, Active: uint32(d.Active),
			Inactive: uint32(d.Inactive), Persistent: uint32(d.Persistent), Stats: ipvsadm.Counters(d.Listed),
			Rate: ipvsadm.Counters(d.Rate), Origin: d.Whence})
	}
	return out
}

// methods are the forwarding methods as stats names them.
var methods = map[string]config.Method{"Route": config.DR, "Tunnel": config.TUN, "Masq": config.NAT}

func tunnel(t *stats.Tunnel) (c config.Tunnel) {
	if t == nil {
		return c
	}
	for _, typ := range []config.TunnelType{config.IPIP, config.GUE, config.GRE} {
		if typ.String() == t.Type {
			c.Type = typ
		}
	}
	for _, sum := range []config.TunnelSum{config.NoSum, config.Sum, config.RemoteSum} {
		if sum.String() == t.Checksum {
			c.Sum = sum
		}
	}
	c.Port = t.Port
	return c
}

func protocol(name string) config.Protocol {
	switch name {
	case "TCP":
		return config.TCP
	case "UDP":
		return config.UDP
	case "SCTP":
		return config.SCTP
	case "ESP":
		return 50
	case "AH":
		return 51
	}
	return 0
}
