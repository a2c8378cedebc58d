package config

import (
	"net/netip"
	"time"
)

// sampleInstance has one of everything that an instance can have.
func sampleInstance(vip netip.Addr) Instance {
	peers := []Peer{{Addr: netip.MustParseAddr("192.0.2.8"), MaxTTL: 250}}
	run := Command{Args: []string{"/bin/true"}, User: "nobody"}
	return Instance{Name: "A", State: "BACKUP", Interface: "eth0", RouterID: 1, Priority: 100, Version: 2, AdvertInt: time.Second,
		UnicastPeers: peers, UnicastSrcIP: netip.MustParseAddr("192.0.2.7"), VMAC: VMAC{Use: true, Name: "vrrp.1"},
		Addresses: []VirtualAddress{{Prefix: netip.PrefixFrom(vip, 32)}}, Routes: []Route{sampleRoute()}, Rules: []Rule{sampleRule()},
		Tracks: []Track{{Kind: TrackScript, Name: "s", Weight: 2}}, Heartbeats: []Heartbeat{{Interface: "eth1", Peers: peers}},
		Notify:           Notify{Master: run, Backup: run, Fault: run, Stop: run, Any: run, LowerPriority: run, Deleted: run},
		SplitBrainScript: run}
}

func sampleRoute() Route {
	return Route{Dst: netip.MustParsePrefix("198.51.100.0/24"), Dev: "eth0", Congestion: "reno",
		Metrics:  []RouteMetric{{Name: "mtu", Value: 1400}},
		Nexthops: []Nexthop{{Via: netip.MustParseAddr("192.0.2.9"), Weight: 1}}}
}

func sampleRule() Rule {
	return Rule{Mark: 1, Mask: 1, Action: "lookup", Table: "7", Priority: 9, UIDs: Span{1, 2, true}, SrcPorts: Span{1, 2, true},
		DstPorts: Span{1, 2, true}}
}

// sampleVRRP has one of everything that stands around instances.
func sampleVRRP(vip netip.Addr) VRRP {
	run := Command{Args: []string{"/bin/true"}, User: "nobody"}
	tracks := []Track{{Kind: TrackScript, Name: "s", Weight: 2}}
	return VRRP{
		Groups: []SyncGroup{{Name: "G", Instances: []Ref{{Name: "A"}}, Tracks: tracks, Notify: Notify{Master: run, Backup: run, Fault: run, Stop: run,
			Any: run, LowerPriority: run, Deleted: run}}},
		Scripts:   []Script{{Name: "s", Command: run, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1}},
		Files:     []TrackFile{{Name: "f", Path: "/f"}},
		Processes: []TrackProcess{{Name: "p", Command: "p", Quorum: 1}},
		BFDs:      []BFD{{Name: "b", Neighbor: netip.MustParseAddr("192.0.2.8"), Multiplier: 5}},
		Arbiters: []Arbiter{{Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.8")}, Quorum: 1, Interval: time.Second,
			Timeout: time.Second, Rise: 1, Fall: 1}},
		Delays: []InterfaceDelay{{Interface: "eth0", Down: time.Second, Up: time.Second}},
		Pacing: []GARPGroup{{Interfaces: []string{"eth0"}}},
		Static: Static{Addresses: []VirtualAddress{{Prefix: netip.PrefixFrom(vip, 24), Dev: "eth0"}}, Routes: []Route{sampleRoute()},
			Rules: []Rule{sampleRule()}},
	}
}
