package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"dirsw/internal/testenv"
)

// listed waits until ipvsadm -Ln holds these texts, or holds them no more; runs of spaces count as one.
func (r *rig) listed(want bool, texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		var out string
		testenv.AwaitOr(r.t, func() bool {
			out, _ = r.tool("ipvsadm", "--socket", r.sock, "-Ln")
			return strings.Contains(strings.Join(strings.Fields(out), " "), text) == want
		}, func() { r.t.Fatalf("%q is listed: %v\n%s", text, !want, out) })
	}
}

// agent answers every connection in a node with a line that can be changed.
func (r *rig) agent(node, addr string) (say func(string)) {
	r.t.Helper()
	l, err := r.c.Listen(node, addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	line := "100%"
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			fmt.Fprintf(c, "%s\n", line)
			mu.Unlock()
			c.Close()
		}
	}()
	return func(s string) {
		mu.Lock()
		defer mu.Unlock()
		line = s
	}
}

// TestWeightsOfChecks lets programs, agents, files and neighbours of BFD say the weights.
func TestWeightsOfChecks(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	r.put("code", "0")
	misc := r.program("misc", "exit $(cat "+r.dir()+"/code)")
	value := r.put("value", "0\n")
	say := r.agent("rs2", ":7777")
	timing := "delay_loop 0.2\ndelay_before_retry 0.1\nretry 0\nwarmup 0\n"
	server := func(addr, check string) string {
		return "real_server " + addr + " 80 {\nweight 10\n" + check + "\n}\n"
	}
	r.write("global_defs {\nscript_user root\n}\ntrack_file F {\nfile \"" + value + "\"\nweight 1\n}\nbfd_instance B {\nneighbor_ip 192.168.56.102\nmin_rx 300\nmin_tx 300\nidle_tx 1000\nmultiplier 3\n}\n" +
		instance("VI", "51", "200", vipBlock) + "virtual_server 192.168.56.200 80 {\nlvs_sched wrr\nlvs_method DR\nprotocol TCP\n" +
		server("192.168.56.103", "MISC_CHECK {\nmisc_path \""+misc+"\"\nmisc_dynamic\n"+timing+"}") +
		server("192.168.56.104", "AGENT_CHECK {\nconnect_port 7777\nconnect_timeout 5\nmin_interval 0\nmax_step 0\n"+timing+"}") +
		server("192.168.56.105", "FILE_CHECK {\ntrack_file F\nweight 1\n}") +
		server("192.168.56.1", "BFD_CHECK {\nname B\n}") + "}\n")
	p := r.run().ready()
	r.listed(true, "192.168.56.103:80 Route 10", "192.168.56.104:80 Route 10", "192.168.56.105:80 Route 10")
	r.listed(false, "192.168.56.1:80")
	q := r.other("bfd_instance B {\nneighbor_ip 192.168.56.101\nmin_rx 300\nmin_tx 300\nidle_tx 1000\nmultiplier 3\n}\n" + instance("VI", "51", "150", vipBlock))
	r.listed(true, "192.168.56.1:80 Route 10")
	r.put("code", "7")
	say("50%")
	r.put("value", "-4\n")
	r.listed(true, "192.168.56.103:80 Route 5", "192.168.56.104:80 Route 5", "192.168.56.105:80 Route 6")
	r.put("code", "1")
	say("down")
	r.put("value", "-254\n")
	r.listed(false, "192.168.56.103:80", "192.168.56.104:80")
	r.listed(true, "192.168.56.105:80 Route 0")
	out, _ := r.tool("explain", "--socket", r.sock, "tcp 192.168.56.1:4000 > 192.168.56.200:80")
	for _, want := range []string{"192.168.56.103:80 weight 10 is down: MISC_CHECK ", "192.168.56.104:80 weight 10 is down: AGENT_CHECK "} {
		if !strings.Contains(out, want) {
			t.Errorf("dirsw explain lacks %q:\n%s", want, out)
		}
	}
	r.put("code", "0")
	say("up 100%")
	r.put("value", "0\n")
	r.listed(true, "192.168.56.103:80 Route 10", "192.168.56.104:80 Route 10", "192.168.56.105:80 Route 10")
	say("drain")
	r.listed(true, "192.168.56.104:80 Route 0")
	say("ready")
	r.listed(true, "192.168.56.104:80 Route 10")
	_ = q.cmd.Process.Kill()
	r.listed(false, "192.168.56.1:80")
	p.stop()
}

// TestAlphaOmega has servers prove themselves first, and go down at the end.
func TestAlphaOmega(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	note := r.program("note", `echo "$@" >> `+r.dir()+`/notes`)
	r.c.StopServer("rs2")
	r.write("global_defs {\n script_user root\n}\n" + instance("VI", "51", "200", vipBlock) + service("alpha\nomega\nquorum_up \""+note+
		" quorum-up\"\nquorum_down \""+note+" quorum-down\"", "notify_up \""+note+" up ADDRESS\"\nnotify_down \""+note+" down ADDRESS\""))
	p := r.run().ready()
	r.listed(true, "192.168.56.103:80 Route 1")
	r.lines("notes", "up 192.168.56.103", "quorum-up", "down 192.168.56.104")
	r.mustFetch()
	r.listed(false, "192.168.56.104:80")
	out, _ := r.tool("explain", "--socket", r.sock, "tcp 192.168.56.1:4000 > 192.168.56.200:80")
	if !strings.Contains(out, "192.168.56.104:80 weight 1 is down: TCP_CHECK ") {
		t.Errorf("dirsw explain:\n%s", out)
	}
	p.stop()
	r.lines("notes", "up 192.168.56.103", "quorum-up", "down 192.168.56.104", "down 192.168.56.103", "quorum-down")
	p.said("Shutting down service [192.168.56.104]:tcp:80 from VS [192.168.56.200]:tcp:80", 1)
}

