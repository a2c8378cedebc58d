package testenv

import (
	"os"
	"testing"
)

// recorder is a testing.TB that remembers how the test ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()      {}
func (r *recorder) Fatal(...any) { r.ended = "failed" }
func (r *recorder) Skip(...any)  { r.ended = "skipped" }

func TestNeedNetAdmin(t *testing.T) {
	root, short := os.Geteuid() == 0, testing.Short()
	for _, tt := range []struct {
		name, promise string
		want          string
	}{
		{"promised", "1", map[bool]string{true: "", false: "failed"}[root]},
		{"not promised", "", map[bool]string{true: "", false: "skipped"}[root && !short]},
		{"anything else is no promise", "0", map[bool]string{true: "", false: "skipped"}[root && !short]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("DIRSW_PRIVILEGED", tt.promise)
			r := &recorder{TB: t}
			NeedNetAdmin(r)
			if r.ended != tt.want {
				t.Errorf("ended %q, want %q", r.ended, tt.want)
			}
		})
	}
}
