package lint

import (
	"go/ast"
	"path"
	"strconv"
	"strings"
)

// readsTime are the functions of package time that read or wait for the real clock.
var readsTime = map[string]bool{
	"Now": true, "Since": true, "Until": true, "After": true, "Sleep": true, "AfterFunc": true, "NewTimer": true,
	"NewTicker": true, "Tick": true,
}

// clockUsers are the packages, or single files, that may use the real clock, with the reason.
var clockUsers = map[string]string{
	"clock":            "it is the door to the real clock",
	"cmd/dirsw":        "it gives everybody their clock",
	"bench":            "it measures real time",
	"internal/testenv": "it waits for the kernel, in tests only",
	"health/prober.go": "a runner: its state machine takes the time as an argument",
	"vrrp/runner.go":   "a runner: its state machine takes the time as an argument",
}

// Time forbids the real clock outside clockUsers. Tests may use it where a goroutine or the kernel is under test.
func Time(t *Tree) []Complaint {
	var out []Complaint
	t.goFiles(false, func(f *File) {
		if clockUsers[f.Package()] != "" || clockUsers[f.Path] != "" || strings.HasPrefix(f.Path, "bench/") {
			return
		}
		selectors(f, "time", func(s *ast.SelectorExpr) {
			if readsTime[s.Sel.Name] {
				out = append(out, t.complain(f, s, "time.%s: take now as an argument, or a clock.Clock in a runner", s.Sel.Name))
			}
		})
	})
	return out
}

// exits are the functions that end the process.
var exits = []struct{ path, name string }{
	{"os", "Exit"}, {"syscall", "Exit"}, {"log", "Fatal"}, {"log", "Fatalf"}, {"log", "Fatalln"},
	{"golang.org/x/sys/unix", "Exit"},
}

// Exit lets only commands end the process: cmd/dirsw and the program of bench.
func Exit(t *Tree) []Complaint {
	var out []Complaint
	t.goFiles(false, func(f *File) {
		if strings.HasPrefix(f.Path, "cmd/") || strings.HasPrefix(f.Path, "bench/") && f.AST.Name.Name == "main" {
			return
		}
		for _, e := range exits {
			selectors(f, e.path, func(s *ast.SelectorExpr) {
				if s.Sel.Name == e.name {
					out = append(out, t.complain(f, s, "%s.%s: return an error; only a command ends the process",
						path.Base(e.path), e.name))
				}
			})
		}
	})
	return out
}

// unsafePackages may contain files named *_unsafe.go.
var unsafePackages = map[string]bool{"xsk": true, "conntrack": true}

// Unsafe confines the import of unsafe. Generated files and tests are not looked at.
func Unsafe(t *Tree) []Complaint {
	var out []Complaint
	t.goFiles(false, func(f *File) {
		if unsafePackages[f.Package()] && strings.HasSuffix(f.Path, "_unsafe.go") {
			return
		}
		for _, spec := range f.AST.Imports {
			if p, _ := strconv.Unquote(spec.Path.Value); p == "unsafe" {
				out = append(out, t.complain(f, spec, "unsafe belongs into files named *_unsafe.go of xsk and conntrack"))
			}
		}
	})
	return out
}
