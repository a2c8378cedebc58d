package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// stressScenario keeps the workers of both directors spinning and a client loading them, and looks whether the election stays
// calm: an advert that leaves late because of the data plane would have the backup take over from a healthy master.
func stressScenario() scenario {
	return scenario{name: "stress", title: "A pair of directors with a saturated data plane: no false failover.", spec: faultsSpec,
		conf: stressConf("lb1"), steps: []func(*scene) error{stressPlay}}
}

// stressFor is how long it lasts; the environment may say another time.
const stressFor = 20 * time.Second

// stressConf has adverts each 0.1 s, or each second where there is slack: a machine that others use stands still for as long as
// three of the short ones.
func stressConf(node string) string {
	advert := "0.1"
	if slack, err := slackOf(os.Getenv(slackEnv)); err == nil && slack > 0 {
		advert = "1"
	}
	return faultsConf(node, "version 3\n    advert_int "+advert+"outside:dataplane {\n    interfaces enp0s8\n    wait busy-poll\n}")
}

func stressPlay(s *scene) error {
	d := stressFor
	if v := os.Getenv("DIRSW_LAB_STRESS"); v != "" {
		var err error
		if d, err = time.ParseDuration(v); err != nil {
			return fmt.Errorf("DIRSW_LAB_STRESS: %w", err)
		}
	}
	second := s.at(s.newMachine("lb2"))
	defer stopAll(second.machine)
	if err := second.boot(stressConf("lb2")); err != nil {
		return err
	}
	s.begin(fmt.Sprintf("For %v every core spins and a client asks for pages as fast as it can.", d))
	n, m := s.d.log.size(), second.d.log.size()
	answered, failed := s.load(d, 8)
	s.saw("%d pages, %d requests failed", answered, failed)
	s.check(answered > 0, "pages are served")
	for _, node := range []*scene{s, second} {
		late, err := node.lateness()
		if err != nil {
			return err
		}
		s.saw("%s: the latest advert left %v late", node.node, late)
	}
	s.check(!strings.Contains(second.d.log.since(m), "Entering MASTER STATE"), "lb2 has not become master")
	s.check(!strings.Contains(s.d.log.since(n), "Entering"), "lb1 has stayed master")
	return nil
}

// load asks for pages by so many clients at once, and counts.
func (s *scene) load(d time.Duration, clients int) (answered, failed int) {
	type count struct{ answered, failed int }
	counts := make(chan count)
	end := s.c.clk.Now().Add(d)
	for range clients {
		go func() {
			var c count
			http := s.c.HTTPClient(demoClient)
			for s.ctx.Err() == nil && s.c.clk.Now() < end {
				if _, err := Fetch(s.ctx, http, "http://"+faultsVIP+"/"); err != nil {
					c.failed++
				} else {
					c.answered++
				}
			}
			counts <- c
		}()
	}
	for range clients {
		c := <-counts
		answered += c.answered
		failed += c.failed
	}
	return answered, failed
}

// lateness is how late the latest advert left.
func (s *scene) lateness() (time.Duration, error) {
	text, err := s.dirsw("vrrp", "-json")
	if err != nil {
		return 0, err
	}
	var list []struct {
		Stats struct {
			Late int64 `json:"late_max_us"`
		} `json:"stats"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) == 0 {
		return 0, fmt.Errorf("dirsw vrrp -json says %q: %w", text, err)
	}
	return time.Duration(list[0].Stats.Late) * time.Microsecond, nil
}
