package ctl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"dirsw/clock"
	"dirsw/stats"
)

const (
	requestTime = 5 * time.Second // for a client to send its request
	writeTime   = time.Minute     // for a client to take the next 64 KiB; a listing may be read in a pager
	maxClients  = 32              // served at once; others wait in the socket's queue
)

// Server answers on one socket.
type Server struct {
	path  string
	own   os.FileInfo // of the socket's file
	l     *net.UnixListener
	clock clock.Clock

	mu    sync.Mutex
	conns map[net.Conn]struct{} // open ones; nil once the server ends
}

// Listen makes the socket at path (and its directory, mode 0755) but does not answer yet, so that a second director is
// refused before it has done anything. c times out clients that stall.
func Listen(path string, c clock.Clock) (*Server, error) {
	l, own, err := listen(path)
	if err != nil {
		return nil, err
	}
	return &Server{path: path, own: own, l: l, clock: c, conns: make(map[net.Conn]struct{})}, nil
}

// Serve is Listen with the clock of this machine, followed by Server.Serve.
func Serve(ctx context.Context, path string, b Backend) error {
	s, err := Listen(path, clock.NewSystem())
	if err != nil {
		return err
	}
	return s.Serve(ctx, b)
}

// Close removes the socket and cuts off all clients. It may be called more than once, and from any goroutine.
func (s *Server) Close() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	if conns == nil {
		return
	}
	unlink(s.path, s.own)
	s.l.Close()
	for c := range conns {
		c.Close()
	}
}

// Serve answers until ctx ends or Close is called, then waits for the calls into b that are under way. It returns nil
// unless the socket broke.
func (s *Server) Serve(ctx context.Context, b Backend) error {
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	defer s.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, maxClients)
	for {
		c, err := s.l.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accept on the control socket: %w", err)
		}
		if !s.add(c) {
			return nil
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			defer s.remove(c)
			s.answer(c, b)
		})
	}
}

func (s *Server) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		c.Close()
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// answer serves the one request of a connection. Errors of the connection itself end it and concern nobody else.
func (s *Server) answer(c *net.UnixConn, b Backend) {
	t := &timed{Conn: c, clock: s.clock}
	defer t.stop()
	t.allow(requestTime)
	req, err := readRequest(c)
	if errors.Is(err, io.EOF) {
		return // somebody who only wanted to know whether we live
	}
	if err == nil {
		err = admit(c)
	}
	w := bufio.NewWriterSize(t, 64<<10)
	enc := json.NewEncoder(w)
	if err == nil {
		t.stop() // b takes the time it needs
		err = dispatch(req, b, enc.Encode)
	}
	last := message{End: err == nil}
	if err != nil {
		last.Error = err.Error()
	}
	if enc.Encode(last) == nil {
		w.Flush()
	}
}

func admit(c *net.UnixConn) error {
	uid, err := peerUID(c)
	if err == nil && !trusted(uid) {
		err = fmt.Errorf("user %d may not command this director: only root and user %d may", uid, os.Geteuid())
	}
	return err
}

// readRequest reads up to the end of the first line. io.EOF means that nothing came.
func readRequest(r io.Reader) (request, error) {
	var req request
	line, err := bufio.NewReader(io.LimitReader(r, maxRequest)).ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return req, io.EOF
	case errors.Is(err, io.EOF) && len(line) == maxRequest:
		return req, fmt.Errorf("the request is longer than %d bytes", maxRequest)
	case err != nil:
		return req, fmt.Errorf("the request broke off: %v", err) // not wrapped: io.EOF has a meaning of its own here
	}
	if err := json.Unmarshal(line, &req); err != nil {
		return req, fmt.Errorf("the request is not understood: %w", err)
	}
	if req.Protocol != protocol {
		return req, fmt.Errorf("the request is of protocol %d, this director speaks %d: "+
			"use the dirsw that belongs to it", req.Protocol, protocol)
	}
	return req, nil
}

// dispatch sends all of the answer but its end.
func dispatch(req request, b Backend, send func(any) error) error {
	switch req.Command {
	case cmdStats:
		st, err := b.Stats()
		if err != nil {
			return err
		}
		return send(message{Stats: &st})
	case cmdConns:
		return sendConns(b, send)
	case cmdExplain:
		return sendText(send)(b.Explain(req.Query))
	case cmdReload:
		return sendText(send)(b.Reload())
	case cmdDo:
		o, err := b.Do(req.Verb, req.Args, req.Stdin)
		if err != nil {
			return err
		}
		return send(message{Done: &o})
	}
	return fmt.Errorf("this director does not know the command %q", req.Command)
}

func sendText(send func(any) error) func(string, error) error {
	return func(text string, err error) error {
		if err != nil {
			return err
		}
		return send(message{Text: &text})
	}
}

func sendConns(b Backend, send func(any) error) error {
	chunk := make([]stats.Conn, 0, connsChunk)
	var sendErr error
	err := b.Conns(func(c stats.Conn) bool {
		if chunk = append(chunk, c); len(chunk) == connsChunk {
			sendErr = send(message{Conns: chunk})
			chunk = chunk[:0]
		}
		return sendErr == nil
	})
	if err := errors.Join(err, sendErr); err != nil {
		return err
	}
	if len(chunk) == 0 {
		return nil
	}
	return send(message{Conns: chunk})
}

// timed closes a connection whose peer stalls. Only the goroutine that serves the connection uses it.
type timed struct {
	net.Conn
	clock clock.Clock
	timer clock.Timer
}

func (t *timed) allow(d time.Duration) {
	t.stop()
	t.timer = t.clock.AfterFunc(d, func() { t.Conn.Close() })
}

func (t *timed) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// Write gives the peer writeTime to take p.
func (t *timed) Write(p []byte) (int, error) {
	t.allow(writeTime)
	defer t.stop()
	return t.Conn.Write(p)
}
