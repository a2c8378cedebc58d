package ipvsadm

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"dirsw/config"
)

// Print writes the listing as ipvsadm -L does, or -S for ViewSave. It returns ErrNoSuchService when Format.Only is not
// listed, and what w returns.
func Print(w io.Writer, l Listing, f Format) error {
	p := &printer{w: bufio.NewWriter(w), f: f}
	switch f.View {
	case ViewConns:
		if err := p.conns(l.Conns); err != nil {
			return err
		}
	case ViewTimeouts:
		t := l.Timeouts.OrDefault()
		fmt.Fprintf(p.w, "Timeout (tcp tcpfin udp): %d %d %d\n", t.TCP/time.Second, t.TCPFin/time.Second, t.UDP/time.Second)
	case ViewDaemons:
		for i := range l.Daemons {
			p.daemon(&l.Daemons[i])
		}
	default:
		if err := p.services(&l); err != nil {
			return err
		}
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("print the listing: %w", err)
	}
	return nil
}

type printer struct {
	w *bufio.Writer
	f Format
}

// services prints all views of the table but the connections.
func (p *printer) services(l *Listing) error {
	list := l.Services
	if p.f.Only != nil {
		s := l.Service(*p.f.Only)
		if s == nil {
			return ErrNoSuchService
		}
		list = []Service{*s}
	}
	if !p.f.NoSort {
		list = sorted(list)
	}
	if p.f.View != ViewSave {
		if p.f.Only == nil {
			fmt.Fprintf(p.w, "IP Virtual Server version 1.2.1 (size=%d)\n", l.size())
		}
		p.header()
	}
	for i := range list {
		s := &list[i]
		if p.f.View == ViewSave {
			p.save(s)
			continue
		}
		p.service(s)
		for j := range s.Dests {
			p.dest(s, &s.Dests[j])
		}
	}
	return nil
}

// header prints the names of the columns; trailing blanks are ipvsadm's.
func (p *printer) header() {
	const address, remote = "Prot LocalAddress:Port", "  -> RemoteAddress:Port"
	switch p.f.View {
	case ViewStats:
		fmt.Fprintf(p.w, "%-33s %8s %8s %8s %8s %8s\n%s\n", address, "Conns", "InPkts", "OutPkts", "InBytes", "OutBytes", remote)
	case ViewRate:
		fmt.Fprintf(p.w, "%-33s %8s %8s %8s %8s %8s\n%s\n", address, "CPS", "InPPS", "OutPPS", "InBPS", "OutBPS", remote)
	case ViewThresholds:
		fmt.Fprintf(p.w, "%-33s %-10s %-10s %-10s %-10s\n%s\n", address, "Uthreshold", "Lthreshold", "ActiveConn", "InActConn", remote)
	case ViewPersistentConn:
		fmt.Fprintf(p.w, "%-33s %-9s %-11s %-10s %-10s\n%s\n", address, "Weight", "PersistConn", "ActiveConn", "InActConn", remote)
	case ViewTunnels:
		fmt.Fprintf(p.w, "%s Scheduler Flags\n%-33s Forward TunnelInfo    Weight ActiveConn InActConn\n", address, remote)
	default:
		fmt.Fprintf(p.w, "%s Scheduler Flags\n%-33s Forward Weight ActiveConn InActConn\n", address, remote)
	}
}

// end ends the line of an entry.
func (p *printer) end(origin string) {
	if p.f.Origin {
		p.w.WriteString("  # " + origin)
	}
	p.w.WriteByte('\n')
}

// service prints the line of a service: its counters, or its scheduler and flags.
func (p *printer) service(s *Service) {
	defer p.end(s.Origin)
	switch p.f.View {
	case ViewStats:
		fmt.Fprintf(p.w, "%-33s", p.f.title(s))
		p.counters(&s.Stats)
		return
	case ViewRate:
		fmt.Fprintf(p.w, "%-33s", p.f.title(s))
		p.counters(&s.Rate)
		return
	}
	fmt.Fprintf(p.w, "%s %s", p.f.title(s), s.Scheduler)
	if flags, ok := s.flags(); ok {
		fmt.Fprintf(p.w, " (%s)", flags)
	}
	if s.Persistence > 0 {
		fmt.Fprintf(p.w, " persistent %d", s.Persistence/time.Second)
		if mask := s.mask(); mask != "" {
			fmt.Fprintf(p.w, " mask %s", mask)
		}
		if s.Engine != "" {
			fmt.Fprintf(p.w, " pe %s", s.Engine)
		}
	}
	if s.OnePacket {
		p.w.WriteString(" ops")
	}
}

func (p *printer) counters(c *Counters) {
	for _, n := range [...]uint64{c.Conns, c.InPkts, c.OutPkts, c.InBytes, c.OutBytes} {
		p.w.WriteString(p.f.number(n))
	}
}

