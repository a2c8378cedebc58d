package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/health"
	"dirsw/vrrp"
)

// TestHealthJSON: programs get what people see, and nothing by which the director knows things inside.
func TestHealthJSON(t *testing.T) {
	now := clock.Mono(time.Hour)
	states := []health.State{{Key: "inside", Names: health.Names{Server: "[192.0.2.11]:tcp:80", Service: "FWM 7"}, Up: true, Weight: 3,
		Checks: []health.CheckState{{Kind: "TCP_CHECK", ID: "inside", Up: true, Ran: true, Asked: 9, Failed: 1, At: now.Add(-time.Second), Took: time.Millisecond},
			{Kind: "MISC_CHECK", ID: "inside", Last: "exit 1"}}}}
	got, err := json.Marshal(serversJSON(states, now))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"service":"FWM 7","server":"[192.0.2.11]:tcp:80","up":true,"weight":3,"suspended":false,"checks":[` +
		`{"kind":"TCP_CHECK","advisory":false,"up":true,"asked":9,"failed":1,"retries":0,"running":false,"last":"","ago":1000000000,"took":1000000},` +
		`{"kind":"MISC_CHECK","advisory":false,"up":false,"asked":0,"failed":0,"retries":0,"running":false,"last":"exit 1"}]}]`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := json.Marshal(serversJSON(nil, now)); err != nil || string(got) != "[]" {
		t.Errorf("without servers: %s, %v", got, err)
	}
}

// TestGroupFaults: a group in FAULT says because of which of its members.
func TestGroupFaults(t *testing.T) {
	a, b, c := vrrp.Defaults(), vrrp.Defaults(), vrrp.Defaults()
	a.Name, b.Name, c.Name = "A", "B", "C"
	instances := []vrrp.InstanceState{{Config: a, State: vrrp.Fault}, {Config: b, State: vrrp.Fault, Faults: []string{"interface eth1 down", "script x"}},
		{Config: c, State: vrrp.Fault, Faults: []string{"interface eth2 down"}}}
	groups := []vrrp.GroupState{{Config: vrrp.GroupConfig{Name: "G", Members: []string{"A", "B"}}, State: vrrp.Fault},
		{Config: vrrp.GroupConfig{Name: "H", Members: []string{"C"}}, State: vrrp.Backup}}
	var out strings.Builder
	printInstances(&out, instances, groups, 0)
	for _, want := range []string{"group G: FAULT (A B) because of B: interface eth1 down, script x\n", "group H: BACKUP (C)\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
