package xsk

import (
	"os/exec"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// napisOf asks the kernel about lb0.
func (r *rig) napisOf(t testing.TB) (all []napi) {
	t.Helper()
	r.lb0.In.Do(t, func() {
		n, err := openNAPIs()
		if err != nil {
			t.Errorf("ask for NAPIs: %v", err)
			return
		}
		defer n.close()
		if all, err = n.of(r.lb0.Link(t).Attrs().Index); err != nil {
			t.Errorf("ask for NAPIs: %v", err)
		}
	})
	if len(all) == 0 {
		t.Fatal("lb0 has no NAPI")
	}
	return all
}

// operator has lb0 gather, or not, as somebody else would.
func (r *rig) operator(t testing.TB, polls uint32, timeout time.Duration) {
	t.Helper()
	all := r.napisOf(t)
	r.lb0.In.Do(t, func() {
		n, err := openNAPIs()
		if err != nil {
			t.Errorf("ask for NAPIs: %v", err)
			return
		}
		defer n.close()
		for _, one := range all {
			one.polls, one.timeout = polls, timeout
			if err := n.set(one); err != nil {
				t.Errorf("set NAPI %d: %v", one.id, err)
			}
		}
	})
}

// wantGathering checks what is in force, by the kernel and by the Set.
func (r *rig) wantGathering(t testing.TB, s *Set, least, most time.Duration) {
	t.Helper()
	for _, n := range r.napisOf(t) {
		if n.timeout < least || n.timeout > most+signature || n.timeout > 0 && n.polls != patientPolls {
			t.Errorf("the kernel says %+v, want %v to %v", n, least, most)
		}
	}
	if s == nil {
		return
	}
	if got := s.Ports()[0].Coalesce; got < least || got > most {
		t.Errorf("Ports says %v, want %v to %v", got, least, most)
	}
}

const longest = 256 * time.Microsecond

// crowd has the client send frames of which eight wake the lane's worker up, and the Set look at them as if they had come within
// less time than they have.
func crowd(t testing.TB, r *rig, s *Set, looks int) {
	t.Helper()
	cl := testenv.OpenTap(t, &r.cl0)
	l := s.Lane(0)
	for range looks {
		for range 20 {
			for i := range 8 {
				cl.Send(t, request(uint16(1024+i), 10))
			}
			if err := l.Wait(testenv.Patience); err != nil {
				t.Fatalf("Wait: %v", err)
			}
			if got := receive(t, l, 8); len(got) != 8 {
				t.Fatalf("%d of 8 frames have come", len(got))
			}
		}
		s.Coalesce(2 * time.Millisecond)
	}
}

// TestCoalesce: frames of a crowd are gathered, and all of them come; when the crowd is gone, or the Set closed, all is as it was.
func TestCoalesce(t *testing.T) {
	testenv.NeedNetAdmin(t)
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: oneArm(), Coalesce: longest})
	r.wantGathering(t, s, 0, 0)
	crowd(t, r, s, 60)
	r.wantGathering(t, s, longest/4, longest)
	for range calmDown + 1 {
		s.Coalesce(LookBusy)
	}
	r.wantGathering(t, s, 0, 0)
	crowd(t, r, s, 60)
	r.wantGathering(t, s, longest/4, longest)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := r.open(t, Options{Ports: oneArm(), Coalesce: longest}); again != nil {
		r.wantGathering(t, again, 0, 0)
	}
}

// TestCoalesceReopened: sockets that are opened anew begin without.
func TestCoalesceReopened(t *testing.T) {
	testenv.NeedNetAdmin(t)
	r := newRig(t, nil)
	o := Options{Ports: oneArm(), Coalesce: longest}
	s := r.open(t, o)
	crowd(t, r, s, 60)
	r.wantGathering(t, s, longest/4, longest)
	var again *Set
	r.lb0.In.Do(t, func() {
		var err error
		if again, err = s.Reopen(o); err != nil {
			t.Errorf("Reopen: %v", err)
		}
	})
	if again == nil {
		return
	}
	defer again.Close()
	r.wantGathering(t, again, 0, 0)
	crowd(t, r, again, 60)
	r.wantGathering(t, again, longest/4, longest)
}

// TestCoalesceLeavesAlone: what an operator has set stays, what a director that was killed has set does not.
func TestCoalesceLeavesAlone(t *testing.T) {
	testenv.NeedNetAdmin(t)
	testenv.NeedProgram(t, "ethtool")
	r := newRig(t, nil)
	r.lb0.In.Do(t, func() { // then its NAPI outlives the filter
		if out, err := exec.Command("ethtool", "-K", r.lb0.Name, "gro", "on").CombinedOutput(); err != nil {
			t.Errorf("ethtool: %v: %s", err, out)
		}
	})
	const chosen = 40 * time.Microsecond
	r.operator(t, 1, chosen)
	s := r.open(t, Options{Ports: oneArm(), Coalesce: longest})
	crowd(t, r, s, 60)
	for _, n := range r.napisOf(t) {
		if n.timeout != chosen || n.polls != 1 {
			t.Errorf("the operator's %v has become %+v", chosen, n)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r.operator(t, patientPolls, 125*time.Microsecond+signature)
	s = r.open(t, Options{Ports: oneArm(), Coalesce: longest})
	r.wantGathering(t, s, 0, 0)
	crowd(t, r, s, 60)
	r.wantGathering(t, s, longest/4, longest)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r.wantGathering(t, nil, 0, 0)
	r.operator(t, patientPolls, 125*time.Microsecond+signature)
	r.open(t, Options{Ports: oneArm()}) // one that gathers nothing takes it back, too
	r.wantGathering(t, nil, 0, 0)
}

// TestCoalesceOff: nothing is gathered for workers that do not sleep, nor where it is off.
func TestCoalesceOff(t *testing.T) {
	testenv.NeedNetAdmin(t)
	for name, o := range map[string]Options{"off": {}, "busy polling": {Coalesce: longest, BusyPoll: true}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			o.Ports = oneArm()
			s := r.open(t, o)
			crowd(t, r, s, 60)
			r.wantGathering(t, s, 0, 0)
		})
	}
}
