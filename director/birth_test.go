package director

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/forward"
	"dirsw/sched"
)

// edited is a table that commands change, several to a transaction.
type edited struct {
	t     *testing.T
	model *config.Model
	snap  *forward.Snapshot
}

func (e *edited) run(lines ...string) {
	e.t.Helper()
	next := e.model.Clone()
	for _, l := range lines {
		c, err := ipvsadm.ParseArgs(strings.Fields(l))
		if err == nil {
			c.Schedulers = sched.Names()
			err = c.Apply(next)
		}
		if err != nil {
			e.t.Fatalf("%s: %v", l, err)
		}
	}
	snap, err := Compile(&Inputs{Model: next, Before: e.model, Workers: 1}, e.snap)
	if err != nil {
		e.t.Fatal(err)
	}
	e.model, e.snap = next, snap
}

// list is the order in which the scheduler sees the servers, by the last byte of their addresses, with slots.
func (e *edited) list() string {
	var out []string
	for _, d := range e.snap.Services[e.snap.Lookup[keyOf(&config.Service{Addr: netip.MustParseAddr("192.0.2.100"), Port: 80, Proto: config.TCP})]].Pool.Dests {
		out = append(out, fmt.Sprintf("%d@%d", d.Addr[15], d.ID))
	}
	return strings.Join(out, " ")
}

const (
	svc = " -t 192.0.2.100:80"
	one = svc + " -r 192.0.2.1"
	two = svc + " -r 192.0.2.2"
	san = svc + " -r 192.0.2.3"
)

// TestOrderOfServers: a list in the kernel begins with what was added last, whatever happens within one transaction.
func TestOrderOfServers(t *testing.T) {
	setUp := []string{"-A -s rr" + svc, "-a" + one, "-a" + two, "-a" + san}
	for _, tt := range []struct {
		name  string
		edits [][]string
		want  string
		fresh bool // the scheduler starts anew
	}{
		{name: "added", want: "3@2 2@1 1@0"},
		{name: "another weight keeps the place", edits: [][]string{{"-e -w 5" + two}}, want: "3@2 2@1 1@0"},
		{name: "removed and added, two transactions", edits: [][]string{{"-d" + one}, {"-a" + one}}, want: "1@0 3@2 2@1"},
		{name: "removed and added, one transaction", edits: [][]string{{"-d" + one, "-a" + one}}, want: "1@0 3@2 2@1"},
		{name: "all removed and added in another order", edits: [][]string{{"-d" + one, "-d" + two, "-d" + san, "-a" + san, "-a" + one, "-a" + two}},
			want: "2@1 1@0 3@2"},
		{name: "service removed and added, one transaction", edits: [][]string{{"-D" + svc, "-A -s rr" + svc, "-a" + two, "-a" + one}},
			want: "1@0 2@1", fresh: true},
		{name: "table cleared and restored", edits: [][]string{append([]string{"-C"}, setUp...)}, want: "3@2 2@1 1@0", fresh: true},
		{name: "removed, added and removed", edits: [][]string{{"-d" + one, "-a" + one, "-d" + one}}, want: "3@2 2@1"},
		{name: "another scheduler keeps the list", edits: [][]string{{"-E -s wrr" + svc}}, want: "3@2 2@1 1@0", fresh: true},
		{name: "the same scheduler goes on", edits: [][]string{{"-E -s rr -p 60" + svc}}, want: "3@2 2@1 1@0"},
		{name: "an edit after that is one again", edits: [][]string{{"-d" + one, "-a" + one}, {"-e -w 3" + two}}, want: "1@0 3@2 2@1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &edited{t: t, model: &config.Model{}}
			e.run(setUp...)
			before := e.snap.Services[0]
			for _, lines := range tt.edits {
				e.run(lines...)
			}
			if got := e.list(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			after := e.snap.Services[0]
			if fresh := after.SchedGen != before.SchedGen; fresh != tt.fresh {
				t.Errorf("scheduler afresh: %v, want %v", fresh, tt.fresh)
			}
			if renewed := after.Tally != before.Tally; renewed != (tt.fresh && !strings.HasPrefix(tt.edits[0][0], "-E")) {
				t.Errorf("counters renewed: %v", renewed)
			}
		})
	}
}

// TestTransactionsAreTheirCommands draws commands and carries them out one by one and several at a time: the lists of
// servers come out the same.
func TestTransactionsAreTheirCommands(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	commands := []string{"-A -s rr" + svc, "-D" + svc, "-C", "-E -s wlc" + svc}
	for _, server := range []string{one, two, san} {
		commands = append(commands, "-a"+server, "-a -w 3"+server, "-d"+server, "-e -w 0"+server, "-a"+server)
	}
	for round := range 300 {
		single := &edited{t: t, model: &config.Model{}}
		grouped := &edited{t: t, model: &config.Model{}}
		single.try("-A -s rr" + svc)
		grouped.try("-A -s rr" + svc)
		for range 6 {
			var lines []string
			for range 1 + r.IntN(8) {
				lines = append(lines, commands[r.IntN(len(commands))])
			}
			for _, l := range lines {
				single.try(l)
			}
			grouped.try(lines...)
			if got, want := grouped.servers(), single.servers(); got != want {
				t.Fatalf("seed %d, round %d: %q at once give %q, one by one %q", seed, round, lines, got, want)
			}
		}
	}
}

// try runs commands as one transaction, without those that the table refuses.
func (e *edited) try(lines ...string) {
	e.t.Helper()
	next := e.model.Clone()
	for _, l := range lines {
		c, err := ipvsadm.ParseArgs(strings.Fields(l))
		if err != nil {
			e.t.Fatal(err)
		}
		_ = c.Apply(next) // refusals are part of the game
	}
	snap, err := Compile(&Inputs{Model: next, Before: e.model, Workers: 1}, e.snap)
	if err != nil {
		e.t.Fatal(err)
	}
	e.model, e.snap = next, snap
}

// servers writes the list of the service with weights, "" if there is no service.
func (e *edited) servers() string {
	id, ok := e.snap.Lookup[keyOf(&config.Service{Addr: netip.MustParseAddr("192.0.2.100"), Port: 80, Proto: config.TCP})]
	if !ok {
		return ""
	}
	s := &e.snap.Services[id]
	out := s.Kind.Name
	for _, d := range s.Pool.Dests {
		out += fmt.Sprintf(" %d w%d", d.Addr[15], d.Weight)
	}
	return out
}
