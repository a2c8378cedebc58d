package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// keepalived is the real one, in a namespace of its own, with VRRP alone.
type keepalived struct {
	t   *testing.T
	mu  sync.Mutex
	log bytes.Buffer
}

func (k *keepalived) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(b)
}

func (k *keepalived) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.String()
}

// await waits for a line.
func (k *keepalived) await(line string) {
	k.t.Helper()
	if !within(testenv.Patience, func() bool { return strings.Contains(k.text(), line) }) {
		k.t.Fatalf("keepalived has not said %q, but\n%s", line, k.text())
	}
}

// keepalived starts it and ends it with the test.
func (n *node) keepalived(conf string) *keepalived {
	n.t.Helper()
	testenv.NeedProgram(n.t, "keepalived")
	k := &keepalived{t: n.t}
	dir := n.t.TempDir()
	must(n.t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644))
	var cmd *exec.Cmd
	n.do(func() {
		cmd = exec.Command("keepalived", "-P", "-n", "-l", "-D", "-f", filepath.Join(dir, "conf"), "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
		cmd.Stdout, cmd.Stderr = k, k
		must(n.t, cmd.Start())
	})
	n.t.Cleanup(func() {
		must(n.t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
	})
	return k
}

// advert2 and advert3 are advertisements of one address (RFC 3768, section 5.1, and RFC 9568, section 5.2), each interval
// one second.
func advert2(vrid, priority byte, vip netip.Addr) []byte {
	b := append([]byte{0x21, vrid, priority, 1, 0, 1, 0, 0}, vip.AsSlice()...)
	b = append(b, make([]byte, 8)...)
	binary.BigEndian.PutUint16(b[6:], checksum(0, b))
	return b
}

func advert3(src, dst netip.Addr, vrid, priority byte, vip netip.Addr) []byte {
	b := append([]byte{0x31, vrid, priority, 1, 0, 100, 0, 0}, vip.AsSlice()...)
	binary.BigEndian.PutUint16(b[6:], checksum(uint32(len(b))+ipVRRP, src.AsSlice(), dst.AsSlice(), b))
	return b
}

func TestKeepalivedTakesOurAdverts(t *testing.T) {
	for _, c := range []struct {
		name    string
		conf    string // of the instance
		version int
		path    Path
		dst     string
		vip     string
		vmac    bool
	}{
		{"version 2", "version 2", 2, Path{Link: "veth0", Group: ip("224.0.0.18")}, "224.0.0.18", "192.0.2.200", false},
		{"version 3", "version 3", 3, Path{Link: "veth0", Group: ip("224.0.0.18")}, "224.0.0.18", "192.0.2.200", false},
		{"unicast", "version 3\nunicast_peer {\n192.0.2.1\n}\n", 3, Path{Link: "veth0"}, "192.0.2.2", "192.0.2.200", false},
		{"from a VMAC", "version 3", 3, Path{Link: "vrrp.51", Base: "veth0", Group: ip("224.0.0.18")}, "224.0.0.18", "192.0.2.200", true},
		{"IPv6", "version 3", 3, Path{Link: "veth0", IPv6: true, Group: ip("ff02::12")}, "ff02::12", "fe80::200", false},
		{"IPv6 from a VMAC", "version 3", 3, Path{Link: "vrrp.51", Base: "veth0", IPv6: true, Group: ip("ff02::12")}, "ff02::12", "fe80::200", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			here, there, h := pair(t)
			k := there.keepalived(fmt.Sprintf("vrrp_instance A {\ninterface peer0\nvirtual_router_id 51\npriority 100\n%s\nvirtual_ipaddress {\n%s\n}\n}\n", c.conf, c.vip))
			v, vmacs := here.vrrp(h), h.VMACs()
			if c.vmac {
				m := VMAC{Name: "vrrp.51", Base: "veth0", IPv6: c.path.IPv6, MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
				if c.path.IPv6 {
					m.MAC[4] = 2
				}
				must(t, vmacs.Make(m))
				defer func() { must(t, vmacs.Remove("vrrp.51")) }()
			}
			src, err := v.Add(1, c.path)
			must(t, err)
			if !src.IsValid() { // the link's own address is not there yet
				awaitLink(t, v, "veth0", func(LinkState) bool { src = v.Source(1); return src.IsValid() })
			}
			k.await("(A) Entering MASTER STATE")
			for received := false; !received; { // its adverts come to us
				p := await(t, v, AdvertCame).Packet
				received = p.TTL == 255 && p.Link == "veth0" && len(p.Data) >= 8 && p.Data[1] == 51
			}
			dst, vip := ip(c.dst), ip(c.vip)
			msg := advert2(51, 200, vip)
			if c.version == 3 {
				msg = advert3(src, dst, 51, 200, vip)
			}
			if !c.path.IPv6 {
				msg = append(advert4(src.String(), c.dst, 1, ""), msg...)
			}
			if c.name == "version 3" { // one of a wrong TTL is refused: so what it does not complain of is right
				wrong := slices.Clone(msg)
				wrong[8] = 254
				must(t, v.Send(1, dst, wrong))
				k.await("(A) invalid TTL/HL. Received 254 and expect 255")
			}
			must(t, v.Send(1, dst, msg))
			k.await(fmt.Sprintf("(A) Master received advert from %s with higher priority 200, ours 100", src))
			k.await("(A) Entering BACKUP STATE")
		})
	}
}

// What we set beside a VMAC is compared with what keepalived sets, in two namespaces that are the same.
func TestVMACIsKeepaliveds(t *testing.T) {
	testenv.NeedProgram(t, "sysctl")
	for _, c := range []struct {
		name string
		vip  string
		v    VMAC
		own  []string // settings that differ with a reason
	}{
		// The loopback keeps the filter that it had by the setting of all links.
		{"IPv4", "192.0.2.200", VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}, []string{"lo.rp_filter"}},
		// No router is asked, so that no frame of the VMAC leaves while the virtual router is a backup; keepalived drops it by
		// a rule of the firewall.
		{"IPv6", "fe80::200", VMAC{Name: "vrrp6.51", Base: "veth0", IPv6: true, MAC: [6]byte{0, 0, 0x5e, 0, 2, 51}},
			[]string{"vrrp6/51.accept_ra", "vrrp6/51.autoconf", "vrrp6/51.router_solicitations"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, _, h := pair(t)
			model, _, _ := pair(t)
			for _, n := range []*node{ours, model} {
				n.sysctl("net.ipv4.conf.all.rp_filter", "1")
				n.sysctl("net.ipv4.conf.veth0.rp_filter", "2")
			}
			clean := ours.settings()
			k := model.keepalived("vrrp_instance A {\ninterface veth0\nuse_vmac " + c.v.Name + "\nvirtual_router_id 51\nversion 3\nvirtual_ipaddress {\n" + c.vip + "\n}\n}\n")
			k.await("(A) Entering BACKUP STATE")
			m := h.VMACs()
			must(t, m.Make(c.v))
			must(t, m.Make(c.v))
			got, want := ours.settings(), model.settings()
			for key, value := range want {
				if excused := slices.ContainsFunc(c.own, func(end string) bool { return strings.HasSuffix(key, "."+end) }); got[key] != value && !excused {
					t.Errorf("%s is %q, and keepalived's %q", key, got[key], value)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d settings, and %d with keepalived", len(got), len(want))
			}
			a, b := ours.link(c.v.Name), model.link(c.v.Name)
			mode := func(l netlink.Link) netlink.MacvlanMode { return l.(*netlink.Macvlan).Mode }
			if a.Attrs().HardwareAddr.String() != b.Attrs().HardwareAddr.String() || mode(a) != mode(b) || a.Attrs().RawFlags != b.Attrs().RawFlags {
				t.Errorf("got  %+v\nwant %+v", a, b)
			}
			must(t, m.Remove(c.v.Name))
			must(t, m.Remove(c.v.Name))
			after := ours.settings()
			for key, value := range clean {
				if after[key] != value {
					t.Errorf("%s is left at %q, was %q", key, after[key], value)
				}
			}
			if len(after) != len(clean) {
				t.Errorf("%d settings are left, were %d", len(after), len(clean))
			}
		})
	}
}

func (n *node) sysctl(name, value string) {
	n.t.Helper()
	n.do(func() {
		must(n.t, os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0))
	})
}

