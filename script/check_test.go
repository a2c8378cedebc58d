package script

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sandbox makes a directory for the test that root's programs may be in: os.TempDir is sticky, t.TempDir's own parts
// belong to this user.
func sandbox(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: files of other owners")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, path string, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	dir := sandbox(t)
	root, daemon := &User{Name: "root"}, &User{Name: "daemon", UID: 1, GID: 1, Groups: []uint32{1}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	good := write(t, dir+"/good", 0o755)
	write(t, dir+"/plain", 0o644)
	write(t, dir+"/all", 0o777)
	write(t, dir+"/group", 0o775)
	must(os.Chown(dir+"/group", 0, 7))
	write(t, dir+"/rootgroup", 0o775)
	write(t, dir+"/owned", 0o755)
	must(os.Chown(dir+"/owned", 1, 0))
	write(t, dir+"/open/x", 0o755)
	must(os.Chmod(dir+"/open", 0o777))
	write(t, dir+"/sticky/x", 0o755)
	must(os.Chmod(dir+"/sticky", 0o777|fs.ModeSticky))
	write(t, dir+"/closed/x", 0o755)
	must(os.Chmod(dir+"/closed", 0o700))
	write(t, dir+"/private", 0o700)
	write(t, dir+"/ingroup", 0o750)
	must(os.Chown(dir+"/ingroup", 0, 1))
	must(os.Symlink("good", dir+"/link"))
	must(os.Symlink(dir+"/open/x", dir+"/linkopen"))
	must(os.Symlink("../good", dir+"/open/back"))
	must(os.Symlink("loop", dir+"/loop"))
	must(os.Symlink("gone", dir+"/dangling"))

	for _, tc := range []struct {
		name     string
		path     string
		user     *User
		err      string // what the error says, in part
		insecure string // what Insecure says, in part
	}{
		{"good", "good", root, "", ""},
		{"by another user", "good", daemon, "", ""},
		{"not there", "none", root, "cannot be accessed - no such file", ""},
		{"a directory", "open", root, "not a file", ""},
		{"no execute bit", "plain", root, "is not executable for root (0:0)", ""},
		{"writable by all", "all", root, "", "/all is writable by everybody"},
		{"writable by all, run by another", "all", daemon, "", ""},
		{"writable by a group", "group", root, "", "/group is writable by group 7"},
		{"writable by root's group", "rootgroup", root, "", ""},
		{"of another owner", "owned", root, "", "/owned belongs to user 1"},
		{"in an open directory", "open/x", root, "", "/open is writable by everybody"},
		{"in a sticky directory", "sticky/x", root, "", ""},
		{"in a closed directory", "closed/x", daemon, "daemon may not enter", ""},
		{"in a closed directory, by root", "closed/x", root, "", ""},
		{"only root's", "private", daemon, "is not executable for daemon", ""},
		{"by the group", "ingroup", daemon, "", ""},
		{"a link", "link", root, "", ""},
		{"a link into an open directory", "linkopen", root, "", "/open is writable by everybody"},
		{"a link out of an open directory", "open/back", root, "", "/open is writable by everybody"},
		{"a loop", "loop", root, "cannot be accessed - ", ""},
		{"a link to nothing", "dangling", root, "cannot be accessed - no such file", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := Check(Command{Args: []string{dir + "/" + tc.path, "arg"}, User: tc.user})
			if got := text(f.Err); !strings.Contains(got, tc.err) || (got == "") != (tc.err == "") {
				t.Errorf("error %q, want %q", got, tc.err)
			}
			var got string
			if f.Insecure != nil {
				got = f.Insecure.Error()
			}
			if !strings.HasSuffix(got, tc.insecure) || (got == "") != (tc.insecure == "") {
				t.Errorf("insecure %q, want %q", got, tc.insecure)
			}
			if f.Usable(true) != (tc.err+tc.insecure == "") || f.Usable(false) != (tc.err == "") {
				t.Errorf("usable: %v with security, %v without", f.Usable(true), f.Usable(false))
			}
		})
	}

	t.Setenv("PATH", dir)
	if f := Check(Command{Args: []string{"good"}, User: root}); f.Path != good || !f.Searched || !f.Usable(true) {
		t.Errorf("in PATH: %+v", f)
	}
	if f := Check(Command{Args: []string{"none"}, User: root}); f.Usable(false) || !errors.As(f.Err, new(*NotFoundError)) {
		t.Errorf("not in PATH: %+v", f)
	}
	if f := Check(Command{}); !errors.Is(f.Err, ErrEmpty) {
		t.Errorf("no words: %+v", f)
	}
}

