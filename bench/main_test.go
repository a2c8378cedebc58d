package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dirsw/bench/measure"
	"dirsw/bench/pipeline"
	"dirsw/bench/wire"
)

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    options
		args []string
		want string
	}{
		"a section that is none": {options{only: "pipeline,speed", footprint: -1}, nil, `no section "speed"; there are pipeline, new, memory, curve, table, team, flood, wire, http, accelerate`},
		"an argument":            {options{only: "memory", footprint: -1}, []string{"hot"}, `unexpected argument "hot"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(context.Background(), c.o, c.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestFootprintOfAChild(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), options{footprint: 2000}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var f pipeline.Footprint
	if err := json.Unmarshal(out.Bytes(), &f); err != nil || f.Connections != 2000 || f.ResidentMB == 0 {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestEstablishedFillsTheTable(t *testing.T) {
	b := newBench(options{rounds: 1}, io.Discard)
	b.effort.Each = time.Millisecond
	r, err := pinned(func() (*pipeline.Established, error) {
		return pipeline.MeasureEstablished(context.Background(), pipeline.Case{}, 100, b.effort)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.report.Rows = append(b.report.Rows, establishedRow("TCP", r, measure.Target{AtMost: 4}))
	b.skip("wire: not root")
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "report.json")
	b.report.Curve = []measure.Point{{X: 1000, Y: 40}, {X: million, Y: 60}}
	plot := filepath.Join(t.TempDir(), "plot.svg")
	if err := b.finish(file, plot, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 rounds", "pipeline, established TCP", "floor, ", "Mpps", "<= 4.00", "not measured: wire: not root"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the table:\n%s", want, &out)
		}
	}
	if drawn, err := os.ReadFile(plot); err != nil || !strings.Contains(string(drawn), "<polyline") {
		t.Errorf("plot %s, %v", drawn, err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back measure.Report
	if err := json.Unmarshal(written, &back); err != nil || len(back.Rows) != 1 || back.Rows[0].Ratio.N != 1 {
		t.Errorf("%v: %s", err, written)
	}
}

func TestGeneratorRefusesNonsense(t *testing.T) {
	err := run(context.Background(), options{footprint: -1, generate: "{"}, nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-generate:") {
		t.Errorf("error %v", err)
	}
	err = run(context.Background(), options{footprint: -1, probe: "{"}, nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-probe:") {
		t.Errorf("error %v", err)
	}
}

func TestWireRows(t *testing.T) {
	of := func(name string, mpps ...float64) *entrant {
		return &entrant{c: &wire.Contender{Name: name, Ours: strings.HasPrefix(name, "dirsw")}, mpps: mpps, cpu: []float64{900, 1000, 1100}}
	}
	g := wireSetup{name: "two-armed", targets: map[string]measure.Target{"C": {AtLeast: 0.95}, "dirsw TUN / C": {AtLeast: 0.9}}}
	rows := g.rows([]*entrant{of("dirsw DR", 1, 2, 3), of("dirsw TUN", 1, 1, 1), of("C", 2, 2, 2), of("nft", 1, 1, 1)})
	if len(rows) != 4 || rows[0].Ratio.Median != 1 || rows[0].Target.AtLeast != 0.95 || rows[1].Ratio.Median != 2 ||
		rows[1].Peer != "nft" || rows[1].Target != (measure.Target{}) || rows[2].Target.AtLeast != 0.9 {
		t.Errorf("two against two peers: %+v", rows)
	}
	rows = g.rows([]*entrant{of("C", 2, 2, 2), of("nft", 1, 1, 1)})
	if len(rows) != 2 || rows[0].Name != "C" || rows[0].Ratio.N != 0 || rows[1].Ours.Median != 1 {
		t.Errorf("peers alone: %+v", rows)
	}
	if rows = g.rows([]*entrant{of("dirsw DR", 1)}); len(rows) != 1 || rows[0].Ours.N != 1 || rows[0].Note != "1000 ns CPU/packet" {
		t.Errorf("dirsw alone: %+v", rows)
	}
	if rows = g.rows(nil); rows != nil {
		t.Errorf("nobody: %+v", rows)
	}
}

func TestWebRows(t *testing.T) {
	of := func(name, limit string, perCPU float64) surfer {
		return surfer{c: &wire.WebContender{Name: name, Ours: strings.HasPrefix(name, "dirsw"), Limit: limit}, perCPU: []float64{perCPU},
			slow: []float64{perCPU / 10}}
	}
	all := []surfer{of("dirsw DR", "", 60), of("other dirsw DR", "", 30), of("dirsw NAT", "", 20), of("C", "dirsw DR", 80), of("HAProxy", "", 10)}
	want := []struct {
		ours, peer string
		ratio      float64
		target     measure.Target
	}{
		{"dirsw DR", "other dirsw DR", 2, measure.Target{}},
		{"dirsw DR", "C", 0.75, measure.Target{}},
		{"dirsw DR", "HAProxy", 6, measure.Target{AtLeast: 3}},
		{"dirsw NAT", "HAProxy", 2, measure.Target{AtLeast: 3}},
		{"C", "HAProxy", 8, measure.Target{}},
	}
	rows := httpRows(all)
	if len(rows) != 2*len(want) {
		t.Fatalf("%d rows, want %d: %+v", len(rows), 2*len(want), rows)
	}
	for i, w := range want {
		for _, r := range []measure.Row{rows[i], rows[len(want)+i]} {
			if r.Name != w.ours || r.Peer != w.peer || r.Ratio.Median != w.ratio || (r.Target == measure.Target{}) != (w.target == measure.Target{}) {
				t.Errorf("row %d: %+v, want %+v", i, r, w)
			}
		}
		if rows[i].Target != w.target {
			t.Errorf("%s beside %s: %+v, want %+v", w.ours, w.peer, rows[i].Target, w.target)
		}
	}
	if rows = httpRows(all[3:4]); len(rows) != 1 || rows[0].Name != "C" || rows[0].Note == "" {
		t.Errorf("a limit alone: %+v", rows)
	}
}

func TestSameMethod(t *testing.T) {
	for _, tt := range []struct {
		ours, peer  string
		same, build bool
	}{{"dirsw DR", "other dirsw DR", true, true}, {"dirsw NAT", "other dirsw DR", false, true}, {"dirsw DR", "HAProxy", false, false}} {
		if same, build := sameMethod(tt.ours, tt.peer); same != tt.same || build != tt.build {
			t.Errorf("%s beside %s: %v, %v", tt.ours, tt.peer, same, build)
		}
	}
}
