package measure

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestWriteSVG(t *testing.T) {
	var out bytes.Buffer
	err := WriteSVG(&out, []Chart{
		{Title: "cost & connections", X: "connections", Y: "ns", Log: true, Series: []Series{
			{"one", []Point{{1000, 40}, {100_000, 60}, {10_000_000, 85}}}}},
		{Title: "nothing"},
		{Title: "workers", X: "workers", Y: "Mpps", Series: []Series{{"own", []Point{{1, 20}, {2, 40}}}, {"half", []Point{{1, 20}, {2, 30}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(out.Bytes())); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, &out)
		}
	}
	for _, want := range []string{`width="1040"`, "cost &amp; connections", ">10 000 000<", ">20<", ">100<", // ticks of both axes
		`points="64.0,188.0 280.0,140.0 496.0,80.0"`, ">half<"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "nothing") {
		t.Error("a chart without points is drawn")
	}
}

func TestRound(t *testing.T) {
	for v, want := range map[float64]float64{1: 1, 1.2: 2, 3: 5, 7: 10, 14.2: 20, 0.04: 0.05} {
		if got := round(v); got < want*0.999 || got > want*1.001 {
			t.Errorf("%v: %v, want %v", v, got, want)
		}
	}
}
