package keepalived

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"dirsw/config"
)

var update = flag.Bool("update", false, "rewrite the expectations under testdata")

// TestArticles parses configurations as articles publish them, blanks that are none and all, and compares what was
// understood with the golden beside each.
func TestArticles(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.conf")
	if len(files) == 0 {
		t.Fatal("no configurations under testdata")
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, strings.TrimSuffix(f, ".conf")+".golden", report(filepath.Base(f), string(src)))
		})
	}
}

// TestData runs testdata/*.txt: a configuration, "----", what Parse says of it, an empty line.
func TestData(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no rows under testdata")
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for row := range strings.SplitSeq(string(src), "\n====\n") {
			name, rest, _ := strings.Cut(row, "\n")
			input, _, ok := strings.Cut(rest, "\n----")
			if !ok {
				t.Fatalf("%s: row %q has no ----", f, name)
			}
			if out.Len() > 0 {
				out.WriteString("\n====\n")
			}
			fmt.Fprintf(&out, "%s\n%s\n----\n%s", name, input, strings.TrimSuffix(report("f", unescape(input)), "\n"))
		}
		t.Run(filepath.Base(f), func(t *testing.T) { compare(t, f, strings.TrimSuffix(out.String(), "\n")+"\n") })
	}
}

// unescape makes characters of <U+00A0>, so that rows can be read and written with any editor.
func unescape(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "<U+")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		var r rune
		code, rest, _ := strings.Cut(rest, ">")
		fmt.Sscanf(code, "%X", &r)
		b.WriteRune(r)
		s = rest
	}
}

// report is all that Parse says of a text: errors, notes, and the Model.
func report(name, src string) string {
	m, notes, err := Parse(name, strings.NewReader(src), nil)
	var b strings.Builder
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(&b, "error %s\n", line)
		}
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "note  %s\n", n)
	}
	if err == nil {
		dump(&b, "", reflect.ValueOf(*m))
	}
	return b.String()
}

// dump writes every field that is not zero, one a line, by its path.
func dump(b *strings.Builder, path string, v reflect.Value) {
	if _, method := v.Interface().(config.Method); v.IsZero() && v.Kind() != reflect.Slice && !method {
		return
	}
	switch x := v.Interface().(type) {
	case config.Pos:
		if strings.HasSuffix(path, "]Pos") || strings.HasSuffix(path, "].Pos") {
			fmt.Fprintf(b, "%s %d:%d\n", path, x.Line, x.Col)
		}
		return
	case netip.Addr, netip.Prefix, time.Duration, config.Protocol, config.Method, config.Mode, config.ZeroCopy, config.Wait,
		config.TunnelType, config.TunnelSum, config.Origin:
		fmt.Fprintf(b, "%s %v\n", path, x)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if path != "" {
				name = path + "." + name
			}
			dump(b, name, v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			dump(b, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.Pointer:
		dump(b, path, v.Elem())
	default:
		fmt.Fprintf(b, "%s %v\n", path, v)
	}
}

// compare holds got against a file, or rewrites the file.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal([]byte(got), want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		var gl, wl string
		if i < len(g) {
			gl = g[i]
		}
		if i < len(w) {
			wl = w[i]
		}
		if gl != wl {
			t.Fatalf("%s line %d:\n got %s\nwant %s", file, i+1, gl, wl)
		}
	}
}

// TestNoConfiguration gives what is no keepalived.conf: a sentence or a few, not a flood.
func TestNoConfiguration(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"UTF-16", "\xff\xfeg\x00l\x00", "f:1:1: this is UTF-16 text; save the file as UTF-8"},
		{"a capture", "\xd4\xc3\xb2\xa1\x02\x00\x04\x00{ { }", "f:1:1: this is not UTF-8 text; save the file as UTF-8"},
		{"a program", "\x7fELF\x00 { x", "f:1:5: this is not UTF-8 text; save the file as UTF-8"},
		{"too many mistakes", strings.Repeat("}\n", 5000), "f:1000:1: 4000 more complaints are left out; is this a keepalived.conf at all?"},
	} {
		_, _, err := Parse("f", strings.NewReader(row.text), nil)
		lines := strings.Split(fmt.Sprint(err), "\n")
		if got := lines[len(lines)-1]; got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
	want := errors.New("gone")
	if _, _, err := Parse("f", iotest.ErrReader(want), nil); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	_, _, err := Parse("f", io.LimitReader(blanks{}, 65<<20), nil)
	if got := fmt.Sprint(err); got != "f:1:1: the file is larger than 64 MB; give a keepalived.conf" {
		t.Errorf("got %s", got)
	}
}

// blanks is an endless text of them.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
