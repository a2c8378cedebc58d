package main

import (
	"strings"
	"testing"
	"time"

	"dirsw/config"
	"dirsw/stats"
)

func TestCoalesce(t *testing.T) {
	for _, c := range []struct {
		given int
		want  time.Duration
	}{{0, 250 * time.Microsecond}, {config.NoCoalesce, 0}, {40, 40 * time.Microsecond}} {
		if got := coalesce(&config.Dataplane{Coalesce: c.given}); got != c.want {
			t.Errorf("coalesce %d is %v, want %v", c.given, got, c.want)
		}
	}
}

func TestDescribePortGathers(t *testing.T) {
	p := stats.Port{Name: "eth1", Mode: "native", Up: true, Queues: 2}
	if got := describePort(&p); strings.Contains(got, "gather") {
		t.Errorf("nothing is gathered: %q", got)
	}
	p.Coalesce = 125 * time.Microsecond
	if got, want := describePort(&p), "up, native, copy, 2 queues, gathers frames for 125 us"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
