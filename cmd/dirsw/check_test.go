package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dirsw/internal/testenv"
)

// TestCheckSamples reads every sample configuration of the installed keepalived: none may be refused.
func TestCheckSamples(t *testing.T) {
	testenv.NeedProgram(t, "keepalived")
	files, _ := filepath.Glob("/usr/share/doc/keepalived/samples/keepalived.conf.*")
	if len(files) == 0 {
		if testenv.Privileged() {
			t.Fatal("keepalived is installed without its samples")
		}
		t.Skip("keepalived is installed without its samples")
	}
	if len(files) < 24 {
		t.Errorf("only %d samples", len(files))
	}
	for _, f := range files {
		t.Run(strings.TrimPrefix(filepath.Base(f), "keepalived.conf."), func(t *testing.T) {
			ids := []string{""}
			if strings.HasSuffix(f, "conditional_conf") { // it is for one of two directors
				ids = []string{"high", "low"}
			}
			for _, id := range ids {
				_, errs, code := call("check", "-q", "-f", f, "-i", id)
				if code != exitOK && code != exitUnsafe {
					t.Errorf("-i %q: exit %d\n%s", id, code, errs)
				}
				printed, errs, code := call("check", "--print", "-q", "-f", f, "-i", id)
				if code != exitOK {
					t.Fatalf("--print: exit %d\n%s", code, errs)
				}
				again, errs, code := call("check", "--print", "-q", "-f", file(t, "printed.conf", printed))
				if code != exitOK || again != printed {
					t.Errorf("what was printed is read otherwise: exit %d\n%s\n%s\n%s", code, errs, printed, again)
				}
			}
		})
	}
}

const pairConf = `global_defs {
  @a router_id left
  @b router_id right
}
vrrp_instance V {
  interface eth0
  virtual_router_id 7
  @a priority 150
  @b priority 100
  virtual_ipaddress {
    192.0.2.1
  }
}
`

func TestCheckPeer(t *testing.T) {
	both := file(t, "both.conf", pairConf)
	other := file(t, "other.conf", strings.ReplaceAll(pairConf, "virtual_router_id 7", "virtual_router_id 8"))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"one file for both", []string{"-f", both, "-i", "a", "--peer", both, "--peer-id", "b"}, exitOK, "make a pair"},
		{"the same director twice", []string{"-f", both, "-i", "a", "--peer", both, "--peer-id", "a", "--strict"}, exitFailed, "priority 150"},
		{"another virtual router", []string{"-f", both, "-i", "a", "--peer", other, "--peer-id", "b"}, exitComplain, "virtual_router_id 7 of \"V\", and 8"},
		{"no such file", []string{"-f", both, "--peer", both + "x"}, exitConfig, "cannot be read"},
	} {
		out, errs, code := call(append([]string{"check"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", c.name, code, c.code, c.want, out, errs)
		}
	}
}

func TestCheckScripts(t *testing.T) {
	program := file(t, "notify.sh", "#!/bin/sh\n")
	if err := os.Chmod(program, 0o777); err != nil {
		t.Fatal(err)
	}
	conf := func(security string) string {
		return file(t, "k.conf", "global_defs {\n  script_user root\n"+security+"}\nvrrp_script S {\n  script "+program+"\n}\n")
	}
	for _, c := range []struct {
		name, security string
		code           int
	}{{"told", "", exitOK}, {"forbidden", "  enable_script_security\n", exitUnsafe}} {
		if out, errs, code := call("check", "-f", conf(c.security)); code != c.code || !strings.Contains(out+errs, "Unsafe permissions") {
			t.Errorf("%s: exit %d\n%s%s", c.name, code, out, errs)
		}
	}
	missing := file(t, "k.conf", "vrrp_script S {\n  script /not/there\n}\n")
	if out, _, code := call("check", "-f", missing, "--strict"); code != exitFailed || !strings.Contains(out, "cannot be accessed") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, _, code := call("check", "-f", missing, "--print"); code != exitOK || strings.Contains(out, "note") {
		t.Errorf("--print: exit %d, and what is printed is no configuration\n%s", code, out)
	}
}
