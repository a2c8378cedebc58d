package lint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// TestTree holds the repository to the rules.
func TestTree(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("the repository's root is not there: %v", err)
	}
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, f := range tree.Files {
		seen[f.Path] = true
	}
	for _, want := range []string{"clock/clock.go", "internal/lint/lint_test.go", "go.mod", "docs/design/architecture.md"} {
		if !seen[want] {
			t.Errorf("%s was not looked at", want)
		}
	}
	for _, r := range Rules() {
		t.Run(r.Name, func(t *testing.T) {
			for _, c := range r.Check(tree) {
				t.Error(c)
			}
		})
	}
}

// TestTableIsInTheDocument keeps docs/design/architecture.md and importTable together.
func TestTableIsInTheDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/design/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]bool)
	for _, line := range strings.Split(string(doc), "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			rows[strings.TrimSpace(cells[1])] = true
		}
	}
	for pkg := range importTable {
		if !rows[pkg] {
			t.Errorf("package %s has no row in section 1 of docs/design/architecture.md", pkg)
		}
	}
}

// row is a file and what its rule says about it. Its text is wrapped by source.
type row struct {
	name       string
	path, text string
	want       string // part of the only complaint; empty: none
}

func try(t *testing.T, rule string, rows []row) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			got := check(t, rule, fstest.MapFS{tt.path: {Data: source(tt.path, tt.text)}})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("complaints %v, want none", got)
			case tt.want != "" && (len(got) == 0 || !strings.Contains(got[0].String(), tt.want)):
				t.Errorf("complaints %v, want one with %q", got, tt.want)
			case tt.want != "" && got[0].File != tt.path:
				t.Errorf("complaint about %s, want %s", got[0].File, tt.path)
			}
		})
	}
}

func TestImports(t *testing.T) {
	try(t, "imports", []row{
		{"own allowed", "forward/a.go", `import "dirsw/packet"`, ""},
		{"upwards", "packet/a.go", `import "dirsw/forward"`, `packet must not import "dirsw/forward"`},
		{"data plane knows no config", "forward/a.go", `import _ "dirsw/config"`, "whatever decides stands above it"},
		{"prefix is not enough", "ctl/a.go", `import "dirsw/configuration"`, "not among its allowed packages"},
		{"std forbidden", "forward/a.go", `import "os"`, "forbidden part of the standard library"},
		{"std below forbidden", "config/a.go", `import "os/exec"`, "forbidden part of the standard library"},
		{"netip is not net", "packet/a.go", `import "net/netip"`, ""},
		{"module allowed", "xsk/a.go", `import "github.com/cilium/ebpf/link"`, ""},
		{"module of a similar name", "xsk/a.go", `import "github.com/cilium/ebpfx"`, "not among its allowed modules"},
		{"module forbidden", "forward/a.go", `import "go.uber.org/zap"`, "not among its allowed modules"},
		{"unknown package", "util/a.go", ``, `package "util" is not in the import table`},
		{"below bench", "bench/floor/a.go", `import "dirsw/packet"`, ""},
		{"below bench, forbidden", "bench/floor/a.go", `import "dirsw/director"`, "not among its allowed packages"},
		{"named below bench", "bench/replay/a.go", `import "dirsw/lab"`, "not among its allowed packages"},
		{"tests are free", "packet/a_test.go", `import "dirsw/forward"`, ""},
		{"cmd takes all", "cmd/dirsw/a.go", `import "dirsw/director"`, ""},
	})
}

