package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"

	"dirsw/stats"
)

// Client asks the director behind one socket. Each call makes a connection of its own, so a Client may be used by
// several goroutines, and outlives a restart of the director.
type Client struct{ path string }

// Dial checks that a director answers at path and may be trusted (it runs as root or as our own user). The error wraps
// ErrUnreachable.
func Dial(path string) (*Client, error) {
	c, err := connect(path)
	if err != nil {
		return nil, err
	}
	c.Close()
	return &Client{path}, nil
}

// Stats asks for everything but the connections.
func (c *Client) Stats() (stats.Stats, error) {
	var st stats.Stats
	err := c.ask(request{Command: cmdStats}, func(m *message) bool {
		if m.Stats != nil {
			st = *m.Stats
		}
		return true
	})
	return st, err
}

// Conns yields the connections and templates of the director as they arrive, until yield returns false.
func (c *Client) Conns(yield func(stats.Conn) bool) error {
	return c.ask(request{Command: cmdConns}, func(m *message) bool {
		for _, conn := range m.Conns {
			if !yield(conn) {
				return false
			}
		}
		return true
	})
}

// Explain asks what would happen to a packet, for example "tcp 192.0.2.1:40000 > 198.51.100.1:80".
func (c *Client) Explain(query string) (string, error) {
	return c.text(request{Command: cmdExplain, Query: query})
}

// Reload makes the director read its configuration again and returns what changed.
func (c *Client) Reload() (string, error) { return c.text(request{Command: cmdReload}) }

// Do has the director run a command line of one of its verbs, see Backend.Do. A standard input of more than some megabytes
// is refused.
func (c *Client) Do(verb string, args []string, stdin string) (stdout, stderr string, exit int, err error) {
	var o Outcome
	err = c.ask(request{Command: cmdDo, Verb: verb, Args: args, Stdin: stdin}, func(m *message) bool {
		if m.Done != nil {
			o = *m.Done
		}
		return true
	})
	return o.Stdout, o.Stderr, o.Exit, err
}

func (c *Client) text(req request) (string, error) {
	var text string
	err := c.ask(req, func(m *message) bool {
		if m.Text != nil {
			text = *m.Text
		}
		return true
	})
	return text, err
}

// ask sends req and hands each piece of the answer to take until that returns false. An answer that does not come to
// its end is an error.
func (c *Client) ask(req request, take func(*message) bool) error {
	conn, err := connect(c.path)
	if err != nil {
		return err
	}
	defer conn.Close()
	req.Protocol = protocol
	line, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("ask the director at %s: %w", c.path, err)
	}
	if len(line) >= maxRequest {
		return fmt.Errorf("the request is longer than %d bytes: give it to the director in several", maxRequest)
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ask the director at %s: %w", c.path, err)
	}
	dec := json.NewDecoder(conn)
	for {
		var m message
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
			return fmt.Errorf("the director at %s broke off its answer: it has ended, "+
				"or the answer was not read for a minute", c.path)
		case err != nil:
			return fmt.Errorf("read the answer of the director at %s: %w", c.path, err)
		case m.Error != "":
			return &RemoteError{m.Error}
		case m.End:
			return nil
		}
		if !take(&m) {
			return nil
		}
	}
}

func connect(path string) (*net.UnixConn, error) {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrUnreachable, reason(path, err))
	}
	c := nc.(*net.UnixConn)
	uid, err := peerUID(c)
	if err == nil && !trusted(uid) {
		err = fmt.Errorf("%s belongs to user %d, which is neither root nor you", path, uid)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return c, nil
}

// reason says in one sentence why a socket cannot be reached and what to do.
func reason(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no " + path + ": start one with \"dirsw run\", or name its socket with -socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens at " + path + ", its director has ended: start it again with \"dirsw run\""
	case errors.Is(err, fs.ErrPermission):
		return path + " is open to root and to the director's own user only: call dirsw as one of these"
	}
	return err.Error()
}
