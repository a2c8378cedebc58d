package bfd

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config is one bfd_instance. Its zero fields take keepalived's defaults.
type Config struct {
	Name       string
	Neighbor   netip.Addr    // neighbor_ip; a link-local one has a zone
	Source     netip.Addr    // source_ip; zero is the kernel's choice
	MinRx      time.Duration // min_rx: how often packets are taken at most; 0 is 10 ms
	MinTx      time.Duration // min_tx: how often packets are sent at most; 0 is 10 ms
	IdleTx     time.Duration // idle_tx: how often while not up, at least 1 s; 0 is 1 s
	Multiplier uint8         // multiplier: packets missed until down; 0 is 5
	Passive    bool          // passive: say nothing before the neighbour does
	TTL        uint8         // ttl, hoplimit of what is sent; 0 is 255 for IPv4 and 64 for IPv6
	MaxHops    uint8         // max_hops: by how much less than TTL packets may arrive with; 255 is any
	Multihop   bool          // multihop: port 4784; hops are counted only with MaxHops
}

// minIdle is the least interval while a session is not up (RFC 5880, 6.8.3), minInterval the least of all.
const (
	minIdle     = time.Second
	minInterval = time.Millisecond
)

// withDefaults returns c without zero fields.
func (c Config) withDefaults() Config {
	orElse := func(d *time.Duration, or time.Duration) {
		if *d <= 0 {
			*d = or
		}
	}
	orElse(&c.MinRx, 10*time.Millisecond)
	orElse(&c.MinTx, 10*time.Millisecond)
	orElse(&c.IdleTx, minIdle)
	c.MinRx, c.MinTx, c.IdleTx = max(c.MinRx, minInterval), max(c.MinTx, minInterval), max(c.IdleTx, minIdle)
	if c.Multiplier == 0 {
		c.Multiplier = 5
	}
	if c.TTL == 0 {
		c.TTL = 64
		if c.Neighbor.Is4() {
			c.TTL = 255
		}
	}
	return c
}

// leastTTL is the smallest TTL or hop limit that a packet may arrive with (RFC 5881, 5: 255 where all is as it should
// be; keepalived: that of its own packets less max_hops).
func (c *Config) leastTTL() int {
	if c.MaxHops == 255 || c.Multihop && c.MaxHops == 0 {
		return 0
	}
	return int(c.TTL) - int(c.MaxHops)
}

// check reports what no session can be made of.
func (c *Config) check() error {
	switch {
	case c.Name == "":
		return errors.New("bfd_instance without a name")
	case !c.Neighbor.IsValid() || c.Neighbor.IsUnspecified() || c.Neighbor.Is4In6():
		return fmt.Errorf("bfd_instance %s: bad neighbor_ip %v", c.Name, c.Neighbor)
	case c.Source.IsValid() && c.Source.Is4() != c.Neighbor.Is4():
		return fmt.Errorf("bfd_instance %s: source_ip %v and neighbor_ip %v are of two families", c.Name, c.Source, c.Neighbor)
	}
	return nil
}

// sameSession reports whether a session of c goes on with o: what differs can be told to the neighbour.
func (c *Config) sameSession(o *Config) bool {
	return c.Name == o.Name && c.Neighbor == o.Neighbor && c.Source == o.Source && c.Multihop == o.Multihop && c.TTL == o.TTL
}
