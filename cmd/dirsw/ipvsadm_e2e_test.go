package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// named makes the program callable by another name.
func (r *rig) named(name string) string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), name)
	if err := os.Symlink(r.bin, path); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// as runs the program by another name, with something on standard input.
func (r *rig) as(path, stdin string, args ...string) (stdout, stderr string, exit int) {
	r.t.Helper()
	cmd := r.c.Command(context.Background(), "lb1", path, args...)
	cmd.Env = append(os.Environ(), "DIRSW_SOCKET="+r.sock)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var code *exec.ExitError
	if errors.As(err, &code) {
		return out.String(), errs.String(), code.ExitCode()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

// TestIpvsadm types what an operator types, by ipvsadm's own names.
func TestIpvsadm(t *testing.T) {
	r := newRig(t)
	p := r.run().ready()
	ipvsadm, save, restore := r.named("ipvsadm"), r.named("ipvsadm-save"), r.named("ipvsadm-restore")
	const vip = "192.168.56.200:8080"
	type step struct {
		name, path, stdin string
		args              string
		stdout, stderr    string // parts of them; "" stderr: nothing at all
		exit              int
	}
	check := func(steps []step) {
		t.Helper()
		for _, s := range steps {
			stdout, stderr, exit := r.as(s.path, s.stdin, strings.Fields(s.args)...)
			if exit != s.exit || !strings.Contains(stdout, s.stdout) || !strings.Contains(stderr, s.stderr) || s.stderr == "" && stderr != "" {
				t.Errorf("%s: %s %s: exit %d\n%s%s\nwant exit %d, %q, %q", s.name, filepath.Base(s.path), s.args, exit, stdout, stderr,
					s.exit, s.stdout, s.stderr)
			}
		}
	}
	check([]step{
		{name: "version", path: ipvsadm, args: "-v", stdout: "ipvsadm v1.31"},
		{name: "a service", path: ipvsadm, args: "-A -t " + vip + " -s wrr"},
		{name: "again", path: ipvsadm, args: "-A -t " + vip + " -s wrr", stderr: "Service already exists\n", exit: 255},
		{name: "a server", path: ipvsadm, args: "-a -t " + vip + " -r 192.168.56.103 -g -w 2"},
		{name: "another", path: ipvsadm, args: "-a -t " + vip + " -r 192.168.56.104 -g"},
		{name: "a common mistake", path: ipvsadm, args: "-E -t " + vip + " -w 3", stderr: "\nhint: a weight belongs to a real server", exit: 2},
		{name: "a server behind no interface of ours", path: ipvsadm, args: "-a -t " + vip + " -r 203.0.113.77 -g",
			stderr: "hint: 203.0.113.77 cannot be reached: "},
		{name: "taken away", path: ipvsadm, args: "-d -t " + vip + " -r 203.0.113.77"},
		{name: "a weight", path: ipvsadm, args: "-e -t " + vip + " -r 192.168.56.103 -g -w 7"},
		{name: "explained", path: r.bin, args: "explain --socket " + r.sock + " tcp 203.0.113.9:4000 > " + vip,
			stdout: "192.168.56.103:8080 weight 7, 0 active, 0 inactive: it"},
		{name: "where from", path: ipvsadm, args: "-Ln --origin", stdout: "keepalived.conf:"},
		{name: "who made it", path: ipvsadm, args: "-Ln --origin -t " + vip, stdout: "# command 20"},
		{name: "timeouts", path: ipvsadm, args: "--set 0 0 40"},
		{name: "shown", path: ipvsadm, args: "-L --timeout", stdout: "900 120 40\n"},
		{name: "zeroed", path: ipvsadm, args: "-Z"},
		{name: "zeroed what is not there", path: ipvsadm, args: "-Z -t 192.0.2.9:9", stderr: "No such service\n", exit: 255},
		{name: "saved", path: save, args: "-n", stdout: "-a -t " + vip + " -r 192.168.56.103:8080 -g -w 7\n"},
	})
	r.write(plain() + "\n# touched\n")
	if out, code := r.tool("reload", "--socket", r.sock); code != 0 {
		t.Fatalf("reload: %d, %s", code, out)
	}
	p.said(`"reloaded"`, 1)
	saved, _, _ := r.as(save, "", "-n")
	check([]step{
		{name: "after a reload", path: ipvsadm, args: "-Ln", stdout: "TCP  " + vip + " wrr\n"},
		{name: "timeouts after a reload", path: ipvsadm, args: "-L --timeout", stdout: "900 120 40\n"},
		{name: "a restore that fails", path: restore, stdin: "-A -t 192.0.2.9:9\n-a -t 192.0.2.9:10 -r 192.0.2.7\n",
			stderr: "Service not defined\nhint: nothing has changed; line 2: ", exit: 255},
		{name: "nothing has changed", path: save, args: "-n", stdout: saved},
		{name: "cleared", path: ipvsadm, args: "-C"},
		{name: "empty", path: save, args: "-n"},
		{name: "restored", path: restore, stdin: "# saved\n" + saved},
		{name: "as before", path: save, args: "-n", stdout: saved},
		{name: "a file of the kernel", path: r.bin, args: "proc --socket " + r.sock + " ip_vs", stdout: "TCP  C0A838C8:1F90 wrr"},
		{name: "no such file", path: r.bin, args: "proc ip_vs_app", stderr: "usage: dirsw proc", exit: 2},
	})
	r.mustFetch()
}

// TestEditsWhileTrafficFlows changes other services, and all of them at once, as fast as it goes: no request may notice.
func TestEditsWhileTrafficFlows(t *testing.T) {
	r := newRig(t)
	r.run().ready()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var fetched atomic.Int64
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := r.fetch(r.vip); err != nil {
				t.Errorf("request %d: %v", fetched.Load(), err)
				return
			}
			fetched.Add(1)
		}
	})
	const vip = "192.168.56.200:8080"
	saved, _ := r.tool("ipvsadm", "--socket", r.sock, "-S", "-n")
	edits := 0
	edit := func(stdin string, args ...string) {
		t.Helper()
		if out, errs, exit := r.as(r.bin, stdin, append([]string{"ipvsadm"}, args...)...); exit != 0 || errs != "" {
			t.Errorf("%v: %d, %s%s", args, exit, out, errs)
		}
		edits++
	}
	const enough = 100
	for end := time.Now().Add(testenv.Patience); (edits < enough || fetched.Load() < enough) && time.Now().Before(end) && !t.Failed(); {
		edit("", "-A", "-t", vip, "-s", "sh")
		edit("", "-a", "-t", vip, "-r", "192.168.56.103", "-g")
		edit("", "-E", "-t", vip, "-s", "wlc")
		edit("", "-e", "-t", r.vip, "-r", "192.168.56.103:80", "-g", "-w", fmt.Sprint(1+edits%5))
		edit("", "-D", "-t", vip)
		edit(saved, "-R", "--replace")
	}
	stop()
	wg.Wait()
	t.Logf("%d requests during %d edits", fetched.Load(), edits)
	if fetched.Load() < enough || edits < enough {
		t.Errorf("only %d requests and %d edits", fetched.Load(), edits)
	}
}

