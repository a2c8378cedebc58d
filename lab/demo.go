package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pasted is the configuration of the demonstration: the first director's file of an article about LVS with keepalived,
// as it was published, with the blanks of its author's keyboard (U+3000) in it.
//
//go:embed seed002.conf
var Pasted string

// DemoOptions are the choices of Demo.
type DemoOptions struct {
	Self string // path of the dirsw program that is shown; needed
}

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

// demo is a demonstration under way.
type demo struct {
	*report
	ctx  context.Context
	o    DemoOptions
	c    *Cluster
	d    *director
	http *http.Client

	conf, socket string         // paths
	vip          netip.AddrPort // the service
	requests     int            // made so far
}

// Demo builds a lab, runs dirsw in it with the configuration Pasted, and shows what it does, step by step, on w. Each
// step is checked; the error says how many checks failed, or what made it impossible to go on. However it ends, also by
// ctx, nothing is left behind. It needs root.
func Demo(ctx context.Context, w io.Writer, o DemoOptions) (err error) {
	c, err := Up(DefaultSpec(), Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Down()) }()
	dir, err := os.MkdirTemp("", "dirsw-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{
		report: &report{w: w}, ctx: ctx, o: o, c: c, http: c.HTTPClient(demoClient),
		conf: filepath.Join(dir, "keepalived.conf"), socket: filepath.Join(dir, "control.sock"),
		vip: netip.MustParseAddrPort("192.168.56.200:80"),
	}
	defer func() {
		if d.d != nil {
			_ = d.d.stop(unix.SIGTERM, gentle) // killed if it does not hear; it has been judged already
		}
	}()
	d.introduce()
	if err := d.start(); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	for _, step := range []func() error{
		d.showPersistence, d.showReload, d.showDirectReplies, d.showOwnTraffic, d.showKill,
	} {
		if err := step(); err != nil {
			if ctx.Err() != nil {
				return errInterrupted
			}
			fmt.Fprintf(w, "\nFAILED: %v\nThe last lines of dirsw's log:\n%s\n", err, d.d.log.tail(20))
			return err
		}
	}
	if err := d.result(); err != nil {
		fmt.Fprintf(w, "The last lines of dirsw's log:\n%s\n", d.d.log.tail(20))
		return err
	}
	return nil
}

// introduce says who is there.
func (d *demo) introduce() {
	fmt.Fprintln(d.w, "A lab of network namespaces: one switch, and on it")
	for _, n := range d.c.Spec().Nodes {
		fmt.Fprintf(d.w, "   %-7s %-15v %v  %v", n.Name, n.Addrs[0].Addr(), n.MAC, n.Role)
		for _, vip := range n.VIPs {
			fmt.Fprintf(d.w, ", %v on lo", vip.Addr())
		}
		if n.Page != "" {
			fmt.Fprintf(d.w, ", HTTP server that says %s", n.Page)
		}
		fmt.Fprintln(d.w)
	}
}

// start runs dirsw with the configuration as it was pasted.
func (d *demo) start() error {
	if err := os.WriteFile(d.conf, []byte(Pasted), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(d.w, "\nIn %s: dirsw run -f keepalived.conf (as pasted: VIP %v, rr, DR, %s)\n", demoDirector, d.vip, persistence)
	var err error
	if d.d, err = d.c.startDirector(d.ctx, demoDirector, d.o.Self, d.conf, d.socket); err != nil {
		return err
	}
	if _, err = d.fetch(1); err != nil { // "forwarding" is said when it is, so nothing is waited for
		return fmt.Errorf("dirsw says that it forwards, but: %w; its log:\n%s", err, d.d.log.tail(20))
	}
	return nil
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

// tool runs a dirsw command against the running one and returns what it prints.
func (d *demo) tool(command string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	args = append([]string{command, "--socket", d.socket}, args...)
	out, err := d.c.Command(ctx, demoDirector, d.o.Self, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("dirsw %s: %w: %s", command, err, out)
	}
	return string(out), nil
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
