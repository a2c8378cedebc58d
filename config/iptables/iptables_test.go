package iptables

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dirsw/config"
)

var update = flag.Bool("update", false, "rewrite the expectations under testdata")

// session is a list of command lines carried out one after the other.
type session struct {
	marks    config.Marks
	messages strings.Builder
}

// words makes words of a line as a shell does, as far as the tests need it.
func shellWords(t *testing.T, line string, n int) []Word {
	t.Helper()
	words, open := split(line, config.Pos{File: "f", Line: n, Col: 1})
	if open {
		t.Fatalf("line %d is not a command line: %s", n, line)
	}
	return words
}

// do carries out a line and returns what it printed.
func (s *session) do(words []Word) error {
	ipv6 := words[0].Text == "ip6tables"
	if !ipv6 && words[0].Text != "iptables" {
		return fmt.Errorf("%s is no command", words[0].Text)
	}
	c, err := Parse(ipv6, words[1:])
	if err != nil {
		return err
	}
	return c.Apply(&s.marks, config.FromFile)
}

// listing is what iptables-save and ip6tables-save print of chains and rules.
func (s *session) listing(t *testing.T) string {
	var out strings.Builder
	for _, ipv6 := range []bool{false, true} {
		table := s.marks.Table(ipv6)
		if len(table.Chains) == 0 {
			continue
		}
		var b bytes.Buffer
		if err := Rules(&b, table, ""); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if !strings.HasPrefix(line, "-P ") {
				out.WriteString(map[bool]string{false: "iptables ", true: "ip6tables "}[ipv6] + line)
			}
		}
	}
	return out.String()
}

// run is a row of testdata/lines.txt.
func run(t *testing.T, input string) string {
	var s session
	for i, line := range strings.Split(input, "\n") {
		if err := s.do(shellWords(t, line, i+1)); err != nil {
			s.messages.WriteString(err.Error() + "\n")
		}
	}
	if err := (&config.Model{Marks: s.marks}).Validate(nil); err != nil {
		s.messages.WriteString("invalid: " + err.Error() + "\n")
	}
	return s.messages.String() + s.listing(t)
}

// runSave is a row of testdata/save.txt.
func runSave(t *testing.T, input string) string {
	ipv6 := strings.Contains(t.Name(), "IPv6")
	table, notes, err := ReadSave("f", strings.NewReader(input), ipv6)
	var out bytes.Buffer
	if err != nil {
		out.WriteString(err.Error() + "\n")
	}
	for _, n := range notes {
		out.WriteString("note: " + n.String() + "\n")
	}
	if err := Save(&out, &table, ipv6, false); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestData runs the rows of testdata: a name, input, "----", output, set apart by "====" lines.
func TestData(t *testing.T) {
	for file, run := range map[string]func(*testing.T, string) string{"lines.txt": run, "save.txt": runSave} {
		path := filepath.Join("testdata", file)
		src, err := os.ReadFile(path)
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
			t.Run(file+"/"+name, func(t *testing.T) {
				got := strings.TrimSuffix(run(t, input), "\n")
				if got != want && !*update {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				out = append(out, strings.TrimSuffix(name+"\n"+input+"\n----\n"+got, "\n"))
			})
		}
		if *update {
			if err := os.WriteFile(path, []byte(strings.Join(out, "\n====\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// rowInputs are the inputs of the rows of a file.
func rowInputs(t testing.TB, file string) (list []string) {
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.SplitSeq(string(src), "\n====\n") {
		_, rest, _ := strings.Cut(row, "\n")
		input, _, _ := strings.Cut(rest, "\n----")
		list = append(list, input)
	}
	return list
}
