package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dirsw/packet"
)

// tunService is a virtual address of the scenario, and the tunnel behind it.
type tunService struct {
	vip, method string
	servers     [2]string
	about       string
	fits        int // bytes of the longest packet for which the tunnel has room, where links have room for 1500
}

const guePort = 6080

func tunServices() []tunService {
	four, six := [2]string{"198.51.100.11", "198.51.100.12"}, [2]string{"2001:db8:51::11", "2001:db8:51::12"}
	return []tunService{
		{"198.51.100.201", "TUN", four, "IPv4 in IPv4", 1480},
		{"198.51.100.202", "TUN type gue port 6080 csum", four, "IPv4 in GUE over IPv4, with checksums", 1468},
		{"198.51.100.203", "TUN type gre csum", four, "IPv4 in GRE over IPv4, with checksums", 1472},
		{"198.51.100.204", "TUN", six, "IPv4 in IPv6", 1460},
		{"2001:db8:51::205", "TUN", six, "IPv6 in IPv6", 1460},
		{"2001:db8:51::206", "TUN", four, "IPv6 in IPv4", 1480},
		{"2001:db8:51::207", "TUN type gue port 6080 nocsum", six, "IPv6 in GUE over IPv6, without checksums", 1448},
	}
}

// tunScenario is the method TUN in all its kinds. The real servers' ends of the tunnels are the lab's own (Decap).
func tunScenario() scenario {
	return scenario{name: "tun", title: "Tunnels: IP in IP, GUE and GRE, with IPv4 and IPv6 inside and outside.", spec: tunSpec,
		conf: tunConf(tunServices()), steps: []func(*scene) error{playTunnels}}
}

func tunSpec() Spec {
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{8, 0, 0x27, 0, 0x51, last} }
	node := func(name string, role Role, last byte) NodeSpec {
		return NodeSpec{Name: name, Role: role, Interface: "eth0", MAC: mac(last),
			Addrs: prefixes(fmt.Sprintf("198.51.100.%d/24", last), fmt.Sprintf("2001:db8:51::%d/64", last))}
	}
	s := Spec{Nodes: []NodeSpec{node("client", Client, 1), node("lb1", Director, 101)}}
	for i, page := range []string{"RS1", "RS2"} {
		n := node(strings.ToLower(page), RealServer, byte(11+i))
		n.Page, n.Listen = page, ":80"
		for _, sv := range tunServices() {
			n.VIPs = append(n.VIPs, hostPrefix(sv.vip))
		}
		s.Nodes = append(s.Nodes, n)
	}
	return s
}

// hostPrefix is an address alone.
func hostPrefix(addr string) netip.Prefix {
	a := netip.MustParseAddr(addr)
	return netip.PrefixFrom(a, a.BitLen())
}

