package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// reuseRow is a SYN on a connection that is there already. Two servers take turns.
type reuseRow struct {
	reuseSettings
	Prefix string
	State  []string
	First  *string
	Again  *string `json:"syn_again"`
	X      *string
	Conns  []string // client, server, state, seconds left
	Third  *string  `json:"syn_third"`
	X3     *string
}

// reuseSettings are what the rows of one director have in common.
type reuseSettings struct {
	Mode    int `json:"conn_reuse_mode"`
	Fwd     string
	Persist string
	Weight0 bool `json:"server_weight0"` // the first server is emptied before the second SYN
	Nodest  int  `json:"expire_nodest_conn"`
}

// reuseGroup is a director whose servers' turn goes on from row to row.
type reuseGroup struct {
	set reuseSettings
	m   *machine
	err error // why it cannot play
	n   int   // rows
}

func (g *reuseGroup) close() {
	if g.m != nil {
		g.m.close()
	}
}

func (p *player) reuseLine(line []byte) error {
	var r reuseRow
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	if p.reuse == nil || p.reuse.set != r.reuseSettings {
		if p.reuse != nil {
			p.reuse.close()
		}
		p.reuse = p.newReuseGroup(r.reuseSettings)
	}
	g := p.reuse
	g.n++
	err := g.err
	if err == nil {
		err = guarded(func() error { return r.play(g) })
	}
	p.tell(fmt.Sprintf("reuse/%s/mode=%d%s/weight0=%v/nodest=%d/%d:%s", r.Fwd, r.Mode, strings.ReplaceAll(r.Persist, " ", "="),
		r.Weight0, r.Nodest, g.n, strings.ReplaceAll(r.Prefix, " ", ",")), err)
	return nil
}

func (p *player) newReuseGroup(set reuseSettings) *reuseGroup {
	g := &reuseGroup{set: set}
	if g.m, g.err = p.newMachine(newTopology(0, 0)); g.err != nil {
		return g
	}
	how := map[string]string{"nat": "-m", "dr": "-g", "tun": "-i"}[set.Fwd]
	var stderr string
	stderr, g.err = g.m.rules([]string{"-A -t 192.0.2.100:80 -s rr " + set.Persist,
		"-a -t 192.0.2.100:80 -r 172.16.0.11:80 " + how, "-a -t 192.0.2.100:80 -r 172.16.0.12:80 " + how})
	if g.err == nil {
		g.err = complaint(stderr)
	}
	if g.err == nil {
		g.err = g.m.sysctls(map[string]any{"net.ipv4.vs.conn_reuse_mode": set.Mode, "net.ipv4.vs.expire_nodest_conn": set.Nodest})
	}
	return g
}

// client is who the row speaks of: the connections tell, or the row's number does.
func (r *reuseRow) client(n int) string {
	if len(r.Conns) > 0 {
		if f := strings.Fields(r.Conns[0]); len(f) > 0 {
			return f[0]
		}
	}
	port := 2000 + n
	return fmt.Sprintf("10.1.2.%d:%d", port%200, port)
}

func (r *reuseRow) play(g *reuseGroup) (err error) {
	m := g.m
	p, err := firstPacket("tcp", r.client(g.n), stateVirtual)
	if err != nil {
		return err
	}
	first, err := r.open(m, p)
	if err != nil {
		return err
	}
	var before []entry
	for _, s := range r.State {
		before = append(before, entry{state: s, left: anyTime})
	}
	if err := m.sameEntries(p.from, before, "before the SYN"); err != nil {
		return err
	}
	how := map[string]string{"nat": "-m", "dr": "-g", "tun": "-i"}[r.Fwd]
	weigh := func(w int) error {
		if !r.Weight0 {
			return nil
		}
		at, err := netip.ParseAddrPort(first)
		if err != nil {
			return err
		}
		return m.command(fmt.Sprintf("-e -t %s -r %s:80 %s -w %d", stateVirtual, at.Addr(), how, w))
	}
	if err := weigh(0); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, weigh(1)) }()
	if err := m.again(p, r.Again, r.X, "SYN"); err != nil {
		return err
	}
	var after []entry
	for _, c := range r.Conns {
		e, err := parseEntry("TCP " + strings.Replace(c, " ", " "+stateVirtual+" ", 1))
		if err != nil {
			return err
		}
		after = append(after, e)
	}
	if err := m.sameEntries(p.from, after, "after the SYN"); err != nil {
		return err
	}
	return m.again(p, r.Third, r.X3, "third SYN")
}

// open brings the connection into its state and returns its server.
func (r *reuseRow) open(m *machine, p parcel) (string, error) {
	var first string
	for i, e := range strings.Fields(r.Prefix) {
		from, pkt, _ := strings.Cut(e, ":")
		q, port := p, clientSide
		q.content = pkt
		if from == "s" {
			at, err := netip.ParseAddrPort(first)
			if err != nil {
				return "", err
			}
			q.from, q.to, port = at, p.from, serverSide
		}
		if port == clientSide {
			server, _, _, err := m.ask(q)
			if err != nil {
				return "", err
			}
			if first == "" {
				first = server
			}
			if want := noted(r.First); i == 0 && noted(&server) != want {
				return "", differs(noted(&server), want, "first SYN: server")
			}
			continue
		}
		frame, err := m.build(port, q)
		if err != nil {
			return "", err
		}
		if _, _, err := m.send(port, frame); err != nil {
			return "", err
		}
	}
	return first, nil
}

// again sends the SYN once more.
func (m *machine) again(p parcel, want, reply *string, where string) error {
	server, told, _, err := m.ask(p)
	if err != nil {
		return err
	}
	if noted(&server) != noted(want) {
		return differs(noted(&server), noted(want), "%s: server", where)
	}
	if server == "" && noted(&told) != noted(reply) {
		return differs(noted(&told), noted(reply), "%s: reply", where)
	}
	return nil
}

// anyTime stands for seconds left that are not compared.
const anyTime = -1

// sameEntries compares what the table has of a client; empty fields of want are not compared. An entry that was replaced
// may be listed beside the new one for a moment in the kernel; here it is gone at once.
func (m *machine) sameEntries(client netip.AddrPort, want []entry, where string) error {
	list, err := m.conns()
	if err != nil {
		return err
	}
	var got []entry
	for i := range list {
		t := &list[i].Tuple
		if !list[i].Template && netip.AddrPortFrom(t.Src.Netip(), t.SrcPort) == client {
			got = append(got, entryOf(&list[i]))
		}
	}
	missing := 0
	rest := slices.Clone(got)
	for _, w := range want {
		at := slices.IndexFunc(rest, func(e entry) bool {
			return e.state == w.state && (w.dest == "" || e.dest == w.dest) && (w.left == anyTime || m.sameLeft(e.left, w.left))
		})
		if at < 0 {
			missing++
			continue
		}
		rest = slices.Delete(rest, at, at+1)
	}
	if len(rest) > 0 || missing > 1 || missing > 0 && len(want) == 1 {
		return differs(got, want, "%s: connections", where)
	}
	return nil
}
