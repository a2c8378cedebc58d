package notify

import (
	"fmt"
	"strconv"
)

// State is what an instance or a group entered, or what happened to it, in the words of scripts and pipes.
type State string

// The states. All but the first three are of instances only, but for Stop.
const (
	Master  State = "MASTER"
	Backup  State = "BACKUP"
	Fault   State = "FAULT"
	Stop    State = "STOP"
	Deleted State = "DELETED" // gone from the configuration; told as FAULT unless VRRP.TellDeleted

	// MasterRxLower is a master that received an advert of lower priority: pipes and one script, no mail.
	MasterRxLower State = "MASTER_RX_LOWER_PRI"
	// MasterPriority and BackupPriority are a change of the effective priority: pipes only, with VRRP.TellPriority.
	MasterPriority State = "MASTER_PRIORITY"
	BackupPriority State = "BACKUP_PRIORITY"
)

// known are the states that anybody is told of.
var known = map[State]bool{Master: true, Backup: true, Fault: true, Stop: true, Deleted: true, MasterRxLower: true,
	MasterPriority: true, BackupPriority: true}

// Event is a change of an instance or a group.
type Event struct {
	Group    bool
	Name     string
	State    State
	Priority int // the effective priority; of a group nothing is told but 0
}

// args are what is put at the end of the command that is told of everything.
func (e Event) args() []string {
	kind, priority := "INSTANCE", e.Priority
	if e.Group {
		kind, priority = "GROUP", 0
	}
	return []string{kind, e.Name, string(e.State), strconv.Itoa(priority)}
}

// line is what is written to pipes.
func (e Event) line() string {
	a := e.args()
	return fmt.Sprintf("%s \"%s\" %s %s\n", a[0], a[1], a[2], a[3])
}

// realLine and quorumLine are what is written to pipes of the servers.
func realLine(real, service string, up bool) string {
	return fmt.Sprintf("RS %s %s %s\n", real, service, upDown(up))
}

func quorumLine(service string, up bool) string {
	return fmt.Sprintf("VS %s %s\n", service, upDown(up))
}

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}
