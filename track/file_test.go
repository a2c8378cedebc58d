package track

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestLeading: what keepalived 2.2.7 made of a file, seen by the priority of an instance that tracks it, and the limits.
func TestLeading(t *testing.T) {
	for _, tc := range []struct {
		text      string
		want      int
		complaint string
	}{
		{"3\n", 3, ""},
		{"junk\n", 0, `"junk" is no number`},
		{"-300\n", -300, ""},
		{"  7 apples\n", 7, ""},
		{"", 0, ""},
		{"\n\n", 0, ""},
		{"+5", 5, ""},
		{"-", 0, `"-" is no number`},
		{"+-5", 0, `"+-5" is no number`},
		{"12-3", 12, ""},
		{"99999999999999999999", 2147483647, ""},
		{"-99999999999", -2147483648, ""},
		{"0x10", 0, ""},
		{"1.9", 1, ""},
	} {
		if n, c := leading(tc.text); n != tc.want || c != tc.complaint {
			t.Errorf("%q: got %d, %q; want %d, %q", tc.text, n, c, tc.want, tc.complaint)
		}
	}
}

func FuzzLeading(f *testing.F) {
	f.Add("12")
	f.Add(" -7x")
	f.Fuzz(func(t *testing.T, s string) {
		n, _ := leading(s)
		if n != int(int32(n)) {
			t.Errorf("%q: %d", s, n)
		}
	})
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/f"
	b := newBench(t, Options{})
	if err := b.Set([]Object{File{Name: "f", Path: path}}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(b.take()); got != "[track_file f 0]" {
		t.Errorf("not there: told %v", got)
	}
	b.run(t)
	step := func(what, want string, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		b.clk.Advance(100 * time.Millisecond)
		if got := fmt.Sprint(b.take()); got != want {
			t.Errorf("%s: told %v, want %v", what, got, want)
		}
	}
	write := func(s string) func() error { return func() error { return os.WriteFile(path, []byte(s), 0o644) } }
	step("created", "[track_file f 5]", write("5\n"))
	step("the same", "[]", write("5\n"))
	step("changed, same length", "[track_file f 6]", write("6\n"))
	step("replaced", "[track_file f -1]", func() error {
		if err := os.WriteFile(path+".new", []byte("-1"), 0o644); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	})
	b.lines()
	step("malformed", "[track_file f 0]", write("six\n"))
	step("still malformed", "[]", write("six\n"))
	if got, want := strings.Join(b.lines(), "; "), `Track file f: "six" is no number, taken as 0; Track file f changed from -1 to 0`; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	step("again", "[track_file f 7]", write("7"))
	step("gone", "[track_file f 0]", func() error { return os.Remove(path) })
	step("a directory", "[]", func() error { return os.Mkdir(path, 0o755) })
	step("its directory gone", "[]", func() error { return os.RemoveAll(dir) })
	step("its directory back", "[track_file f 9]", func() error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		return write("9")()
	})
	write("1")()
	if err := b.Set(nil); err != nil {
		t.Fatal(err)
	}
	b.clk.Advance(time.Second)
	if got := b.take(); len(got) != 0 {
		t.Errorf("told %v after it was removed", got)
	}
}

func TestFileInit(t *testing.T) {
	dir := t.TempDir()
	five, path := 5, dir+"/f"
	read := func() string {
		t.Helper()
		s, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	set := func(b *bench, f File) {
		t.Helper()
		if err := b.Set([]Object{f}); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, Options{})
	f := File{Name: "f", Path: path, Init: &five}
	set(b, f)
	if got := fmt.Sprint(read(), b.take()); got != "5\n[track_file f 5]" {
		t.Errorf("created: %q", got)
	}
	os.WriteFile(path, []byte("8\n"), 0o644)
	set(newBench(t, Options{}), f)
	if got := read(); got != "8\n" {
		t.Errorf("without overwrite: %q", got)
	}
	f.Overwrite = true
	set(b, f)
	if got := fmt.Sprint(read(), b.take()); got != "8\n[track_file f 8]" {
		t.Errorf("at a reload: %q", got)
	}
	set(newBench(t, Options{}), f)
	if got := read(); got != "5\n" {
		t.Errorf("with overwrite: %q", got)
	}

	victim := dir + "/victim"
	os.WriteFile(victim, []byte("mine"), 0o644)
	os.Remove(path)
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	b = newBench(t, Options{})
	set(b, f)
	if got, _ := os.ReadFile(victim); string(got) != "mine" {
		t.Errorf("a link in the file's place was followed: %q", got)
	}
	if got := strings.Join(b.lines(), "; "); !strings.HasPrefix(got, "Unable to initialise track file f") {
		t.Errorf("log %q", got)
	}
}
