package keepalived

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"dirsw/config"
)

// memory is a few files.
type memory map[string]string

func (m memory) options() *Options {
	return &Options{
		Open: func(name string) (io.ReadCloser, error) {
			text, ok := m[name]
			if !ok || text == "unreadable\n" {
				return nil, errors.New("no such file")
			}
			if text == "directory\n" {
				return io.NopCloser(iotest.ErrReader(errors.New("is a directory"))), nil
			}
			return io.NopCloser(strings.NewReader(text)), nil
		},
		Glob: func(pattern string) (names []string, err error) {
			for name := range m {
				if ok, err := path.Match(pattern, name); err != nil {
					return nil, err
				} else if ok {
					names = append(names, name)
				}
			}
			return names, nil
		},
		ConfigID: "left", Dir: "/etc/keepalived", Seed: 1,
		Env: func(name string) (string, bool) { return "value of " + name, name == "HOME" },
	}
}

// filesOf takes a text apart at lines of the kind `-- NAME --`; what is before the first is the file f.
func filesOf(text string) memory {
	m, name := memory{}, "f"
	for line := range strings.SplitAfterSeq(text, "\n") {
		if n, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- "); ok && strings.HasSuffix(n, " --") {
			name = strings.TrimSuffix(n, " --")
			continue
		}
		m[name] += line
	}
	return m
}

// expanded shows what the lexer gets: the words of each line, after the position of the first, and of those that come from
// elsewhere.
func expanded(files memory) string {
	o := files.options()
	e := expand("f", files["f"], *o)
	text, marks := e.expanded()
	l := lex(text, marks, config.Pos{File: "f", Line: 1, Col: 1})
	var b strings.Builder
	for _, err := range append(slices.Clone(e.errs), l.errs...) {
		fmt.Fprintf(&b, "error %v\n", err)
	}
	for _, n := range e.notes {
		fmt.Fprintf(&b, "note  %v\n", n)
	}
	var last config.Pos
	first := true
	for _, t := range l.toks {
		switch {
		case t.kind == newline || t.kind == end:
			if !first {
				b.WriteByte('\n')
			}
			first = true
			continue
		case first:
			fmt.Fprintf(&b, "%v:", t.pos)
		case t.pos.Line != last.Line || t.pos.File != last.File || t.pos.Col <= last.Col:
			fmt.Fprintf(&b, " (%v)", t.pos)
		}
		first, last = false, t.pos
		b.WriteByte(' ')
		switch {
		case t.kind == open:
			b.WriteByte('{')
		case t.kind == closing:
			b.WriteByte('}')
		case t.quoted:
			b.WriteString(`"` + t.text + `"`)
		default:
			b.WriteString(t.text)
		}
	}
	return b.String()
}

// TestExpand runs testdata/expand.rows: files, "----", the lines that are read.
func TestExpand(t *testing.T) {
	const name = "testdata/expand.rows"
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for row := range strings.SplitSeq(string(src), "\n====\n") {
		title, rest, _ := strings.Cut(row, "\n")
		input, _, ok := strings.Cut(rest, "\n----")
		if !ok {
			t.Fatalf("row %q has no ----", title)
		}
		if out.Len() > 0 {
			out.WriteString("\n====\n")
		}
		fmt.Fprintf(&out, "%s\n%s\n----\n%s", title, input, strings.TrimSuffix(expanded(filesOf(input+"\n")), "\n"))
	}
	compare(t, name, strings.TrimSuffix(out.String(), "\n")+"\n")
}

// TestExpandEndless refuses what has no end, in reasonable time and memory.
func TestExpandEndless(t *testing.T) {
	double := "$A=x\n"
	for i := range 40 {
		double += fmt.Sprintf("$%c%d=${%c%d}${%c%d}\n", 'B', i+1, 'B', i, 'B', i)
	}
	var nested strings.Builder
	for i := range 40 {
		fmt.Fprintf(&nested, "$N%d= \\\n  $N%d \\\n  $N%d\n", i+1, i, i)
	}
	nested.WriteString("$N0=@right x\n")
	for _, row := range []struct{ name, text, want string }{
		{"itself", "$A=${A}\n$A\n", "refers to itself without end"},
		{"each other", "$A=x ${B}\n$B=y ${A}\n$A\n", "refers to itself without end"},
		{"lines", "$A= \\\n x \\\n $A\n$A\n", "refer to each other without end"},
		{"doubling", strings.Replace(double, "${B0}${B0}", "xx", 1) + "${B40}\n", "without end"},
		{"a long sequence", "~SEQ(A,1,2000000) x\n", "more than a million values"},
		{"sequences", "~SEQ(A,1,1000000) ~SEQ(B,1,1000000) " + strings.Repeat("x", 10000) + "\n", "more than 64 MB"},
		{"lines that double", nested.String() + "$N40\n", "lines of it"},
		{"step 0", "~SEQ(A,1,0,5) x\n", "has no end"},
		{"a condition in itself", "$A=@left $A\n$A\n", "without end"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := Parse("f", strings.NewReader(row.text), memory{}.options())
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %.300v, want %s", err, row.want)
			}
		})
	}
}

// TestIncludeLimits refuses loops, and files in files without end.
func TestIncludeLimits(t *testing.T) {
	files := memory{"f": "include a\n", "a": "include b\n", "b": "\n  include f\n"}
	_, _, err := Parse("f", strings.NewReader(files["f"]), files.options())
	if got := fmt.Sprint(err); got != `b:2:11: "f" is included by itself; remove it` {
		t.Errorf("got %s", got)
	}
	deep := memory{}
	for i := range 200 {
		deep[fmt.Sprintf("f%d", i)] = fmt.Sprintf("include f%d\n", i+1)
	}
	_, _, err = Parse("f0", strings.NewReader(deep["f0"]), deep.options())
	if got := fmt.Sprint(err); got != "f99:1:9: 100 files are included in each other; include fewer files in files" {
		t.Errorf("got %s", got)
	}
	for name, text := range map[string]string{"UTF-16": "\xff\xfex\x00", "binary": "a\x00b"} {
		files := memory{"f": "include a\n", "a": text}
		if _, _, err := Parse("f", strings.NewReader(files["f"]), files.options()); err == nil || !strings.HasPrefix(err.Error(), "a:1:") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
