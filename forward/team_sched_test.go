package forward_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dirsw/packet"
	"dirsw/sched"
)

// apart are the schedulers whose choices are not the same for several workers as for one: each remembers, or draws, by itself.
var apart = []string{"lblc", "lblcr", "twos"}

// TestTeamSchedulesAsOne opens and ends connections at workers drawn at random, beside one worker that has all of them: every
// new connection gets the same server.
func TestTeamSchedulesAsOne(t *testing.T) {
	for _, name := range sched.Names() {
		if slices.Contains(apart, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			rules := []string{"-A -t 192.0.2.100:80 -s " + name}
			for i, weight := range []int{3, 0, 1, 2, 6, 40, 1} { // more than a tournament begins with
				rules = append(rules, fmt.Sprintf("-a -t 192.0.2.100:80 -r 172.16.0.%d:80 -g -w %d", 11+i, weight))
			}
			one, three := newTeam(t, 1, rules...), newTeam(t, 3, rules...)
			rnd := rand.New(rand.NewPCG(5, 5))
			used := map[packet.MAC]int{}
			for i := range 400 {
				flags := uint8(packet.SYN)
				from := i
				if rnd.IntN(4) == 0 && i > 0 { // one of those before says farewell
					flags, from = packet.FIN|packet.ACK, rnd.IntN(i)
				}
				f := packet.Build(nil, packet.Spec{TCPFlags: flags, SrcMAC: clientMAC, DstMAC: directorMAC,
					Tuple: tuple(packet.ProtoTCP, fmt.Sprintf("198.51.%d.%d:4000", from/200, from%200+1), "192.0.2.100:80")})
				want, got := one.any(0, f)[1], three.any(0, f)[1]
				if len(want) != len(got) {
					t.Fatalf("packet %d: %d frames to servers, one worker sends %d", i, len(got), len(want))
				}
				for k := range want {
					to := packet.Ethernet(want[k]).Dst()
					if used[to]++; packet.Ethernet(got[k]).Dst() != to {
						t.Fatalf("packet %d went to %v, with one worker to %v", i, packet.Ethernet(got[k]).Dst(), to)
					}
				}
			}
			if c := three.sum(); len(used) == 0 || c.HandedOver == 0 {
				t.Errorf("%d servers were used, %d frames handed over", len(used), c.HandedOver)
			}
		})
	}
}