func TestFindingLines(t *testing.T) {
	dir := sandbox(t)
	write(t, dir+"/all", 0o777)
	write(t, dir+"/plain", 0o644)
	write(t, dir+"/good", 0o755)
	root := &User{Name: "root"}
	t.Setenv("PATH", dir)
	for _, tc := range []struct {
		program  string
		security bool
		want     string
	}{
		{dir + "/good", true, ""},
		{"good", true, "WARNING - script `good` resolved by path search to `" + dir + "/good`. Please specify full path."},
		{"exit", true, "Cannot find script exit in path - disabling"},
		{"/nonexist/x", true, "Script /nonexist/x cannot be accessed - no such file or directory"},
		{dir + "/plain", true, "WARNING - script '" + dir + "/plain' is not executable for uid:gid 0:0 - disabling."},
		{dir + "/all", true, "Unsafe permissions found for script '" + dir + "/all' - disabling. (" + dir + "/all is writable by everybody)"},
		{dir + "/all", false, "Unsafe permissions found for script '" + dir + "/all'. (" + dir + "/all is writable by everybody)"},
	} {
		c := Command{Args: []string{tc.program}, User: root}
		if got := strings.Join(Check(c).Lines(c, tc.security), "; "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.program, got, tc.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRunAsUser(t *testing.T) {
	dir := sandbox(t)
	out := dir + "/out"
	u, err := LookupUser("daemon", "", false)
	if err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(out, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(out, 0o666); err != nil {
		t.Fatal(err)
	}
	c := sh("id -u; id -g; id -G")
	c.User = u
	if r := run(t, c); string(r.Output) != "1\n1\n1\n" {
		t.Errorf("as daemon: %+v", r)
	}
	c.User = &User{UID: 1, GID: 2, Groups: []uint32{2, 7}}
	if r := run(t, c); string(r.Output) != "1\n2\n2 7\n" {
		t.Errorf("with groups: %+v", r)
	}
	c.User = &User{UID: 0, GID: 0, Groups: []uint32{0}}
	if r := run(t, c); string(r.Output) != "0\n0\n0\n" {
		t.Errorf("as root: %+v", r)
	}
}

func TestLookupUser(t *testing.T) {
	u, err := LookupUser("root", "", true)
	if err != nil {
		t.Fatal(err)
	}
	if u.UID != 0 || u.GID != 0 || len(u.Groups) == 0 || u.Groups[0] != 0 {
		t.Errorf("root: %+v", u)
	}
	if _, err := LookupUser("dirsw-nobody-has-this", "", false); text(err) != "Script user 'dirsw-nobody-has-this' does not exist" {
		t.Errorf("unknown user: %v", err)
	}
	if _, err := LookupUser("root", "dirsw-nogroup", false); text(err) != "Script group 'dirsw-nogroup' does not exist" {
		t.Errorf("unknown group: %v", err)
	}
	if g, err := LookupUser("root", "daemon", false); err != nil || g.GID != 1 || len(g.Groups) != 1 || g.Groups[0] != 1 {
		t.Errorf("with a group: %+v, %v", g, err)
	}
	if d, err := DefaultUser(false); err != nil || d != nil && d.Name != DefaultUserName {
		t.Errorf("default: %v, %v", d, err)
	}
}