// TestLongRestore brings ten thousand servers at once, and takes them away.
func TestLongRestore(t *testing.T) {
	r := newRig(t)
	r.run().ready()
	var b strings.Builder
	for s := range 100 {
		vip := fmt.Sprintf("192.0.2.%d:80", 1+s)
		fmt.Fprintf(&b, "-A -t %s -s wlc\n", vip)
		for k := range 100 {
			fmt.Fprintf(&b, "-a -t %s -r 198.51.%d.%d:80 -g -w %d\n", vip, 100+k/50, 1+k%50, k)
		}
	}
	before, _ := r.tool("ipvsadm", "--socket", r.sock, "-S", "-n")
	start := time.Now()
	_, errs, exit := r.as(r.bin, b.String(), "ipvsadm", "-R", "--atomic")
	t.Logf("10100 lines took %v", time.Since(start))
	if exit != 0 || strings.Count(errs, "\n") > 1 { // they cannot be reached, which is told of the first
		t.Fatalf("%d, %s", exit, errs)
	}
	after, _ := r.tool("ipvsadm", "--socket", r.sock, "-S", "-n")
	if got := strings.Count(after, "\n") - strings.Count(before, "\n"); got != 10100 {
		t.Errorf("%d lines came, want 10100", got)
	}
	r.mustFetch()
	if _, errs, exit := r.as(r.bin, before, "ipvsadm", "-R", "--replace"); exit != 0 || errs != "" {
		t.Errorf("taking them away: %d, %s", exit, errs)
	}
	if now, _ := r.tool("ipvsadm", "--socket", r.sock, "-S", "-n"); now != before {
		t.Errorf("got\n%s\nwant\n%s", now, before)
	}
	r.mustFetch()
}
