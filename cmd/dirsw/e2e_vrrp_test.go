package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
	"dirsw/lab"
)

// duo is the cluster of lab.DefaultSpec with a second director, lb2, and a server that says sorry.
func duo() lab.Spec {
	s := lab.DefaultSpec()
	second, sorry := s.Nodes[1], s.Nodes[3]
	second.Name, second.MAC = "lb2", net.HardwareAddr{8, 0, 0x27, 0xfb, 0x6e, 0x22}
	second.Addrs = []netip.Prefix{netip.MustParsePrefix("192.168.56.102/24")}
	sorry.Name, sorry.MAC, sorry.Page = "sorry", net.HardwareAddr{8, 0, 0x27, 0, 1, 5}, "SORRY"
	sorry.Addrs = []netip.Prefix{netip.MustParsePrefix("192.168.56.105/24")}
	s.Nodes = append(s.Nodes, second, sorry)
	return s
}

// instance is a vrrp_instance that is master after a second, and not lost when the machine stands still for half of one. More
// is written into it.
func instance(name string, id, priority, more string) string {
	return "vrrp_instance " + name + ` {
    state BACKUP
    interface enp0s8
    virtual_router_id ` + id + `
    priority ` + priority + `
    version 3
    advert_int 0.25
    ` + more + `
}
`
}

// service is the virtual service of the tests, whose servers are asked five times a second. More is written into it, and
// into each of its servers.
func service(more, each string) string {
	s := `virtual_server 192.168.56.200 80 {
    delay_loop 0.2
    delay_before_retry 0.1
    retry 1
    lb_algo rr
    lb_kind DR
    protocol TCP
    ` + more + "\n"
	for _, a := range []string{"192.168.56.103", "192.168.56.104"} {
		s += `    real_server ` + a + ` 80 {
        weight 1
        TCP_CHECK {
            connect_timeout 5
            warmup 0
        }
        ` + strings.ReplaceAll(each, "ADDRESS", a) + `
    }
`
	}
	return s + "}\n"
}

const vipBlock = "virtual_ipaddress { 192.168.56.200 }\n"

// dir is where the files of the test are.
func (r *rig) dir() string { return filepath.Dir(r.conf) }

