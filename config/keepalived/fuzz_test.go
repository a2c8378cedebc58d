package keepalived

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"dirsw/config"
)

// FuzzParse parses anything. It must not panic, every position must lie in the text, and what parses must print to a
// text that means the same.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.conf")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, name := range []string{"testdata/notes.txt", "testdata/errors.txt", "testdata/vrrp.txt"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for row := range strings.SplitSeq(string(b), "\n====\n") {
			_, rest, _ := strings.Cut(row, "\n")
			text, _, _ := strings.Cut(rest, "\n----")
			f.Add(unescape(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, notes, err := Parse("f", strings.NewReader(text), nil)
		lines := strings.Split(text, "\n")
		within := func(p config.Pos, what string) {
			if p.File != "f" || p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1])+1 {
				t.Errorf("%s: position %s is not in the text", what, p)
			}
		}
		for _, n := range notes {
			within(n.Pos, n.Text)
		}
		if err != nil {
			var list config.Errors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("not an Errors: %v", err)
			}
			for _, e := range list {
				within(e.Pos, e.Message)
			}
			return
		}
		again := reparse(t, m)
		clear(reflect.ValueOf(m))
		clear(reflect.ValueOf(again))
		if len(config.Diff(m, again)) > 0 {
			t.Errorf("%v\n%s", config.Diff(m, again), print(t, m))
		}
	})
}

// FuzzExpand reads files that include each other, with conditions, parameters and repetitions: whatever they hold, it ends,
// and what it says is at a place in one of them.
func FuzzExpand(f *testing.F) {
	b, err := os.ReadFile("testdata/expand.rows")
	if err != nil {
		f.Fatal(err)
	}
	for row := range strings.SplitSeq(string(b), "\n====\n") {
		_, rest, _ := strings.Cut(row, "\n")
		text, _, _ := strings.Cut(rest, "\n----")
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		files := filesOf(text)
		within := func(p config.Pos, what string) {
			lines := strings.Split(files[p.File], "\n")
			if p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1])+1 {
				t.Errorf("%s: position %s is not in the text", what, p)
			}
		}
		_, notes, err := Parse("f", strings.NewReader(files["f"]), files.options())
		for _, n := range notes {
			within(n.Pos, n.Text)
		}
		var list config.Errors
		if err != nil && !errors.As(err, &list) {
			t.Fatalf("not an Errors: %v", err)
		}
		for _, e := range list {
			within(e.Pos, e.Message)
		}
	})
}
