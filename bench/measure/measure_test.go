package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		name string
		v    []float64
		want Summary
		text string
	}{
		{"nothing", nil, Summary{}, "-"},
		{"one", []float64{41.234}, Summary{41.234, 41.234, 41.234, 1}, "41.2"},
		{"odd", []float64{3, 1, 2}, Summary{2, 1, 3, 3}, "2.00 (1.00-3.00)"},
		{"even", []float64{400, 100, 200, 300}, Summary{250, 100, 400, 4}, "250 (100-400)"},
		{"an outlier moves the median little", []float64{10, 11, 9999}, Summary{11, 10, 9999, 3}, "11.0 (10.0-9999)"},
		{"at the edges of the digits", []float64{9.996, 99.96, -0.5}, Summary{9.996, -0.5, 99.96, 3}, "10.0 (-0.50-100)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.v)
			if got := Summarize(c.v); got != c.want || got.String() != c.text {
				t.Errorf("%+v %q, want %+v %q", got, got, c.want, c.text)
			}
			if !slices.Equal(c.v, before) {
				t.Errorf("the measurements are now %v", c.v)
			}
		})
	}
}

func TestArithmeticOfRounds(t *testing.T) {
	a, b := []float64{10, 20, 30, 40}, []float64{5, 0, 10}
	for _, c := range []struct {
		name      string
		got, want []float64
	}{
		{"Ratios", Ratios(a, b), []float64{2, 3}},
		{"Less", Less(a, b), []float64{5, 20, 20}},
		{"Sum", Sum(a, b), []float64{15, 20, 40}},
		{"Inverse", Inverse(a, 1000), []float64{100, 50, 1000. / 30, 25}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestRoundsInterleave(t *testing.T) {
	var order []string
	contender := func(name string, v float64) Contender {
		return Contender{name, func(context.Context, time.Duration) (float64, error) {
			order = append(order, name)
			return v + float64(len(order)), nil
		}}
	}
	got, err := Rounds(context.Background(), 2, time.Second, contender("a", 100), contender("b", 200))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "b", "a", "a", "b"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if !slices.Equal(got[0], []float64{104, 105}) || !slices.Equal(got[1], []float64{203, 206}) {
		t.Errorf("measurements %v: want those of the rounds after the first, by contender", got)
	}
}

func TestRoundsEnd(t *testing.T) {
	fail := errors.New("link is down")
	bad := Contender{"bad", func(context.Context, time.Duration) (float64, error) { return 0, fail }}
	if _, err := Rounds(context.Background(), 3, time.Second, bad); !errors.Is(err, fail) || !strings.Contains(err.Error(), "bad, round 0") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	stop := Contender{"stop", func(context.Context, time.Duration) (float64, error) { n++; cancel(); return 1, nil }}
	if _, err := Rounds(ctx, 3, time.Second, stop); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("error %v after %d runs, want to end after the first", err, n)
	}
}

func TestPerPacketCountsPackets(t *testing.T) {
	done := make(chan error, 1)
	go func() { // of its own, because Pin spoils the thread
		if err := Pin(); err != nil {
			done <- err
			return
		}
		steps := 0
		ns, err := PerPacket(time.Millisecond, func() int { steps++; return 10 })
		if err == nil && (ns <= 0 || ns*float64(steps)*10 < 1e6) {
			err = errors.New("less than the time asked for was measured")
		}
		if _, none := PerPacket(time.Millisecond, func() int { return 0 }); none == nil {
			err = errors.New("no error without packets")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	rows := []Row{
		Compare("pipeline", "hot", "ns/packet", []float64{40, 50, 60}, "floor", []float64{10, 10, 10}, Target{AtMost: 4}),
		{Group: "pipeline", Name: "memory", Unit: "MB", Ours: Summarize([]float64{150}), Target: Target{AtMost: 160}},
		Compare("wire", "AF_XDP", "Mpps", []float64{1, 1}, "C", []float64{1, 1}, Target{AtLeast: 0.95}),
	}
	var out bytes.Buffer
	if err := Print(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"pipeline unit ours peer theirs ratio target note",
		"hot ns/packet 50.0 (40.0-60.0) floor 10.0 (10.0-10.0) 5.00 (4.00-6.00) <= 4.00 missed",
		"memory MB 150 - - - <= 160 reached",
		"",
		"wire unit ours peer theirs ratio target note",
		"AF_XDP Mpps 1.00 (1.00-1.00) C 1.00 (1.00-1.00) 1.00 (1.00-1.00) >= 0.95 reached",
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReportIsJSON(t *testing.T) {
	var out bytes.Buffer
	r := Report{Machine: "m", Rounds: 3, Rows: []Row{{Name: "hot", Ours: Summarize([]float64{1, 2})}}}
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Rows[0].Ours != r.Rows[0].Ours {
		t.Errorf("%v: %+v", err, back)
	}
	if strings.Contains(out.String(), "ratio") {
		t.Errorf("a row without a peer has a ratio:\n%s", out.String())
	}
}
