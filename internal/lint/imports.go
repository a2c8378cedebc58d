package lint

import (
	"strconv"
	"strings"
)

// edges is what one package may import. Whatever of ours or of others is not named is forbidden; of the standard
// library everything is allowed but noStd.
type edges struct {
	own   string // packages of this module, separated by blanks; a trailing /… takes those below, * takes all
	other string // modules of others, by prefix
	noStd string // packages of the standard library; a trailing /… takes those below
	why   string // the package in one sentence, told with each breach
}

const (
	noIO     = "net net/http os os/… syscall log log/… unsafe" // what the data plane has no use for
	zap      = "go.uber.org/zap"
	sysUnix  = "golang.org/x/sys"
	ebpf     = "github.com/cilium/ebpf"
	netlinks = "github.com/vishvananda/netlink github.com/vishvananda/netns"
)

// importTable is docs/design/architecture.md, section 1. It speaks of the packages themselves; their tests may import
// what they need to test against.
var importTable = map[string]edges{
	"clock":               {noStd: noIO, why: "clock says what time it is"},
	"internal/invariants": {noStd: noIO, why: "invariants checks and panics"},
	"internal/ring":       {own: "internal/invariants", noStd: noIO, why: "a ring is a leaf of the data plane"},
	"internal/testenv":    {other: netlinks + " " + sysUnix, why: "testenv says what the machine of a test can do, and makes networks on it"},
	"internal/lint":       {why: "lint reads source only"},
	"packet":              {noStd: noIO + " time", why: "packet edits frames in place; parsing is pure"},
	"conntrack": {
		own: "packet clock internal/invariants", noStd: "net net/http os os/… log log/… sync context",
		why: "a table belongs to one worker: it has no lock, no clock and no file",
	},
	"reassembly": {
		own: "packet clock internal/invariants", noStd: noIO + " sync context",
		why: "a cache of fragments belongs to one worker: it has no lock and no clock",
	},
	"sched": {
		own: "packet clock internal/invariants", noStd: noIO + " sync context",
		why: "a scheduler chooses among numbers; it knows neither tables nor configuration",
	},
	"forward": {
		own: "packet conntrack sched reassembly clock internal/ring internal/invariants", noStd: noIO + " sync",
		why: "the forwarder follows a Snapshot: whatever decides stands above it",
	},
	"forward/forwardtest": {
		own: "packet forward clock", noStd: "net/http", why: "a Lane in memory, for tests",
	},
	"xsk": {
		own: "packet forward clock internal/invariants",
		// netlink only to name the foreign program that is in the way
		other: ebpf + " github.com/asavie/xdp github.com/vishvananda/netlink " + sysUnix,
		noStd: "net/http log log/…", why: "xsk moves frames; it neither decides nor logs",
	},
	"host/rawlane": {
		own: "packet forward", other: "github.com/mdlayher/raw " + sysUnix, noStd: "net/http log log/…",
		why: "a Lane over AF_PACKET",
	},
	"host": {
		other: netlinks + " github.com/mdlayher/raw " + sysUnix + " " + zap, noStd: "net/http log log/… unsafe",
		why: "host asks the kernel and returns plain data",
	},
	"config":            {noStd: noIO, why: "config is data"},
	"config/compare":    {own: "config", noStd: noIO, why: "two Models in, what a pair of them lacks out"},
	"config/iptables":   {own: "config", noStd: "net net/http os os/… log log/… unsafe", why: "a grammar: text in, rules out"},
	"config/keepalived": {own: "config config/iptables", noStd: "net/http os os/… log log/… unsafe", why: "a grammar: text in, Model out"},
	"config/ipvsadm":    {own: "config stats", noStd: "net/http os os/… log log/… unsafe", why: "a grammar, and listings of plain data"},
	"stats":             {noStd: noIO, why: "stats is data"},
	"ctl":               {own: "clock config config/ipvsadm stats", noStd: "net/http log log/… unsafe", why: "ctl carries messages and decides nothing"},
	"metrics":           {own: "stats", other: "github.com/prometheus/client_golang", noStd: "unsafe", why: "metrics shows stats"},
	"tui":               {own: "ctl stats", noStd: "unsafe", why: "tui draws what ctl reports"},
	"vrrp":              {own: "clock", other: zap, noStd: "net net/http os os/… log log/… unsafe", why: "vrrp elects; its Net is given to it"},
	"bfd":               {own: "clock", other: zap + " " + sysUnix, noStd: "net/http log log/… unsafe", why: "bfd watches the way to a neighbour"},
	"health":            {own: "clock script", other: zap + " " + sysUnix, noStd: "log log/… unsafe", why: "health asks servers and reports"},
	"script":            {own: "clock", other: zap + " " + sysUnix, noStd: "net net/http log log/… unsafe", why: "script runs programs of the operator's"},
	"track":             {own: "clock script", other: zap + " " + sysUnix, noStd: "net/http log log/… unsafe", why: "track watches what an election depends on"},
	"mail":              {own: "clock", other: zap, noStd: "net/http log log/… unsafe", why: "mail sends alerts"},
	"notify":            {own: "clock script mail", other: zap + " " + sysUnix, noStd: "net/http log log/… unsafe", why: "notify tells programs, pipes and people"},
	"connsync":          {own: "packet conntrack clock", other: zap, noStd: "net net/http os os/… log log/… unsafe", why: "connsync tells and hears of connections; its sockets are given to it"},
	"director": {
		own:   "config stats forward packet conntrack sched vrrp bfd health track notify mail script connsync host clock internal/invariants",
		other: zap, noStd: "net net/http os os/… log log/… unsafe syscall",
		why: "the director decides; sockets and files are behind the interfaces it declares",
	},
	"lab": {
		own: "clock config config/compare config/keepalived host packet stats ctl", other: netlinks + " " + sysUnix, noStd: "log log/… unsafe",
		why: "the lab builds networks and runs the real program in them, which it knows by its command line and its configurations only",
	},
	"bench": {
		own:   "clock packet conntrack sched forward forward/forwardtest xsk lab bench/… internal/…",
		other: "github.com/google/gopacket " + netlinks + " " + sysUnix + " " + ebpf, noStd: "log/…",
		why: "bench measures the data plane; it needs neither a director nor a configuration",
	},
	"bench/oracle": {
		own:   "clock packet conntrack sched forward forward/forwardtest config config/ipvsadm config/iptables director",
		noStd: "net net/http log log/… unsafe",
		why:   "oracle plays transcripts through the director's own compiler and a worker, without a machine",
	},
	"bench/replay": {
		own: "clock packet forward", other: "github.com/google/gopacket", noStd: "net/http log log/… unsafe",
		why: "a Lane over capture files",
	},
	"cmd/dirsw": {
		own: "*", other: zap + " " + sysUnix + " golang.org/x/term", noStd: "log log/… unsafe",
		why: "cmd/dirsw wires the packages together",
	},
}

