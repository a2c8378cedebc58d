package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// Options are the choices of Up and Open. The zero value builds a cluster that ends with this process, however that ends.
type Options struct {
	// Named gives the namespaces names (Prefix-node, for `ip netns`) and keeps the cluster until it is removed.
	Named  bool
	Prefix string // default "dirsw"
	// Self is a program that understands `lab serve`: with it the servers of a Named cluster are processes of
	// their own and outlive this one. Without it they are goroutines of this process.
	Self string
}

// prefix returns Prefix or its default.
func (o Options) prefix() string {
	if o.Prefix == "" {
		return "dirsw"
	}
	return o.Prefix
}

// Cluster is a running cluster. Its methods may be called from any goroutine, but none after Down or Close.
type Cluster struct {
	o     Options
	spec  Spec
	clk   clock.Clock
	nodes map[string]*node

	state *state                        // nil if not Named
	stop  map[string]context.CancelFunc // of the servers within this process, by node
	ports atomic.Uint32                 // that clients of usersClient came from, so far
	ends  sync.WaitGroup                // of them
}

// node is a namespace.
type node struct {
	spec *NodeSpec // nil for the switch
	ns   netns.NsHandle
}

// unknownNode is the error for a name that is no node's.
func unknownNode(name string) error { return fmt.Errorf("there is no node %q in the lab", name) }

