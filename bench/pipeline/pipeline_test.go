package pipeline

import (
	"context"
	"strings"
	"testing"
	"time"

	"dirsw/forward"
	"dirsw/packet"
)

// quick is an effort for tests: what is measured does not matter, only that it is.
var quick = Effort{Rounds: 2, Each: time.Millisecond}

// alone runs f on a goroutine of its own, whose thread it may pin.
func alone(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEstablished(t *testing.T) {
	for name, c := range map[string]Case{
		"TCP IPv4": {}, "TCP IPv6": {IPv6: true}, "UDP IPv4": {Proto: packet.ProtoUDP},
		"UDP IPv6": {Proto: packet.ProtoUDP, IPv6: true}, "IPIP": {Method: forward.TUN}, "NAT": {Method: forward.NAT},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t, func() error {
				r, err := MeasureEstablished(context.Background(), c, 500, quick)
				if err == nil && (len(r.Worker) != 2 || len(r.Floor) != 2 || len(r.Lane) != 2 || r.Allocs > 0.5) {
					t.Errorf("%+v, want two rounds of each and no allocations", r)
				}
				return err
			})
		})
	}
}

func TestOpening(t *testing.T) {
	cases := []Case{{Servers: 1}, {Scheduler: "wlc", Servers: 10}, {Scheduler: "sh", Servers: 2}, {IPv6: true, Servers: 2}}
	alone(t, func() error {
		all, err := MeasureOpening(context.Background(), cases, 2000, quick)
		for i, r := range all {
			if len(r.New) != 2 || r.Allocs > 0.5 {
				t.Errorf("%+v: %+v, want two rounds and no allocations", cases[i], r)
			}
		}
		if err == nil && len(all) != len(cases) {
			t.Errorf("%d results of %d cases", len(all), len(cases))
		}
		return err
	})
}

func TestOpeningRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		Case
		live int
		want string
	}{
		"too many":     {live: maxLive + 1, want: "live connections, want"},
		"no scheduler": {Case: Case{Scheduler: "nosuch"}, live: 1000, want: `no scheduler "nosuch"`},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t, func() error {
				_, err := MeasureOpening(context.Background(), []Case{c.Case}, c.live, quick)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want one with %q", err, c.want)
				}
				return nil
			})
		})
	}
}

func TestFootprint(t *testing.T) {
	f, err := MeasureFootprint(context.Background(), 10_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	if f.Connections != 10_000 || len(f.CollectionUs) != 3 || f.ResidentMB < 1 || f.ScannedKB == 0 {
		t.Errorf("%+v", f)
	}
}

func TestMeasurementsEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := MeasureFootprint(ctx, 1000, 1); err != context.Canceled {
		t.Errorf("MeasureFootprint: %v", err)
	}
	alone(t, func() error {
		if _, err := MeasureEstablished(ctx, Case{}, 1000, quick); err != context.Canceled {
			t.Errorf("MeasureEstablished: %v", err)
		}
		return nil
	})
}

func TestCurve(t *testing.T) {
	alone(t, func() error {
		points, err := MeasureCurve(context.Background(), Case{}, []int{100, 1000}, quick)
		if err == nil && (len(points) != 2 || points[1].Flows != 1000 || len(points[1].Worker) != 2) {
			t.Errorf("%+v, want two points of two rounds", points)
		}
		return err
	})
}

func TestTeam(t *testing.T) {
	r, err := MeasureTeam(context.Background(), Case{}, 1000, quick)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.One) != 2 || len(r.Own) != 2 || len(r.Half) != 2 || r.One[0] <= 0 || r.Half[0] <= 0 {
		t.Errorf("%+v, want two rounds of each", r)
	}
}

func TestFlood(t *testing.T) {
	alone(t, func() error {
		r, err := MeasureFlood(context.Background(), FloodCase{Established: 100, PerEstablished: 4, Room: 1 << 12, Guard: true}, quick)
		if err == nil && (len(r.Share) != 2 || r.Share[0] <= 0 || r.Share[0] > 1 || r.Connections > 1<<12 || r.Shed == 0) {
			t.Errorf("%+v, want shares of what went through and a table that is not overfull", r)
		}
		return err
	})
}

// TestSaturation: what a worker can take gets through; of too much the connections do, as far as they can.
func TestSaturation(t *testing.T) {
	alone(t, func() error {
		e := Effort{Rounds: 2, Each: 20 * time.Millisecond}
		few, err := MeasureSaturation(context.Background(), FloodCase{Established: 100, PerEstablished: 1, Room: 1 << 12}, 0.05, e)
		if err == nil && (len(few.Share) != 2 || !(few.Share[0] > 0.9) || !(few.Share[1] > 0.9) || few.Counters.Drops[packet.DropOverload] != 0) {
			t.Errorf("%+v, want all of what is not too much", few)
		}
		if err != nil {
			return err
		}
		many, err := MeasureSaturation(context.Background(), FloodCase{Established: 100, PerEstablished: 9, Room: 1 << 12}, 1000, e)
		if err == nil && (!(many.Share[0] < 1) || !(many.SYNs[0] < 1) || many.Counters.Drops[packet.DropOverload] == 0) {
			t.Errorf("%+v, want losses, and SYNs that were dropped for that", many)
		}
		return err
	})
}