// settings reads all settings of links.
func (n *node) settings() map[string]string {
	n.t.Helper()
	out := map[string]string{}
	for _, line := range n.run("sysctl", "-a", "--pattern", `^net\.ipv[46]\.conf\.`) {
		if key, value, ok := strings.Cut(line, " = "); ok && !strings.Contains(key, ".stable_secret") {
			out[key] = value
		}
	}
	return out
}

func TestVMACsAreAdoptedOrReplaced(t *testing.T) {
	here, _, h := pair(t)
	v := VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
	must(t, h.VMACs().Make(v)) // and it was killed
	first := here.link("vrrp.51").Attrs().Index
	m := h.VMACs()
	must(t, m.Make(v))
	if got := here.link("vrrp.51").Attrs().Index; got != first {
		t.Error("what was as it should be was made anew")
	}
	must(t, m.Remove("vrrp.51"))
	v.MAC[5] = 52
	must(t, h.VMACs().Make(v))
	v.MAC[5] = 51
	must(t, m.Make(v))
	if got := here.mac("vrrp.51"); got != v.MAC {
		t.Errorf("what another virtual router left has kept its MAC address %x", got)
	}
	must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "vrrp.9"}}))
	if err := m.Make(VMAC{Name: "vrrp.9", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 9}}); err == nil || !strings.Contains(err.Error(), "bridge") {
		t.Errorf("got %v for the name of a bridge", err)
	}
	must(t, here.nl.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "mine", ParentIndex: here.link("veth0").Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE}))
	if err := m.Make(VMAC{Name: "mine", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 9}}); err == nil {
		t.Error("somebody else's macvlan was replaced")
	}
	if err := m.Make(VMAC{Name: "vrrp.9", Base: "nosuch"}); err == nil {
		t.Error("made on a link that does not exist")
	}
	must(t, h.VMACs().Make(VMAC{Name: "old1", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 61}})) // left behind
	must(t, h.VMACs().Make(VMAC{Name: "old2", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 62}}))
	must(t, m.Sweep(func(name string) bool { return name == "old2" }))
	for name, want := range map[string]bool{"old1": false, "old2": true, "vrrp.51": true, "mine": true, "vrrp.9": true} {
		if _, err := here.nl.LinkByName(name); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

func TestVMACAnswersForItsAddress(t *testing.T) {
	here, there, h := pair(t)
	v, m := here.vrrp(h), h.VMACs()
	for _, c := range []struct {
		mac VMAC
		vip string
	}{
		{VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}, "192.0.2.200/32"},
		{VMAC{Name: "vrrp6.51", Base: "veth0", IPv6: true, MAC: [6]byte{0, 0, 0x5e, 0, 2, 51}}, "2001:db8::200/64"},
	} {
		must(t, m.Make(c.mac))
		p := prefix(c.vip)
		must(t, v.Own(Address{Link: c.mac.Name, Prefix: p, NoDAD: true}, 10e9))
		peer := there.host()
		hop := nextHop(t, peer, p.Addr().String())
		must(t, peer.Resolve(hop))
		if !within(testenv.Patience, func() bool { return nextHop(t, peer, p.Addr().String()).MAC == c.mac.MAC }) {
			t.Errorf("%v is known at %x, want %x", p, nextHop(t, peer, p.Addr().String()).MAC, c.mac.MAC)
		}
		must(t, m.Remove(c.mac.Name))
	}
}