// Imports checks the packages against importTable. Packages that are not in it are a breach themselves; those below
// bench may do what bench may, unless they are named.
func Imports(t *Tree) []Complaint {
	var out []Complaint
	t.goFiles(false, func(f *File) {
		pkg := f.Package()
		e, ok := importTable[pkg]
		if !ok && strings.HasPrefix(pkg, "bench/") {
			e, ok = importTable["bench"]
		}
		if !ok {
			out = append(out, t.complain(f, f.AST.Name,
				"package %q is not in the import table: say there, and in docs/design/architecture.md, what it may import", pkg))
			return
		}
		for _, spec := range f.AST.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			if reason := e.forbids(p); reason != "" {
				out = append(out, t.complain(f, spec, "%s must not import %q (%s): %s", pkg, p, reason, e.why))
			}
		}
	})
	return out
}

// forbids returns why p must not be imported, or "".
func (e edges) forbids(p string) string {
	first, _, _ := strings.Cut(p, "/")
	switch {
	case first == Module:
		if e.own != "*" && !matches(e.own, strings.TrimPrefix(p, Module+"/")) {
			return "not among its allowed packages"
		}
	case strings.Contains(first, "."):
		for _, prefix := range strings.Fields(e.other) {
			if p == prefix || strings.HasPrefix(p, prefix+"/") {
				return ""
			}
		}
		return "not among its allowed modules"
	case matches(e.noStd, p):
		return "forbidden part of the standard library"
	}
	return ""
}

// matches reports whether p is in a list, in which "x/…" stands for everything below x.
func matches(list, p string) bool {
	for _, e := range strings.Fields(list) {
		if dir, ok := strings.CutSuffix(e, "…"); e == p || ok && strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}
