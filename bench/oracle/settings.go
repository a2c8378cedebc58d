package main

import (
	"fmt"
	"slices"
	"strings"

	"dirsw/config"
)

// sysctl changes a setting of the director, as dirsw sysctl does.
func (m *machine) sysctl(key string, value any) error {
	text := fmt.Sprint(value)
	refused := &unserved{why: "sysctl " + key + "=" + text}
	if !strings.HasPrefix(key, config.SysctlPrefix) {
		return refused
	}
	s, err := config.ParseSysctl([]string{key, "=", text})
	if err != nil {
		return refused
	}
	next := m.model.Clone()
	next.Dataplane.SetSysctl(s)
	if err := m.publish(next); err != nil {
		return err
	}
	m.model = *next
	return nil
}

// sysctls changes several, in the order of their names.
func (m *machine) sysctls(all map[string]any) error {
	var names []string
	for k := range all {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		if err := m.sysctl(k, all[k]); err != nil {
			return err
		}
	}
	return nil
}

// prepare does what a case asks for besides its rules.
func (m *machine) prepare(lines []string) error {
	for _, l := range lines {
		do := m.top.command
		if strings.Contains(l, "tables") {
			do = m.iptables
		}
		if err := do(l); err != nil {
			return err
		}
	}
	return nil
}
