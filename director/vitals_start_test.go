package director

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dirsw/config"
)

// startService writes a service with the number n, whose real servers have the numbers of reals.
func startService(n int, options string, reals ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "virtual_server 10.0.1.%d 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n %s\n", n, options)
	for _, r := range reals {
		number, more, _ := strings.Cut(r, " ")
		fmt.Fprintf(&b, " real_server 10.0.0.%s 80 {\n  weight 1\n  %s\n  TCP_CHECK {\n  }\n }\n", number, more)
	}
	return b.String() + "}\n"
}

// startModel is what keepalived 2.2.7 was given, in whose place the tests below stand.
func startModel(t *testing.T, globals string, reloaded bool) *config.Model {
	one, seven := startService(1, "", "1"), ""
	if reloaded {
		one, seven = "", "\n quorum 3"
	}
	return modelOf(t, "start.conf", "global_defs {\n router_id ora\n "+globals+"\n}\n"+one+startService(2, "", "2")+startService(3, "alpha", "3")+
		startService(4, "alpha", "4")+startService(5, "quorum 5", "5")+startService(7, "omega"+seven, "7", "8")+
		startService(9, "alpha\n omega", "9", "10 inhibit_on_failure")+startService(11, "alpha\n quorum 2\n sorry_server 10.0.0.99 80", "11", "12"))
}

// pipe is what a notify FIFO is told, and what is logged of quorums and of ends.
func pipe(told []happening) (out []string) {
	for i := range told {
		h := &told[i]
		if h.text != "" && h.kind != realUp && (h.kind != realDown || strings.HasPrefix(h.text, "Shutting")) {
			out = append(out, h.text)
		}
		up := map[bool]string{true: "UP", false: "DOWN"}
		switch h.kind {
		case realUp, realDown:
			out = append(out, fmt.Sprintf("RS %s %s %s", realName(h.service, h.real), serviceName(h.service), up[h.kind == realUp]))
		case quorumUp, quorumDown:
			out = append(out, fmt.Sprintf("VS %s %s", serviceName(h.service), up[h.kind == quorumUp]))
		}
	}
	for i := range out {
		out[i] = strings.NewReplacer("]:tcp:80", "", "[10.0.", "").Replace(out[i])
	}
	return out
}

