package notify

import "dirsw/script"

// VRRP is who is told about an instance or a group. The commands may be nil.
type VRRP struct {
	Group bool
	Name  string
	// Master, Backup, Fault, Stop and Deleted are run when it enters that state, RxLower at MasterRxLower.
	Master, Backup, Fault, Stop, Deleted, RxLower *script.Command
	// Any is run after them, for each of these states but MasterRxLower, with four further arguments: INSTANCE or GROUP,
	// the name, the state, and the priority.
	Any *script.Command
	// Mail says that there are alerts (smtp_alert).
	Mail bool
	// TellDeleted tells DELETED as such (notify_deleted). Otherwise it is told as FAULT, but Fault is not run.
	TellDeleted bool
	// TellPriority writes changes of the priority to pipes (notify_priority_changes).
	TellPriority bool
}

// Service is who is told about the quorum of a service. Its name is as in log lines: "[192.0.2.1]:tcp:80", "FWM 7".
type Service struct {
	Name     string
	Up, Down *script.Command // quorum_up, quorum_down
	Mail     bool
}

// Real is who is told about a real server of a service. Its name is as in log lines: "[192.0.2.11]:tcp:80".
type Real struct {
	Service, Name string
	Up, Down      *script.Command // notify_up, notify_down
	Mail          bool
}

// FIFO is a pipe that is told of changes, and its reader.
type FIFO struct {
	// Path is where it is; empty is none. It is made if it does not exist, and then removed at the end.
	Path string
	// User is to whom it belongs if it is made; nil leaves it to this process's user. Nobody else may open it.
	User *script.User
	// Reader, if not nil, is started with Path as a further argument, and again if it ends.
	Reader *script.Command
}

// Config is who is told of what.
type Config struct {
	VRRP     []VRRP
	Services []Service
	Reals    []Real
	// All is told of everything, Instances of instances and groups, Servers of real servers and quorums (notify_fifo,
	// vrrp_notify_fifo, lvs_notify_fifo). Of two with one path only the first is used.
	All, Instances, Servers FIFO
	// NoFaultMail keeps alerts about FAULT from being sent (no_email_faults).
	NoFaultMail bool
}

// command returns the command for a state, and whether the state is one that Any is told of.
func (v *VRRP) command(s State) (c *script.Command, any bool) {
	switch s {
	case Master:
		return v.Master, true
	case Backup:
		return v.Backup, true
	case Fault:
		return v.Fault, true
	case Stop:
		return v.Stop, true
	case Deleted:
		return v.Deleted, true
	case MasterRxLower:
		return v.RxLower, false
	}
	return nil, false
}

// pipes returns the pipes that are used, by whom they are told of, and says which ones are not.
func (c *Config) pipes() (all, instances, servers FIFO, ignored []string) {
	all, instances, servers = c.All, c.Instances, c.Servers
	if instances.Path != "" && instances.Path == all.Path {
		ignored = append(ignored, "notify FIFO "+all.Path+" has been specified for global and vrrp FIFO - ignoring vrrp FIFO")
		instances = FIFO{}
	}
	if servers.Path != "" && servers.Path == all.Path {
		ignored = append(ignored, "notify FIFO "+all.Path+" has been specified for global and LVS FIFO - ignoring LVS FIFO")
		servers = FIFO{}
	}
	if servers.Path != "" && servers.Path == instances.Path && servers.Reader != nil {
		if instances.Reader != nil {
			ignored = append(ignored, "LVS notify FIFO and vrrp FIFO are the same both with scripts - ignoring LVS FIFO script")
		} else {
			instances.Reader = servers.Reader
		}
		servers.Reader = nil
	}
	return all, instances, servers, ignored
}