// program writes a shell script and returns its path.
func (r *rig) program(name, body string) string {
	r.t.Helper()
	path := filepath.Join(r.dir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// content reads a file of the test; a file that is not there is empty.
func (r *rig) content(name string) string {
	text, _ := os.ReadFile(filepath.Join(r.dir(), name))
	return string(text)
}

// put writes a file of the test and returns its path.
func (r *rig) put(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// lines waits until a file of the test has exactly these lines, in any order.
func (r *rig) lines(name string, want ...string) {
	r.t.Helper()
	slices.Sort(want)
	var got []string
	testenv.AwaitOr(r.t, func() bool {
		got = strings.Split(strings.TrimSpace(r.content(name)), "\n")
		slices.Sort(got)
		return slices.Equal(got, want)
	}, func() {
		r.t.Fatalf("%s holds\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	})
}

// ip runs the program ip in a node.
func (r *rig) ip(node string, args ...string) string {
	r.t.Helper()
	out, err := r.c.Command(r.t.Context(), node, "ip", args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// has waits until what ip prints holds a text, or holds it no more.
func (r *rig) has(want bool, text, node string, args ...string) {
	r.t.Helper()
	var out string
	testenv.AwaitOr(r.t, func() bool {
		out = r.ip(node, args...)
		return strings.Contains(out, text) == want
	}, func() { r.t.Fatalf("in %s, ip %s: %q there: %v\n%s", node, strings.Join(args, " "), text, !want, out) })
}

// stop ends a dirsw and waits for that.
func (p *process) stop() {
	p.r.t.Helper()
	p.signal(unix.SIGTERM)
	<-p.done
	if p.err != nil {
		p.r.t.Errorf("dirsw ended with %v", p.err)
	}
}

// setLink sets an interface of a node up or down.
func (r *rig) setLink(node string, up bool) {
	r.t.Helper()
	h, l := r.inside(node)
	defer h.Close()
	set := h.LinkSetDown
	if up {
		set = h.LinkSetUp
	}
	if err := set(l); err != nil {
		r.t.Fatal(err)
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	note := r.program("note", `echo "$@" >> `+r.dir()+`/notes`)
	read := r.program("read", `cat < "$1" > `+r.dir()+`/pipe`)
	scripts := func(who string) string {
		return "notify_master \"" + note + " " + who + "-master\"\nnotify_backup \"" + note + " " + who + "-backup\"\nnotify_fault \"" + note + " " +
			who + "-fault\"\nnotify_stop \"" + note + " " + who + "-stop\"\nnotify \"" + note + " " + who + "\"\n"
	}
	conf := `global_defs {
    script_user root
    notify_fifo ` + r.dir() + `/fifo
    notify_fifo_script ` + read + `
    startup_script "` + note + ` startup"
    shutdown_script "` + note + ` shutdown"
}
vrrp_sync_group G {
    group { VI }
    ` + scripts("group") + `
}
` + instance("VI", "51", "200", vipBlock+scripts("instance")) +
		service("quorum 2\nquorum_up \""+note+" quorum-up\"\nquorum_down \""+note+" quorum-down\"\nsorry_server 192.168.56.105 80",
			"notify_up \""+note+" up ADDRESS\"\nnotify_down \""+note+" down ADDRESS\"")
	r.write(conf)
	p := r.run().ready()
	p.said("(VI) Entering MASTER STATE", 1)
	notes := []string{"startup", "quorum-up",
		"instance-backup", "instance INSTANCE VI BACKUP 200", "group-backup", "group GROUP G BACKUP 0",
		"instance-master", "instance INSTANCE VI MASTER 200", "group-master", "group GROUP G MASTER 0"}
	pipe := []string{`INSTANCE "VI" BACKUP 200`, `GROUP "G" BACKUP 0`, `INSTANCE "VI" MASTER 200`, `GROUP "G" MASTER 0`,
		`VS [192.168.56.200]:tcp:80 UP`}
	r.lines("notes", notes...)
	r.lines("pipe", pipe...)
	r.c.StopServer("rs1")
	notes, pipe = append(notes, "down 192.168.56.103", "quorum-down"), append(pipe,
		`RS [192.168.56.103]:tcp:80 [192.168.56.200]:tcp:80 DOWN`, `VS [192.168.56.200]:tcp:80 DOWN`)
	r.lines("notes", notes...)
	r.lines("pipe", pipe...)
	if who := r.mustFetch(); who != "SORRY" {
		t.Errorf("without its quorum, %s answers", who)
	}
	if err := r.c.StartServer("rs1"); err != nil {
		t.Fatal(err)
	}
	notes, pipe = append(notes, "up 192.168.56.103", "quorum-up"), append(pipe,
		`RS [192.168.56.103]:tcp:80 [192.168.56.200]:tcp:80 UP`, `VS [192.168.56.200]:tcp:80 UP`)
	r.lines("notes", notes...)
	r.lines("pipe", pipe...)
	if who := r.mustFetch(); who == "SORRY" {
		t.Error("with its quorum, the sorry server answers")
	}
	r.reload(strings.Replace(conf, "global_defs {", "global_defs {\nfifo_write_vrrp_states_on_reload", 1),
		"~ globals: fifo_write_vrrp_states_on_reload false -> true")
	pipe = append(pipe, `INSTANCE "VI" MASTER 200`, `GROUP "G" MASTER 0`)
	r.lines("pipe", pipe...)
	r.setLink("lb1", false)
	p.said("(VI) Entering FAULT STATE", 1)
	r.setLink("lb1", true)
	p.said("(VI) Entering MASTER STATE", 2)
	for _, state := range []string{"FAULT", "BACKUP", "MASTER", "STOP"} {
		lower := strings.ToLower(state)
		notes = append(notes, "instance-"+lower, "instance INSTANCE VI "+state+" 200", "group-"+lower, "group GROUP G "+state+" 0")
		pipe = append(pipe, `INSTANCE "VI" `+state+` 200`, `GROUP "G" `+state+` 0`)
	}
	p.stop()
	r.lines("notes", append(notes, "shutdown")...)
	r.lines("pipe", pipe...)
}
