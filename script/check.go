package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// NotFoundError says that a program cannot be reached: it does not exist, is no file, or a directory of its path is
// closed to the user.
type NotFoundError struct {
	Program string
	Err     error
}

// Error says what is in the way.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("Script %s cannot be accessed - %v", e.Program, e.Err)
}

// Unwrap returns the cause.
func (e *NotFoundError) Unwrap() error { return e.Err }

// NotExecutableError says that a program exists, and that its user may not execute it.
type NotExecutableError struct {
	Program string
	User    *User
}

// Error names the program and the user.
func (e *NotExecutableError) Error() string {
	return fmt.Sprintf("script '%s' is not executable for %v", e.Program, e.User)
}

// InsecureError says that a program that is to run as root can be changed or replaced by somebody else.
type InsecureError struct {
	Program string
	Part    string // the file or directory that others may change
	Why     string
}

// Error says which part of the path, and why.
func (e *InsecureError) Error() string {
	return fmt.Sprintf("Unsafe permissions found for script '%s': %s %s", e.Program, e.Part, e.Why)
}

// Finding is what Check has to say about a command.
type Finding struct {
	// Path is where the program is; empty if it was not found.
	Path string
	// Searched reports that the command named no directory, and the program was found in PATH.
	Searched bool
	// Err is a *NotFoundError or *NotExecutableError: the command cannot work.
	Err error
	// Insecure says who else could change what root executes. With enable_script_security such a command must not be
	// run; without it, it should not.
	Insecure *InsecureError
}

// Usable reports whether the command can be run, given whether script security is enabled.
func (f Finding) Usable(security bool) bool { return f.Err == nil && (!security || f.Insecure == nil) }

// Check looks whether a command can be run by its user, and run safely. It reads the file system and changes nothing.
// Security is asked for only of what runs as root, as keepalived does: every directory of the path, of the links in it
// and of where they lead, must belong to root and be writable by root alone.
func Check(c Command) Finding {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return Finding{Err: ErrEmpty}
	}
	f := Finding{Path: c.Args[0]}
	if !strings.Contains(f.Path, "/") {
		found, err := exec.LookPath(f.Path)
		if err != nil {
			return Finding{Searched: true, Err: &NotFoundError{c.Args[0], searchError(err)}}
		}
		f.Path, f.Searched = found, true
	}
	f.Path, _ = filepath.Abs(f.Path)
	u := c.User
	if u == nil {
		u = self()
	}
	if f.Err = reachable(f.Path, u); f.Err != nil {
		return f
	}
	if u.UID == 0 {
		f.Insecure = secure(f.Path)
	}
	return f
}

func searchError(err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// reachable reports why u cannot execute the file at path.
func reachable(path string, u *User) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return &NotFoundError{path, cause(err)}
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil {
			return &NotFoundError{path, cause(err)}
		}
		if !mayExecute(st, u) {
			return &NotFoundError{path, fmt.Errorf("%s may not enter %s", u.Name, dir)}
		}
		if dir == "/" {
			break
		}
	}
	st, err := os.Stat(real)
	switch {
	case err != nil:
		return &NotFoundError{path, cause(err)}
	case !st.Mode().IsRegular():
		return &NotFoundError{path, errors.New("not a file")}
	case !mayExecute(st, u):
		return &NotExecutableError{path, u}
	}
	return nil
}

// mayExecute reports whether u may execute a file, or enter a directory, by its mode bits.
func mayExecute(st fs.FileInfo, u *User) bool {
	mode := st.Mode().Perm()
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case u.UID == 0:
		return st.IsDir() || mode&0o111 != 0
	case ok && sys.Uid == u.UID:
		return mode&0o100 != 0
	case ok && u.is(sys.Gid):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// secure looks at each part of path from the root on. A link is looked at as such, and then where it leads.
func secure(path string) *InsecureError {
	const maxLinks = 40 // as the kernel's MAXSYMLINKS
	rest, links := path, 0
	done := "/"
	for part := "/"; ; {
		st, err := os.Lstat(part)
		if err != nil {
			return &InsecureError{path, part, "cannot be looked at: " + cause(err).Error()}
		}
		if why := unsafePart(st); why != "" {
			return &InsecureError{path, part, why}
		}
		if st.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(part)
			if links++; err != nil || links > maxLinks {
				return &InsecureError{path, part, "is a link that leads nowhere"}
			}
			if filepath.IsAbs(to) {
				done = "/"
			}
			rest = to + "/" + rest
		} else {
			done = part
		}
		var next string
		for next == "" || next == "." {
			if rest == "" {
				return nil
			}
			next, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		}
		part = filepath.Join(done, next)
	}
}

// unsafePart says why somebody who is not root could change one part of a path, or "".
func unsafePart(st fs.FileInfo) string {
	sys, ok := st.Sys().(*syscall.Stat_t)
	mode := st.Mode()
	switch {
	case !ok:
		return "cannot be looked at"
	case sys.Uid != 0:
		return fmt.Sprintf("belongs to user %d", sys.Uid)
	case mode&fs.ModeSymlink != 0, mode.IsDir() && mode&fs.ModeSticky != 0:
		return "" // a link's mode means nothing; in a sticky directory only the owner of a file can replace it
	case mode.Perm()&0o002 != 0:
		return "is writable by everybody"
	case mode.Perm()&0o020 != 0 && sys.Gid != 0:
		return fmt.Sprintf("is writable by group %d", sys.Gid)
	}
	return ""
}

// cause is an error of the file system without the name of the call and the path.
func cause(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Lines are keepalived's log lines about a command, given whether script security is enabled; none if all is well.
func (f Finding) Lines(c Command, security bool) []string {
	var lines []string
	u := c.User
	if u == nil {
		u = self()
	}
	var notFound *NotFoundError
	var notExecutable *NotExecutableError
	switch {
	case f.Searched && errors.As(f.Err, &notFound):
		return []string{fmt.Sprintf("Cannot find script %s in path - disabling", c.Name())}
	case errors.As(f.Err, &notExecutable):
		return []string{fmt.Sprintf("WARNING - script '%s' is not executable for uid:gid %d:%d - disabling.", f.Path, u.UID, u.GID)}
	case f.Err != nil:
		return []string{f.Err.Error()}
	}
	if f.Searched {
		lines = append(lines, fmt.Sprintf("WARNING - script `%s` resolved by path search to `%s`. Please specify full path.", c.Name(), f.Path))
	}
	if f.Insecure != nil {
		end := "."
		if security {
			end = " - disabling."
		}
		lines = append(lines, fmt.Sprintf("Unsafe permissions found for script '%s'%s (%s %s)", f.Path, end, f.Insecure.Part, f.Insecure.Why))
	}
	return lines
}

// self is who this process is.
func self() *User { return &User{Name: "dirsw", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())} }
