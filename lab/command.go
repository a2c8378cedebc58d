package lab

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netns"
)

// Cmd is an exec.Cmd whose process runs inside a node. Its own methods replace those of exec.Cmd; its fields and pipes
// are used as there.
type Cmd struct {
	*exec.Cmd
	node   string
	ns     netns.NsHandle
	wait   chan struct{} // closed: the starting thread shall wait for the process
	result chan error    // what that wait returned
}

// Command prepares a command to run inside a node. An unknown node is told by Start.
func (c *Cluster) Command(ctx context.Context, node, name string, args ...string) *Cmd {
	cmd := &Cmd{Cmd: exec.CommandContext(ctx, name, args...), node: node, ns: netns.None()}
	if n, ok := c.nodes[node]; ok {
		cmd.ns = n.ns
	}
	return cmd
}

// Start starts the process. The thread it is started from waits until Wait has returned: a process with a Pdeathsig
// would otherwise be killed when the runtime ends that thread (prctl(2), PR_SET_PDEATHSIG).
func (c *Cmd) Start() error {
	if !c.ns.IsOpen() {
		return unknownNode(c.node)
	}
	started := make(chan error, 1)
	c.wait, c.result = make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		here, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			started <- err
			return
		}
		defer here.Close()
		if err = netns.Set(c.ns); err == nil {
			err = c.Cmd.Start()
		}
		if netns.Set(here) == nil { // else the thread is lost and ends with this goroutine
			defer runtime.UnlockOSThread()
		}
		started <- err
		if err != nil {
			return
		}
		<-c.wait
		c.result <- c.Cmd.Wait()
	}()
	return <-started
}

// Wait waits for the process to end, as exec.Cmd.Wait does. It must be called once after a Start that succeeded.
func (c *Cmd) Wait() error {
	if c.wait == nil {
		return errors.New("lab: not started")
	}
	close(c.wait)
	return <-c.result
}

// Run starts the process and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the command and returns what it wrote to its standard output.
func (c *Cmd) Output() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the command and returns what it wrote to its standard output and error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}
