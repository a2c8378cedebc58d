// Command dirsw is a director of LVS clusters: it forwards the traffic of virtual services in user space over AF_XDP,
// following a keepalived.conf.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes. check uses those of keepalived -t, but for a file that is missing, which keepalived takes for good.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitConfig   = 4 // run, replay, explain: the configuration is refused; check: the file cannot be read
	exitComplain = 5 // check: there are complaints
	exitUnsafe   = 6 // check: a program may not be run (enable_script_security)
)

const (
	defaultConfig = "/etc/keepalived/keepalived.conf"
	defaultSocket = "/run/dirsw/control.sock"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version = "devel"

const usage = `dirsw: a director for LVS clusters in user space

  dirsw run      -f FILE                         attach, hold the addresses, forward until SIGTERM
  dirsw check    -f FILE                         report every mistake with its place and what to write instead
  dirsw ipvsadm  …                               all of ipvsadm's commands, on the running director; the same when the
                                                 binary is called ipvsadm, ipvsadm-save or ipvsadm-restore
  dirsw sysctl   -a | NAME | NAME=VALUE          show and change the net.ipv4.vs settings of the running director
  dirsw mark     add | del | list | restore      the iptables rules that give packets their firewall marks;
                                                 "dirsw iptables -t mangle …" takes a whole command line
  dirsw proc     ip_vs | ip_vs_conn | …          what the kernel's IPVS shows below /proc/net
  dirsw vrrp     [-json]                         who is master of each instance, and what was heard and refused
  dirsw health   [-json]                         which real servers are up, and what their checks said last
  dirsw sync     [-json] | send                  connections told to and learned from another director
  dirsw stats    [-json]                         interfaces, workers, next hops, and every drop by its reason
  dirsw explain  'tcp CLIENT:PORT > VIP:PORT'    ask the running director which server, why, and which frame would leave
  dirsw explain  -f FILE 'tcp …'                 the same for a file, without a director
  dirsw reload   [-n]                            read the file again (as SIGHUP) and say what changed; -n: only say it
  dirsw genhash  -s ADDRESS -p PORT -u PATH      the digest of a page, for the keyword digest of HTTP_GET
  dirsw replay   -f FILE in.pcap [-w out.pcap]   play a capture through the same pipeline
  dirsw bench    -f FILE in.pcap [-json]         what a packet of a capture costs in the pipeline
  dirsw lab      up | down | status | exec NODE -- CMD… | demo | drill
                                                 a cluster in network namespaces of this machine
  dirsw doctor   nic [IFACE…]                    how interfaces spread frames, and what would suit dirsw better
  dirsw version

"dirsw COMMAND -h" shows the flags. The manual is docs/manual/dirsw.md.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, ok := calledAs(os.Args[0], os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if !ok {
		code = dispatch(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	}
	stop()
	os.Exit(code)
}

func dispatch(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "run":
		return cmdRun(ctx, rest, stderr)
	case "doctor":
		return cmdDoctor(rest, stdout, stderr)
	case "check":
		return cmdCheck(rest, stdout, stderr)
	case "ipvsadm":
		code := cmdIpvsadm(rest, stdin, stdout, stderr)
		if len(rest) == 1 && (rest[0] == "-h" || rest[0] == "--help") { // by ipvsadm's own name it prints what ipvsadm does
			fmt.Fprint(stdout, ownOptions)
		}
		return code
	case "mark":
		return cmdMark(rest, stdin, stdout, stderr)
	case "iptables", "ip6tables":
		return cmdIptables(name, rest, stdout, stderr)
	case "sysctl":
		return cmdSysctl(rest, stdout, stderr)
	case "proc":
		return cmdProc(rest, stdout, stderr)
	case "explain":
		return cmdExplain(rest, stdout, stderr)
	case "vrrp":
		return cmdVRRP(rest, stdout, stderr)
	case "health":
		return cmdHealth(rest, stdout, stderr)
	case "genhash":
		return cmdGenhash(ctx, rest, stdout, stderr)
	case "sync":
		return cmdSync(rest, stdout, stderr)
	case "stats":
		return cmdStats(rest, stdout, stderr)
	case "reload":
		return cmdReload(rest, stdout, stderr)
	case "replay":
		return cmdReplay(rest, stdout, stderr)
	case "bench":
		return cmdBench(ctx, rest, stdout, stderr)
	case "lab":
		return cmdLab(ctx, rest, stdout, stderr)
	case "version", "-v", "--version":
		fmt.Fprintln(stdout, "dirsw", version)
		return exitOK
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	fmt.Fprintf(stderr, "dirsw: there is no command %q; \"dirsw help\" lists them\n", name)
	return exitUsage
}

// flags makes a flag set that prints its errors itself; parse returns the exit code to end with, or -1 to go on.
func flags(name, synopsis string, stderr io.Writer) (*flag.FlagSet, func([]string) int) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: dirsw %s %s\n", name, synopsis)
		fs.PrintDefaults()
	}
	return fs, func(args []string) int {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return exitOK
		case err != nil:
			return exitUsage
		}
		return -1
	}
}

// fail prints one error under the command's name.
func fail(stderr io.Writer, command string, err error) int {
	fmt.Fprintf(stderr, "dirsw %s: %v\n", command, err)
	return exitFailed
}
