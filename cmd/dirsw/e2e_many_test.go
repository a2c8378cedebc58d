package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// ticksPerSecond is USER_HZ, in which /proc/PID/stat counts processor time.
const ticksPerSecond = 100

// spent is the processor time that a process has used, in user and kernel mode, and its resident memory in bytes.
func (p *process) spent() (cpu time.Duration, memory int) {
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
	return time.Duration(user+system) * time.Second / ticksPerSecond, resident * os.Getpagesize()
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
		fmt.Fprintf(&b, "real_server 10.9.%d.%d 80 {\nTCP_CHECK {\nconnect_timeout 1\n}\n}\n", i/250, i%250+1)
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
	share := float64(after-before) / float64(time.Since(begin))
	t.Logf("%d checks each second take %.1f %% of a core; %d MB are resident", servers, 100*share, memory>>20)
	for i := range 3 {
		if out, err := r.c.Command(t.Context(), "rs1", "nft", fmt.Sprintf("add table ip shut%d; add chain ip shut%[1]d in { type filter hook input priority 0; }; "+
			"add rule ip shut%[1]d in ip daddr 10.9.%[1]d.77 tcp dport 80 reject with tcp reset", i)).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		begin = time.Now()
		p.said(fmt.Sprintf("Removing service [10.9.%d.77]:tcp:80", i), 1)
		took := time.Since(begin)
		t.Logf("a server that stopped was removed after %v", took)
		if took > 2*time.Second {
			t.Errorf("a server that stopped was removed after %v, asked every second", took)
		}
	}
	if n := strings.Count(p.text(), "Removing service"); n != 3 {
		t.Errorf("%d servers were removed, want 3", n)
	}
}
