package keepalived

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/internal/testenv"
)

// liveConf has what keepalived 2.2.7 expands as its manual says, or as it does without saying so.
const liveConf = `$LEFT=@left
$NET=192.0.2${LAST}
$LAST=.${NUM}
$BODY= \
  192.0.2.7${NUM} \
  # a line that is a comment \
  192.0.2.8${NUM}
$OUTER= \
  192.0.8.1${T} \
  192.0.8.2${T}
$NUM=1
$SHORT= \
  192.0.2.60 \

global_defs {
  router_id ${_INSTANCE}
  @right smtp_helo_name wrong
  @^right smtp_helo_name helo${EMPTY}${NUM}
  $LEFT notification_email_from "from $NUM"
  script_user root
  enable_script_security
  include sub/*.inc
}
$EMPTY=
vrrp_instance V {
  interface dsw0
  virtual_router_id 5
  priority 5${NUM} # a comment ! here
  virtual_ipaddress { 192.0.2.2
    $NUM=3
    ${NET}/24
    $BODY
    $NUM=4
    ~SEQ(T, 0, 1) $OUTER
    $SHORT
    ~SEQ(A, 1, 2, 6) 192.0.3.${A}
    ~SEQ(B, 3) 192.0.4.${B}
    ~SEQx(C, 0x10, 0x12) 192.0.4.1${C}
  }
  virtual_ipaddress_excluded {
    ~SEQ(D, 9, -3, 1) 192.0.5.${D}
    ~LST(E, 1, 2) ~SEQ(F, 7, 8) 192.0.6.${E}${F}
    ~LST({G, H}, {10,1},{20,4}) 192.0.7.${G}${H}
  }
  notify "/bin/echo ${_PWD} \"a b\" 'c \"d\"' e\\x41 \101 $NUM ${NUM}"
  notify_master "/bin/echo # no ! comment" root
  notify_backup '/bin/echo one "two three"' root root
}
`

// TestAgainstKeepalived has keepalived read a configuration and tell what it understood.
func TestAgainstKeepalived(t *testing.T) {
	testenv.NeedProgram(t, "keepalived")
	ns := testenv.NewNamespace(t)
	testenv.Veth(t, testenv.End{In: ns, Name: "dsw0", Addrs: []string{"192.0.2.200/24"}}, testenv.End{In: ns, Name: "dsw1"})
	dir := t.TempDir()
	files := map[string]string{"k.conf": strings.Replace(liveConf, "$EMPTY=\n", "", 1),
		"sub/b.inc": "  snmp_socket ${_PWD}\n", "sub/a.inc": "  default_interface dsw0\n"}
	files["k.conf"] = "$EMPTY=\n" + files["k.conf"]
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	theirs := dumped(t, ns, filepath.Join(dir, "k.conf"), "-i", "left")

	f, err := os.Open(filepath.Join(dir, "k.conf"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, _, err := Parse(f.Name(), f, &Options{ConfigID: "left", Glob: filepath.Glob,
		Open: func(name string) (io.ReadCloser, error) { return os.Open(name) }})
	if err != nil {
		t.Fatal(err)
	}
	ours := understood(m)
	for i := range max(len(ours), len(theirs)) {
		var a, b string
		if i < len(ours) {
			a = ours[i]
		}
		if i < len(theirs) {
			b = theirs[i]
		}
		if a != b {
			t.Errorf("dirsw      %s\nkeepalived %s", a, b)
		}
	}
}

// understood writes what of a Model is compared.
func understood(m *config.Model) []string {
	in := &m.Instances[0]
	out := []string{"router " + m.Globals.RouterID, "helo " + m.Globals.SMTPHeloName, "from " + m.Globals.NotificationEmailFrom,
		fmt.Sprint("priority ", in.Priority)}
	for _, excluded := range []bool{false, true} {
		for _, a := range in.Addresses {
			if a.Excluded == excluded {
				out = append(out, "address "+strings.TrimSuffix(strings.TrimSuffix(a.Prefix.String(), "/128"), "/32"))
			}
		}
	}
	for _, n := range []struct {
		name string
		c    config.Command
	}{{"Backup", in.Notify.Backup}, {"Master", in.Notify.Master}, {"Generic", in.Notify.Any}} {
		out = append(out, n.name+" '"+strings.Join(n.c.Args, "' '")+"'")
	}
	return out
}

// dumped runs keepalived and takes the same out of what it says at its start.
func dumped(t *testing.T, ns *testenv.Namespace, conf string, args ...string) (out []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience)
	defer cancel()
	dir := filepath.Dir(conf)
	cmd := exec.CommandContext(ctx, "keepalived", append([]string{"-P", "-n", "-l", "-D", "-d", "-f", conf, "-p", dir + "/p1", "-r", dir + "/p2"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	ns.Do(t, func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	stamp := regexp.MustCompile(`^\w+ \w+ +\d+ [\d:]+ \d+: `)
	patterns := []struct {
		re  *regexp.Regexp
		out string
	}{
		{regexp.MustCompile(`^ Router ID = (.*)`), "router "}, {regexp.MustCompile(`^ Smtp HELO name = (.*)`), "helo "},
		{regexp.MustCompile(`^ Email notification from = (.*)`), "from "}, {regexp.MustCompile(`^   Priority = (\d+)`), "priority "},
		{regexp.MustCompile(`^     ([0-9a-f.:/]+) dev dsw0 scope`), "address "},
		{regexp.MustCompile(`^   (Master|Backup|Generic) state transition script = (.*), uid`), ""},
	}
	var said []string
	for s := bufio.NewScanner(pipe); s.Scan(); {
		line := stamp.ReplaceAllString(s.Text(), "")
		said = append(said, line)
		for _, p := range patterns {
			if m := p.re.FindStringSubmatch(line); m != nil {
				out = append(out, p.out+strings.Join(m[1:], " "))
			}
		}
		if strings.HasPrefix(line, "------< Interfaces") {
			cancel()
		}
	}
	_ = cmd.Wait() // it was told to end
	if !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, "------< Interfaces") }) {
		t.Fatalf("keepalived did not tell what it understood:\n%s", strings.Join(said, "\n"))
	}
	for i := range out {
		out[i] = strings.Replace(out[i], "/usr/bin/echo", "/bin/echo", 1) // it resolves links
	}
	return out
}
