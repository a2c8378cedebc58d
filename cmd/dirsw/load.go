package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"dirsw/config"
	"dirsw/config/keepalived"
	"dirsw/director"
	"dirsw/sched"
)

// errNoFile marks a configuration that cannot be read at all.
var errNoFile = errors.New("cannot be read")

// load reads a configuration and looks for everything that is wrong with it, also with what this version can serve. The
// error is a config.Errors, or wraps errNoFile.
func load(file string) (*config.Model, []config.Note, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("the configuration %w: %v", errNoFile, err)
	}
	defer f.Close()
	m, notes, err := keepalived.Parse(file, f, func(name string) (io.ReadCloser, error) { return os.Open(name) })
	if m == nil {
		return nil, notes, err
	}
	if err := config.Join(err, m.Validate(sched.Names()), director.Unserved(m)); err != nil {
		return nil, notes, err
	}
	return m, append(notes, m.MarkNotes()...), nil
}
