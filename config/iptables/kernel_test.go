package iptables

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"dirsw/internal/testenv"
)

// backends are the variants of iptables that are installed here.
func backends(t *testing.T, variant string) (iptables, save string) {
	t.Helper()
	for _, name := range []string{"iptables-" + variant, "ip6tables-" + variant} {
		for _, program := range []string{name, name + "-save"} {
			testenv.NeedProgram(t, program)
		}
	}
	return "tables-" + variant, "tables-" + variant + "-save"
}

// saved is what iptables-save and ip6tables-save print of chains of the operator's and rules.
func saved(t *testing.T, save string) string {
	var out strings.Builder
	for _, p := range []string{"ip", "ip6"} {
		b, err := exec.Command(p+save, "-t", "mangle").Output()
		if err != nil {
			t.Fatalf("%s%s: %v", p, save, err)
		}
		for line := range strings.Lines(string(b)) {
			if name, _, ok := strings.Cut(strings.TrimPrefix(line, ":"), " "); ok && line[0] == ':' && !slices.Contains(builtIns(), name) {
				fmt.Fprintf(&out, "%stables -N %s\n", p, name)
			} else if line[0] == '-' {
				fmt.Fprintf(&out, "%stables %s", p, line)
			}
		}
	}
	return out.String()
}

// differing are lines that iptables and dirsw do not treat the same, and why.
func differing(line string) string {
	switch {
	case strings.Contains(line, "! --dport 0:65535"):
		return "nftables forgets the negation of all ports"
	case strings.Contains(line, "! -i +"), strings.Contains(line, "! -s 0.0.0.0/0"):
		return "the two backends do not agree what none of all is"
	case strings.Contains(line, "-p icmp ") && strings.HasPrefix(line, "ip6"):
		return "IPv6 has no ICMP of IPv4"
	case strings.Contains(line, "-ptcp"):
		return "iptables 1.8.9 reads the value of an option that it is glued to with the option before it"
	case strings.Contains(line, "-N"), strings.Contains(line, "-X"), strings.Contains(line, "-E"):
		return "chains that are in use are told by the kernel in other ways"
	}
	return ""
}

// refusedOnly are the lines that iptables takes and dirsw refuses: it cannot honour them, or they look like mistakes.
func refusedOnly(line string) bool {
	for _, s := range []string{"conntrack", "state", "limit", "--match-set", "string", "addrtype", "iprange", "CONNMARK", "DROP", "TPROXY",
		"-j LOG", "chunk-types", "-t nat", "OUTPUT", "FORWARD", "tcp-option", "! -p tcp --dport", "-d 192.0.2 ", "-i a/b", "-6 ", "-d example.org",
		"ipv6-route", "-p 44"} {
		if strings.Contains(line, s) {
			return true
		}
	}
	return false
}

// TestAgainstIptables carries out the rows of testdata/lines.txt and random rules with the iptables of this machine, in a
// network namespace, and compares what it takes, what it refuses and what iptables-save prints with what this package does.
func TestAgainstIptables(t *testing.T) {
	testenv.NeedNetAdmin(t)
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			program, save := backends(t, variant)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rows := append(lineRows(t), randomRows(rand.New(rand.NewPCG(seed, 0)))...)
			testenv.NewNamespace(t).Do(t, func() {
				if out, err := exec.Command("ip"+program, "-t", "mangle", "-S").CombinedOutput(); err != nil {
					if variant == "nft" && testenv.Privileged() {
						t.Fatalf("ip%s does not work here: %s", program, out)
					}
					t.Skipf("ip%s does not work here, which needs its own part of the kernel: %s", program, out)
				}
				for _, row := range rows {
					compareRow(t, program, save, row)
				}
			})
		})
	}
}

// compareRow carries out the lines of a row in both.
func compareRow(t *testing.T, program, save string, row []string) {
	for _, p := range []string{"ip", "ip6"} {
		for _, op := range []string{"-F", "-X"} {
			if out, err := exec.Command(p+program, "-t", "mangle", op).CombinedOutput(); err != nil {
				t.Fatalf("%s%s %s: %s", p, program, op, out)
			}
		}
	}
	var s session
	for i, line := range row {
		if differing(line) != "" || refusedOnly(line+" ") {
			continue
		}
		words := shellWords(t, line, i+1)
		var args []string
		for _, w := range words[1:] {
			args = append(args, w.Text)
		}
		theirs, err := exec.Command(strings.TrimSuffix(words[0].Text, "tables")+program, args...).CombinedOutput()
		if ours := s.do(words); (ours == nil) != (err == nil) {
			t.Errorf("%s\ndirsw says %v\niptables says %v %s", line, ours, err, theirs)
		}
	}
	if got, want := s.listing(t), saved(t, save); got != want {
		t.Errorf("%s\ndirsw has\n%s\niptables has\n%s", strings.Join(row, "\n"), got, want)
	}
}

// lineRows are the inputs of testdata/lines.txt.
func lineRows(t *testing.T) (rows [][]string) {
	for _, input := range rowInputs(t, "testdata/lines.txt") {
		rows = append(rows, strings.Split(input, "\n"))
	}
	return rows
}

// randomRows are rows of random rules.
func randomRows(rnd *rand.Rand) (rows [][]string) {
	for range 25 {
		var row []string
		for range 8 {
			row = append(row, randomLine(rnd))
		}
		rows = append(rows, row)
	}
	return rows
}

// randomLine is a rule of conditions in a random order.
func randomLine(rnd *rand.Rand) string {
	not := func() string { return []string{"", "! "}[rnd.IntN(2)] }
	one := func(list ...string) string { return list[rnd.IntN(len(list))] }
	proto := one("tcp", "udp", "sctp", "6", "UDP")
	ports := []string{"80", "80,443", "1:9,22", "7:8,https"}
	if proto != "tcp" && proto != "6" { // names of ports depend on the protocol
		ports = ports[:3]
	}
	parts := []string{
		not() + one("-s", "--source", "--src") + " " + one("10.1.2.3", "10.1.2.3/9", "10.0.0.0/255.0.255.0", "192.0.2.0/24"),
		not() + one("-d", "--destination", "--dst") + " " + one("192.0.2.1", "192.0.2.0/255.255.255.0", "198.51.100.7/31"),
		not() + one("-i", "--in-interface") + " " + one("eth0", "eth+", "bond0.7"),
		"-m mark " + not() + "--mark " + one("1", "0x10/0xff", "7/3", "010"),
		"-m comment --comment " + one("x", `"a b"`, `"it's"`, `"\"\\"`, "a.b"),
		not() + "-f",
		"-m multiport " + not() + one("--dports", "--sports", "--ports", "--destination-ports") + " " + one(ports...),
		not() + one("--dport", "--sport") + " " + one("80", "1:9"),
		one("--dport", "--sport") + " " + one(":9", "1024:"), // with a negation nftables says it otherwise
	}
	line := "iptables -t mangle " + one("-A", "-I", "--append") + " " + one("PREROUTING", "INPUT") + " -p " + proto
	for _, i := range rnd.Perm(len(parts))[:rnd.IntN(len(parts))] {
		line += " " + parts[i]
	}
	return line + " " + one("-j MARK --set-mark 1", "-j MARK --set-mark 0x1/0xf", "-j MARK --set-xmark 3/1", "-j MARK --and-mark 7",
		"-j MARK --or-mark 8", "-j MARK --xor-mark 9", "-j ACCEPT", "-j RETURN", "")
}
