package lab

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Pasted is the configuration of the demonstration: the first director's file of an article about LVS with keepalived,
// as it was published, with the blanks of its author's keyboard (U+3000) in it.
//
//go:embed seed002.conf
var Pasted string

// What the demonstration speaks of.
const (
	demoDirector  = "lb1"
	demoClient    = "client"
	demoInterface = "enp0s8"
	demoRequests  = 12
	persistence   = "persistence_timeout 50"
)

// errInterrupted is the error of a demonstration whose context ended.
var errInterrupted = errors.New("interrupted; the lab is removed")

// demo is the scenario dr under way.
type demo struct {
	*scene
	http     *http.Client
	vip      netip.AddrPort // the service
	requests int            // made so far
}

// demoScenario shows dirsw with the configuration Pasted.
func demoScenario() scenario {
	d := &demo{vip: netip.MustParseAddrPort("192.168.56.200:80")}
	var steps []func(*scene) error
	for _, step := range []func() error{
		d.showPersistence, d.showReload, d.showDirectReplies, d.showOwnTraffic, d.showKill,
	} {
		steps = append(steps, func(s *scene) error {
			if d.scene == nil {
				d.scene, d.http = s, s.c.HTTPClient(demoClient)
				if _, err := d.fetch(1); err != nil { // "forwarding" is said when it is, so nothing is waited for
					return fmt.Errorf("dirsw says that it forwards, but: %w", err)
				}
			}
			return step()
		})
	}
	return scenario{name: "dr", title: "Direct routing, with the configuration of an article.", spec: DefaultSpec,
		conf: Pasted, about: fmt.Sprintf(" (as pasted: VIP %v, rr, DR, %s)", d.vip, persistence), steps: steps}
}

// fetch gets the page n times and returns the servers that answered, in order.
func (d *demo) fetch(n int) ([]string, error) {
	var out []string
	for range n {
		server, err := Fetch(d.ctx, d.http, "http://"+d.vip.String()+"/")
		if err != nil {
			return out, fmt.Errorf("request %d for the page: %w", d.requests+1, err)
		}
		d.requests++
		out = append(out, server)
	}
	return out, nil
}

// lineWith returns the first line of text that holds all words, without the blanks around it.
func lineWith(text string, words ...string) string {
next:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		return strings.TrimSpace(line)
	}
	return ""
}
