package lint

import (
	"go/ast"
	"go/token"
	"strings"
)

// globalsAllowed are the package-level variables that are written, with the reason.
var globalsAllowed = map[string]string{
	"sched.kinds":       "the registry: written by init, read-only after",
	"cmd/dirsw.version": "set by the linker",
}

// initAllowed are the packages that may have init functions.
var initAllowed = map[string]bool{"sched": true}

// constructors make values that nothing can change, or that carry no state.
var constructors = map[string]bool{
	"errors.New": true, "fmt.Errorf": true, "regexp.MustCompile": true, "crc32.MakeTable": true,
	"strings.NewReplacer": true, "netip.MustParseAddr": true, "netip.MustParsePrefix": true, "netip.AddrFrom4": true,
	"netip.AddrFrom16": true, "netip.IPv6Unspecified": true, "netip.IPv4Unspecified": true,
	"binary.BigEndian": true, "binary.LittleEndian": true,
}

// Globals forbids package-level state. Allowed are interface assertions (var _ I = T{}), sentinel errors, and tables
// that no function of the package assigns to, takes the address of, or deletes from. Generated files and tests are
// not looked at.
func Globals(t *Tree) []Complaint {
	var out []Complaint
	written := make(map[string]map[string]bool) // by package, by name
	t.goFiles(false, func(f *File) {
		names := written[f.Package()]
		if names == nil {
			names = make(map[string]bool)
			written[f.Package()] = names
		}
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				collectWrites(fn, names)
			}
		}
	})
	t.goFiles(false, func(f *File) {
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					out = append(out, t.checkVars(f, d, written[f.Package()])...)
				}
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" && !initAllowed[f.Package()] {
					out = append(out, t.complain(f, d, "init: give what it prepares to New, or make it a table"))
				}
			}
		}
	})
	return out
}

func (t *Tree) checkVars(f *File, d *ast.GenDecl, written map[string]bool) []Complaint {
	var out []Complaint
	for _, s := range d.Specs {
		spec := s.(*ast.ValueSpec)
		for i, name := range spec.Names {
			if name.Name == "_" || globalsAllowed[f.Package()+"."+name.Name] != "" || embedded(d, spec) {
				continue
			}
			switch {
			case len(spec.Values) != len(spec.Names):
				out = append(out, t.complain(f, name, "package-level variable %s without a value of its own: "+
					"make it a field of whoever uses it", name.Name))
			case !sentinel(name.Name) && !constant(spec.Values[i]):
				out = append(out, t.complain(f, name, "package-level variable %s can carry state: "+
					"only sentinel errors and tables may stand here", name.Name))
			case written[name.Name]:
				out = append(out, t.complain(f, name, "package-level variable %s is written by a function "+
					"(or its address is taken): make it a field", name.Name))
			}
		}
	}
	return out
}

// sentinel reports whether the name is that of an error that callers branch on.
func sentinel(name string) bool {
	return strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "err")
}

// embedded reports whether the variable's value comes from a //go:embed directive.
func embedded(d *ast.GenDecl, s *ast.ValueSpec) bool {
	for _, g := range []*ast.CommentGroup{d.Doc, s.Doc} {
		if g == nil {
			continue
		}
		for _, c := range g.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// constant reports whether e makes a value that only an assignment could change.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.FuncLit:
		return true
	case *ast.Ident:
		return e.Name != "nil"
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.UnaryExpr:
		return e.Op != token.AND && e.Op != token.ARROW && constant(e.X)
	case *ast.BinaryExpr:
		return constant(e.X) && constant(e.Y)
	case *ast.SelectorExpr:
		return true // a constant or a table of another package
	case *ast.CompositeLit:
		return !stateful(e.Type)
	case *ast.CallExpr:
		switch fun := e.Fun.(type) {
		case *ast.FuncLit: // a table computed once
			return true
		case *ast.ArrayType: // []byte("…")
			return true
		case *ast.Ident: // make([]byte, n), of zeros; a map that is never written would be of no use
			_, slice := first(e.Args).(*ast.ArrayType)
			return fun.Name == "make" && slice
		case *ast.SelectorExpr:
			x, ok := fun.X.(*ast.Ident)
			return ok && constructors[x.Name+"."+fun.Sel.Name]
		}
	}
	return false
}

func first(args []ast.Expr) ast.Expr {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

// stateful reports whether a value of the type is there to be changed: a lock, an atomic, a pool.
func stateful(e ast.Expr) bool {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name == "sync" || x.Name == "atomic" || x.Name == "http"
		}
	}
	return false
}

// collectWrites adds the names that fn writes to and does not declare itself.
func collectWrites(fn *ast.FuncDecl, names map[string]bool) {
	if fn.Body == nil {
		return
	}
	local := declared(fn)
	add := func(e ast.Expr) {
		if n := root(e); n != "" && !local[n] {
			names[n] = true
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				add(n.Key)
				add(n.Value)
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				add(n.X)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 {
				switch f.Name {
				case "delete", "clear", "copy":
					add(n.Args[0])
				}
			}
		}
		return true
	})
}

// declared returns the names of fn's parameters, results and local variables. A package-level variable of the same name
// counts as hidden in the whole function.
func declared(fn *ast.FuncDecl) map[string]bool {
	local := make(map[string]bool)
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok {
			local[id.Name] = true
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				local[id.Name] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				local[id.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key)
				add(n.Value)
			}
		}
		return true
	})
	return local
}

// root returns the variable that an expression like x.f[i].g stands in, or "".
func root(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return ""
		}
	}
}
