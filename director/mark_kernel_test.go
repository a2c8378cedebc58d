package director

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/config/iptables"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// TestMarksAgainstKernel gives random rules to the kernel's iptables and to a worker, sends the same packets through both, and
// compares how many have each mark.
func TestMarksAgainstKernel(t *testing.T) {
	testenv.NeedNetAdmin(t)
	testenv.NeedProgram(t, "iptables")
	host, far := testenv.NewNamespace(t), testenv.NewNamespace(t)
	host.Sysctl(t, "ipv4.conf.all.rp_filter", "0")
	host.Sysctl(t, "ipv4.conf.default.rp_filter", "0")
	var taps []*testenv.Tap
	for i, addr := range []string{"192.0.2.1/24", "198.51.100.1/24"} {
		near := testenv.End{In: host, Name: fmt.Sprintf("in%d", i), MAC: nearMAC(i), Addrs: []string{addr}}
		end := testenv.End{In: far, Name: fmt.Sprintf("out%d", i), MAC: [6]byte{2, 0, 0, 0, 9, byte(i)}}
		testenv.Veth(t, near, end)
		taps = append(taps, testenv.OpenTap(t, &end))
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 12 {
		lines := markLines(rnd)
		var want map[uint32]int
		host.Do(t, func() { inKernel(t, lines) })
		got := map[uint32]int{}
		w := markWorker(t, lines)
		const packets = 60
		for range packets {
			port, spec := markFlow(rnd)
			frame := packet.Build(nil, spec)
			taps[port].Send(t, frame)
			q := forward.Question{Frame: packet.MakeFrame(frame, 0, len(frame), uint8(port), 0)}
			w.Explain(&q, clock.Mono(time.Hour))
			got[q.Mark]++
		}
		testenv.Await(t, "the kernel has seen the packets", func() bool {
			n := 0
			host.Do(t, func() { want = kernelMarks(t) })
			for _, k := range want {
				n += k
			}
			return n >= packets
		})
		for mark := range uint32(16) {
			if got[mark] != want[mark] {
				t.Errorf("seed %d: %d packets have the mark %d, in the kernel %d\n%s", seed, got[mark], mark, want[mark], strings.Join(lines, "\n"))
			}
		}
	}
}

func nearMAC(i int) [6]byte { return [6]byte{2, 0, 0, 0, 8, byte(i)} }

// inKernel puts the rules in the place of all, and counts the packets of each mark behind them.
func inKernel(t *testing.T, lines []string) {
	lines = append([]string{"-t mangle -F", "-t mangle -X", "-F INPUT"}, lines...)
	for mark := range 16 {
		lines = append(lines, fmt.Sprintf("-A INPUT -m mark --mark %d", mark))
	}
	for _, line := range lines {
		if out, err := exec.Command("iptables", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("iptables %s: %s", line, out)
		}
	}
}

// kernelMarks reads how many packets had each mark.
func kernelMarks(t *testing.T) map[uint32]int {
	out, err := exec.Command("iptables-save", "-c", "-t", "filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	n := map[uint32]int{}
	for _, f := range regexp.MustCompile(`(?m)^\[(\d+):\d+\] -A INPUT -m mark --mark (0x[0-9a-f]+)$`).FindAllStringSubmatch(string(out), -1) {
		mark, _ := strconv.ParseUint(f[2], 0, 32)
		n[uint32(mark)], _ = strconv.Atoi(f[1])
	}
	return n
}

// markWorker follows the same rules.
func markWorker(t *testing.T, lines []string) *forward.Worker {
	m := &config.Model{}
	for _, line := range lines {
		c, err := iptables.Parse(false, iptables.Words(strings.Fields(line)))
		if err == nil {
			err = c.Apply(&m.Marks, config.FromFile)
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	if err := m.Validate(nil); err != nil {
		t.Fatal(err)
	}
	local := []packet.Addr{packet.AddrFrom(netip.MustParseAddr("192.0.2.1")), packet.AddrFrom(netip.MustParseAddr("198.51.100.1"))}
	s, err := Compile(&Inputs{Model: m, Local: local, Names: []string{"in0", "in1"}, Workers: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := forward.NewWorker(0, forwardtest.New(t, forwardtest.Options{Ports: make([]forward.PortInfo, 2)}), forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	w.Publish(s)
	if _, err := w.Step(clock.Mono(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return w
}

// markLines are random rules in PREROUTING, INPUT and two chains. Marks are below 16.
func markLines(rnd *rand.Rand) []string {
	one := func(list ...string) string { return list[rnd.IntN(len(list))] }
	not := func() string { return one("", "", "! ") }
	lines := []string{"-t mangle -N A", "-t mangle -N B"}
	for range 4 + rnd.IntN(10) {
		chain, proto := one("PREROUTING", "PREROUTING", "INPUT", "A", "B"), one("tcp", "udp")
		line := "-t mangle -A " + chain
		for _, c := range rnd.Perm(7)[:rnd.IntN(3)] {
			line += " " + []string{
				not() + "-s " + one("203.0.113.0/25", "203.0.113.7", "203.0.113.1/255.255.255.1"),
				not() + "-d " + one("192.0.2.1", "198.51.100.0/24"),
				not() + "-i " + one("in0", "in1", "in+", "eth0"),
				"-m mark " + not() + "--mark " + one("0", "1/1", "2/3", "5"),
				"-p tcp " + not() + one("--syn", "--tcp-flags ALL ACK", "--tcp-flags SYN,RST SYN"),
				"-p " + proto + " -m multiport " + not() + one("--dports", "--sports", "--ports") + " " + one("80", "1:5,443", "7,8:9,80"),
				"-p " + proto + " " + not() + one("--dport", "--sport") + " " + one("80", ":443", "5:8"),
			}[c]
			if strings.Contains(line, " -p ") { // one is enough
				break
			}
		}
		target := one("MARK --set-mark ", "MARK --or-mark ", "MARK --xor-mark ", "MARK --and-mark ", "MARK --set-xmark 3/") + strconv.Itoa(rnd.IntN(16))
		switch rnd.IntN(6) {
		case 0:
			target = one("RETURN", "ACCEPT")
		case 1:
			if chain == "PREROUTING" || chain == "INPUT" {
				lines = append(lines, line+one(" -j ", " -g ")+one("A", "B"))
				continue
			}
			if chain == "A" {
				lines = append(lines, line+one(" -j ", " -g ")+"B")
				continue
			}
		}
		lines = append(lines, line+" -j "+target)
	}
	return lines
}

// markFlow is a random packet to the host, and where it comes in.
func markFlow(rnd *rand.Rand) (port int, s packet.Spec) {
	port = rnd.IntN(2)
	ports := []uint16{1, 7, 8, 80, 443, 500}
	s.Src = packet.AddrFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + rnd.IntN(250))}))
	s.Dst = packet.AddrFrom(netip.MustParseAddr([]string{"192.0.2.1", "198.51.100.1"}[rnd.IntN(2)]))
	s.SrcPort, s.DstPort = ports[rnd.IntN(len(ports))], ports[rnd.IntN(len(ports))]
	s.Proto, s.Family = []uint8{packet.ProtoTCP, packet.ProtoUDP}[rnd.IntN(2)], packet.IPv4Family
	s.TCPFlags = []uint8{packet.SYN, packet.ACK, packet.SYN | packet.ACK, packet.FIN | packet.ACK, packet.RST}[rnd.IntN(5)]
	s.SrcMAC, s.DstMAC = packet.MAC{2, 0, 0, 0, 9, byte(port)}, packet.MAC(nearMAC(port))
	return port, s
}
