package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"dirsw/config"
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
		if sameLines(got, want, s.sameConnLine) {
			return nil
		}
	case c.Op == ipvsadm.OpList && c.Format.NoSort:
		if slices.Equal(blocks(got), blocks(want)) {
			return nil
		}
	}
	return firstDifference(got, want)
}

func firstDifference(got, want string) error {
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

// sameLines compares listings line by line, in whatever order.
func sameLines(got, want string, same func(got, want string) bool) bool {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range w {
		at := slices.IndexFunc(g, func(l string) bool { return l == line || same(l, line) })
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

// file compares what the kernel shows in files.
func (s *shell) file(cmd, want string) error {
	name, isFile := strings.CutPrefix(cmd, "cat /proc/net/")
	switch {
	case isFile:
		l, err := s.Listing(ipvsadm.Format{})
		if err != nil {
			return err
		}
		s.out.Reset()
		if err := ipvsadm.PrintFile(&s.out, name, l); err != nil {
			return &unserved{why: err.Error()}
		}
		return s.sameFile(name, want)
	case cmd == "ls /proc/sys/net/ipv4/vs":
		return sameKnobs(want, func(string, string) bool { return true })
	case strings.HasPrefix(cmd, "cd /proc/sys/net/ipv4/vs; grep"):
		return sameKnobs(want, func(name, value string) bool {
			return name == "sync_qlen_max" || // of the guest's memory
				slices.ContainsFunc(config.Knobs(), func(k config.Knob) bool {
					return k.Name == name && slices.Equal(strings.Fields(k.Default), strings.Fields(value))
				})
		})
	}
	return &unserved{why: "what the kernel shows in files: " + cmd}
}

// sameKnobs compares lines "name:value" with the settings of the director.
func sameKnobs(want string, same func(name, value string) bool) error {
	for line := range strings.Lines(want) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if !slices.ContainsFunc(config.Knobs(), func(k config.Knob) bool { return k.Name == name }) {
			return differs("none", name, "setting")
		}
		if !same(name, value) {
			return differs("another default", value, "setting %s", name)
		}
	}
	return nil
}

// sameFile compares a file of /proc/net, where services and connections lie in the order of hash tables.
func (s *shell) sameFile(name, want string) error {
	got := s.out.String()
	switch {
	case got == want:
		return nil
	case name == "ip_vs" && slices.Equal(blocks(got), blocks(want)):
		return nil
	case strings.HasPrefix(name, "ip_vs_conn"):
		const left = 7 // columns of the seconds that are left, at the end of the line
		if sameLines(got, want, func(g, w string) bool {
			if len(g) != len(w) || len(g) < left || g[:len(g)-left] != w[:len(w)-left] {
				return false
			}
			a, err := strconv.Atoi(strings.TrimSpace(g[len(g)-left:]))
			b, err2 := strconv.Atoi(strings.TrimSpace(w[len(w)-left:]))
			return err == nil && err2 == nil && s.m.sameLeft(time.Duration(a+1)*time.Second-1, time.Duration(b)*time.Second)
		}) {
			return nil
		}
	}
	return firstDifference(got, want)
}

func minutes(s string) (time.Duration, bool) {
	m, sec, ok := strings.Cut(strings.TrimSpace(s), ":")
	a, err := strconv.Atoi(m)
	b, err2 := strconv.Atoi(sec)
	return time.Duration(a)*time.Minute + time.Duration(b)*time.Second, ok && err == nil && err2 == nil
}
