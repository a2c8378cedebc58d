package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Serve answers HTTP requests on addr (":80") with a page that names the server and the client, until ctx ends; then it
// returns nil. It serves the namespace of the calling thread. ready, if not nil, is called once it listens.
func Serve(ctx context.Context, name, addr string, ready func()) error {
	l, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	if ready != nil {
		ready()
	}
	return serve(ctx, l, name)
}

// listen opens a plain TCP socket: without multipath TCP, whose options a capture would show and nobody asked for.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	return lc.Listen(ctx, "tcp", addr)
}

// serve answers on l until ctx ends.
func serve(ctx context.Context, l net.Listener, name string) error {
	return serveHandler(ctx, l, page(name))
}

// serveHandler is serve with other answers than the one page.
func serveHandler(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// page is the one page of a server: its name in the first line, the client's address and port in the second.
func page(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintf(w, "%s\nclient %s\n", name, r.RemoteAddr)
	})
}

// Fetch gets a page and returns what its first line says: the name of the server that answered.
func Fetch(ctx context.Context, c *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, resp.Status)
	}
	first, _, _ := strings.Cut(string(body), "\n")
	return first, nil
}
