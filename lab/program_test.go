package lab

import (
	"os"
	"testing"
)

// TestProgram: ipvsadm is dirsw itself, by its bare name only.
func TestProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, own := range map[string]bool{"ipvsadm": true, "ipvsadm-save": true, "ipvsadm-restore": true, "sh": false, "/bin/sh": false} {
		if path, err := program(name); err != nil || (path == self) != own {
			t.Errorf("%s: %s, %v", name, path, err)
		}
	}
	if path, err := program("/usr/sbin/ipvsadm-that-is-not-there"); err == nil {
		t.Errorf("got %s", path)
	}
}
