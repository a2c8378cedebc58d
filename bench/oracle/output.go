package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"dirsw/config/ipvsadm"
)

// sameOutput compares standard output. Where the kernel's own order of things is no more than how they lie in its hash
// tables, which differs from boot to boot, the order means nothing; of the time left of a connection a second may be gone.
func (s *shell) sameOutput(c ipvsadm.Command, want string) error {
	got := s.out.String()
	switch {
	case got == want:
		return nil
	case c.Op == ipvsadm.OpList && c.Format.View == ipvsadm.ViewConns:
		if s.sameConnLines(got, want) {
			return nil
		}
	case c.Op == ipvsadm.OpList && c.Format.NoSort:
		if slices.Equal(blocks(got), blocks(want)) {
			return nil
		}
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if a, b := lineOf(g, i), lineOf(w, i); a != b {
			return differs(a, b, "standard output, line %d", i+1)
		}
	}
	return differs(strconv.Quote(got), strconv.Quote(want), "standard output")
}

func lineOf(lines []string, i int) string {
	if i >= len(lines) {
		return "no line"
	}
	return strconv.Quote(lines[i])
}

// blocks are the services of a listing, each with its servers, in an order of ours.
func blocks(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	head := min(3, len(lines))
	list := []string{strings.Join(lines[:head], "")}
	for _, l := range lines[head:] {
		if strings.HasPrefix(l, "  ->") {
			list[len(list)-1] += l
		} else {
			list = append(list, l)
		}
	}
	slices.Sort(list[1:])
	return list
}

// sameConnLines compares listings of connections line by line, in whatever order.
func (s *shell) sameConnLines(got, want string) bool {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range w {
		at := slices.IndexFunc(g, func(l string) bool { return l == line || s.sameConnLine(l, line) })
		if at < 0 {
			return false
		}
		g = slices.Delete(g, at, at+1)
	}
	return len(g) == 0
}

// sameConnLine compares two lines but for the time left, "14:59", whose place is the same in both.
func (s *shell) sameConnLine(got, want string) bool {
	const from, to = 4, 10
	if len(got) < to || len(want) < to || got[:from] != want[:from] || got[to:] != want[to:] {
		return false
	}
	g, ok := minutes(got[from:to])
	w, ok2 := minutes(want[from:to])
	return ok && ok2 && s.m.sameLeft(g+time.Second-1, w)
}

func minutes(s string) (time.Duration, bool) {
	m, sec, ok := strings.Cut(strings.TrimSpace(s), ":")
	a, err := strconv.Atoi(m)
	b, err2 := strconv.Atoi(sec)
	return time.Duration(a)*time.Minute + time.Duration(b)*time.Second, ok && err == nil && err2 == nil
}
