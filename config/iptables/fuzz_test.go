package iptables

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"dirsw/config"
)

// FuzzLine carries out any command line. It must not panic; a rule that is taken prints to a line that makes the same.
func FuzzLine(f *testing.F) {
	for _, input := range rowInputs(f, "testdata/lines.txt") {
		for line := range strings.SplitSeq(input, "\n") {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, _ := split(line, config.Pos{File: "f", Line: 1, Col: 1})
		if len(words) == 0 {
			return
		}
		ipv6 := words[0].Text == "ip6tables"
		c, err := Parse(ipv6, words[1:])
		if err != nil {
			var e config.Error
			if !errors.As(err, &e) || e.Message == "" {
				t.Fatalf("not an Error: %v", err)
			}
			if e.Pos != (config.Pos{}) && (e.Pos.Col < 1 || e.Pos.Col > utf8.RuneCountInString(line)+1) {
				t.Errorf("position %v is not in the line", e.Pos)
			}
			return
		}
		for i := range c.Rules {
			again, err := Parse(ipv6, Words(append([]string{"-t", "mangle", "-A", "X"}, c.Rules[i].Words()...)))
			if err != nil || len(again.Rules) != 1 || !again.Rules[0].Same(&c.Rules[i]) {
				t.Errorf("%q is printed as %q, which is %+v, %v", line, c.Rules[i].Words(), again.Rules, err)
			}
		}
		var m config.Marks
		before := m.Clone()
		if err := c.Apply(&m, config.FromCommand); err != nil && len(before.IPv4.Chains) != len(m.IPv4.Chains) {
			t.Errorf("%q failed (%v) and left %+v", line, err, m)
		}
	})
}

// FuzzReadSave reads any file. What is read must print to a file that reads as the same.
func FuzzReadSave(f *testing.F) {
	for _, input := range rowInputs(f, "testdata/save.txt") {
		f.Add(input, strings.Contains(input, "ip6tables"))
	}
	f.Fuzz(func(t *testing.T, text string, ipv6 bool) {
		table, _, err := ReadSave("f", strings.NewReader(text), ipv6)
		if err != nil {
			return
		}
		if err := (&config.Model{Marks: config.Marks{IPv4: table}}).Validate(nil); err != nil {
			t.Fatalf("%q was read as rules that are refused: %v", text, err)
		}
		var first, second bytes.Buffer
		if err := Save(&first, &table, ipv6, false); err != nil {
			t.Fatal(err)
		}
		again, _, err := ReadSave("g", bytes.NewReader(first.Bytes()), ipv6)
		if err != nil {
			t.Fatalf("%q is printed as\n%s\nwhich is refused: %v", text, &first, err)
		}
		if err := Save(&second, &again, ipv6, false); err != nil {
			t.Fatal(err)
		}
		if first.String() != second.String() {
			t.Errorf("%q is printed as\n%s\nthen as\n%s", text, &first, &second)
		}
	})
}
