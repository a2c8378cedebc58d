package sched

import (
	"slices"
	"testing"
)

func TestNobody(t *testing.T) {
	p := pool(1, 2, 3)
	if got := made(t, Nobody, p).Pick(p, client(1)); got != None {
		t.Errorf("Pick = %d, want None", got)
	}
	if slices.Contains(Names(), Nobody) {
		t.Errorf("%q is offered as a scheduler", Nobody)
	}
}
