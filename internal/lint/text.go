package lint

import (
	"bytes"
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// marks are words and paths that no file of the repository may hold. Built from halves, so that this file has none.
var marks = []struct {
	re   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`\b(` + "TO" + `DO|` + "FIX" + `ME)\b`), "finish it, or open an issue and leave no mark"},
	{regexp.MustCompile(`(^|[\s"'(=` + "`" + `])/(` + "wo" + `rk|home|Users|` + "ro" + `ot)/`), "a path of one machine"},
	{regexp.MustCompile(`(^|[\s"'(=` + "`" + `])/` + "tm" + `p/`), "a path of one machine: take a directory from the caller or t.TempDir"},
}

// Marks forbids unfinished business and paths of the author's machine in all text files.
func Marks(t *Tree) []Complaint {
	var out []Complaint
	for _, f := range t.Files {
		for i, line := range bytes.Split(f.Source, []byte("\n")) {
			for _, m := range marks {
				if s := m.re.Find(line); s != nil {
					out = append(out, Complaint{f.Path, i + 1, strings.TrimSpace(string(s)) + ": " + m.text})
				}
			}
		}
	}
	return out
}

// Docs wants a comment on every exported name of the package level, and one package comment, in doc.go (or main.go of a
// command). Methods are not looked at: those that satisfy an interface are documented there.
func Docs(t *Tree) []Complaint {
	var out []Complaint
	documented := make(map[string]string) // package → file with its comment
	first := make(map[string]*File)
	t.goFiles(false, func(f *File) {
		pkg := f.Package()
		if first[pkg] == nil {
			first[pkg] = f
		}
		if f.AST.Doc != nil {
			if other := documented[pkg]; other != "" {
				out = append(out, t.complain(f, f.AST.Name, "a second package comment; the first is in %s", other))
			}
			documented[pkg] = f.Path
		}
		for _, d := range f.AST.Decls {
			out = append(out, t.undocumented(f, d)...)
		}
	})
	for pkg, f := range first {
		if documented[pkg] == "" {
			out = append(out, t.complain(f, f.AST.Name, "package %s has no package comment: write doc.go", pkg))
		}
	}
	return sorted(out)
}

func (t *Tree) undocumented(f *File, d ast.Decl) []Complaint {
	var out []Complaint
	check := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		if !name.IsExported() {
			return
		}
		for _, g := range docs {
			if g != nil {
				return
			}
		}
		out = append(out, t.complain(f, name, "%s has no comment", name.Name))
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			check(d.Name, d.Doc)
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				check(s.Name, d.Doc, s.Doc)
			case *ast.ValueSpec: // a comment on the group speaks for its members
				for _, name := range s.Names {
					check(name, d.Doc, s.Doc, s.Comment)
				}
			}
		}
	}
	return out
}