// TestSuspended has the checks of a service rest while another director has its address (ha_suspend).
func TestSuspended(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	r.write(instance("VI", "51", "150", vipBlock) + service("ha_suspend", ""))
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	p.said("success.", 2)
	q := r.other(instance("VI", "51", "200", vipBlock) + service("", ""))
	q.said("Entering MASTER STATE", 1)
	testenv.Await(t, "the checks to rest", func() bool {
		out, _ := r.tool("health", "--socket", r.sock)
		return strings.Count(out, "suspended") == 2
	})
	r.c.StopServer("rs1")
	q.said("Removing service [192.168.56.103]:tcp:80", 1)
	if strings.Contains(p.text(), "Removing service") {
		t.Error("a check that should rest found something")
	}
	q.stop()
	p.said("Removing service [192.168.56.103]:tcp:80", 1)
	if err := r.c.StartServer("rs1"); err != nil {
		t.Fatal(err)
	}
	p.said("Adding service [192.168.56.103]:tcp:80", 1)
}

// TestPathCheck takes the virtual address from a real server that answers by its own address all the same.
func TestPathCheck(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	conf := instance("VI", "51", "200", vipBlock) + service("", "")
	r.write(strings.ReplaceAll(conf, "TCP_CHECK {", "TCP_CHECK {\n check_path vip"))
	p := r.run().ready()
	p.said("success.", 2)
	r.ip("rs1", "addr", "del", "192.168.56.200/32", "dev", "lo")
	p.said("the way of clients and the plain check disagree about a real server", 1)
	r.listed(true, "192.168.56.103:80 Route 1")
	r.ip("rs1", "addr", "add", "192.168.56.200/32", "dev", "lo")
	p.said("the way of clients and the plain check agree again about a real server", 1)
}

// postbox takes mails in a node and passes on what they say.
func (r *rig) postbox(node, addr string) <-chan string {
	r.t.Helper()
	l, err := r.c.Listen(node, addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	mails := make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				mails <- takeMail(c)
			}()
		}
	}()
	return mails
}

// takeMail is the server's side of one session of SMTP (RFC 5321); it returns the envelope and the text.
func takeMail(c net.Conn) string {
	var text strings.Builder
	in := bufio.NewReader(c)
	fmt.Fprint(c, "220 mx.example.org\r\n")
	for data := false; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return text.String()
		}
		line = strings.TrimRight(line, "\r\n")
		switch word, _, _ := strings.Cut(strings.ToUpper(line), " "); {
		case data && line == ".":
			data = false
			_, _ = io.WriteString(c, "250 taken\r\n")
		case data:
			fmt.Fprintln(&text, line)
		case word == "DATA":
			data = true
			_, _ = io.WriteString(c, "354 go on\r\n")
		case word == "QUIT":
			_, _ = io.WriteString(c, "221 bye\r\n")
			return text.String()
		default:
			fmt.Fprintln(&text, line)
			_, _ = io.WriteString(c, "250 yes\r\n")
		}
	}
}

// TestMails has people told of instances, real servers and the quorum.
func TestMails(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	mails := r.postbox("client", ":2525")
	r.write("global_defs {\nrouter_id LB1\nnotification_email {\nops@example.org\n}\nnotification_email_from lb1@example.org\nsmtp_server 192.168.56.1 2525\nsmtp_connect_timeout 30\n}\n" +
		instance("VI", "51", "200", vipBlock+"smtp_alert") + service("quorum 2\nsmtp_alert", "smtp_alert"))
	r.run().ready().said("success.", 2)
	r.c.StopServer("rs1")
	want := map[string]bool{
		"Subject: [LB1] VRRP Instance VI - Entering MASTER state":                                            false,
		"Subject: [LB1] Realserver [192.168.56.103]:tcp:80 of virtual server [192.168.56.200]:tcp:80 - DOWN": false,
		"Subject: [LB1] Virtualserver [192.168.56.200]:tcp:80 - DOWN":                                        false,
	}
	var all strings.Builder
	testenv.AwaitOr(t, func() bool {
		select {
		case m := <-mails:
			fmt.Fprintln(&all, m)
			if !strings.Contains(m, "RCPT TO:<ops@example.org>") || !strings.Contains(m, "MAIL FROM:<lb1@example.org>") {
				t.Errorf("its envelope:\n%s", m)
			}
			for subject := range want {
				want[subject] = want[subject] || strings.Contains(m, subject)
			}
		default:
		}
		for _, came := range want {
			if !came {
				return false
			}
		}
		return true
	}, func() { t.Fatalf("of %v came\n%s", want, all.String()) })
}
