package config

import "fmt"

// Merge returns what a reload of the file puts in force: everything is as the file says, and what commands made besides
// stays. An entry that the file made and a command changed or deleted is as the file says again; one that a command made
// and the file names now is the file's from then on. A service that the file names no more goes, with the servers that
// commands gave it.
//
// Base is what the file said before, running what is in force, file what it says now. Nothing of them is changed. The notes
// tell what commands made and the file overrides.
func Merge(base, running, file *Model) (*Model, []Note) {
	m := &merger{out: file.Clone()}
	m.out.Births, m.out.Daemons = running.Births, running.Daemons
	m.timeouts(base.Globals.Timeouts, running.Globals.Timeouts)
	m.sysctls(running.Dataplane.Sysctls)
	m.marks(&running.Marks)
	m.out.Services = nil
	for i := range running.Services {
		was := &running.Services[i]
		switch now := findService(file.Services, i, was.Key()); {
		case now != nil:
			m.out.Services = append(m.out.Services, m.service(was, now))
		case was.Origin == FromCommand:
			m.out.Services = append(m.out.Services, *was)
		default:
			if n := commanded(was.Reals); n > 0 {
				m.say(was.Pos, "%s is gone from the file, and with it %s that commands added", was.Key(), count(n, "real server", "s"))
			}
		}
	}
	for i := range file.Services {
		if s := &file.Services[i]; findService(running.Services, i, s.Key()) == nil {
			m.out.Services = append(m.out.Services, *s)
		}
	}
	return m.out.Clone(), m.notes
}

type merger struct {
	out   *Model
	notes []Note
}

func (m *merger) say(p Pos, format string, args ...any) {
	m.notes = append(m.notes, Note{Pos: p, Text: fmt.Sprintf(format, args...)})
}

// timeouts keeps those that a command set and that the file leaves open.
func (m *merger) timeouts(base, running Timeouts) {
	t := &m.out.Globals.Timeouts
	if t.TCP == 0 && running.TCP != base.TCP {
		t.TCP = running.TCP
	}
	if t.TCPFin == 0 && running.TCPFin != base.TCPFin {
		t.TCPFin = running.TCPFin
	}
	if t.UDP == 0 && running.UDP != base.UDP {
		t.UDP = running.UDP
	}
}

// service is what the file says now of a service that was there, with the servers that only commands named. Those that
// were there keep their places.
func (m *merger) service(was, now *Service) Service {
	if was.Origin == FromCommand {
		m.say(now.Pos, "%s was made by a command; from now on it is as the file says", now.Key())
	}
	s := *now
	s.Birth, s.Reals = was.Birth, nil
	for i := range was.Reals {
		r := &was.Reals[i]
		if f := findReal(now.Reals, i, r.Key()); f != nil {
			if r.Origin == FromCommand {
				m.say(f.Pos, "%s of %s was made by a command; from now on it is as the file says", r.Key(), now.Key())
			}
			kept := *f
			kept.Birth, kept.Edits = r.Birth, r.Edits
			s.Reals = append(s.Reals, kept)
		} else if r.Origin == FromCommand {
			s.Reals = append(s.Reals, *r)
		}
	}
	for i := range now.Reals {
		if r := &now.Reals[i]; findReal(was.Reals, i, r.Key()) == nil {
			s.Reals = append(s.Reals, *r)
		}
	}
	return s
}

// commanded counts the real servers that commands made.
func commanded(list []Real) (n int) {
	for i := range list {
		if list[i].Origin == FromCommand {
			n++
		}
	}
	return n
}
