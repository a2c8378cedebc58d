package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/config/keepalived"
)

var update = flag.Bool("update", false, "rewrite the expectations under testdata")

// schedulers are names enough to test with.
func schedulers() []string { return []string{"lc", "rr", "sh", "mh", "wlc", "wrr"} }

// parse makes a Model of a row; the row is the test's own, and must be right.
func parse(t *testing.T, text string) *config.Model {
	t.Helper()
	m, _, err := keepalived.Parse("f", strings.NewReader(text), nil)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return m
}

// rows runs the rows of a file: a name, input, "----", output, set apart by "====" lines.
func rows(t *testing.T, file string, run func(t *testing.T, input string) string) {
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for row := range strings.SplitSeq(strings.TrimSuffix(string(src), "\n"), "\n====\n") {
		name, rest, _ := strings.Cut(row, "\n")
		input, want, ok := strings.Cut(rest, "\n----")
		if !ok {
			t.Fatalf("%s: row %q has no ----", file, name)
		}
		want = strings.TrimPrefix(want, "\n")
		t.Run(name, func(t *testing.T) {
			got := strings.TrimSuffix(run(t, input), "\n")
			if got != want && !*update {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			out = append(out, strings.TrimSuffix(name+"\n"+input+"\n----\n"+got, "\n"))
		})
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n====\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiff(t *testing.T) {
	rows(t, "testdata/diff.txt", func(t *testing.T, input string) string {
		before, after, _ := strings.Cut(input, "\n>>>>\n")
		var b strings.Builder
		for _, c := range config.Diff(parse(t, before), parse(t, after)) {
			b.WriteString(c.String() + "\n")
		}
		return b.String()
	})
}

func TestValidate(t *testing.T) {
	rows(t, "testdata/validate.txt", func(t *testing.T, input string) string {
		if err := parse(t, input).Validate(schedulers()); err != nil {
			return err.Error()
		}
		return "valid"
	})
}
