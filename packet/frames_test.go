package packet

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what Parse says into testdata/frames.txt")

const framesFile = "testdata/frames.txt"

// A row of testdata/frames.txt: its name, the frame in hexadecimal, ---- and what is expected, then an empty line. Rows
// named dr4, dr6 and nat4 came to a director running the kernel's IPVS; rows named veth were taken off the receiving
// end of a veth pair with all offloads on.
type frameRow struct {
	name  string
	frame []byte
	want  string
}

func frameRows(t testing.TB) (rows []frameRow) {
	t.Helper()
	text, err := os.ReadFile(framesFile)
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		input, want, ok := strings.Cut(block, "\n----")
		name, digits, ok2 := strings.Cut(input, "\n")
		frame, err := hex.DecodeString(strings.ReplaceAll(digits, "\n", ""))
		if !ok || !ok2 || err != nil {
			t.Fatalf("row %q: %v", name, err)
		}
		rows = append(rows, frameRow{name, frame, strings.TrimSpace(want)})
	}
	return rows
}

func writeFrameRows(t *testing.T, rows []frameRow) {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&b, r.name)
		for rest := hex.EncodeToString(r.frame); rest != ""; {
			n := min(120, len(rest))
			fmt.Fprintln(&b, rest[:n])
			rest = rest[n:]
		}
		fmt.Fprintf(&b, "----\n%s\n\n", r.want)
	}
	if err := os.WriteFile(framesFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// describe says what Parse, ChecksumOK and FinishChecksum make of b.
func describe(b []byte) string {
	var m Meta
	if r := Parse(b, &m); r != NoDrop {
		return "drop: " + r.String()
	}
	s := fmt.Sprintf("proto %d %v:%d > %v:%d l3=%d l4=%d payload=%d end=%d", m.Proto, m.Src, m.SrcPort, m.Dst, m.DstPort,
		m.L3, m.L4, m.Payload, m.End)
	if m.Proto == ProtoTCP && m.Flags&(ICMPError|LaterFragment) == 0 {
		s += fmt.Sprintf(" tcp=%06b", m.TCPFlags)
	}
	for i, name := range []string{"fragment", "later", "icmp-error", "options", "quoted-fragment"} {
		if m.Flags&(1<<i) != 0 {
			s += " " + name
		}
	}
	if m.Flags&Fragment != 0 {
		s += fmt.Sprintf(" id=%#x", m.FragID)
	}
	if m.Flags&ICMPError != 0 {
		s += fmt.Sprintf(" quoted=%d/%d", m.Quoted, m.QuotedL4)
	}
	ok := ChecksumOK(b, &m)
	f := frameOf(b)
	wrote := FinishChecksum(&f, &m)
	switch {
	case wrote && !ChecksumOK(f.Bytes(), &m):
		s += " sum=MENDED-WRONGLY"
	case wrote:
		s += " sum=mended"
	case !bytes.Equal(f.Bytes(), b):
		s += " sum=TOUCHED"
	case ok:
		s += " sum=right"
	default:
		s += " sum=wrong"
	}
	return s
}

func TestFrames(t *testing.T) {
	rows := frameRows(t)
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := describe(r.frame)
			if *update {
				rows[i].want = got
			} else if got != r.want {
				t.Errorf("\n got %s\nwant %s", got, r.want)
			}
		})
	}
	if *update {
		writeFrameRows(t, rows)
	}
}