func TestIPvlan(t *testing.T) {
	here, _, h := pair(t)
	m := h.VMACs()
	v := VMAC{Name: "vrrp.51", Base: "veth0", IPvlan: true, Mode: "private", Addr: prefix("192.0.2.51/24")}
	if err := m.Make(v); err != nil {
		if strings.Contains(err.Error(), "not supported") {
			t.Skipf("no ipvlan here: %v", err)
		}
		t.Fatal(err)
	}
	l, ok := here.link("vrrp.51").(*netlink.IPVlan)
	if !ok || l.Mode != netlink.IPVLAN_MODE_L2 || l.Flag != netlink.IPVLAN_FLAG_PRIVATE || here.find("vrrp.51", "192.0.2.51") == nil {
		t.Errorf("got %+v", l)
	}
	must(t, m.Remove("vrrp.51"))
}

// A switch learns where a MAC address is from what it sends. A backup's VMAC must send nothing.
func TestVMACIsSilentUntilItSpeaks(t *testing.T) {
	here, there, h := pair(t)
	v, m := here.vrrp(h), h.VMACs()
	tap := there.frames("peer0")
	macs := map[string][6]byte{"vrrp.51": {0, 0, 0x5e, 0, 1, 51}, "vrrp6.51": {0, 0, 0x5e, 0, 2, 51}}
	paths := []Path{
		{Link: "vrrp.51", Base: "veth0", Group: ip("224.0.0.18")},
		{Link: "vrrp6.51", Base: "veth0", IPv6: true, Group: ip("ff02::12")},
	}
	for i, p := range paths {
		must(t, m.Make(VMAC{Name: p.Link, Base: "veth0", IPv6: p.IPv6, MAC: macs[p.Link]}))
		_, err := v.Add(i, p)
		must(t, err)
	}
	joined := func(f []byte) bool { // IGMP and MLD reports
		return f[12] == 8 && f[23] == 2 || f[12] == 0x86 && f[20] == 0
	}
	heard, limit := 0, unix.NsecToTimeval(int64(testenv.Patience))
	buf := make([]byte, 2000)
	must(t, unix.SetsockoptTimeval(tap, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1, Usec: 500000}))
	for end := time.Now().Add(testenv.Patience); ; {
		n, _, err := unix.Recvfrom(tap, buf, 0)
		if err != nil && (heard > 0 || time.Now().After(end)) {
			break
		}
		if err != nil {
			continue
		}
		for name, mac := range macs {
			if [6]byte(buf[6:12]) == mac {
				t.Errorf("%s sent %x", name, buf[:n])
			}
		}
		if joined(buf[:n]) {
			heard++
		}
	}
	if heard == 0 {
		t.Error("the groups were not joined on the base link")
	}
	must(t, unix.SetsockoptTimeval(tap, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	for i, p := range paths {
		src := v.Source(i)
		msg := advert3(src, p.Group, 51, 100, ip("192.0.2.200"))
		if !p.IPv6 {
			msg = append(advert4(src.String(), p.Group.String(), 1, ""), msg...)
		}
		must(t, v.Send(i, p.Group, msg))
		next(t, tap, func(f []byte) bool { return [6]byte(f[6:12]) == macs[p.Link] })
	}
}

// TestVMACFollowsItsLinkAndItsConfiguration: it is made again after it vanished with the link below it, and after a reload
// asked for another one of its name.
func TestVMACFollowsItsLinkAndItsConfiguration(t *testing.T) {
	here, there, h := pair(t)
	m, v := h.VMACs(), VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
	must(t, m.Make(v))
	must(t, here.nl.LinkDel(here.link("veth0")))
	here.wire("veth0", there, "peer0")
	must(t, m.Make(v))
	if got := here.mac("vrrp.51"); got != v.MAC {
		t.Errorf("made again it has the MAC address %x", got)
	}
	v.MAC[5] = 7
	must(t, m.Make(v))
	if got := here.mac("vrrp.51"); got != v.MAC {
		t.Errorf("after the configuration changed it has the MAC address %x", got)
	}
	if got, err := h.sysctl("ipv4", "veth0", "arp_ignore"); err != nil || got != "1" {
		t.Errorf("arp_ignore of the link below it is %q, %v", got, err)
	}
	must(t, m.Remove(v.Name))
	if got, err := h.sysctl("ipv4", "veth0", "arp_ignore"); err != nil || got != "0" {
		t.Errorf("arp_ignore of the link below it is %q at the end, %v", got, err)
	}
}
