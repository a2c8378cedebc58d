package forward_test

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"dirsw/forward"
	"dirsw/packet"
)

// leftOut are the cases whose frames dirsw does not make yet, and why.
var leftOut = map[string]string{
	"sloppy_tcp=1":     "sloppy_tcp is not served",
	"sloppy_sctp=1":    "sloppy_sctp is not served",
	"schedule_icmp":    "schedule_icmp is not served",
	"mtu-tcp-nodf":     "nothing is cut: longer than the MTU is dropped",
	"mtu-udp-nodf":     "nothing is cut: longer than the MTU is dropped",
	"frag-udp":         "fragments follow the first one, the kernel reassembles and cuts again",
	"frag-udp-reorder": "fragments follow the first one, the kernel reassembles and cuts again",
	"frag-udp-lost":    "fragments follow the first one, the kernel reassembles and cuts again",
	"frag-tcp":         "fragments follow the first one, the kernel reassembles and cuts again",
	"ipopt-nop":        "IP options are passed on as they are",
}

type frameCase struct {
	Case   string
	Rules  []string
	MTU    uint16 `json:"mtu_s"`
	Sysctl map[string]any
	Steps  []struct {
		Desc string
		In   struct{ If, Hex string }
		Out  []struct {
			If, Hex string
			Vary    []int
		}
	}
}

// TestOracleFrames plays the kernel's captures. What the kernel sent towards a server must leave byte for byte; what its
// own stack answered to the client must be a drop with a name.
func TestOracleFrames(t *testing.T) {
	for _, file := range []string{"dr4", "dr6"} {
		f, err := os.Open("testdata/oracle/" + file + ".jsonl.gz")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 16<<20)
		n := 0
		for lines.Scan() {
			var c frameCase
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			_, short, _ := strings.Cut(c.Case, "/")
			if leftOut[short] == "" {
				n++
				t.Run(c.Case, func(t *testing.T) { playFrames(t, &c) })
			}
		}
		if lines.Err() != nil || n < 20 {
			t.Errorf("%s: %d cases, %v", file, n, lines.Err())
		}
	}
}

func playFrames(t *testing.T, c *frameCase) {
	b := newBench(t, forward.Options{})
	if c.MTU != 0 {
		b.mtu = c.MTU
	}
	b.rules(c.Rules...)
	for _, s := range c.Steps {
		in, err := hex.DecodeString(s.In.Hex)
		if err != nil || s.In.If != "c0" {
			t.Fatalf("%s: frame in by %q: %v", s.Desc, s.In.If, err)
		}
		b.now = b.now.Add(10 * time.Millisecond)
		b.last = forward.Verdict{}
		got := b.send(in)
		towards := 0
		for _, o := range s.Out {
			if o.If != "s0" {
				continue
			}
			towards++
			want, _ := hex.DecodeString(o.Hex)
			if towards > len(got) {
				t.Errorf("%s: dropped (%v), want\n%x", s.Desc, b.last.Drop, want)
				continue
			}
			g := got[towards-1]
			for _, v := range o.Vary {
				if v < len(g) {
					g[v] = want[v]
				}
			}
			if hex.EncodeToString(g) != hex.EncodeToString(want) {
				t.Errorf("%s: got\n%x, want\n%x", s.Desc, g, want)
			}
		}
		if len(got) > towards {
			t.Errorf("%s: %d frames left, want %d", s.Desc, len(got), towards)
		}
		if len(got) == 0 && b.last.Drop == packet.NoDrop {
			t.Errorf("%s: nothing left, and no reason", s.Desc)
		}
	}
}
