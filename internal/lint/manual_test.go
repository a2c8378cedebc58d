package lint

import (
	"go/ast"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/packet"
	"dirsw/sched"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// words splits a text at everything that cannot stand in a name of a flag, a drop or a scheduler.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

func TestManualNamesEveryDrop(t *testing.T) {
	have := words(readDoc(t, "docs/manual/dirsw.md"))
	for r := packet.NoDrop + 1; r < packet.DropReasons; r++ {
		if !slices.Contains(have, r.String()) {
			t.Errorf("docs/manual/dirsw.md does not say what %s means", r)
		}
	}
}

func TestManualNamesEveryScheduler(t *testing.T) {
	for _, doc := range []string{"docs/manual/dirsw.md", "README.md"} {
		have := words(readDoc(t, doc))
		for _, name := range sched.Names() {
			if !slices.Contains(have, name) {
				t.Errorf("%s does not name the scheduler %s", doc, name)
			}
		}
	}
}

func TestManualNamesEverySetting(t *testing.T) {
	doc := readDoc(t, "docs/manual/sysctl.md")
	have := strings.FieldsFunc(doc, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	for _, k := range config.Knobs() {
		if !slices.Contains(have, k.Name) {
			t.Errorf("docs/manual/sysctl.md does not say what %s means", k.Name)
		}
		if row := "| " + k.Name + " | " + k.Default + " |"; k.Use == config.SysctlServed &&
			!strings.Contains(doc, row) && !strings.Contains(k.Name, "_expiration") {
			t.Errorf("docs/manual/sysctl.md has no row that begins with %q", row)
		}
	}
}

func TestManualHasEveryCommand(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	manual := readDoc(t, "docs/manual/dirsw.md")
	found := 0
	tree.goFiles(false, func(f *File) {
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || f.Package() != "cmd/dirsw" {
				continue
			}
			if name, ok := strings.CutPrefix(fn.Name.Name, "cmd"); ok {
				found++
				if !strings.Contains(manual, "\n### "+strings.ToLower(name)+"\n") {
					t.Errorf("docs/manual/dirsw.md has no section about dirsw %s", strings.ToLower(name))
				}
			}
		}
	})
	if found < 7 {
		t.Errorf("only %d commands were found: have they other names now?", found)
	}
}

// flagsOf returns the names of the flags that cmd/dirsw defines, read off calls like fs.StringVar(&v, "name", …).
func flagsOf(t *Tree) []string {
	var names []string
	t.goFiles(false, func(f *File) {
		if f.Package() != "cmd/dirsw" {
			return
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); !ok || x.Name != "fs" {
				return true
			}
			at := 0
			if strings.HasSuffix(s.Sel.Name, "Var") {
				at = 1
			}
			if at < len(call.Args) {
				if lit, ok := call.Args[at].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					name, _ := strconv.Unquote(lit.Value)
					names = append(names, name)
				}
			}
			return true
		})
	})
	return names
}

func TestManualNamesEveryFlag(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	names := flagsOf(tree)
	if len(names) < 10 {
		t.Fatalf("only %v were found: have the flags another shape now?", names)
	}
	have := words(readDoc(t, "docs/manual/dirsw.md"))
	for _, name := range names {
		if !slices.Contains(have, "-"+name) && !slices.Contains(have, "--"+name) {
			t.Errorf("docs/manual/dirsw.md does not name the flag -%s", name)
		}
	}
}
