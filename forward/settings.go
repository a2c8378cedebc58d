package forward

import "dirsw/conntrack"

// Settings are the net.ipv4.vs.* settings that a worker follows, as Documentation/networking/ipvs-sysctl.rst of the
// kernel names and means them. The zero value is not the kernel's default, DefaultSettings is.
type Settings struct {
	// SloppyTCP and SloppySCTP open connections by any packet but a RST or an ABORT, not by SYN and INIT alone.
	SloppyTCP, SloppySCTP bool
	// ReuseMode is conn_reuse_mode: when a SYN or INIT on a known connection is scheduled anew.
	ReuseMode conntrack.ReuseMode
	// ExpireNodest ends a connection when a packet of it finds its server gone, or a new SYN or INIT finds its weight 0.
	ExpireNodest bool
	// ExpireQuiescent takes no template for new connections whose server has weight 0.
	ExpireQuiescent bool
	// NATICMPSend answers what a real server sends from the port of a service without a connection with port unreachable.
	NATICMPSend bool
	// PMTUDisc tells the client of the MTU of a tunnel and sends with DF; without it the outer packet may be cut.
	PMTUDisc bool
	// ScheduleICMP opens connections by what an ICMP error quotes.
	ScheduleICMP bool
	// CacheBypass sends what finds no server to the address that the client wanted.
	CacheBypass bool
	// SecureTCP, DropEntry and DropPacket defend the connection table.
	SecureTCP, DropEntry, DropPacket Defence
	// AMemThresh is the room in the connection table, in entries of the worker's, below which Automatic defends.
	AMemThresh uint32
	// AMDropRate is with DropPacket Always how many new connections there are to one that is dropped; 0 drops none.
	AMDropRate uint32
}

// Defence is the mode of a defence against floods: the kernel's 0, 1 and 2, 3. The kernel shows by 1 or 2 whether an
// automatic defence is idle or at work; here that is no matter of the setting.
type Defence uint8

// The modes.
const (
	Never     Defence = iota // 0
	Automatic                // 1 and 2: while the room in the connection table is below AMemThresh
	Always                   // 3
)

func (d Defence) String() string {
	switch d {
	case Never:
		return "never"
	case Automatic:
		return "automatic"
	case Always:
		return "always"
	}
	return "invalid"
}

// DefaultSettings returns the kernel's defaults (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_control_net_init_sysctl).
// AMemThresh is 1024 entries: the kernel's 1024 pages are no measure of a table with a size of its own.
func DefaultSettings() Settings {
	return Settings{ReuseMode: conntrack.ReuseClosed, PMTUDisc: true, AMemThresh: 1024, AMDropRate: 10}
}
