package ipvsadm

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

// TestTranscriptTraffic compares the listings that show what traffic did. Their numbers are taken from the transcript,
// column by column, and put into a Listing of the table; names, order, widths and headings are Print's.
func TestTranscriptTraffic(t *testing.T) {
	var m *machine
	var conns []Conn // as they were listed with numbers
	group, traffic, same := "", false, 0
	for i, e := range readTranscript(t) {
		if e.Group != group {
			m, group, traffic = newMachine(), e.Group, false
		}
		if len(e.Traffic) > 0 {
			traffic = true
		}
		if e.Cmd == "" || except(e) != "" {
			continue
		}
		args := words(e.Cmd)
		c, err := m.shell.Resolver.ParseArgs(args)
		if err != nil || c.Op != OpList || !traffic {
			stdin := ""
			if e.Stdin != nil {
				stdin = *e.Stdin
			}
			m.run(args, stdin)
			continue
		}
		l := FromModel(&m.model)
		if c.Format.View == ViewConns && !c.Format.Numeric {
			// as before, with names
		} else if c.Format.View == ViewConns {
			conns = fillConns(t, e.Stdout)
		} else if !fill(t, &l, e.Stdout, c.Format.View) {
			continue // it lists nothing
		}
		l.Conns = connsOf(conns)
		c.Format.Names = m.shell.Names
		m.out.Reset()
		if err := Print(&m.out, l, c.Format); err != nil {
			t.Errorf("line %d, %s: %v", i+1, e.Cmd, err)
			continue
		}
		if m.out.String() != e.Stdout {
			t.Errorf("line %d, %s\n got\n%s\nwant\n%s", i+1, e.Cmd, m.out.String(), e.Stdout)
		}
		same++
	}
	if same < 26 {
		t.Errorf("only %d listings compared", same)
	}
}

// fill puts the numbers of a listing into l. It reports whether there is anything in it.
func fill(t *testing.T, l *Listing, out string, view View) bool {
	t.Helper()
	var s *Service
	any := false
	for _, line := range strings.Split(out, "\n") {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] == "IP" || f[0] == "Prot" || f[1] == "RemoteAddress:Port" {
			continue
		}
		any = true
		switch {
		case f[0] == "->":
			fillDest(t, s, netip.MustParseAddrPort(f[1]), f[2:], view)
		default:
			ap := netip.MustParseAddrPort(f[1])
			s = l.Service(config.ServiceKey{Proto: protocol(f[0]), Addr: ap.Addr(), Port: ap.Port()})
			if s == nil {
				t.Fatalf("no such service: %s", line)
			}
			fillCounters(t, &s.Stats, &s.Rate, f[2:], view)
		}
	}
	return any
}

// fillConns reads a listing of connections.
func fillConns(t *testing.T, out string) (list []Conn) {
	t.Helper()
	for _, line := range strings.Split(out, "\n") {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] == "pro" {
			continue
		}
		list = append(list, Conn{Proto: protocol(f[0]), Expires: expires(t, f[1]), State: f[2], Client: netip.MustParseAddrPort(f[3]),
			Virtual: netip.MustParseAddrPort(f[4]), Dest: netip.MustParseAddrPort(f[5])})
	}
	return list
}

func protocol(name string) config.Protocol {
	return map[string]config.Protocol{"TCP": config.TCP, "UDP": config.UDP, "SCTP": config.SCTP}[name]
}

func expires(t *testing.T, s string) time.Duration {
	minutes, seconds, _ := strings.Cut(s, ":")
	return time.Duration(number(t, minutes))*time.Minute + time.Duration(number(t, seconds))*time.Second
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func fillCounters(t *testing.T, stats, rate *Counters, f []string, view View) {
	t.Helper()
	if view != ViewStats && view != ViewRate {
		return
	}
	to := stats
	if view == ViewRate {
		to = rate
	}
	*to = Counters{number(t, f[0]), number(t, f[1]), number(t, f[2]), number(t, f[3]), number(t, f[4])}
}

func fillDest(t *testing.T, s *Service, ap netip.AddrPort, f []string, view View) {
	t.Helper()
	for i := range s.Dests {
		d := &s.Dests[i]
		if d.Addr != ap.Addr() || d.Port != ap.Port() {
			continue
		}
		fillCounters(t, &d.Stats, &d.Rate, f, view)
		if view == ViewTable || view == ViewThresholds || view == ViewPersistentConn {
			d.Active, d.Inactive = uint32(number(t, f[2])), uint32(number(t, f[3]))
		}
		if view == ViewPersistentConn {
			d.Persistent = uint32(number(t, f[1]))
		}
		return
	}
	t.Fatalf("no such real server: %s", ap)
}