func TestGlobals(t *testing.T) {
	try(t, "globals", []row{
		{"sentinel", "xsk/a.go", `var ErrX = errors.New("x")`, ""},
		{"typed sentinel", "xsk/a.go", `var ErrX = kernelError("x", 17)`, ""},
		{"assertion", "xsk/a.go", `var _ I = (*T)(nil)`, ""},
		{"table", "xsk/a.go", `var names = [...]string{"a"}; func f() string { return names[0] }`, ""},
		{"computed table", "xsk/a.go", `var t = func() (t [2]int) { t[0] = 1; return }()`, ""},
		{"embedded", "xsk/a.go", "//go:embed x\nvar page []byte", ""},
		{"zeros", "xsk/a.go", `var zeros = make([]byte, 4)`, ""},
		{"map to fill", "xsk/a.go", `var m = make(map[int]int)`, "m can carry state"},
		{"no value", "xsk/a.go", `var count int`, "count without a value of its own"},
		{"two, one value", "xsk/a.go", `var a, b = f()`, "a without a value of its own"},
		{"lock", "xsk/a.go", `var mu = sync.Mutex{}`, "mu can carry state"},
		{"pointer", "xsk/a.go", `var def = &Options{}`, "def can carry state"},
		{"channel", "xsk/a.go", `var c = make(chan int)`, "c can carry state"},
		{"any call", "xsk/a.go", `var l = zap.NewNop()`, "l can carry state"},
		{"assigned", "xsk/a.go", `var n = 1; func f() { n = 2 }`, "n is written by a function"},
		{"counted", "xsk/a.go", `var n = 1; func f() { n++ }`, "n is written by a function"},
		{"element assigned", "xsk/a.go", `var m = map[int]int{}; func f() { m[1] = 2 }`, "m is written by a function"},
		{"field of element", "xsk/a.go", `var m = []T{{}}; func f() { m[1].x += 2 }`, "m is written by a function"},
		{"deleted", "xsk/a.go", `var m = map[int]int{}; func f() { delete(m, 1) }`, "m is written by a function"},
		{"address taken", "xsk/a.go", `var m = [2]int{}; func f() *int { return &m[1] }`, "m is written by a function"},
		{"ranged into", "xsk/a.go", `var n = 1; func f() { for n = range 3 {} }`, "n is written by a function"},
		{"hidden by a local", "xsk/a.go", `var n = 1; func f() { n := 2; n = 3 }`, ""},
		{"hidden by a parameter", "xsk/a.go", `var n = 1; func f(n int) { n = 3 }`, ""},
		{"init", "xsk/a.go", `func init() {}`, "init: give what it prepares to New"},
		{"init of sched", "sched/a.go", `func init() {}`, ""},
		{"registry", "sched/a.go", `var kinds = map[string]Kind{}; func f() { kinds["a"] = Kind{} }`, ""},
		{"test", "xsk/a_test.go", `var update = flag.Bool("update", false, "")`, ""},
	})
}

func TestTime(t *testing.T) {
	try(t, "time", []row{
		{"Now", "director/a.go", `import "time"; func f() { time.Now() }`, "time.Now: take now"},
		{"as a value", "director/a.go", `import "time"; var f = time.Sleep`, "time.Sleep"},
		{"renamed", "director/a.go", `import t "time"; func f() { t.Sleep(1) }`, "time.Sleep"},
		{"Duration", "director/a.go", `import "time"; const d = time.Second`, ""},
		{"another time", "director/a.go", `import "x/time"; func f() { time.Now() }`, ""},
		{"clock", "clock/a.go", `import "time"; func f() { time.Now() }`, ""},
		{"test", "director/a_test.go", `import "time"; func f() { time.Sleep(1) }`, ""},
	})
}

func TestExit(t *testing.T) {
	try(t, "exit", []row{
		{"Exit", "lab/a.go", `import "os"; func f() { os.Exit(1) }`, "os.Exit: return an error"},
		{"Fatal", "lab/a.go", `import "log"; func f() { log.Fatalf("x") }`, "log.Fatalf: return an error"},
		{"command", "cmd/dirsw/a.go", `import "os"; func f() { os.Exit(1) }`, ""},
		{"other os", "lab/a.go", `import "os"; func f() { os.Getpid() }`, ""},
	})
}

func TestUnsafe(t *testing.T) {
	try(t, "unsafe", []row{
		{"wrong name", "xsk/ring.go", `import "unsafe"`, "files named *_unsafe.go"},
		{"wrong package", "packet/a_unsafe.go", `import "unsafe"`, "files named *_unsafe.go"},
		{"allowed", "xsk/a_unsafe.go", `import "unsafe"`, ""},
		{"test", "packet/a_test.go", `import "unsafe"`, ""},
	})
}

func TestSize(t *testing.T) {
	long := func(n int) string { return strings.Repeat("\n", n) }
	try(t, "size", []row{
		{"long file", "xsk/a.go", long(801), "more than 800"},
		{"file at the limit", "xsk/a.go", long(796), ""},
		{"long function", "xsk/a.go", "func f() {" + long(100) + "}", "f has 101 lines"},
		{"function at the limit", "xsk/a.go", "func f() {" + long(99) + "}", ""},
		{"test", "xsk/a_test.go", "func TestF() {" + long(100) + "}", "TestF has 101 lines"},
	})
}

