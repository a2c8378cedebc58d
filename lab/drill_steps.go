package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"dirsw/config"
	"dirsw/packet"
)

// open starts the web servers and the far ends of tunnels.
func (d *drill) open() error {
	for _, node := range d.c.Spec().Nodes {
		if err := d.c.Do(node.Name, looseReturns); err != nil {
			return err
		}
	}
	for _, h := range d.nodes {
		w, err := d.web(h)
		if err != nil {
			return err
		}
		if err := w.start(); err != nil {
			return fmt.Errorf("web server of %s: %w", h.name, err)
		}
		if len(w.seats) > 0 {
			d.webs = append(d.webs, w)
		}
		if len(h.tunnels) == 0 || h.local {
			continue
		}
		kinds := map[config.TunnelType]packet.TunnelType{config.GUE: packet.GUE, config.GRE: packet.GRE}
		var list []packet.Tunnel
		for _, t := range h.tunnels {
			list = append(list, packet.Tunnel{Type: kinds[t.Type], Port: t.Port})
		}
		end, err := d.c.OpenDecap(h.name, list...)
		if err != nil {
			return err
		}
		d.ends = append(d.ends, end)
	}
	return nil
}

// close ends the tunnels; web servers end with the cluster.
func (d *drill) close() error {
	var errs []error
	for _, w := range d.webs {
		w.stop()
	}
	for _, e := range d.ends {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}

// looseReturns lets the calling thread's namespace take packets that come by another interface than their answers go by: as
// replies do that do not pass the director.
func looseReturns() error {
	for _, name := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/rp_filter", []byte("0"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// web is the web server of a machine: all of its ports together.
func (d *drill) web(h *host) (*web, error) {
	cert, err := selfSigned(h.addr.String())
	if err != nil {
		return nil, err
	}
	w := &web{node: h.name, page: h.page, turns: true}
	nodes := []string{h.name}
	if h.local {
		nodes = []string{d.lbs[0].node, d.lbs[1].node}
		w.node = "the directors"
	}
	var ends sync.WaitGroup
	var stop context.CancelFunc
	w.stop = func() {
		if stop != nil {
			stop()
			ends.Wait()
			stop = nil
		}
	}
	w.start = func() error {
		var run context.Context
		run, stop = context.WithCancel(d.ctx)
		for _, node := range nodes {
			for _, n := range h.sortedPorts() {
				l, err := d.c.Listen(node, fmt.Sprint(":", n))
				if err != nil {
					return err
				}
				if h.ports[n].tls {
					l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
				}
				ends.Go(func() { _ = serveHandler(run, l, h.ports[n].handler(h.page)) }) // it ends with its listener
			}
		}
		return nil
	}
	for _, v := range d.services {
		d.seat(w, v, h)
	}
	return w, nil
}

// handler answers as the checks want it.
func (t *port) handler(name string) http.Handler {
	plain := page(name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code := t.codes[r.URL.RequestURI()]; code != 0 {
			w.WriteHeader(code)
			return
		}
		plain.ServeHTTP(w, r)
	})
}

// seat notes the part of a machine in a service, if dirsw will see that it is gone.
func (d *drill) seat(w *web, v *served, h *host) {
	for _, b := range v.backs {
		if b.host != h || !b.known || !b.seen || b.real.Weight <= 0 || v.site == nil {
			continue
		}
		s := seat{url: v.url, site: v.site, found: found(b.real)}
		s.real, s.service = logNames(v.conf, b.real)
		s.alone = v.sorry == nil && v.strength()-b.real.Weight < max(v.conf.Quorum, 1)-v.conf.Hysteresis
		s.alone = s.alone || v.sorry == nil && v.strength() == b.real.Weight
		w.turns = w.turns && v.conf.Persistence == 0 && slices.Contains([]string{"rr", "wrr"}, v.conf.Scheduler)
		if !slices.ContainsFunc(w.seats, func(o seat) bool { return o.real == s.real && o.service == s.service }) {
			w.seats = append(w.seats, s)
		}
	}
}

// strength is the weight of the servers of which it is known that they are there.
func (v *served) strength() (sum int) {
	for _, b := range v.backs {
		if b.known {
			sum += b.real.Weight
		}
	}
	return sum
}

// logNames are the names that the log of dirsw has for a real server and its service, as keepalived's has.
func logNames(s *config.Service, r *config.Real) (real, service string) {
	proto := strings.ToLower(s.Proto.String())
	switch {
	case s.Group.Name != "":
		proto, service = strings.ToLower(s.Group.Proto.String()), "["+s.Group.Name+"]:0"
	case s.Mark != 0:
		proto, service = "none", fmt.Sprintf("FWM %d", s.Mark)
	default:
		service = fmt.Sprintf("[%s]:%s:%d", s.Addr, proto, s.Port)
	}
	return fmt.Sprintf("[%s]:%s:%d", r.Addr, proto, r.ProbePort()), service
}

// steps takes all of them.
func (d *drill) steps() error {
	d.agreed()
	if err := d.election(); err != nil {
		return err
	}
	if err := d.answers(); err != nil {
		return err
	}
	if d.unfit {
		d.begin("The rest is not played.")
		d.saw("who takes over from whom is not to be seen before the two files fit")
		return nil
	}
	for _, fail := range []func(int) error{d.death, d.farewell} {
		lb := d.sites[0].at
		if err := fail(lb); err != nil {
			return err
		}
		if err := d.comeback(lb); err != nil {
			return err
		}
	}
	for i, w := range d.webs {
		if d.plan.stopped >= 0 && i >= d.plan.stopped {
			break
		}
		if err := d.serverLost(w); err != nil {
			return err
		}
		if err := d.serverBack(w); err != nil {
			return err
		}
	}
	for _, a := range d.apologies() {
		if err := d.pair.sorry(a); err != nil {
			return err
		}
	}
	return nil
}

// agreed tells what is wrong with the pair.
func (d *drill) agreed() {
	d.begin("The two files make a pair.")
	for _, f := range d.faults {
		d.check(false, "%s", f)
	}
	if len(d.faults) == 0 {
		d.check(true, "nothing differs that must not, and there is a way for every reply")
	}
}

// election starts the director that should be master, then the other.
func (d *drill) election() error {
	d.begin("Both start: the higher priority decides.")
	first := d.sites[0].preferred
	for _, lb := range []int{first, 1 - first} {
		d.did("in %s: dirsw run -f %s", d.lbs[lb].node, d.lbs[lb].conf)
		if err := d.launch(d.lbs[lb]); err != nil {
			return err
		}
		for _, s := range d.sites {
			if lb != first {
				continue
			}
			s.at = first
			if err := d.lbs[lb].said(place{}, d.patience(d.sites)+s.delay, masterLine(s.name(lb))...); err != nil {
				return errors.Join(err, d.vrrpOf(lb))
			}
		}
	}
	if err := pause(d.ctx, d.c.clk, d.silence(0, d.sites)+d.silence(1, d.sites)/4); err != nil {
		return err
	}
	var prio [2]map[string]int
	for lb := range d.lbs {
		var err error
		if prio[lb], err = d.priorities(lb); err != nil {
			return err
		}
	}
	for _, s := range d.sites {
		d.judgeElection(s, first, prio[0][s.name(0)], prio[1][s.name(1)])
		if err := d.holder(s); err != nil {
			return err
		}
	}
	return nil
}

// judgeElection checks who is master of a site. The priorities are the effective ones.
func (d *drill) judgeElection(s *site, first, a, b int) {
	if a != b {
		s.preferred = 0
		if b > a {
			s.preferred = 1
		}
	}
	want := first
	if s.reclaims {
		want = s.preferred
	}
	s.at = want
	if d.has(d.lbs[1-want].node, s.vip) && !d.has(d.lbs[want].node, s.vip) {
		s.at = 1 - want
	}
	d.check(s.at == want, "%s is master of %s: priority %d in %s, %d in %s", d.lbs[s.at].node, s.instance, a, d.lbs[0].node, b, d.lbs[1].node)
}

// vrrpOf shows the election as a director sees it, as the reason of a failure.
func (d *drill) vrrpOf(lb int) error {
	text, err := d.lbs[lb].dirsw("vrrp")
	if err != nil {
		return err
	}
	return fmt.Errorf("dirsw vrrp in %s says\n%s", d.lbs[lb].node, text)
}

// priorities asks a director for the priorities of its instances, with everything that is tracked.
func (d *drill) priorities(lb int) (map[string]int, error) {
	text, err := d.lbs[lb].dirsw("vrrp", "-json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Data struct {
			Name     string `json:"iname"`
			Priority int    `json:"effective_priority"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("read what dirsw vrrp says: %w", err)
	}
	out := map[string]int{}
	for _, in := range list {
		out[in.Data.Name] = in.Data.Priority
	}
	return out, nil
}

// answers asks for every service.
func (d *drill) answers() error {
	if len(d.services) == 0 {
		return nil
	}
	d.begin("Every service answers at its virtual address.")
	for _, v := range d.services {
		if err := d.ready(v); err != nil {
			return err
		}
		ok := func(page string) bool {
			return slices.ContainsFunc(v.backs, func(b back) bool { return b.host.page == page })
		}
		if err := d.answered(v.url, min(2*len(v.backs), 8), ok, "by its web servers"); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until a web server of a service answers: the first checks take their time.
func (d *drill) ready(v *served) error {
	limit := ample
	for _, b := range v.backs {
		limit = max(limit, found(b.real))
	}
	client := d.c.usersClient(demoClient)
	client.Timeout = patience
	err := poll(d.ctx, d.c.clk, limit, func() (bool, error) {
		page, err := Fetch(d.ctx, client, v.url)
		return err == nil && (v.sorry == nil || page != v.sorry.page), nil
	})
	if errors.Is(err, errLate) {
		return nil // told by the requests that follow
	}
	return err
}

// apologies lists the services that have a sorry server which can be made to answer.
func (d *drill) apologies() (out []apology) {
	for _, v := range d.services {
		if v.sorry == nil || v.site == nil || v.uses(v.sorry) {
			continue
		}
		a := apology{url: v.url, page: v.sorry.page, site: v.site}
		_, a.service = logNames(v.conf, v.conf.SorryServer)
		for _, b := range v.backs {
			i := slices.IndexFunc(d.webs, func(w *web) bool { return w.page == b.host.page })
			if !b.known || !b.seen || i < 0 {
				a.webs = nil
				break
			}
			a.found = max(a.found, found(b.real))
			if !slices.Contains(a.webs, d.webs[i]) {
				a.webs = append(a.webs, d.webs[i])
			}
		}
		if len(a.webs) > 0 && !slices.ContainsFunc(out, func(o apology) bool { return o.service == a.service }) {
			out = append(out, a)
		}
	}
	return out
}
