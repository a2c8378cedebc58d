package director

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/host"
	"dirsw/stats"
)

// tableOf writes the services and weights that are in force.
func tableOf(d *Director) string {
	var s stats.Stats
	d.ReadStats(&s)
	var b strings.Builder
	for i := range s.Services {
		svc := &s.Services[i]
		b.WriteString(svc.Scheduler)
		for _, r := range svc.Dests {
			b.WriteString(" " + r.Addr.String() + "=" + string(rune('0'+r.Weight)))
		}
		b.WriteString("; ")
	}
	return b.String()
}

func weight(n int) func(*config.Model) error {
	return func(m *config.Model) error { m.Services[0].Reals[0].Weight = n; return nil }
}

func TestEdit(t *testing.T) {
	const as = "rr 192.0.2.2=1 192.0.2.1=1; "
	refused := errors.New("refused")
	for _, tt := range []struct {
		name    string
		change  func(*config.Model) error
		fails   string
		table   string
		changes int
	}{
		{name: "a weight", change: weight(3), table: "rr 192.0.2.2=1 192.0.2.1=3; ", changes: 1},
		{name: "refused midway", change: func(m *config.Model) error { _ = weight(3)(m); m.Services = nil; return refused },
			fails: "refused", table: as},
		{name: "unknown scheduler", change: func(m *config.Model) error { m.Services[0].Scheduler = "fair"; return nil },
			fails: "fair", table: as},
		{name: "nothing", change: func(*config.Model) error { return nil }, table: as},
		{name: "everything away", change: func(m *config.Model) error { m.Services = nil; return nil }, changes: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _, _ := start(t)
			<-d.Ready()
			changes, err := d.Edit(tt.change)
			if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("error %v, want %q", err, tt.fails)
			}
			if len(changes) != tt.changes {
				t.Errorf("changes %v, want %d", changes, tt.changes)
			}
			if got := tableOf(d); got != tt.table {
				t.Errorf("table %q, want %q", got, tt.table)
			}
		})
	}
}

// TestEditIsUndone lets the packet filter fail after the edit was published.
func TestEditIsUndone(t *testing.T) {
	d, w, _ := start(t)
	<-d.Ready()
	before := tableOf(d)
	w.mu.Lock()
	w.fail = errors.New("no memory for the filter")
	w.mu.Unlock()
	if _, err := d.Edit(weight(7)); err == nil || !strings.Contains(err.Error(), "no memory") {
		t.Errorf("error %v, want that of the filter", err)
	}
	if got := tableOf(d); got != before {
		t.Errorf("table %q, want %q as before", got, before)
	}
	w.mu.Lock()
	w.fail = nil
	w.mu.Unlock()
	if _, err := d.Edit(weight(7)); err != nil {
		t.Errorf("once the filter works again: %v", err)
	}
}

// TestEditsSurviveReload: what commands made stays, what they changed of the file's is as the file says again.
func TestEditsSurviveReload(t *testing.T) {
	d, _, _ := start(t)
	<-d.Ready()
	if _, err := d.Edit(func(m *config.Model) error {
		s := m.Services[0]
		s.Port, s.Origin, s.Scheduler, s.Reals = 81, config.FromCommand, "wrr", nil
		m.Services = append(m.Services, s)
		return weight(5)(m)
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := tableOf(d), "rr 192.0.2.2=1 192.0.2.1=5; wrr; "; got != want {
		t.Fatalf("table %q, want %q", got, want)
	}
	if _, _, err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	if got, want := tableOf(d), "rr 192.0.2.2=1 192.0.2.1=1; wrr; "; got != want {
		t.Errorf("after the reload %q, want %q", got, want)
	}
}

// TestEditMeetsNewServers: a server that commands bring is known when it gets its first connection, if it answers at once.
func TestEditMeetsNewServers(t *testing.T) {
	for _, answers := range []bool{true, false} {
		d, w, _ := start(t)
		<-d.Ready()
		addr := netip.MustParseAddr("192.0.2.3")
		w.mu.Lock()
		w.hops[addr] = host.Hop{Link: 7, Gateway: addr, MAC: [6]byte{2, 0, 0, 0, 1, 9}, MTU: 1500}
		if answers {
			w.asks = 1
		}
		w.mu.Unlock()
		if _, err := d.Edit(func(m *config.Model) error {
			r := m.Services[0].Reals[0]
			r.Addr = addr
			m.Services[0].Reals = append(m.Services[0].Reals, r)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var s stats.Stats
		d.ReadStats(&s)
		if got := s.Services[0].Dests[0].NextHop; strings.Contains(got, "02:00:00:00:01:09") != answers {
			t.Errorf("answers %v: next hop %q", answers, got)
		}
		if why := d.Unreachable(addr); why != "" {
			t.Errorf("answers %v: unreachable, %s: it may answer yet", answers, why)
		}
	}
}
