package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/ctl"
	"dirsw/sched"
	"dirsw/stats"
)

// cmdIpvsadm is ipvsadm for the running director. Only "--socket PATH" before the other arguments is our own.
func cmdIpvsadm(args []string, stdout, stderr io.Writer) int {
	socket := defaultSocket
	if len(args) > 0 {
		if v, ok := strings.CutPrefix(strings.TrimPrefix(args[0], "-"), "-socket="); ok {
			socket, args = v, args[1:]
		} else if args[0] == "--socket" && len(args) > 1 {
			socket, args = args[1], args[2:]
		}
	}
	cmd, err := ipvsadm.ParseArgs(args)
	for _, n := range cmd.Notes {
		fmt.Fprintln(stderr, "note:", n)
	}
	if err != nil {
		return ipvsadmError(stderr, err)
	}
	switch cmd.Op {
	case ipvsadm.OpVersion:
		fmt.Fprintln(stdout, "dirsw", version, "(in the place of ipvsadm v1.31)")
		return exitOK
	case ipvsadm.OpHelp:
		fmt.Fprint(stdout, "usage: dirsw ipvsadm [--socket PATH] -L|-S [ipvsadm's options of listings]\n\n"+
			"The table of a running director follows its configuration file: edit that, then \"dirsw reload\".\n")
		return exitOK
	case ipvsadm.OpList, ipvsadm.OpSave:
		if cmd.Format.View == ipvsadm.ViewRate {
			fmt.Fprintln(stderr, "dirsw ipvsadm: rates are not measured yet; --stats shows the totals")
			return exitFailed
		}
	}
	c, err := ctl.Dial(socket)
	if err != nil {
		return fail(stderr, "ipvsadm", err)
	}
	if cmd.Op != ipvsadm.OpList && cmd.Op != ipvsadm.OpSave {
		out, errs, exit, err := c.Do("ipvsadm", args, "")
		if err != nil {
			return fail(stderr, "ipvsadm", err)
		}
		fmt.Fprint(stdout, out)
		fmt.Fprint(stderr, errs)
		return exit
	}
	l, err := listing(c, &cmd)
	if err != nil {
		return fail(stderr, "ipvsadm", err)
	}
	if !cmd.Format.Numeric {
		if f, err := os.Open("/etc/services"); err == nil {
			if s, err := ipvsadm.ReadServices(f); err == nil {
				cmd.Format.Names.Port = s.Name
			}
			f.Close()
		}
	}
	if err := ipvsadm.Print(stdout, l, cmd.Format); err != nil {
		return ipvsadmError(stderr, err)
	}
	return exitOK
}

// ipvsadm changes the table as a command says.
func (b *backend) ipvsadm(args []string, _ string) ctl.Outcome {
	cmd, err := ipvsadm.ParseArgs(args)
	if err == nil {
		cmd.Schedulers = sched.Names()
		_, err = b.d.Edit(cmd.Apply)
	}
	return ctl.Outcome{Stderr: ipvsadm.Stderr(err), Exit: ipvsadm.ExitStatus(err)}
}

func ipvsadmError(stderr io.Writer, err error) int {
	fmt.Fprint(stderr, ipvsadm.Stderr(err))
	return ipvsadm.ExitStatus(err)
}

// listing asks the director for what the command shows.
func listing(c *ctl.Client, cmd *ipvsadm.Command) (ipvsadm.Listing, error) {
	var l ipvsadm.Listing
	s, err := c.Stats()
	if err != nil {
		return l, err
	}
	l.Timeouts = config.Timeouts(s.Timeouts)
	for i := range s.Services {
		l.Services = append(l.Services, listedService(&s.Services[i]))
	}
	if cmd.Format.View != ipvsadm.ViewConns {
		return l, nil
	}
	err = c.Conns(func(c stats.Conn) bool {
		l.Conns = append(l.Conns, ipvsadm.Conn{Proto: protocol(c.Proto), Client: c.Client, Virtual: c.Virtual, Dest: c.Dest,
			State: c.State, Expires: c.Left})
		return true
	})
	return l, err
}

func listedService(s *stats.Service) ipvsadm.Service {
	out := ipvsadm.Service{ServiceKey: config.ServiceKey{Proto: protocol(s.Proto), Addr: s.Addr, Port: s.Port, Mark: s.Mark,
		IPv6: s.Mark != 0 && s.IPv6}, Scheduler: s.Scheduler, SchedFlags: s.Flags, Persistence: s.Persistence,
		Granularity: s.Granularity, Engine: s.Engine, OnePacket: s.OnePacket, Stats: ipvsadm.Counters(s.Counters)}
	for i := range s.Dests {
		d := &s.Dests[i]
		out.Dests = append(out.Dests, ipvsadm.Dest{RealKey: config.RealKey{Addr: d.Addr, Port: d.Port}, Weight: d.Weight,
			Method: config.DR, Upper: d.Upper, Lower: d.Lower, Active: uint32(d.Active), Inactive: uint32(d.Inactive),
			Persistent: uint32(d.Persistent), Stats: ipvsadm.Counters(d.Counters)})
	}
	return out
}

func protocol(name string) config.Protocol {
	switch name {
	case "TCP":
		return config.TCP
	case "UDP":
		return config.UDP
	case "SCTP":
		return config.SCTP
	}
	return 0
}
