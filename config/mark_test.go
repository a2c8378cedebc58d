package config

import (
	"fmt"
	"strings"
	"testing"
)

// marking is a rule that gives a mark.
func marking(line int, mark uint32) MarkRule {
	return MarkRule{Pos: Pos{"f", line, 1}, Target: MarkTarget{Kind: TargetMark, Value: mark, Mask: ^uint32(0)}}
}

func commanded1(mark uint32) MarkRule {
	r := marking(0, mark)
	r.Pos, r.Origin = Pos{}, FromCommand
	return r
}

// table is one whose PREROUTING has these rules.
func table(rules ...MarkRule) Marks {
	return Marks{IPv4: MarkTable{Chains: []MarkChain{{Name: ChainPrerouting, Rules: rules}}}}
}

func TestMergeMarks(t *testing.T) {
	for _, row := range []struct {
		name          string
		running, file []MarkRule
		want          string // marks; c: made by a command
		notes         int
	}{
		{"the file alone", []MarkRule{marking(1, 1)}, []MarkRule{marking(1, 2), marking(2, 3)}, "2 3", 0},
		{"before and behind", []MarkRule{commanded1(7), marking(1, 1), commanded1(8)}, []MarkRule{marking(1, 2), marking(2, 3)}, "7c 2 8c 3", 0},
		{"the file has fewer now", []MarkRule{marking(1, 1), marking(2, 2), commanded1(8)}, []MarkRule{marking(1, 1)}, "1 8c", 0},
		{"the file has none now", []MarkRule{marking(1, 1), commanded1(8)}, nil, "8c", 0},
		{"the file has it too now", []MarkRule{commanded1(8)}, []MarkRule{marking(1, 8)}, "8", 1},
		{"a command deleted what the file says", nil, []MarkRule{marking(1, 1)}, "1", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, notes := Merge(&Model{}, &Model{Marks: table(row.running...)}, &Model{Marks: table(row.file...)})
			var got []string
			if c := m.Marks.IPv4.Chain(ChainPrerouting); c != nil {
				for _, r := range c.Rules {
					got = append(got, fmt.Sprint(r.Target.Value)+map[Origin]string{FromCommand: "c"}[r.Origin])
				}
			}
			if g := strings.Join(got, " "); g != row.want || len(notes) != row.notes {
				t.Errorf("got %s, want %s; notes %v", g, row.want, notes)
			}
		})
	}
}

// TestMergeMarkChains keeps chains that commands made, and drops those that the file no longer has.
func TestMergeMarkChains(t *testing.T) {
	running := Marks{IPv4: MarkTable{Chains: []MarkChain{{Name: "FILE"}, {Name: "MADE", Origin: FromCommand}, {Name: "USED", Rules: []MarkRule{commanded1(1)}}}}}
	m, _ := Merge(&Model{}, &Model{Marks: running}, &Model{Marks: Marks{IPv4: MarkTable{Chains: []MarkChain{{Name: "NEW"}}}}})
	var names []string
	for _, c := range m.Marks.IPv4.Chains {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "MADE NEW USED" {
		t.Errorf("chains %s", got)
	}
}

func TestMarkNotes(t *testing.T) {
	looks := MarkRule{Pos: Pos{"f", 9, 1}, Matches: []MarkMatch{{Kind: MatchMark, Value: 7, Mask: ^uint32(0)}}}
	bits := MarkRule{Pos: Pos{"f", 8, 1}, Target: MarkTarget{Kind: TargetMark, Value: 1, Mask: 1}}
	service := func(mark uint32, ipv6 bool) Service { return Service{Pos: Pos{"f", 20, 1}, Mark: mark, IPv6: ipv6} }
	for _, row := range []struct {
		name     string
		rules    []MarkRule
		services []Service
		want     []string
	}{
		{"nothing", nil, nil, nil},
		{"both", []MarkRule{marking(1, 7)}, []Service{service(7, false)}, nil},
		{"no service", []MarkRule{marking(1, 7)}, nil, []string{"f:1:1: no virtual server is for fwmark 7"}},
		{"a service of the other family", []MarkRule{marking(1, 7)}, []Service{service(7, true)},
			[]string{"f:1:1: no virtual server is for fwmark 7", "f:20:1: no rule gives the mark of fwmark 7 IPv6: write one, ip6tables -t mangle"}},
		{"no rule", nil, []Service{service(7, false)}, []string{"f:20:1: no rule gives the mark of fwmark 7: write one, iptables -t mangle"}},
		{"another rule looks at it", []MarkRule{marking(1, 7), looks}, nil, nil},
		{"parts of marks", []MarkRule{bits, marking(1, 7)}, []Service{service(3, false)}, nil},
		{"twice", []MarkRule{marking(1, 7), marking(2, 7)}, []Service{service(7, false)},
			[]string{"f:2:1: the same rule is in chain PREROUTING twice (the first is in line 1)"}},
		{"mark 0", []MarkRule{marking(1, 0), marking(2, 7), marking(3, 0)}, []Service{service(7, false)},
			[]string{"f:1:1: mark 0 is no mark", "f:3:1: the same rule"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			notes := (&Model{Marks: table(row.rules...), Services: row.services}).MarkNotes()
			if len(notes) != len(row.want) {
				t.Fatalf("got %v, want %d", notes, len(row.want))
			}
			for _, want := range row.want {
				found := false
				for _, n := range notes {
					found = found || strings.HasPrefix(n.String(), want)
				}
				if !found {
					t.Errorf("no note %q in %v", want, notes)
				}
			}
		})
	}
}

func TestValidateMarks(t *testing.T) {
	jump := func(to string) MarkRule { return MarkRule{Target: MarkTarget{Kind: TargetJump, Chain: to}} }
	chain := func(name string, rules ...MarkRule) MarkChain { return MarkChain{Name: name, Rules: rules} }
	deep := func(n int) (list []MarkChain) { // PREROUTING and n chains within one another
		list = append(list, chain(ChainPrerouting, jump("C1")))
		for i := 1; i < n; i++ {
			list = append(list, chain(fmt.Sprintf("C%d", i), jump(fmt.Sprintf("C%d", i+1)), jump(fmt.Sprintf("C%d", i+1))))
		}
		return append(list, chain(fmt.Sprintf("C%d", n)))
	}
	for _, row := range []struct {
		name   string
		chains []MarkChain
		want   string
	}{
		{"good", []MarkChain{chain(ChainPrerouting, jump("A"), jump("B")), chain("A", jump("B")), chain("B")}, ""},
		{"twice", []MarkChain{chain("A"), chain("A")}, `the chain "A" is there twice`},
		{"nowhere", []MarkChain{chain("A", jump("B"))}, `chain "B" does not exist`},
		{"built in", []MarkChain{chain("A", jump(ChainInput))}, "jumps to the built-in chain INPUT"},
		{"itself", []MarkChain{chain(ChainPrerouting, jump("A")), chain("A", jump("A"))}, `a rule of chain "A" leads back to chain "A"`},
		{"in a circle", []MarkChain{chain(ChainPrerouting, jump("A")), chain("A", jump("B")), chain("B", jump("A"))}, `a rule of chain "B" leads back to chain "A"`},
		{"as deep as can be", deep(15), ""},
		{"too deep", deep(16), "more than 16 chains within one another"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := Marks{IPv6: MarkTable{Chains: row.chains}}
			err := m.Validate()
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}
