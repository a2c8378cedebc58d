package director

import (
	"testing"

	"dirsw/forward"
	"dirsw/packet"
)

// TestPoolRemembersWeights checks what mh needs to know of a server that was edited to weight 0.
func TestPoolRemembersWeights(t *testing.T) {
	conf := func(weight string) string {
		return "virtual_server 192.0.2.1 80 {\n lvs_sched mh\n lvs_method DR\n protocol TCP\n" +
			" real_server 198.51.100.1 80 {\n  weight " + weight + "\n }\n}\n"
	}
	in, prev := &Inputs{Workers: 1}, (*forward.Snapshot)(nil)
	for _, tt := range []struct {
		weight string
		want   int32
	}{{"0", 0}, {"7", 0}, {"0", 7}, {"0", 7}, {"3", 0}, {"0", 3}} {
		in.Model = parse(t, conf(tt.weight))
		s, err := Compile(in, prev)
		if err != nil {
			t.Fatal(err)
		}
		p := s.Services[0].Pool
		if got := p.Dests[0].Last; got != tt.want {
			t.Errorf("weight %s: Last = %d, want %d", tt.weight, got, tt.want)
		}
		if p.Family != packet.IPv4Family {
			t.Errorf("family %d, want 4", p.Family)
		}
		prev = s
	}
}