// addresses parses addresses.
func addresses(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// tunConf is the configuration of services at the director's eth0.
func tunConf(services []tunService) string {
	var b strings.Builder
	for i, six := range []bool{false, true} {
		fmt.Fprintf(&b, "vrrp_instance VI_%d {\n    state MASTER\n    interface eth0\n    virtual_router_id %d\n    priority 100\n"+
			"    virtual_ipaddress {\n", i+1, 51+i)
		for _, sv := range services {
			if bits := map[bool]string{false: "/24", true: "/64"}[six]; strings.Contains(sv.vip, ":") == six {
				fmt.Fprintf(&b, "        %s%s\n", sv.vip, bits)
			}
		}
		b.WriteString("    }\n}\n")
	}
	for _, sv := range services {
		fmt.Fprintf(&b, "virtual_server %s 80 { # %s\n    lvs_sched rr\n    lvs_method %s\n    protocol TCP\n", sv.vip, sv.about, sv.method)
		for _, r := range sv.servers {
			if r == "" {
				continue
			}
			fmt.Fprintf(&b, "    real_server %s 80 {\n        weight 1\n    }\n", r)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// playTunnels opens the far ends and takes all steps.
func playTunnels(s *scene) (err error) {
	ends := map[string]*Decap{}
	for _, node := range []string{"rs1", "rs2"} {
		d, err := s.c.OpenDecap(node, packet.Tunnel{}, packet.Tunnel{Type: packet.GUE, Port: guePort}, packet.Tunnel{Type: packet.GRE})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		ends[node] = d
	}
	for _, sv := range tunServices() {
		if err := showTunnel(s, sv, ends); err != nil {
			return err
		}
	}
	return showTunnelMTU(s)
}

// showTunnel fetches pages through one kind of tunnel.
func showTunnel(s *scene, sv tunService, ends map[string]*Decap) error {
	s.begin(sv.about + ".")
	url := "http://" + net.JoinHostPort(sv.vip, "80") + "/"
	was := map[string]uint64{}
	for node, d := range ends {
		was[node], _ = d.Taken()
	}
	s.did("6 times: curl %s", url)
	got, err := s.pages("client", url, 6)
	if err != nil {
		return err
	}
	s.saw("%s", strings.Join(got, " "))
	n := counted(got)
	s.check(n["RS1"] == 3 && n["RS2"] == 3, "each server answered three")
	for _, node := range []string{"rs1", "rs2"} {
		now, refused := ends[node].Taken()
		s.check(now-was[node] >= 3*4 && refused == 0, "all packets of the client came out of the tunnel of %s: %d", node, now-was[node])
	}
	return nil
}

// showTunnelMTU sends requests whose segments are too long for the tunnels, until the client has been told so.
func showTunnelMTU(s *scene) error {
	s.begin("What is too long for a tunnel is refused, with the size that fits.")
	body := filepath.Join(s.dir, "body")
	if err := os.WriteFile(body, make([]byte, 100_000), 0o600); err != nil {
		return err
	}
	for _, sv := range tunServices() {
		sizes, err := toldByUpload(s, sv, body)
		if err != nil {
			return err
		}
		s.check(len(sizes) == 1 && sizes[0] == sv.fits, "the client was told by the virtual address that %v bytes fit", sizes)
	}
	return nil
}

// toldByUpload sends a file to a service with curl, and returns the sizes that the client was told to fit meanwhile, each
// once, in order.
func toldByUpload(s *scene, sv tunService, file string) (sizes []int, err error) {
	capture, err := s.c.OpenCapture(switchName, "client")
	if err != nil {
		return nil, err
	}
	defer capture.Close()
	url := "http://" + net.JoinHostPort(sv.vip, "80") + "/"
	s.did("100000 bytes: curl --data-binary @body %s", url)
	_, err = s.curl("client", "--data-binary", "@"+file, url)
	if s.ctx.Err() != nil {
		return nil, s.ctx.Err()
	}
	s.must(err, "the request is answered")
	frames, _, err := capture.Frames()
	for _, f := range frames {
		if mtu, ok := tooBigFrom(f, sv.vip); ok && !slices.Contains(sizes, mtu) {
			sizes = append(sizes, mtu)
		}
	}
	return sizes, err
}

// tooBigFrom returns what an ICMP error from an address says that fits, if the frame is such a one.
func tooBigFrom(frame []byte, from string) (mtu int, ok bool) {
	var m packet.Meta
	if packet.Parse(frame, &m) != packet.NoDrop || m.Flags&packet.ICMPError == 0 {
		return 0, false
	}
	h := packet.ICMPv4(frame[m.L4:]) // ICMPv6 has the same shape
	if m.Family == packet.IPv6Family {
		const tooBig = 2 // RFC 4443, section 3.2
		return int(h.Rest()), h.Type() == tooBig && packet.IPv6(frame[m.L3:]).Src().String() == from
	}
	return int(h.MTU()), h.Type() == packet.ICMPv4Unreachable && h.Code() == packet.ICMPv4FragNeeded &&
		packet.IPv4(frame[m.L3:]).Src().String() == from
}
