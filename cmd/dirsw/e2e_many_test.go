package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ticksPerSecond is USER_HZ, in which /proc/PID/stat counts processor time.
const ticksPerSecond = 100

// burnt is the processor time of a process, in user and kernel mode.
type burnt struct{ user, system time.Duration }

// since is what has been used since before, in percent of a core over so long.
func (u burnt) since(before burnt, during time.Duration) (user, system float64) {
	return 100 * float64(u.user-before.user) / float64(during), 100 * float64(u.system-before.system) / float64(during)
}

// spent is what a process has used, and its resident memory in bytes.
func (p *process) spent() (u burnt, memory int) {
	p.r.t.Helper()
	pid := p.cmd.Process.Pid
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		p.r.t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil { // proc_pid_stat(5)
		p.r.t.Fatal(err)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		p.r.t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		p.r.t.Fatal(err)
	}
	const tick = time.Second / ticksPerSecond
	return burnt{time.Duration(user) * tick, time.Duration(system) * tick}, resident * os.Getpagesize()
}

// floor is what the same connections cost a C program that does nothing else, in the director's namespace and beside it.
func (r *rig) floor(during time.Duration) {
	r.t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		r.t.Log("no C compiler, so it is not told what the kernel takes")
		return
	}
	bin := filepath.Join(r.t.TempDir(), "connects")
	if out, err := exec.Command(cc, "-O2", "-Wall", "-o", bin, "testdata/connects.c").CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	out, err := r.c.Command(r.t.Context(), "lb1", bin, fmt.Sprint(during.Seconds())).CombinedOutput()
	var user, system float64
	var answered, failed int
	if _, scan := fmt.Sscanf(string(out), "user %f system %f answered %d failed %d", &user, &system, &answered, &failed); err != nil || scan != nil || answered == 0 {
		r.t.Fatalf("%v %v\n%s", err, scan, out)
	}
	r.t.Logf("a C program with epoll takes %.1f %% for %d of them each second (%.1f user, %.1f system)",
		user+system, int(float64(answered)/during.Seconds()), user, system)
}

// TestManyServers has two thousand real servers asked every second, and one of them stop.
func TestManyServers(t *testing.T) {
	r := newRigOf(t, duo())
	r.ip("rs1", "route", "add", "local", "10.9.0.0/16", "dev", "lo")
	r.ip("lb1", "route", "add", "10.9.0.0/16", "via", "192.168.56.103")
	const servers = 2000
	var b strings.Builder
	b.WriteString(instance("VI", "51", "200", vipBlock) + "virtual_server 192.168.56.200 80 {\ndelay_loop 1\nretry 0\nlvs_sched rr\nlvs_method DR\nprotocol TCP\n")
	for i := range servers {
		fmt.Fprintf(&b, "real_server 10.9.%d.%d 80 {\nTCP_CHECK {\nconnect_timeout 10\n}\n}\n", i/250, i%250+1)
	}
	b.WriteString("}\n")
	r.write(b.String())
	p := r.run().ready()
	p.said("success.", servers)
	const during = 3 * time.Second
	before, _ := p.spent()
	begin := time.Now()
	time.Sleep(during)
	after, memory := p.spent()
	user, system := after.since(before, time.Since(begin))
	t.Logf("%d checks each second take %.1f %% of a core (%.1f user, %.1f system); %d MB are resident", servers, user+system, user, system, memory>>20)
	r.floor(during)
	for i := range 3 {
		if out, err := r.c.Command(t.Context(), "rs1", "nft", fmt.Sprintf("add table ip shut%d; add chain ip shut%[1]d in { type filter hook input priority 0; }; "+
			"add rule ip shut%[1]d in ip daddr 10.9.%[1]d.77 tcp dport 80 reject with tcp reset", i)).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		begin = time.Now()
		p.said(fmt.Sprintf("Removing service [10.9.%d.77]:tcp:80", i), 1)
		t.Logf("a server that stopped was removed after %v", time.Since(begin))
	}
	if n := strings.Count(p.text(), "Removing service"); n != 3 {
		t.Errorf("%d servers were removed, want 3", n)
	}
}
