package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// startServer starts the server of a node as a process that outlives this one. It waits with listening until it is
// written down, so that an interrupted Up leaves no process that nobody knows of: if this one ends before, the
// other reads the end of its input and ends too.
func (c *Cluster) startServer(n *NodeSpec) error {
	log, err := os.OpenFile(filepath.Join(stateDir(c.o.prefix()), n.Name+".log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.Command(context.Background(), n.Name, c.o.Self, "lab", "serve", "--gate", "--name", n.Page, "--addr", n.Listen)
	cmd.Stderr, cmd.SysProcAttr = log, &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	start, err := startTime(cmd.Process.Pid)
	if err == nil {
		c.state.Servers = append(c.state.Servers, server{Node: n.Name, PID: cmd.Process.Pid, Start: start})
		err = c.state.save()
	}
	if err == nil {
		_, err = in.Write([]byte("\n"))
	}
	in.Close()
	line, readErr := bufio.NewReader(out).ReadString('\n')
	go func() { _ = cmd.Wait() }() // only so that no zombie is left if this process lives longer
	if err == nil && line != listening {
		said, _ := os.ReadFile(log.Name())
		err = fmt.Errorf("it does not listen: %s%w", said, readErr)
	}
	return err
}

// listening is what a server says on its standard output when it does.
const listening = "listening\n"

// Removed says what Remove found.
type Removed struct {
	Namespaces []string                // names that are gone now
	Servers    int                     // processes that were ended
	Left       map[string][]Inhabitant // those of others, by their node: they go on, without a network
}

// Remove ends and removes whatever there is of the Named cluster with o's prefix, whole or not, and nothing else; ErrDown
// if there is none.
func Remove(o Options) (Removed, error) {
	r := Removed{Left: map[string][]Inhabitant{}}
	s, err := loadState(o.prefix())
	if err != nil {
		return r, err
	}
	var errs []error
	for _, p := range s.Servers {
		if alive(p.PID, p.Start) {
			r.Servers++
		}
		errs = append(errs, end(p.PID, p.Start))
	}
	for _, n := range s.Nodes {
		errs = append(errs, r.removeNode(s.Prefix, n))
	}
	if s.MadeMount {
		errs = append(errs, restoreNames())
	}
	if err := errors.Join(errs...); err != nil {
		return r, fmt.Errorf("remove the lab: %w", err) // the state stays, for another attempt
	}
	return r, os.RemoveAll(stateDir(s.Prefix))
}

// removeNode removes the namespace of a node, if there is one, and notes who is left in it.
func (r *Removed) removeNode(prefix string, n named) error {
	name := namespaceName(prefix, n.Node)
	ns, err := openNamespace(name, n.Inode)
	switch {
	case errors.Is(err, errForeign):
		return nil
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, fs.ErrNotExist): // not mounted yet, or not any more
		return unname(name)
	case err != nil:
		return err
	}
	defer ns.Close()
	if left, err := inhabitants(n.Inode); err == nil && len(left) > 0 {
		r.Left[n.Node] = left
	}
	if n.Node == switchName {
		err = unplug(ns)
	}
	r.Namespaces = append(r.Namespaces, name)
	return errors.Join(err, unname(name))
}
