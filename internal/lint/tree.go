package lint

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the repository's root.
const Module = "dirsw"

// File is one file of the tree. AST is nil for what is not Go.
type File struct {
	Path      string // from the root, with slashes
	Source    []byte
	AST       *ast.File
	Test      bool // *_test.go
	Generated bool // says "Code generated … DO NOT EDIT."
}

// Package returns the import path of the file's package below the module: "internal/ring", "" for the root.
func (f *File) Package() string {
	if d := path.Dir(f.Path); d != "." {
		return d
	}
	return ""
}

// Tree is the source of the whole repository.
type Tree struct {
	Fset  *token.FileSet
	Files []*File // by path
}

// Complaint is one breach of a rule.
type Complaint struct {
	File string
	Line int // from 1; 0 for the whole file
	Text string
}

func (c Complaint) String() string { return fmt.Sprintf("%s:%d: %s", c.File, c.Line, c.Text) }

// Rule finds all breaches of one rule.
type Rule struct {
	Name  string
	Check func(*Tree) []Complaint
}

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{"imports", Imports}, {"globals", Globals}, {"time", Time}, {"exit", Exit}, {"unsafe", Unsafe},
		{"size", Size}, {"marks", Marks}, {"docs", Docs},
	}
}

// Load reads the tree at root. Hidden directories and testdata are left out; so are files that are not text.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && name != ".ci" && (d.Name()[0] == '.' || d.Name() == "testdata"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil || bytes.IndexByte(src, 0) >= 0 {
			return err
		}
		f := &File{Path: name, Source: src, Test: strings.HasSuffix(name, "_test.go")}
		if strings.HasSuffix(name, ".go") {
			f.AST, err = parser.ParseFile(t.Fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			f.Generated = ast.IsGenerated(f.AST)
		}
		t.Files = append(t.Files, f)
		return nil
	})
	return t, err
}

// goFiles yields the Go files that people wrote; tests only if asked for.
func (t *Tree) goFiles(tests bool, yield func(*File)) {
	for _, f := range t.Files {
		if f.AST != nil && !f.Generated && (tests || !f.Test) {
			yield(f)
		}
	}
}

func (t *Tree) line(n ast.Node) int { return t.Fset.Position(n.Pos()).Line }

func (t *Tree) complain(f *File, n ast.Node, format string, args ...any) Complaint {
	return Complaint{File: f.Path, Line: t.line(n), Text: fmt.Sprintf(format, args...)}
}

// sorted puts complaints in the order of the files.
func sorted(c []Complaint) []Complaint {
	slices.SortStableFunc(c, func(a, b Complaint) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	return c
}

// importName returns the name under which f uses the package at path, or "" if it does not import it.
func importName(f *File, importPath string) string {
	for _, spec := range f.AST.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == importPath {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(importPath)
		}
	}
	return ""
}

// selectors calls found for each use of name.X in f, where name stands for the package at importPath.
func selectors(f *File, importPath string, found func(*ast.SelectorExpr)) {
	name := importName(f, importPath)
	if name == "" {
		return
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
				found(s)
			}
		}
		return true
	})
}