func TestMarks(t *testing.T) {
	try(t, "marks", []row{
		{"to do", "xsk/a.go", "// TO" + "DO: more", "finish it"},
		{"fix me", "docs/a.md", "FIX" + "ME", "finish it"},
		{"part of a word", "docs/a.md", "TO" + "DOs", ""},
		{"home", "docs/a.md", "see /" + "home/jane/x", "a path of one machine"},
		{"temporary", "xsk/a.go", `const p = "/` + `tmp/x"`, "a path of one machine"},
		{"within a path", "docs/a.md", "x/" + "work/y docs/home/", ""},
	})
}

func TestDocs(t *testing.T) {
	try(t, "docs", []row{
		{"function", "xsk/a.go", "func F() {}", "F has no comment"},
		{"type", "xsk/a.go", "type T struct{}", "T has no comment"},
		{"constant", "xsk/a.go", "const C = 1", "C has no comment"},
		{"group", "xsk/a.go", "// The modes.\nconst (\n\tA = 1\n\tB = 2\n)", ""},
		{"unexported", "xsk/a.go", "func f() {}; type t int", ""},
		{"method", "xsk/a.go", "func (t t) String() string { return \"\" }", ""},
	})
}

// source makes a file with a package comment of a piece of Go; other files are taken as they are.
func source(path, text string) []byte {
	if !strings.HasSuffix(path, ".go") {
		return []byte(text)
	}
	return []byte("// Package p is an example.\npackage p\n\n" + text + "\n")
}

func check(t *testing.T, rule string, fsys fstest.MapFS) []Complaint {
	t.Helper()
	tree, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules() {
		if r.Name == rule {
			return r.Check(tree)
		}
	}
	t.Fatalf("no rule %q", rule)
	return nil
}

func TestWritesInOtherFilesCount(t *testing.T) {
	got := check(t, "globals", fstest.MapFS{
		"xsk/a.go":      {Data: []byte("package p\nvar n = 1\n")},
		"xsk/b.go":      {Data: []byte("package p\nfunc f() { n = 2 }\n")},
		"xsk/c_test.go": {Data: []byte("package p\nvar m = 1\nfunc f() { m = 2 }\n")},
	})
	if len(got) != 1 || got[0].File != "xsk/a.go" || got[0].Line != 2 {
		t.Errorf("complaints %v, want one about xsk/a.go:2", got)
	}
}

func TestGeneratedFilesAreLeftAlone(t *testing.T) {
	src := []byte("// Code generated by bpf2go; DO NOT EDIT.\n\npackage p\nimport \"unsafe\"\nvar X []byte\n")
	for _, rule := range []string{"globals", "unsafe", "docs"} {
		if got := check(t, rule, fstest.MapFS{"xsk/x_bpfel.go": {Data: src}}); len(got) != 0 {
			t.Errorf("%s: complaints %v, want none", rule, got)
		}
	}
}

func TestPackageComments(t *testing.T) {
	got := check(t, "docs", fstest.MapFS{
		"none/a.go": {Data: []byte("package none\n")},
		"two/a.go":  {Data: []byte("// Package two is.\npackage two\n")},
		"two/b.go":  {Data: []byte("// Package two is also.\npackage two\n")},
		"one/a.go":  {Data: []byte("// Package one is.\npackage one\n")},
		"one/b.go":  {Data: []byte("package one\n")},
	})
	if len(got) != 2 || got[0].File != "none/a.go" || got[1].File != "two/b.go" {
		t.Errorf("complaints %v, want one about none/a.go and one about two/b.go", got)
	}
}

func TestLoadLeavesOut(t *testing.T) {
	tree, err := Load(fstest.MapFS{
		"a.go": {Data: []byte("package a")}, "testdata/b.go": {Data: []byte("not Go")}, ".git/c.go": {Data: []byte("x")},
		"x.o": {Data: []byte{0x7f, 'E', 'L', 'F', 0}}, ".ci/run": {Data: []byte("#!/bin/bash")},
		"bench/testdata/y/z.go": {Data: []byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tree.Files {
		got = append(got, f.Path)
	}
	if strings.Join(got, " ") != ".ci/run a.go" {
		t.Errorf("loaded %v, want .ci/run and a.go", got)
	}
}

func TestBrokenSourceIsAnError(t *testing.T) {
	if _, err := Load(fstest.MapFS{"a.go": {Data: []byte("package")}}); err == nil {
		t.Error("no error for a file that does not parse")
	}
}
