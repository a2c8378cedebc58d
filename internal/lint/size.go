package lint

import (
	"bytes"
	"fmt"
	"go/ast"
)

// Limits of what one reader can take in.
const (
	maxFileLines = 800
	maxFuncLines = 100
)

// Size forbids files of more than 800 lines and functions of more than 100, tests included.
func Size(t *Tree) []Complaint {
	var out []Complaint
	t.goFiles(true, func(f *File) {
		if n := bytes.Count(f.Source, []byte("\n")); n > maxFileLines {
			out = append(out, Complaint{f.Path, 0, fmt.Sprintf("%d lines, more than %d: split it by concept", n, maxFileLines)})
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := t.Fset.Position(fn.End()).Line - t.line(fn) + 1
			if n > maxFuncLines {
				out = append(out, t.complain(f, fn, "%s has %d lines, more than %d: take a part out and name it",
					fn.Name.Name, n, maxFuncLines))
			}
		}
	})
	return out
}