// TestVitalsStart plays a start, first results, a reload and an end, and wants what the real one told.
func TestVitalsStart(t *testing.T) {
	var v vitals
	expect := func(what string, told []happening, want ...string) {
		t.Helper()
		if got := pipe(told); !slices.Equal(got, want) {
			t.Errorf("%s\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
	key := func(real, service int) string {
		for key := range v.at {
			if strings.HasPrefix(key, fmt.Sprintf("[10.0.0.%d]:", real)) && strings.Contains(key, fmt.Sprintf("10.0.1.%d:", service)) {
				return key
			}
		}
		t.Fatalf("there is no server %d of %d", real, service)
		return ""
	}
	v.adopt(startModel(t, "", false))
	expect("start", v.judgeAll(), "Gained quorum 1+0=1 <= 1 for VS 1.1", "VS 1.1 UP", "Gained quorum 1+0=1 <= 1 for VS 1.2", "VS 1.2 UP",
		"Gained quorum 1+0=1 <= 1 for VS 1.5", "VS 1.5 UP", "Gained quorum 1+0=1 <= 2 for VS 1.7", "VS 1.7 UP",
		"Starting with quorum down 2-0=2 > 0 for VS 1.11", "VS 1.11 DOWN", "Adding sorry server 0.99 to VS 1.11",
		"Removing alive servers from the pool for VS 1.11")
	expect("8 fails", v.answer(key(8, 7), false, ""), "RS 0.8 1.7 DOWN")
	expect("12, alpha, fails", v.unproved(key(12, 11)), "RS 0.12 1.11 DOWN")
	expect("9, alpha, comes", v.answer(key(9, 9), true, ""), "RS 0.9 1.9 UP", "Gained quorum 1+0=1 <= 1 for VS 1.9", "VS 1.9 UP")
	expect("2 fails", v.answer(key(2, 2), false, ""), "RS 0.2 1.2 DOWN", "Lost quorum 1-0=1 > 0 for VS 1.2", "VS 1.2 DOWN")

	m := startModel(t, "", true)
	told := v.leave(m)
	v.adopt(m)
	expect("reload", append(told, v.judgeAll()...), "Removing Virtual Server 1.1", "RS 0.1 1.1 DOWN", "VS 1.1 DOWN",
		"Starting with quorum down 2-0=2 > 1 for VS 1.7", "VS 1.7 DOWN")
	expect("7 fails", v.answer(key(7, 7), false, ""), "RS 0.7 1.7 DOWN")
	expect("end", v.end(), "Shutting down service 0.2 from VS 1.2", "Shutting down service 0.3 from VS 1.3", "Shutting down service 0.4 from VS 1.4",
		"Shutting down service 0.5 from VS 1.5", "Shutting down service 0.7 from VS 1.7", "Shutting down service 0.8 from VS 1.7", "VS 1.7 DOWN",
		"Shutting down service 0.9 from VS 1.9", "RS 0.9 1.9 DOWN", "Shutting down (inhibited) service 0.10 from VS 1.9", "VS 1.9 DOWN",
		"Shutting down service 0.11 from VS 1.11", "Shutting down service 0.12 from VS 1.11")
}

// TestVitalsInitNotifies: with rs_init_notifies servers that count as up at the start are told of, before their service.
func TestVitalsInitNotifies(t *testing.T) {
	var v vitals
	v.adopt(startModel(t, "rs_init_notifies", false))
	var got []string
	for _, line := range pipe(v.judgeAll()) {
		if strings.HasSuffix(line, " UP") {
			got = append(got, line)
		}
	}
	want := []string{"RS 0.1 1.1 UP", "VS 1.1 UP", "RS 0.2 1.2 UP", "VS 1.2 UP", "RS 0.5 1.5 UP", "VS 1.5 UP", "RS 0.7 1.7 UP", "RS 0.8 1.7 UP",
		"VS 1.7 UP"}
	if !slices.Equal(got, want) {
		t.Errorf("at the start\n got %q\nwant %q", got, want)
	}
	v.adopt(startModel(t, "rs_init_notifies", false))
	if got := pipe(v.judgeAll()); got != nil {
		t.Errorf("after a reload without a change: %q", got)
	}
}

// TestVitalsEditedWeight: who drains a server with ipvsadm has the last word until its check asks for another weight.
func TestVitalsEditedWeight(t *testing.T) {
	m := startModel(t, "", false)
	r := &m.Services[0].Reals[0]
	r.Weight = 10
	var v vitals
	v.adopt(m)
	key := checkKey(&m.Services[0], r)
	weight := func() int { return v.inForce().Services[0].Reals[0].Weight }
	v.weigh(key, 4)
	for _, edit := range []int{0, 10} { // 10 is what the file says
		m = m.Clone()
		m.Births++
		m.Services[0].Reals[0].Weight, m.Services[0].Reals[0].Edits = edit, m.Births
		for range 2 { // another edit follows
			v.adopt(m)
			v.set(key, true, 4) // as the prober has it
			if got := weight(); got != edit {
				t.Errorf("weight %d, want %d as it was edited", got, edit)
			}
			m = m.Clone()
		}
		v.weigh(key, 7)
		if got := weight(); got != 7 {
			t.Errorf("weight %d, want 7 as the check wants it since", got)
		}
	}
}

// TestVitalsNewsAtReload: a server that went down just before a reload is told of all the same, by the event on its way.
func TestVitalsNewsAtReload(t *testing.T) {
	m := startModel(t, "", false)
	var v vitals
	v.adopt(m)
	v.judgeAll()
	key := checkKey(&m.Services[0], &m.Services[0].Reals[0])
	v.adopt(m.Clone())
	v.set(key, false, 1) // the prober knows already
	v.judgeAll()
	if got := lines(v.answer(key, false, "test")); len(got) != 2 || !strings.HasPrefix(got[0], "Removing service") {
		t.Errorf("the event tells %q", got)
	}
}
