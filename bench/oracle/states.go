package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dirsw/forward"
)

// The client and the service of every transcript of states.
const (
	stateClient  = "10.1.2.3:1025"
	stateVirtual = "192.0.2.100:80"
	stateServer  = "172.16.0.11:80"
)

// transitionRow is what one packet does in one state.
type transitionRow struct {
	Table, State, From, Pkt string
	Next                    *string
	Left                    *int
	Via                     string
}

func (r *transitionRow) name() string {
	return fmt.Sprintf("%s %s %s:%s", r.Table, r.State, r.From, r.Pkt)
}

func (r *transitionRow) play(p *player) error {
	parts := strings.Split(r.Table, "/") // protocol, method, setting
	if len(parts) < 2 {
		return fmt.Errorf("table %q", r.Table)
	}
	return p.withMachine(plainTopology, func(m *machine) error {
		if err := m.stateSettings(parts); err != nil {
			return err
		}
		if err := m.stateRules(parts[0], parts[1], ""); err != nil {
			return err
		}
		for _, e := range append(strings.Fields(r.Via), r.From+":"+r.Pkt) {
			from, pkt, _ := strings.Cut(e, ":")
			if _, err := m.event(parts[0], from, pkt); err != nil {
				return err
			}
		}
		return m.sameState(r.Next, r.Left, r.From+":"+r.Pkt)
	})
}

// stateSettings makes the sysctl of a table's name: "tcp/nat/sloppy", "tcp/dr/secure_tcp=3".
func (m *machine) stateSettings(parts []string) error {
	for _, p := range parts[2:] {
		name, value, ok := strings.Cut(p, "=")
		if !ok && name == "sloppy" {
			name, value = "sloppy_"+parts[0], "1"
		}
		if err := m.sysctl("net.ipv4.vs."+name, value); err != nil {
			return err
		}
	}
	return nil
}

// stateRules makes a service with one server.
func (m *machine) stateRules(proto, method, timeouts string) error {
	at := map[string]string{"tcp": "-t ", "udp": "-u ", "sctp": "--sctp-service "}[proto]
	how := map[string]string{"nat": "-m", "dr": "-g", "tun": "-i"}[method]
	if at == "" || how == "" {
		return fmt.Errorf("%s/%s", proto, method)
	}
	lines := []string{"-A " + at + stateVirtual + " -s rr", "-a " + at + stateVirtual + " -r " + stateServer + " " + how + " -w 1"}
	if timeouts != "" {
		lines = append([]string{"--set " + timeouts}, lines...)
	}
	stderr, err := m.rules(lines)
	if err != nil {
		return err
	}
	return complaint(stderr)
}

// event sends a packet from the client or the server and returns the names of the interfaces by which frames left.
func (m *machine) event(proto, from, pkt string) (left []string, err error) {
	p := parcel{proto: proto, from: address(stateClient), to: address(stateVirtual), content: pkt}
	port := clientSide
	if from == "s" {
		port, p.from, p.to = serverSide, address(stateServer), p.from
	}
	frame, err := m.build(port, p)
	if err != nil {
		return nil, err
	}
	sent, taken, err := m.send(port, frame)
	if err != nil {
		return nil, err
	}
	switch {
	case !taken && port == serverSide: // the kernel routes it
		return []string{"c0"}, m.leftToKernel(frame)
	case !taken && kernelAnswer(frame) != "":
		return []string{"c0"}, m.leftToKernel(frame)
	}
	for _, o := range sent {
		left = append(left, m.top.ports[o.port].Name)
	}
	return left, nil
}

// one returns the only connection, nil if there is none.
func (m *machine) one() (*forward.ConnInfo, error) {
	list, err := m.conns()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if len(list) > 1 {
		return nil, differs(len(list), 1, "connections")
	}
	return &list[0], nil
}

// sameState compares state and seconds left of the only connection.
func (m *machine) sameState(state *string, left *int, where string) error {
	c, err := m.one()
	if err != nil {
		return err
	}
	got := "none"
	if c != nil {
		got = c.State.String()
	}
	if want := noted(state); got != want {
		return differs(fmt.Sprintf("%s (%v)", got, m.last.Drop), want, "%s: state", where)
	}
	if c != nil && left != nil && !m.sameLeft(c.Left, time.Duration(*left)*time.Second) {
		return differs(c.Left, fmt.Sprint(*left, "s"), "%s: %s: time left", where, got)
	}
	return nil
}

