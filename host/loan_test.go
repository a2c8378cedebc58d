package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dirsw/internal/testenv"
)

// sameSettings fails where a setting of a link is another than it was before.
func (n *node) sameSettings(before map[string]string) {
	n.t.Helper()
	after := n.settings()
	for key, value := range before {
		if after[key] != value {
			n.t.Errorf("%s is left at %q, was %q", key, after[key], value)
		}
	}
}

// TestSettingsOutliveAKill: what a director that was killed has changed for its VMAC is restored by the one after it, whether
// that changes it again until its end or has no VMAC any more.
func TestSettingsOutliveAKill(t *testing.T) {
	testenv.NeedProgram(t, "sysctl")
	v := VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
	for _, c := range []struct {
		name string
		next func(t *testing.T, here *node, h *Host) (last *Host)
	}{
		{"no VMAC any more", func(t *testing.T, here *node, h *Host) *Host {
			must(t, h.VMACs().Sweep(func(string) bool { return false }))
			return h
		}},
		{"the same again", func(t *testing.T, here *node, h *Host) *Host {
			m := h.VMACs()
			must(t, m.Make(v))
			must(t, h.ReturnSettings())
			if got := here.settings()["net.ipv4.conf.veth0.arp_ignore"]; got != "1" {
				t.Errorf("arp_ignore is %q under a VMAC, want 1", got)
			}
			must(t, m.Remove(v.Name))
			return h
		}},
		{"killed again, and no VMAC", func(t *testing.T, here *node, h *Host) *Host {
			must(t, h.VMACs().Make(v))
			last := here.host()
			last.KeepSettings(h.loans.path)
			must(t, last.VMACs().Sweep(func(string) bool { return false }))
			return last
		}},
		{"killed before it was ready", func(t *testing.T, here *node, h *Host) *Host {
			must(t, h.VMACs().Make(VMAC{Name: "vrrp.52", Base: "veth1", MAC: [6]byte{0, 0, 0x5e, 0, 1, 52}}))
			last := here.host()
			last.KeepSettings(h.loans.path)
			must(t, last.VMACs().Sweep(func(string) bool { return false }))
			return last
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			here, there, h := pair(t)
			here.wire("veth1", there, "peer1")
			here.sysctl("net.ipv4.conf.all.rp_filter", "1")
			here.sysctl("net.ipv4.conf.veth0.rp_filter", "2")
			clean := here.settings()
			path := filepath.Join(t.TempDir(), "settings")
			h.KeepSettings(path)
			restore, err := h.PromoteSecondaries("veth0")
			must(t, err)
			must(t, restore())
			here.sameSettings(clean)
			_, err = h.PromoteSecondaries("veth0")
			must(t, err)
			must(t, h.VMACs().Make(v)) // and it was killed
			changed := here.settings()
			for _, key := range []string{"veth0.arp_ignore", "veth0.arp_filter", "veth0.promote_secondaries", "all.rp_filter", "default.rp_filter"} {
				if key = "net.ipv4.conf." + key; changed[key] == clean[key] {
					t.Errorf("%s is %q as before: what is there to restore?", key, changed[key])
				}
			}
			next := here.host()
			next.KeepSettings(path)
			must(t, c.next(t, here, next).ReturnSettings())
			here.sameSettings(clean)
			if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
				t.Errorf("%v are left, %v", left, err)
			}
		})
	}
}

// TestSettingsOfOthersStay: what somebody has set since, and what belongs to another namespace, is left alone; a file that says
// nothing is no harm.
func TestSettingsOfOthersStay(t *testing.T) {
	testenv.NeedProgram(t, "sysctl")
	v := VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
	here, other, h := pair(t)
	path := filepath.Join(t.TempDir(), "settings")
	h.KeepSettings(path)
	must(t, h.VMACs().Make(v)) // and it was killed
	other.wire("veth0", here, "back0")
	other.sysctl("net.ipv4.conf.veth0.arp_ignore", "1")
	there := other.host()
	there.KeepSettings(path)
	must(t, there.ReturnSettings())
	if got := other.settings()["net.ipv4.conf.veth0.arp_ignore"]; got != "1" {
		t.Errorf("arp_ignore in another namespace is %q, was 1", got)
	}

	path = filepath.Join(t.TempDir(), "settings")
	h.KeepSettings(path)
	h.keep()
	here.sysctl("net.ipv4.conf.veth0.arp_ignore", "2")
	next := here.host()
	next.KeepSettings(path)
	m := next.VMACs()
	must(t, m.Make(v))
	must(t, m.Remove(v.Name))
	must(t, next.ReturnSettings())
	after := here.settings()
	if ignore, filter := after["net.ipv4.conf.veth0.arp_ignore"], after["net.ipv4.conf.veth0.arp_filter"]; ignore != "2" || filter != "0" {
		t.Errorf("arp_ignore is %q, want 2 as somebody set it; arp_filter is %q, want 0 as it was", ignore, filter)
	}

	for _, text := range []string{"", "{", "[]", strings.Repeat("x", 1<<16)} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		h := here.host()
		h.KeepSettings(path)
		m := h.VMACs()
		must(t, m.Make(v))
		must(t, m.Remove(v.Name))
		must(t, h.ReturnSettings())
		if _, err := os.Stat(path); err == nil {
			t.Errorf("after %.10q the file is left", text)
		}
	}
	h = here.host()
	h.KeepSettings(filepath.Join(path, "nowhere")) // it goes on without
	m = h.VMACs()
	must(t, m.Make(v))
	must(t, m.Remove(v.Name))
}
