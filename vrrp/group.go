package vrrp

import "dirsw/clock"

// group is a vrrp_sync_group: its members are master together, or none is.
type group struct {
	m       *Machine
	cfg     *GroupConfig
	members []*Instance
	state   State
	prev    State // before state
}

// held reports whether a member is in FAULT, or waits for its scripts: then no other may come up.
func (g *group) held() bool {
	for _, i := range g.members {
		if i.down || i.unknown {
			return true
		}
	}
	return false
}

// allOwners reports whether each member is the owner of its addresses.
func (g *group) allOwners() bool {
	for _, i := range g.members {
		if i.cfg.Priority != PriorityOwner {
			return false
		}
	}
	return true
}

// wantMaster has all members want to be master.
func (g *group) wantMaster() {
	for _, i := range g.members {
		i.want = Master
	}
}

// mayMaster reports whether a member may become master: when the group is, or when all others want to be too. Else it
// stays a backup that wants to, so that instances do not move one by one.
func (g *group) mayMaster(i *Instance) bool {
	if g.held() {
		return false
	}
	if g.state == Master {
		return true
	}
	for _, o := range g.members {
		if o != i && o.want != Master {
			return false
		}
	}
	return true
}

// toMaster takes all members along with one that became master.
func (g *group) toMaster(now clock.Mono, first *Instance) {
	if g.state == Master {
		return
	}
	g.m.logf(nil, "VRRP_Group(%s) Syncing instances to MASTER state", g.cfg.Name)
	g.enter(Master)
	for _, i := range g.members {
		if i != first && i.state != Master {
			i.want = Master
			i.gotoMaster(now, 0)
		}
	}
	g.notice(g.m, now, Master)
}

// toBackup takes all members along with one that became backup.
func (g *group) toBackup(now clock.Mono, first *Instance) {
	if g.state == Backup || g.held() {
		return
	}
	g.m.logf(nil, "VRRP_Group(%s) Syncing instances to BACKUP state", g.cfg.Name)
	g.enter(Backup)
	for _, i := range g.members {
		if i == first || i.state == Backup {
			continue
		}
		i.want = Backup
		if i.state == Master {
			i.leaveMaster(now, false)
		} else {
			i.leaveFault(now)
		}
	}
	g.notice(g.m, now, Backup)
}

// toFault takes all members along with one that went to FAULT.
func (g *group) toFault(now clock.Mono, first *Instance) {
	if g.state == Fault {
		return
	}
	g.m.logf(nil, "VRRP_Group(%s) Syncing instances to FAULT state", g.cfg.Name)
	g.enter(Fault)
	g.pullDown(now, first)
	g.notice(g.m, now, Fault)
}

// pullDown has all members but one follow the group into FAULT.
func (g *group) pullDown(now clock.Mono, first *Instance) {
	for _, i := range g.members {
		switch {
		case i == first || i.state == Fault:
		case i.state == Master:
			i.want = Fault
			i.leaveMaster(now, false)
		default:
			i.pulledDown(now)
		}
	}
}

// settle makes members agree after a reload changed who they are. If one is held in FAULT all are; if not all are
// masters, none stays one, and they are elected together.
func (g *group) settle(now clock.Mono) {
	masters := 0
	for _, i := range g.members {
		if i.down {
			g.toFault(now, i)
			g.pullDown(now, i)
			return
		}
		if i.state == Master {
			masters++
		}
	}
	switch {
	case masters == 0:
	case masters == len(g.members):
		g.enter(Master)
	default:
		g.enter(Backup)
		for _, i := range g.members {
			if i.state == Master {
				i.want = Backup
				i.leaveMaster(now, false)
			}
		}
		g.notice(g.m, now, Backup)
	}
}

func (g *group) enter(s State) { g.prev, g.state = g.state, s }

// notice tells of the state just entered.
func (g *group) notice(m *Machine, now clock.Mono, s State) {
	m.notice(nil, Notice{Kind: StateChanged, Group: true, Name: g.cfg.Name, Old: g.prev, New: s, At: now})
}