// sequenceCase is a conversation, with the state after each packet. Afterwards it may be watched until it is gone.
type sequenceCase struct {
	Case   string
	Sysctl map[string]any
	Set    string
	Steps  []sequenceStep
	After  [][]any // seconds since the last packet, state, left, [active, inactive]
}

type sequenceStep struct {
	From, Pkt string
	Out       []string
	State     *string
	Left      *int
	Act       []int
}

func (c *sequenceCase) play(p *player) error {
	return p.withMachine(plainTopology, func(m *machine) error {
		if err := m.sysctls(c.Sysctl); err != nil {
			return err
		}
		proto := strings.Split(c.Case, "/")[0]
		if err := m.stateRules(proto, c.method(), c.Set); err != nil {
			return err
		}
		for i, s := range c.Steps {
			where := fmt.Sprintf("step %d (%s:%s)", i, s.From, s.Pkt)
			left, err := m.event(proto, s.From, s.Pkt)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			if !slices.Equal(left, s.Out) {
				return differs(fmt.Sprintf("%v (%v)", left, m.last.Drop), s.Out, "%s: frames out", where)
			}
			if err := m.sameState(s.State, s.Left, where); err != nil {
				return err
			}
			if err := m.sameActivity(s.Act, where); err != nil {
				return err
			}
		}
		return m.watch(c.After)
	})
}

// method is that of the case's name. Where that says nothing it shows in what happened: a server is heard with NAT only, and
// only there a FIN of the client leads to CLOSE_WAIT.
func (c *sequenceCase) method() string {
	for _, p := range strings.Split(c.Case, "/") {
		if slices.Contains([]string{"nat", "dr", "tun"}, p) {
			return p
		}
	}
	for _, s := range c.Steps {
		if s.From == "s" || s.State != nil && *s.State == "CLOSE_WAIT" {
			return "nat"
		}
	}
	return "dr"
}

func (m *machine) sameActivity(want []int, where string) error {
	d := &m.snap.Dests[0]
	if got := []int{d.Load.Active(), d.Load.Inactive()}; want != nil && !slices.Equal(got, want) {
		return differs(got, want, "%s: active and inactive", where)
	}
	return nil
}

// looked is how often the transcripts looked at the table, at most: what they saw first at some time may have been there
// so long before. What is gone is gone later than its time was over: a timer of the kernel may come late by an eighth of its
// length (kernel/time/timer.c).
const looked = 300 * time.Millisecond

// watch lets time pass as in the transcript. Each row holds from its time until the next.
func (m *machine) watch(after [][]any) error {
	m.late = lateAtFirst
	begin := m.now
	for i, row := range after {
		if len(row) < 4 {
			return fmt.Errorf("after: %v", row)
		}
		seconds, _ := row[0].(float64)
		at := begin.Add(time.Duration(seconds * float64(time.Second)))
		if i > 0 {
			before := at.Add(-looked)
			if row[1] == nil {
				before = before.Add(-at.Sub(begin) / 8)
			}
			if before > m.now {
				if err := m.wait(before.Sub(m.now)); err != nil {
					return err
				}
				if err := m.sameRow(after[i-1], false); err != nil {
					return err
				}
			}
		}
		if err := m.wait(at.Sub(m.now)); err != nil {
			return err
		}
		if err := m.sameRow(row, true); err != nil {
			return err
		}
	}
	return nil
}

// sameRow compares with a row of After; timed with the seconds left too.
func (m *machine) sameRow(row []any, timed bool) error {
	where := fmt.Sprintf("after %v s", row[0])
	var state *string
	var left *int
	if s, ok := row[1].(string); ok {
		state = &s
	}
	if f, ok := row[2].(float64); ok && timed {
		n := int(f)
		left = &n
	}
	if err := m.sameState(state, left, where); err != nil {
		return err
	}
	var act []int
	if list, ok := row[3].([]any); ok {
		for _, v := range list {
			f, _ := v.(float64)
			act = append(act, int(f))
		}
	}
	return m.sameActivity(act, where)
}