// dest prints the line of a real server.
func (p *printer) dest(s *Service, d *Dest) {
	defer p.end(d.Origin)
	fmt.Fprintf(p.w, "  -> %-28s", p.f.dest(s, d))
	switch p.f.View {
	case ViewStats:
		p.counters(&d.Stats)
	case ViewRate: // connections and packets in full, bytes in K and M
		fmt.Fprintf(p.w, " %8d %8d %8d%s%s", d.Rate.Conns, d.Rate.InPkts, d.Rate.OutPkts, p.f.number(d.Rate.InBytes), p.f.number(d.Rate.OutBytes))
	case ViewThresholds:
		fmt.Fprintf(p.w, " %-10d %-10d %-10d %-10d", d.Upper, d.Lower, d.Active, d.Inactive)
	case ViewPersistentConn:
		fmt.Fprintf(p.w, " %-9d %-11d %-10d %-10d", d.Weight, d.Persistent, d.Active, d.Inactive)
	case ViewTunnels:
		fmt.Fprintf(p.w, " %-7s %-13s %-6d %-10d %-10d", method(d.Method), tunnel(d), d.Weight, d.Active, d.Inactive)
	default:
		fmt.Fprintf(p.w, " %-7s %-6d %-10d %-10d", method(d.Method), d.Weight, d.Active, d.Inactive)
	}
}

// conns prints the connection table.
func (p *printer) conns(each func(func(*Conn) bool) error) error {
	p.w.WriteString("IPVS connection entries\n")
	if p.f.Engines {
		fmt.Fprintf(p.w, "pro expire %-11s %-18s %-18s %-18s %-16s %s\n", "state", "source", "virtual", "destination", "pe name", "pe_data")
	} else {
		fmt.Fprintf(p.w, "pro expire %-11s %-18s %-18s %s\n", "state", "source", "virtual", "destination")
	}
	if each == nil {
		return nil
	}
	var failed error
	err := each(func(c *Conn) bool {
		failed = p.conn(c)
		return failed == nil
	})
	if failed != nil {
		return fmt.Errorf("print the listing: %w", failed)
	}
	return err
}

// conn prints the line of a connection or a template.
func (p *printer) conn(c *Conn) error {
	left := c.Expires / time.Second
	fmt.Fprintf(p.w, "%-3s %-6s %-11s %-18s %-18s ", connProto(c.Proto), fmt.Sprintf("%02d:%02d", left/60, left%60), c.State,
		p.f.endpoint(c.Client.Addr(), c.Client.Port(), c.Proto), p.f.endpoint(c.Virtual.Addr(), c.Virtual.Port(), c.Proto))
	dest := p.f.endpoint(c.Dest.Addr(), c.Dest.Port(), c.Proto)
	var err error
	if p.f.Engines && c.Engine != "" {
		_, err = fmt.Fprintf(p.w, "%-16s %-18s %s\n", dest, c.Engine, c.EngineData)
	} else {
		_, err = p.w.WriteString(dest + "\n")
	}
	return err
}

// connProto is the kernel's name of a connection's protocol.
func connProto(p config.Protocol) string {
	switch p {
	case 0:
		return "IP"
	case protoESP:
		return "ESP"
	case protoAH:
		return "AH"
	}
	return p.String()
}

func (p *printer) daemon(d *Daemon) {
	role := "backup"
	if d.Master {
		role = "master"
	}
	fmt.Fprintf(p.w, "%s sync daemon (mcast=%s, syncid=%d, maxlen=%d, group=%s, port=%d, ttl=%d)\n",
		role, d.Interface, d.SyncID, d.MaxLen, d.Group, d.Port, d.TTL)
}

// save prints the commands that make the service again. As with ipvsadm thresholds are left out, and a flag without a
// name leaves -b without a value.
func (p *printer) save(s *Service) {
	name := p.selector(s)
	fmt.Fprintf(p.w, "-A %s -s %s", name, s.Scheduler)
	if s.Persistence > 0 {
		fmt.Fprintf(p.w, " -p %d", s.Persistence/time.Second)
		if mask := s.mask(); mask != "" {
			fmt.Fprintf(p.w, " -M %s", mask)
		}
	}
	if s.Engine != "" {
		fmt.Fprintf(p.w, " --pe %s", s.Engine)
	}
	if s.OnePacket {
		p.w.WriteString(" -o")
	}
	if flags, ok := s.flags(); ok {
		fmt.Fprintf(p.w, " -b %s", flags)
	}
	p.w.WriteByte('\n')
	for i := range s.Dests {
		d := &s.Dests[i]
		fmt.Fprintf(p.w, "-a %s -r %s %s -w %d%s\n", name, p.f.endpoint(d.Addr, d.Port, s.Proto),
			[...]string{"-g", "-i", "-m"}[d.Method%3], d.Weight, saveTunnel(d))
	}
}

// selector writes the options that name a service.
func (p *printer) selector(s *Service) string {
	switch {
	case s.Mark != 0 && s.IPv6:
		return fmt.Sprintf("-f %d -6", int32(s.Mark))
	case s.Mark != 0:
		return fmt.Sprintf("-f %d", int32(s.Mark))
	}
	option := map[config.Protocol]string{config.TCP: "-t", config.UDP: "-u", config.SCTP: "--sctp-service"}[s.Proto]
	return option + " " + p.f.endpoint(s.Addr, s.Port, s.Proto)
}

// saveTunnel writes the options of the method TUN, each after a blank.
func saveTunnel(d *Dest) string {
	if d.Method != config.TUN {
		return ""
	}
	out := " --tun-type " + d.Tunnel.Type.String()
	if d.Tunnel.Type == config.GUE {
		out += fmt.Sprintf(" --tun-port %d", d.Tunnel.Port)
	}
	if d.Tunnel.Type != config.IPIP {
		out += " --tun-" + d.Tunnel.Sum.String()
	}
	return out
}
