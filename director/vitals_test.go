package director

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/config/keepalived"
	"dirsw/sched"
)

// model reads a configuration that stands in a file or is text.
func modelOf(t *testing.T, name, text string) *config.Model {
	t.Helper()
	m, _, err := keepalived.Parse(name, strings.NewReader(text), &keepalived.Options{Open: func(string) (io.ReadCloser, error) { return nil, os.ErrNotExist }})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(sched.Names()); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestVitalsTranscript gives the results of the checks that keepalived 2.2.7 had, in their order, and wants its log lines and
// the table that ipvsadm listed then.
func TestVitalsTranscript(t *testing.T) {
	text, err := os.ReadFile("testdata/checkers.conf")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Open("testdata/checkers.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var v vitals
	v.adopt(modelOf(t, "checkers.conf", string(text)))
	got := lines(v.judgeAll())
	var want []string
	tables := 0
	for sc := bufio.NewScanner(log); sc.Scan(); {
		at, line, _ := strings.Cut(sc.Text(), " ")
		if table, ok := strings.CutPrefix(line, "= "); ok {
			if have := listed(v.inForce()); have != sorted(table) {
				t.Errorf("at %s: table\n got %s\nwant %s", at, have, sorted(table))
			}
			tables++
			continue
		}
		want = append(want, line)
		up := strings.HasPrefix(line, "Adding service") || strings.HasPrefix(line, "Enabling service")
		if down := strings.HasPrefix(line, "Removing service") || strings.HasPrefix(line, "Disabling service"); !up && !down {
			continue
		}
		f := strings.Fields(line)
		key := keyNamed(&v, f[2], strings.Join(f[5:], " "))
		if key == "" {
			t.Fatalf("at %s: nobody is called as in %q", at, line)
		}
		got = append(got, lines(v.answer(key, up, "test"))...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("log\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if len(want) < 35 || tables < 10 {
		t.Errorf("the transcript has %d lines and %d tables: too few to mean anything", len(want), tables)
	}
}

func lines(told []happening) (out []string) {
	for _, h := range told {
		out = append(out, h.text)
	}
	return out
}

// keyNamed finds a real server by its names in the log.
func keyNamed(v *vitals, real, service string) string {
	for key := range v.at {
		if _, s, r := v.find(key); realName(s, r) == real && serviceName(s) == service {
			return key
		}
	}
	return ""
}

// listed writes a model as the transcript has its tables.
func listed(m *config.Model) string {
	var out []string
	for i := range m.Services {
		s := &m.Services[i]
		name := fmt.Sprintf("FWM %d", s.Mark)
		if s.Mark == 0 {
			name = s.Key().String()
		}
		var reals []string
		for _, r := range s.Reals {
			reals = append(reals, fmt.Sprintf("%s:%d %d", r.Addr, r.Port, r.Weight))
		}
		slices.Sort(reals)
		out = append(out, strings.Join(append([]string{name}, reals...), "; "))
	}
	slices.Sort(out)
	return strings.Join(out, "\n     ")
}

// sorted brings a table of the transcript into an order of its own.
func sorted(table string) string {
	var out []string
	var group []string
	flush := func() {
		if len(group) > 0 {
			slices.Sort(group[1:])
			out = append(out, strings.Join(group, "; "))
		}
	}
	for _, e := range strings.Split(table, "; ") {
		if strings.HasPrefix(e, "TCP") || strings.HasPrefix(e, "UDP") || strings.HasPrefix(e, "FWM") {
			flush()
			group = nil
		}
		group = append(group, e)
	}
	flush()
	slices.Sort(out)
	return strings.Join(out, "\n     ")
}

func TestVitalsSorry(t *testing.T) {
	sorry := &config.Real{Port: 99, Weight: 1}
	for _, tt := range []struct {
		name string
		s    config.Service
		want string
	}{
		{"no sorry server", config.Service{Reals: []config.Real{{Port: 1}}}, "[1]"},
		{"enough", config.Service{SorryServer: sorry, Reals: []config.Real{{Port: 1, Weight: 1}, {Port: 2}}}, "[1 2]"},
		{"none", config.Service{SorryServer: sorry}, "[99]"},
		{"weights 0", config.Service{SorryServer: sorry, Reals: []config.Real{{Port: 1}}}, "[99]"},
		{"below the quorum", config.Service{SorryServer: sorry, Quorum: 3, Reals: []config.Real{{Port: 1, Weight: 2}}}, "[99]"},
		{"the quorum", config.Service{SorryServer: sorry, Quorum: 3, Reals: []config.Real{{Port: 1, Weight: 2}, {Port: 2, Weight: 1}}}, "[1 2]"},
		{"inhibited", config.Service{SorryServer: sorry, SorryInhibit: true, Reals: []config.Real{{Port: 1, Weight: 1}}}, "[1 99]"},
	} {
		var ports []uint16
		for _, r := range AllWell(&config.Model{Services: []config.Service{tt.s}}).Services[0].Reals {
			ports = append(ports, r.Port)
		}
		if got := fmt.Sprint(ports); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestVitalsWeigh holds the weights that checks ask for against those that the operator says.
func TestVitalsWeigh(t *testing.T) {
	m := &config.Model{Services: []config.Service{{Proto: config.TCP, Reals: []config.Real{
		{Port: 1, Weight: 10, Checks: []config.Check{{}}}, {Port: 2, Weight: 1}}}}}
	var v vitals
	v.adopt(m)
	v.judgeAll()
	s := &m.Services[0]
	key := checkKey(s, &s.Reals[0])
	weights := func() string {
		var list []int
		for _, r := range v.inForce().Services[0].Reals {
			list = append(list, r.Weight)
		}
		return fmt.Sprint(list)
	}
	if got := lines(v.weigh(key, 4)); len(got) != 1 || !strings.HasPrefix(got[0], "Changing weight from 10 to 4 for active service") {
		t.Errorf("weigh: %q", got)
	}
	if got := weights(); got != "[4 1]" {
		t.Errorf("weights %s", got)
	}
	if got := v.weigh(key, 4); got != nil {
		t.Errorf("the same weight again: %v", got)
	}
	v.answer(key, false, "test")
	if got := lines(v.weigh(key, 7)); len(got) != 1 || !strings.Contains(got[0], "from 4 to 7 for inactive service") {
		t.Errorf("weigh while down: %q", got)
	}
	if got := weights(); got != "[1]" {
		t.Errorf("weights %s", got)
	}
	v.answer(key, true, "")
	v.adopt(m.Clone())
	if got := weights(); got != "[7 1]" {
		t.Errorf("after a reload without a change: weights %s", got)
	}
	changed := m.Clone()
	changed.Services[0].Reals[0].Weight = 20
	v.adopt(changed)
	if got := weights(); got != "[20 1]" {
		t.Errorf("after another weight in the file: weights %s", got)
	}
}

// TestVitalsCost: with every answer the weights of a whole service are added up. That must not make the names of its servers
// anew each time: 2 000 of them failing at once held the director up for nine seconds.
func TestVitalsCost(t *testing.T) {
	m := crowd(1, 2000)
	var v vitals
	v.adopt(m)
	v.judgeAll()
	key, up := checkKey(&m.Services[0], &m.Services[0].Reals[7]), true
	allocs := testing.AllocsPerRun(10, func() {
		if up = !up; len(v.answer(key, up, "test")) != 1 {
			t.Fatal("nothing is told")
		}
	})
	if allocs > 50 {
		t.Errorf("an answer allocates %v times, want at most 50", allocs)
	}
}