// Up builds a cluster and returns when every wire carries and every server listens. It needs root. On an error nothing
// is left behind.
func Up(spec Spec, o Options) (*Cluster, error) {
	if err := spec.validate(); err != nil {
		return nil, fmt.Errorf("build the lab: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("build the lab: network namespaces need root: run it with sudo")
	}
	c := &Cluster{o: o, spec: spec, clk: clock.NewSystem(), nodes: map[string]*node{}}
	if o.Named {
		c.state = &state{Prefix: o.prefix(), Spec: spec}
		if err := createState(c.state); err != nil { // what is there belongs to another
			return nil, fmt.Errorf("build the lab: %w", err)
		}
	}
	if err := c.build(); err != nil {
		return nil, fmt.Errorf("build the lab: %w", errors.Join(err, c.Down()))
	}
	return c, nil
}

// build makes everything.
func (c *Cluster) build() error {
	if c.o.Named {
		made, err := prepareNames()
		if err != nil {
			return err
		}
		c.state.MadeMount = made
		if err := c.state.save(); err != nil {
			return err
		}
	}
	if err := c.addNode(switchName, nil); err != nil {
		return err
	}
	sw := c.nodes[switchName].ns
	if err := makeSwitch(sw, c.spec.bridges()); err != nil {
		return err
	}
	for i := range c.spec.Nodes {
		n := &c.spec.Nodes[i]
		if err := c.addNode(n.Name, n); err != nil {
			return err
		}
		if err := plug(sw, c.nodes[n.Name].ns, n); err != nil {
			return err
		}
		if err := configure(c.nodes[n.Name].ns, n); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	err := poll(context.Background(), c.clk, ample, func() (bool, error) { return carrier(sw) })
	if err != nil {
		return fmt.Errorf("wait for carrier: %w", err)
	}
	for i := range c.spec.Nodes {
		n := &c.spec.Nodes[i]
		err := poll(context.Background(), c.clk, ample, func() (bool, error) { return settledIn(c.nodes[n.Name].ns, n) })
		if err != nil {
			return fmt.Errorf("wait for the addresses of %s: %w", n.Name, err)
		}
	}
	if err := c.serve(); err != nil {
		return err
	}
	if c.state != nil {
		c.state.Complete = true
		return c.state.save()
	}
	return nil
}

// addNode makes the namespace of a node.
func (c *Cluster) addNode(name string, spec *NodeSpec) error {
	ns, err := newNamespace()
	if err != nil {
		return err
	}
	c.nodes[name] = &node{spec: spec, ns: ns}
	if !c.o.Named {
		return nil
	}
	ino, err := inode(ns)
	if err != nil {
		return err
	}
	c.state.Nodes = append(c.state.Nodes, named{name, ino})
	if err := c.state.save(); err != nil {
		return err
	}
	return nameNamespace(ns, namespaceName(c.o.prefix(), name))
}

// serve starts the HTTP servers.
func (c *Cluster) serve() error {
	c.stop = map[string]context.CancelFunc{}
	for i := range c.spec.Nodes {
		n := &c.spec.Nodes[i]
		if n.Page == "" {
			continue
		}
		if c.o.Named && c.o.Self != "" {
			if err := c.startServer(n); err != nil {
				return fmt.Errorf("server of %s: %w", n.Name, err)
			}
			continue
		}
		if err := c.StartServer(n.Name); err != nil {
			return fmt.Errorf("server of %s: %w", n.Name, err)
		}
	}
	return nil
}

// StartServer starts the HTTP server of a node as goroutines of this process. Not for several goroutines at once.
func (c *Cluster) StartServer(node string) error {
	n, ok := c.nodes[node]
	if !ok || n.spec == nil || n.spec.Page == "" {
		return unknownNode(node)
	}
	l, err := c.Listen(node, n.spec.Listen)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop[node] = stop
	c.ends.Go(func() { _ = serve(ctx, l, n.spec.Page) }) // it ends with its listener; there is nobody to tell
	return nil
}

// StopServer stops a server that StartServer started: it listens no more, and what was under way is cut off.
func (c *Cluster) StopServer(node string) {
	if stop, ok := c.stop[node]; ok {
		stop()
		delete(c.stop, node)
	}
}

// Down removes the cluster: its servers, wires and namespaces. Processes that somebody else started inside a node go
// on without a network.
func (c *Cluster) Down() error {
	for _, stop := range c.stop {
		stop()
	}
	c.ends.Wait()
	var errs []error
	if c.state != nil {
		_, err := Remove(c.o)
		errs = append(errs, err)
	} else if sw, ok := c.nodes[switchName]; ok {
		errs = append(errs, unplug(sw.ns))
	}
	return errors.Join(append(errs, c.Close())...)
}

// Close lets go of a cluster that Open returned, and leaves it running. One that is not Named ends with it.
func (c *Cluster) Close() error {
	var errs []error
	for name, n := range c.nodes {
		errs = append(errs, n.ns.Close())
		delete(c.nodes, name)
	}
	return errors.Join(errs...)
}

// Open finds the Named cluster with o's prefix; ErrDown or ErrPartial if it is not there or not whole.
func Open(o Options) (*Cluster, error) {
	o.Named = true
	s, err := loadState(o.prefix())
	if err != nil {
		return nil, err
	}
	if !s.Complete {
		return nil, ErrPartial
	}
	c := &Cluster{o: o, spec: s.Spec, clk: clock.NewSystem(), nodes: map[string]*node{}, state: s}
	for i, n := range s.Nodes {
		ns, err := openNamespace(namespaceName(o.prefix(), n.Node), n.Inode)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("node %s: %w: %w", n.Node, ErrPartial, err)
		}
		c.nodes[n.Node] = &node{ns: ns}
		if i > 0 {
			c.nodes[n.Node].spec = &c.spec.Nodes[i-1] // in the order of build
		}
	}
	return c, nil
}

// Spec returns what the cluster was built from.
func (c *Cluster) Spec() Spec { return c.spec }

// Do runs f on a thread inside a node: sockets it opens and /proc/sys/net it sees are the node's. Goroutines that f
// starts are outside.
func (c *Cluster) Do(node string, f func() error) error {
	n, ok := c.nodes[node]
	if !ok {
		return unknownNode(node)
	}
	return inside(n.ns, f)
}

// Netlink opens a netlink handle (NETLINK_ROUTE) inside a node. The caller closes it.
func (c *Cluster) Netlink(node string) (*netlink.Handle, error) {
	var h *netlink.Handle
	err := c.Do(node, func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// Listen opens a TCP listener inside a node; it may be used from anywhere.
func (c *Cluster) Listen(node, addr string) (net.Listener, error) {
	var l net.Listener
	err := c.Do(node, func() (err error) {
		l, err = listen(context.Background(), addr)
		return err
	})
	return l, err
}

// Dial connects to a literal address (names would be asked for outside) from inside a node.
func (c *Cluster) Dial(ctx context.Context, node, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := c.Do(node, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// HTTPClient returns a client whose connections come from inside a node: a new one for each request. It follows no proxy,
// believes any certificate, as those of the lab's servers are nobody's, and gives up after half a minute.
func (c *Cluster) HTTPClient(node string) *http.Client {
	return &http.Client{
		Timeout: ample,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return c.Dial(ctx, node, network, addr)
			},
		},
	}
}

// Ports that usersClient takes: below those that the kernel chooses by itself.
const (
	firstPort = 2048
	lastPort  = 32767
)

// usersClient is HTTPClient with a port for each connection that none had before. So do the clients of a director come, who are
// many: it remembers a connection for a while after its server was taken out, and one from the same address and port would be
// taken for that.
func (c *Cluster) usersClient(node string) *http.Client {
	client := c.HTTPClient(node)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var conn net.Conn
		err := c.Do(node, func() (err error) {
			for range 16 { // some may be taken
				port := firstPort + int(c.ports.Add(1))%(lastPort-firstPort+1)
				conn, err = (&net.Dialer{LocalAddr: &net.TCPAddr{Port: port}}).DialContext(ctx, network, addr)
				if !errors.Is(err, unix.EADDRINUSE) {
					break
				}
			}
			return err
		})
		return conn, err
	}
	return client
}

// ample is how long to wait for what must happen and is no measure of anything: a machine that has other work may be slow.
const ample = 30 * time.Second

// errLate is the error of poll when its time is over.
var errLate = errors.New("it took too long")

// poll asks ok, fifty times a second, until it is true or fails, ctx ends or d has passed.
func poll(ctx context.Context, clk clock.Clock, d time.Duration, ok func() (bool, error)) error {
	for end := clk.Now().Add(d); ; {
		if done, err := ok(); done || err != nil {
			return err
		}
		if clk.Now() > end {
			return errLate
		}
		if err := pause(ctx, clk, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, clk clock.Clock, d time.Duration) error {
	over := make(chan struct{})
	t := clk.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
