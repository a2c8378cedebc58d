package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"dirsw/host"
)

// longestXDP is the longest packet that most drivers receive in native mode: a page, less what they need around it.
const longestXDP = 3498

// cmdDoctor looks at what dirsw would run on and says what would suit it better.
func cmdDoctor(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("doctor", "nic [IFACE…]", stderr)
	if code := parse(args); code >= 0 {
		return code
	}
	if fs.Arg(0) != "nic" {
		fmt.Fprintf(stderr, "dirsw doctor: say what to look at: dirsw doctor nic [IFACE…]\n")
		return exitUsage
	}
	h, err := host.Open(host.Options{})
	if err != nil {
		return fail(stderr, "doctor", err)
	}
	defer h.Close()
	cpus, err := allowedCPUs()
	if err != nil {
		return fail(stderr, "doctor", err)
	}
	names := fs.Args()[1:]
	if len(names) == 0 {
		links, err := h.Links()
		if err != nil {
			return fail(stderr, "doctor", err)
		}
		for _, l := range links {
			if l.MAC != ([6]byte{}) && l.Driver != "tun" {
				names = append(names, l.Name)
			}
		}
		if len(names) == 0 {
			fmt.Fprintln(stdout, "there is no Ethernet interface")
		}
	}
	for _, name := range names {
		n, err := h.NIC(name)
		if err != nil {
			return fail(stderr, "doctor", err)
		}
		printNIC(stdout, &n, askHashes(name), len(cpus))
	}
	return exitOK
}

// printNIC describes an interface, and after that what would suit.
func printNIC(out io.Writer, n *host.NIC, hashes []hashed, cpus int) {
	state := "down"
	if n.Up {
		state = "up"
	}
	fmt.Fprintf(out, "%s: %s, %s, MTU %d\n", n.Name, n.Driver, state, n.MTU)
	fmt.Fprintf(out, "  queues    %s\n", describeQueues(n))
	fmt.Fprintf(out, "  spreads   %s\n", describeSpreading(n))
	printHashes(out, n, hashes)
	fmt.Fprintf(out, "  XDP       %s\n", describeXDP(n))
	if hurts := hurting(n); len(hurts) > 0 {
		fmt.Fprintf(out, "  offloads  on: %s\n", strings.Join(hurts, " "))
	}
	for _, a := range advice(n, hashes, cpus) {
		fmt.Fprintf(out, "  ->  %s\n", a)
	}
}

func describeQueues(n *host.NIC) string {
	s := fmt.Sprintf("%d receive, %d transmit", n.Queues, n.TxQueues)
	if n.MaxQueues > 0 {
		s += fmt.Sprintf("; at most %d and %d", n.MaxQueues, n.MaxTxQueues)
	}
	return s + fmt.Sprintf(": enough for %s", plural(min(n.Queues, n.TxQueues), "worker"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func describeSpreading(n *host.NIC) string {
	switch {
	case n.Queues == 1:
		return "nothing: there is one receive queue"
	case n.Driver == "veth":
		return "nothing by itself: a frame arrives at the queue of the number that its sender transmits by, which the sender's " +
			"kernel chooses by a hash of the flow"
	case len(n.Indirection) > 0:
		return fmt.Sprintf("flows by a hash (RSS) over %s, in a table of %d", queueList(n.Indirection), len(n.Indirection))
	}
	return "as its driver likes: it does not say"
}

// queueList names the queues of an indirection table, which are as a rule all from 0 on.
func queueList(table []uint32) string {
	used := slices.Clone(table)
	slices.Sort(used)
	used = slices.Compact(used)
	if len(used) == int(used[len(used)-1])+1 && len(used) > 1 {
		return fmt.Sprintf("the queues 0 to %d", len(used)-1)
	}
	return "the queues " + strings.Trim(fmt.Sprint(used), "[]")
}

func describeXDP(n *host.NIC) string {
	switch {
	case !n.XDPKnown:
		return "this kernel does not say what its driver can do"
	case genericOnly(n) && n.Driver == "veth":
		return "generic only: the other end transmits by more queues than this one receives by"
	case genericOnly(n):
		return "generic only: its driver cannot pass frames to AF_XDP"
	case n.XDP&host.XDPZeroCopy != 0:
		return "native, with zero copy"
	}
	return "native, without zero copy: every frame is copied twice"
}

// genericOnly reports whether the driver is known not to pass frames to sockets by itself.
func genericOnly(n *host.NIC) bool {
	const needs = host.XDPBasic | host.XDPRedirect
	return n.XDPKnown && n.XDP&needs != needs
}

// hurting lists the offloads that dirsw is better without, by the kernel's names.
func hurting(n *host.NIC) (list []string) {
	for _, o := range []string{"rx-lro", "rx-gro-hw", "rx-gro", "rx-vlan-hw-parse"} {
		if slices.Contains(n.Offloads, o) {
			list = append(list, o)
		}
	}
	return list
}

// advice is what to change, each with the command.
func advice(n *host.NIC, hashes []hashed, cpus int) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if err := unsuited(n, false); err != nil {
		say("%v", err)
		return list
	}
	if least := min(n.Queues, n.TxQueues); least < cpus && least < min(n.MaxQueues, n.MaxTxQueues) {
		more := min(n.MaxQueues, n.MaxTxQueues, cpus)
		how := fmt.Sprintf("rx %d tx %d", more, more)
		if n.Combined {
			how = fmt.Sprint("combined ", more)
		}
		say("for up to %s: ethtool -L %s %s, and `cores auto`", plural(more, "worker"), n.Name, how)
	} else if least > 1 && cpus > 1 {
		say("`cores auto` would run %s", plural(min(least, cpus), "worker"))
	}
	if n.MTU > longestXDP && !genericOnly(n) {
		say("with this MTU most drivers refuse native mode, and packets longer than 3822 bytes are lost: ip link set %s mtu %d",
			n.Name, longestXDP)
	}
	list = append(list, hashAdvice(n, hashes)...)
	list = append(list, offloadAdvice(n)...)
	if n.Driver == "veth" && n.Queues > 1 {
		say("the other end sends by its transmit queues: it needs as many, ethtool -L PEER tx %d", n.Queues)
	}
	return list
}

// offloadAdvice is about what the NIC or the kernel does to frames before dirsw gets them.
func offloadAdvice(n *host.NIC) (list []string) {
	for _, o := range hurting(n) {
		switch {
		case o == "rx-lro" || o == "rx-gro-hw":
			list = append(list, fmt.Sprintf("frames that the NIC glues together are lost: ethtool -K %s %s off", n.Name, o))
		case o == "rx-gro" && n.Kind == "bridge":
			list = append(list, "frames are glued together at its ports, and then lost: ethtool -K PORT gro off, for each")
		case o == "rx-gro" && genericOnly(n):
			list = append(list, fmt.Sprintf("in generic mode frames are glued together before dirsw gets them, and then lost: "+
				"ethtool -K %s gro off", n.Name))
		case o == "rx-vlan-hw-parse":
			list = append(list, fmt.Sprintf("if frames carry VLAN tags: the NIC takes them off, so that dirsw does not see them: "+
				"ethtool -K %s rxvlan off", n.Name))
		}
	}
	return list
}
