package mail

import (
	"fmt"
	"strings"
)

// Message is one alert. The router's id is put before the subject when it is sent.
type Message struct {
	Subject string
	Body    string // one line
}

// The states of instances and groups that there are alerts about, as in notifications.
const (
	Master  = "MASTER"
	Backup  = "BACKUP"
	Fault   = "FAULT"
	Stop    = "STOP"
	Deleted = "DELETED" // instances only
)

// Instance is the alert that an instance entered a state; ok is false if there is none about that state.
func Instance(name, state string) (m Message, ok bool) {
	body := "=> VRRP Instance is no longer owning VRRP VIPs <="
	switch state {
	case Master:
		body = "=> VRRP Instance is now owning VRRP VIPs <="
	case Stop:
		body = "=> VRRP Instance stopping <="
	case Deleted:
		body = "=> VRRP Deleted at reload <="
	}
	event, ok := event(state)
	return Message{fmt.Sprintf("VRRP Instance %s - %s", name, event), body}, ok
}

// Group is the alert that all instances of a sync group entered a state.
func Group(name, state string) (m Message, ok bool) {
	body := fmt.Sprintf("=> All VRRP group instances are now in %s state <=", state)
	if state == Stop {
		body = "=> All VRRP group instances are now stopping <="
	}
	event, ok := event(state)
	return Message{fmt.Sprintf("VRRP Group %s - %s", name, event), body}, ok && state != Deleted
}

func event(state string) (string, bool) {
	switch state {
	case Master, Backup, Fault:
		return "Entering " + state + " state", true
	case Stop:
		return "Stopping", true
	case Deleted:
		return "Deleted", true
	}
	return "", false
}

// Real is the alert that a real server came or went. Both are written as keepalived writes them in log lines, as
// "[192.0.2.11]:tcp:80" and "FWM 7"; why is what the check has to say, "TCP CHECK failed on service", with keepalived's
// arrows around it or without, or "Removing" for a server that the configuration does not have any more.
func Real(real, service string, up bool, why string) Message {
	if !strings.HasPrefix(why, "=> ") {
		why = "=> " + why + " <="
	}
	return Message{fmt.Sprintf("Realserver %s of virtual server %s - %s", real, service, upDown(up)), why}
}

// Quorum is the alert that a service gained or lost its quorum, or begins with or without it (starting). weight is the
// sum of the weights of its servers that are up. The sign is always a plus and the arrow one way, as in keepalived.
func Quorum(service string, up, starting bool, quorum, hysteresis, weight int) Message {
	event, threshold := "Lost quorum", quorum-hysteresis
	switch {
	case starting && up:
		event = "Starting with quorum up"
	case starting:
		event = "Starting with quorum down"
	case up:
		event = "Gained quorum"
	}
	if up {
		threshold = quorum + hysteresis
	}
	return Message{
		fmt.Sprintf("Virtualserver %s - %s", service, upDown(up)),
		fmt.Sprintf("=> %s %d+%d=%d <= %d <=", event, quorum, hysteresis, threshold, weight),
	}
}

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}

// oneLine keeps what is not ours from adding lines to a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
