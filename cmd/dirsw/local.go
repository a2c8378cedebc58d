package main

import (
	"go.uber.org/zap"

	"dirsw/host"
	"dirsw/xsk"
)

const (
	defaultTap = "dirsw%d"
	noTap      = "none"
	maxTapMTU  = 3500 // what fits into a frame whatever the ports are
)

// localDelivery is the tap by which the workers reach the network stack of this host. It outlives the sockets of the
// ports: when these are opened anew, it is still there, unless somebody has deleted it.
type localDelivery struct {
	host *host.Host
	log  *zap.Logger
	name string // as in --tap
	tap  *host.Tap
	said bool // that there is none
}

// port opens the tap if it is not open, for packets of mtu bytes, and returns it as a port of the lanes; false if it cannot be
// had.
func (l *localDelivery) port(mtu int) (p xsk.PortOptions, ok bool) {
	if l.name == noTap {
		return p, false
	}
	if l.tap != nil {
		if now, err := l.host.Link(l.tap.Link.Name); err != nil || now.Index != l.tap.Link.Index {
			l.close()
		}
	}
	if l.tap == nil && !l.open(mtu) {
		return p, false
	}
	t := &l.tap.Link
	return xsk.PortOptions{Name: t.Name, Index: t.Index, MAC: t.MAC, MTU: t.MTU, Tap: true, FD: l.tap.FD}, true
}

func (l *localDelivery) open(mtu int) bool {
	var err error
	if l.tap, err = l.host.OpenTap(l.name, mtu); err != nil {
		l.tap = nil
		if !l.said {
			l.log.Warn("no local delivery: real servers on this host cannot be reached, and what the packet filter took for "+
				"others is lost", zap.Error(err))
			l.said = true
		}
		return false
	}
	return true
}

func (l *localDelivery) close() {
	if l.tap == nil {
		return
	}
	if err := l.tap.Close(); err != nil {
		l.log.Warn("the interface of local delivery", zap.Error(err))
	}
	l.tap = nil
}
