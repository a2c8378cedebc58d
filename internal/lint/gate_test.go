package lint

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// needsPrivilege is in the tests of a package that skip in the unprivileged half of the gate.
var needsPrivilege = regexp.MustCompile(`\b(NeedNetAdmin|NewNamespace)\(t\)`)

// skipsWithTag is a test that is left out where the invariants are compiled in.
var skipsWithTag = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\) \{\n\tif invariants\.Enabled \{`)

// gateLine is a call of go test by `make privileged`.
type gateLine struct {
	words []string
}

// privilegedLines reads the recipe of `make privileged`, with its lists of packages in place.
func privilegedLines(makefile string) []gateLine {
	_, recipe, _ := strings.Cut(makefile, "\nprivileged:")
	recipe, _, _ = strings.Cut(recipe, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^(PRIVILEGED_\w+) := (.*)$`).FindAllStringSubmatch(makefile, -1) {
		recipe = strings.ReplaceAll(recipe, "$("+m[1]+")", m[2])
	}
	var lines []gateLine
	for _, l := range strings.Split(recipe, "\n")[1:] {
		lines = append(lines, gateLine{strings.Fields(l)})
	}
	return lines
}

// runs reports whether the line runs tests of a package.
func (l gateLine) runs(pkg string) bool {
	return slices.ContainsFunc(l.words, func(w string) bool {
		tree, below := strings.CutSuffix(w, "/...")
		return w == "./"+pkg || below && (tree == "./"+pkg || strings.HasPrefix("./"+pkg, tree+"/"))
	})
}

// all reports whether it runs all of them, and not those alone that -run names.
func (l gateLine) all() bool { return !slices.Contains(l.words, "-run") }

// names reports whether it runs just this test, without the tag that leaves it out.
func (l gateLine) names(test string) bool {
	return !slices.Contains(l.words, "invariants") && slices.Contains(l.words, "'^"+test+"$$'")
}

// TestGateRunsWhatSkips: a package whose tests need privilege is run by `make privileged`, and so is, without the tag, a
// test there that skips where the invariants are compiled in. What needs no privilege runs in `make unit`, without tags.
func TestGateRunsWhatSkips(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	lines := privilegedLines(readDoc(t, "Makefile"))
	privileged, tagged := map[string]bool{}, 0
	tree.goFiles(true, func(f *File) {
		if f.Test && needsPrivilege.Match(f.Source) {
			privileged[f.Package()] = true
		}
	})
	for pkg := range privileged {
		if !slices.ContainsFunc(lines, func(l gateLine) bool { return l.runs(pkg) && l.all() }) {
			t.Errorf("tests of %s need privilege, and make privileged does not run them", pkg)
		}
	}
	tree.goFiles(true, func(f *File) {
		for _, m := range skipsWithTag.FindAllSubmatch(f.Source, -1) {
			tagged++
			pkg, name := f.Package(), string(m[1])
			if privileged[pkg] && !slices.ContainsFunc(lines, func(l gateLine) bool { return l.runs(pkg) && l.names(name) }) {
				t.Errorf("%s of %s skips with -tags invariants, and make privileged does not run it without", name, pkg)
			}
		}
	})
	if len(privileged) < 8 || tagged == 0 {
		t.Fatalf("found %d packages that need privilege and %d tests that skip: have they another shape now?", len(privileged), tagged)
	}
}
