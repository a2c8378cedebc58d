package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Privileged reports whether the environment promises that tests may make network namespaces, attach programs and lock
// memory: DIRSW_PRIVILEGED=1. A test that finds it otherwise then fails instead of skipping.
func Privileged() bool { return os.Getenv("DIRSW_PRIVILEGED") == "1" }

// NeedNetAdmin lets a test go on that makes network namespaces or attaches programs: as root, and not with -short
// (unless DIRSW_PRIVILEGED=1). Otherwise it skips and says why, or fails where privilege is promised.
func NeedNetAdmin(t testing.TB) {
	t.Helper()
	switch {
	case os.Geteuid() != 0 && Privileged():
		t.Fatal("DIRSW_PRIVILEGED=1 but not root")
	case os.Geteuid() != 0:
		t.Skip("needs root, for network namespaces")
	case testing.Short() && !Privileged():
		t.Skip("makes network namespaces: left out with -short")
	}
}

// NeedProgram skips the test where a program is missing, and fails it where privilege is promised: what tests need is then
// installed.
func NeedProgram(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if Privileged() {
		t.Fatalf("no %s on this machine: .ci/deps installs it", name)
	}
	t.Skipf("no %s on this machine", name)
}
