package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dirsw/config"
	"dirsw/config/keepalived"
	"dirsw/director"
	"dirsw/sched"
)

// errNoFile marks a configuration that cannot be read at all.
var errNoFile = errors.New("cannot be read")

// load reads a configuration and looks for everything that is wrong with it, also with what this version can serve. The
// error is a config.Errors, or wraps errNoFile.
func load(file string) (*config.Model, []config.Note, error) { return loadAs(file, "") }

// loadAs is load for the director of that name, which conditional lines (@NAME) are for; "": this host's.
func loadAs(file, id string) (*config.Model, []config.Note, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("the configuration %w: %v", errNoFile, err)
	}
	defer f.Close()
	m, notes, err := keepalived.Parse(file, f, options(id))
	if m == nil {
		return nil, notes, err
	}
	if err := config.Join(err, m.Validate(sched.Names()), director.Unserved(m)); err != nil {
		return nil, notes, err
	}
	return m, append(notes, m.MarkNotes()...), nil
}

// defineID defines the flags that say for which director a file is read.
func defineID(fs *flag.FlagSet, id *string) {
	fs.StringVar(id, "i", "", "`name` of the director that the file is read for: lines that begin with @NAME are for it (default: this host's)")
	fs.StringVar(id, "config-id", "", "the same as -i")
}

// options lets a configuration ask this machine.
func options(id string) *keepalived.Options {
	if id == "" {
		host, _ := os.Hostname() // without it, conditional lines are for nobody
		id, _, _ = strings.Cut(host, ".")
	}
	dir, _ := os.Getwd() // without it, ${_PWD} stays relative
	return &keepalived.Options{
		Open:     func(name string) (io.ReadCloser, error) { return os.Open(name) },
		Glob:     filepath.Glob,
		ConfigID: id,
		Dir:      dir,
		Env:      os.LookupEnv,
		Seed:     uint64(time.Now().UnixNano()),
	}
}
