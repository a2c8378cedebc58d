package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Errors of a cluster that is kept.
var (
	ErrUp      = errors.New("the lab is up already")
	ErrPartial = errors.New("the lab is there in part, from a start that was interrupted; remove it first")
	ErrDown    = errors.New("the lab is not up")
)

// state is what must be known to find a kept cluster again and to remove it. Everything is written down before it is
// made, so that an interrupted Up leaves nothing unknown.
type state struct {
	Prefix    string
	Complete  bool // Up came to its end
	MadeMount bool // namesDir was made a mount point
	Spec      Spec
	Nodes     []named // the switch first
	Servers   []server
}

// named is the namespace of a node. A namespace of that name with another inode is somebody else's.
type named struct {
	Node  string
	Inode uint64
}

// server is a background process of a node.
type server struct {
	Node  string
	PID   int
	Start uint64 // see startTime
}

// stateDir is where the state of the clusters with that prefix is kept.
func stateDir(prefix string) string { return "/run/" + prefix + "-lab" }

// namespaceName is the name of a node's namespace.
func namespaceName(prefix, node string) string { return prefix + "-" + node }

// createState writes down a new state; ErrUp or ErrPartial if there is one.
func createState(s *state) error {
	dir := stateDir(s.Prefix)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "state.json"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if old, err := loadState(s.Prefix); err == nil && old.Complete {
			return ErrUp
		}
		return ErrPartial
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return s.save()
}

// save writes the state in place of the one that is there.
func (s *state) save() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(stateDir(s.Prefix), "state.json")
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// loadState reads the state; ErrDown if there is none. A file that Up had no time to fill gives a state without nodes.
func loadState(prefix string) (*state, error) {
	path := filepath.Join(stateDir(prefix), "state.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrDown
	}
	if err != nil {
		return nil, err
	}
	s := &state{Prefix: prefix}
	if len(b) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Prefix != prefix {
		return nil, fmt.Errorf("%s: it is of another lab, %q", path, s.Prefix)
	}
	return s, nil
}
