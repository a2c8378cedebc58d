package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dirsw/config"
	"dirsw/vrrp"
)

// TestDumpForms compares what is written with what keepalived 2.2.7 wrote of the same instance.
func TestDumpForms(t *testing.T) {
	c := vrrp.Defaults()
	c.Name, c.VRID, c.Interface = "VI_1", 51, "eth0"
	c.Addresses = []vrrp.Address{{Prefix: netip.MustParsePrefix("10.0.0.9/32")}}
	in := vrrp.InstanceState{Config: c, State: vrrp.Master, Want: vrrp.Master, BasePriority: 255, Priority: 255, TotalPriority: 255, VIPSet: true,
		Stats: vrrp.Stats{AdvertSent: 3, BecomeMaster: 1}}
	var out strings.Builder
	dumpCounters(&out, &in)
	const stats = `VRRP Instance: VI_1
  Advertisements:
    Received: 0
    Sent: 3
  Became master: 1
  Released master: 0
  Packet Errors:
    Length: 0
    TTL: 0
    Invalid Type: 0
    Advertisement Interval: 0
    Address List: 0
  Authentication Errors:
    Invalid Type: 0
    Type Mismatch: 0
    Failure: 0
  Priority Zero:
    Received: 0
    Sent: 0
`
	if out.String() != stats {
		t.Errorf("counters\n%s\nwant\n%s", out.String(), stats)
	}
	text, err := json.Marshal(instancesJSON([]vrrp.InstanceState{in}, 0, time.Unix(0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"iname":"VI_1"`, `"vips":["10.0.0.9 dev eth0 scope global set"]`, `"state":2`, `"vipset":true`, `"nopreempt":false`,
		`"advert_sent":3`, `"base_priority":255`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	for version, want := range map[int]string{0: "[]\n", 1: "[]\n", 2: `{"vrrp":[]}` + "\n"} {
		out.Reset()
		if dumpJSON(&out, []map[string]any{}, version); out.String() != want {
			t.Errorf("json_version %d: %q, want %q", version, out.String(), want)
		}
	}
	out.Reset()
	dumpInstance(&out, &in)
	if want := "     10.0.0.9 dev eth0 scope global set\n"; !strings.HasSuffix(out.String(), want) || !strings.Contains(out.String(), "   State = MASTER\n") {
		t.Errorf("state\n%s", out.String())
	}
}

// TestReplaceFile holds that a link which somebody has laid in the way is not followed.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	other, name := filepath.Join(dir, "other"), filepath.Join(dir, "keepalived.data")
	if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, name); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(name, "text"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{other: "mine", name: "text"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", file, got, err, want)
		}
	}
	if st, err := os.Lstat(name); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if got := dumpFiles(&config.DumpGlobals{Stats: "/x"}); got[syscall.SIGUSR2] != "/x" || got[syscall.SIGUSR1] != filepath.Join(os.TempDir(), "keepalived.data") {
		t.Errorf("files %v", got)
	}
}
