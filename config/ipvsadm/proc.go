package ipvsadm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Files are the names of what the kernel's IPVS shows below /proc/net, for programs that read it there.
func Files() []string {
	return []string{"ip_vs", "ip_vs_conn", "ip_vs_conn_sync", "ip_vs_stats", "ip_vs_stats_percpu"}
}

// PrintFile writes what the kernel would show in a file of /proc/net, one of Files. Numbers are hexadecimal there, but for
// weights and counts; times of services are in ticks of 10 ms. All workers are shown as one processor.
func PrintFile(out io.Writer, name string, l Listing) error {
	p := &printer{w: bufio.NewWriter(out)}
	switch name {
	case "ip_vs":
		p.fileServices(&l)
	case "ip_vs_conn", "ip_vs_conn_sync":
		if err := p.fileConns(l.Conns, name == "ip_vs_conn_sync"); err != nil {
			return err
		}
	case "ip_vs_stats":
		fmt.Fprintf(p.w, "   Total Incoming Outgoing         Incoming         Outgoing\n   Conns  Packets  Packets            Bytes            Bytes\n"+
			"%s\n\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n%s\n", hex(l.Total.Listed), hex(l.Total.Rate))
	case "ip_vs_stats_percpu":
		fmt.Fprintf(p.w, "       Total Incoming Outgoing         Incoming         Outgoing\nCPU    Conns  Packets  Packets            Bytes            Bytes\n"+
			"  0 %s\n  ~ %s\n\n     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n    %s\n",
			hex(l.Total.Now), hex(l.Total.Listed), hex(l.Total.Rate))
	default:
		return fmt.Errorf("there is no /proc/net/%s of IPVS", name)
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("print /proc/net/%s: %w", name, err)
	}
	return nil
}

func hex(c Counters) string {
	return fmt.Sprintf("%8X %8X %8X %16X %16X", c.Conns, c.InPkts, c.OutPkts, c.InBytes, c.OutBytes)
}

// tick is the unit of the times of services.
const tick = 10 * time.Millisecond

func (p *printer) fileServices(l *Listing) {
	fmt.Fprintf(p.w, "IP Virtual Server version 1.2.1 (size=%d)\nProt LocalAddress:Port Scheduler Flags\n"+
		"  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n", l.size())
	for i := range l.Services {
		s := &l.Services[i]
		ops := ""
		if s.OnePacket {
			ops = "ops "
		}
		switch {
		case s.Mark != 0:
			fmt.Fprintf(p.w, "FWM  %08X %s %s", s.Mark, s.Scheduler, ops)
		case s.Is6():
			fmt.Fprintf(p.w, "%s  %s %s ", s.Proto, fileEndpoint(s.Addr, s.Port, ":"), s.Scheduler)
		default:
			fmt.Fprintf(p.w, "%s  %s %s %s ", s.Proto, fileEndpoint(s.Addr, s.Port, ":"), s.Scheduler, ops)
		}
		if s.Persistence > 0 {
			fmt.Fprintf(p.w, "persistent %d %08X", s.Persistence/tick, s.maskWord())
		}
		p.w.WriteByte('\n')
		for j := range s.Dests {
			d := &s.Dests[j]
			fmt.Fprintf(p.w, "  -> %s      %-7s %-6d %-10d %-10d\n", fileEndpoint(d.Addr, d.Port, ":"), method(d.Method), d.Weight,
				d.Active, d.Inactive)
		}
	}
}

// maskWord is the mask of templates as a number. The kernel keeps the prefix length of IPv6 in the same place, and shows it
// with its bytes turned round.
func (s *Service) maskWord() uint32 {
	switch {
	case s.Netmask.Is4():
		b := s.Netmask.As4()
		return binary.BigEndian.Uint32(b[:])
	case s.Is6() && s.Granularity == 0:
		return 128 << 24
	case s.Is6():
		return uint32(s.Granularity) << 24
	case s.Granularity == 0:
		return ^uint32(0)
	}
	return ^uint32(0) << (32 - min(s.Granularity, 32))
}

// fileEndpoint writes an address and port in hexadecimal, IPv6 in brackets before a colon.
func fileEndpoint(a netip.Addr, port uint16, between string) string {
	if a.Is6() {
		text := a.StringExpanded()
		if between == ":" {
			text = "[" + text + "]"
		}
		return fmt.Sprintf("%s%s%04X", text, between, port)
	}
	b := a.As4()
	return fmt.Sprintf("%X%s%04X", b[:], between, port)
}

func (p *printer) fileConns(each func(func(*Conn) bool) error, sync bool) error {
	const head = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       "
	if sync {
		p.w.WriteString(head + "Origin Expires\n")
	} else {
		p.w.WriteString(head + "Expires PEName PEData\n")
	}
	if each == nil {
		return nil
	}
	var failed error
	err := each(func(c *Conn) bool {
		at := func(ap netip.AddrPort) string { return fileEndpoint(ap.Addr(), ap.Port(), " ") }
		_, failed = fmt.Fprintf(p.w, "%-3s %s %s %s %-11s ", connProto(c.Proto), at(c.Client), at(c.Virtual), at(c.Dest), c.State)
		left := int64(c.Expires / time.Second)
		switch {
		case failed != nil:
		case sync:
			origin := "LOCAL"
			if c.Synced {
				origin = "SYNC"
			}
			_, failed = fmt.Fprintf(p.w, "%-6s %7d\n", origin, left)
		case c.Engine != "":
			_, failed = fmt.Fprintf(p.w, "%7d %s %s\n", left, c.Engine, c.EngineData)
		default:
			_, failed = fmt.Fprintf(p.w, "%7d\n", left)
		}
		return failed == nil
	})
	if failed != nil {
		return fmt.Errorf("print the connections: %w", failed)
	}
	return err
}

// Totals are the counters of all services that there ever were.
type Totals struct {
	Now    Counters
	Listed Counters // as they were when they were looked at last, see Service.Stats
	Rate   Counters // a second
}

func (l *Listing) size() int {
	if l.Size == 0 {
		return 4096
	}
	return l.Size
}
