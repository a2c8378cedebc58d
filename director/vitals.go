package director

import (
	"fmt"
	"maps"
	"slices"

	"dirsw/config"
)

// vitals is what is known of the real servers of a model beyond the model: which of them answer, with what weight, and which
// services have their quorum. It belongs to one goroutine. What follows from it is keepalived's (ipwrapper.c), log lines
// included; checked with transcripts of the real one.
type vitals struct {
	model  *config.Model
	at     map[string]seat  // by checkKey
	names  []names          // of each service of the model: they are needed with every answer, and dear to make
	reals  map[string]pulse // likewise
	quorum map[string]bool  // by unitKey: it has its quorum
	born   map[string]bool  // by checkKey: the model before did not have it checked
}

// seat is where a real server stands in a model.
type seat struct{ service, real int }

// names are the keys of a service and of its real servers.
type names struct {
	unit  string   // unitKey
	reals []string // checkKey
}

// pulse is what is known of a real server. The zero pulse is one that answers, with the weight that the model says.
type pulse struct {
	down   bool
	why    string // it is down
	weighs bool   // weight is in force in the place of the model's
	weight int
	model  int    // the weight of the model at that time: another one there ends this one
	edits  uint64 // counts the weights that came, see config.Real.Edits
	seen   uint64 // config.Real.Edits when the last of them came: who edits the weight after that has the last word
}

// happening is something to tell of: to the log, to scripts, to people by mail.
type happening struct {
	kind    happeningKind
	service *config.Service
	real    *config.Real // of realUp and realDown
	text    string       // as keepalived logs it
	why     string       // of realUp, realDown and checked: what the mail says; "": there is none
	up      bool         // of checked: the server, now
	weight  int          // of quorumUp and quorumDown: of all that answer
	first   bool         // likewise: at the start
}

type happeningKind uint8

const (
	said happeningKind = iota // for the log only
	realUp
	realDown
	checked // one of the checks of a server changed, and the server did not
	quorumUp
	quorumDown
)

// serviceName is how keepalived's log names a service (check_data.c, format_vs).
func serviceName(s *config.Service) string {
	switch {
	case s.Group.Name != "":
		return "[" + s.Group.Name + "]:0"
	case s.Mark != 0:
		return fmt.Sprintf("FWM %d", s.Mark)
	}
	return fmt.Sprintf("[%s]:%s:%d", s.Addr, protoName(uint8(s.Proto)), s.Port)
}

// realName is how keepalived's log names a real server (check_data.c, format_rs).
func realName(s *config.Service, r *config.Real) string {
	proto := "none"
	switch {
	case s.Group.Name != "":
		proto = protoName(uint8(s.Group.Proto))
	case s.Mark == 0:
		proto = protoName(uint8(s.Proto))
	}
	return fmt.Sprintf("[%s]:%s:%d", r.Addr, proto, r.ProbePort())
}

// checkKey names a real server for the health checks. Services of a group share their servers' checks.
func checkKey(s *config.Service, r *config.Real) string { return realName(s, r) + " of " + unitKey(s) }

// unitKey names what has a quorum of its own: a service, or those of a group together.
func unitKey(s *config.Service) string {
	if s.Group.Name != "" {
		return serviceName(s) + " " + protoName(uint8(s.Group.Proto))
	}
	return s.Key().String()
}

// adopt follows a change of the model: what is new there counts as down if it is to prove itself first (alpha), what is gone
// is forgotten, the rest stays as it is known.
func (v *vitals) adopt(m *config.Model) {
	reals, quorum, at, all := map[string]pulse{}, map[string]bool{}, map[string]seat{}, make([]names, len(m.Services))
	born := map[string]bool{}
	for i := range m.Services {
		s := &m.Services[i]
		n := &all[i]
		n.unit, n.reals = unitKey(s), make([]string, len(s.Reals))
		if up, ok := v.quorum[n.unit]; ok {
			quorum[n.unit] = up
		}
		for k := range s.Reals {
			r := &s.Reals[k]
			key := checkKey(s, r)
			n.reals[k] = key
			if _, ok := at[key]; !ok {
				at[key] = seat{i, k}
			}
			p, ok := v.reals[key]
			if _, _, was := v.find(key); was == nil || len(was.Checks) == 0 {
				born[key] = true
			}
			if !ok && unproven(s, r) {
				p = pulse{down: true, why: "it has not answered its first check yet (alpha)"}
			}
			if len(r.Checks) == 0 {
				p = pulse{edits: p.edits, seen: p.seen}
			}
			if p.weighs && (p.model != r.Weight || p.seen != r.Edits) {
				p.weighs = false
			}
			if p != (pulse{}) {
				reals[key] = p
			}
		}
	}
	v.model, v.at, v.names, v.reals, v.quorum, v.born = m, at, all, reals, quorum, born
}

// unproven reports whether a real server counts as down until its checks have succeeded.
func unproven(s *config.Service, r *config.Real) bool {
	return len(r.Checks) > 0 && (s.Alpha || slices.ContainsFunc(r.Checks, func(c config.Check) bool { return c.Alpha }))
}

// weight is what a real server has when it answers.
func (p *pulse) of(r *config.Real) int {
	if p.weighs {
		return p.weight
	}
	return r.Weight
}

// answer notes that a real server answers, or why it does not. It returns what is new.
func (v *vitals) answer(key string, up bool, why string) []happening {
	i, s, r := v.find(key)
	p := v.reals[key]
	if r == nil || p.down != up {
		return nil
	}
	kind, text := realDown, "Removing service %s from VS %s"
	switch {
	case up && r.Inhibit:
		kind, text = realUp, "Enabling service %s of VS %s"
	case up:
		kind, text = realUp, "Adding service %s to VS %s"
	case r.Inhibit:
		text = "Disabling service %s of VS %s"
	}
	if p.down, p.why = !up, why; up {
		p.why = ""
	}
	v.reals[key] = p
	h := happening{kind: kind, service: s, real: r, text: fmt.Sprintf(text, realName(s, r), serviceName(s)), why: why}
	return append([]happening{h}, v.judge(i, false)...)
}

// set notes how a real server stands after adopt, as a thing that needs no telling. Whether one answers that the model before
// had checked too is not taken from here: the event that tells so may be on its way.
func (v *vitals) set(key string, up bool, weight int) {
	_, _, r := v.find(key)
	if r == nil {
		return
	}
	p := v.reals[key]
	if v.born[key] && p.down != !up {
		p.down, p.why = !up, ""
	}
	if weight != p.of(r) && up && p.seen == r.Edits {
		p.weighs, p.weight, p.model = weight != r.Weight, weight, r.Weight
		p.edits++
	}
	if p != (pulse{}) {
		v.reals[key] = p
	}
}

// clone copies what is known, so that it can be returned to.
func (v *vitals) clone() vitals {
	c := *v
	c.reals, c.quorum = maps.Clone(v.reals), maps.Clone(v.quorum)
	return c
}

// unproved tells that an alpha server has failed its first check: nothing is different, but whoever is told when one goes down
// is told.
func (v *vitals) unproved(key string) []happening {
	_, s, r := v.find(key)
	if r == nil {
		return nil
	}
	return []happening{{kind: realDown, service: s, real: r}}
}

// checked tells that one of the checks of a server changed, and the server did not: there are mails about that, unless
// no_checker_emails keeps them.
func (v *vitals) checked(key string, up bool, why string) []happening {
	_, s, r := v.find(key)
	if r == nil || v.model.Globals.NoCheckerEmails {
		return nil
	}
	return []happening{{kind: checked, service: s, real: r, up: up, why: why}}
}

// weigh notes the weight that a check wants for a real server.
func (v *vitals) weigh(key string, weight int) []happening {
	i, s, r := v.find(key)
	if r == nil {
		return nil
	}
	p := v.reals[key]
	was := p.of(r)
	if was == weight {
		return nil
	}
	p.weighs, p.weight, p.model, p.seen = weight != r.Weight, weight, r.Weight, r.Edits
	p.edits++
	v.reals[key] = p
	active := ""
	if p.down {
		active = "in"
	}
	h := happening{kind: said, service: s, real: r, text: fmt.Sprintf("Changing weight from %d to %d for %sactive service %s of VS %s", was,
		weight, active, realName(s, r), serviceName(s))}
	return append([]happening{h}, v.judge(i, false)...)
}

// find returns the first service that has a real server, by its place, and the server; nil if nobody has it.
func (v *vitals) find(key string) (int, *config.Service, *config.Real) {
	p, ok := v.at[key]
	if !ok {
		return 0, nil, nil
	}
	s := &v.model.Services[p.service]
	return p.service, s, &s.Reals[p.real]
}

// judgeAll looks at the quorum of every service, as after a change of the model.
func (v *vitals) judgeAll() (told []happening) {
	seen := map[string]bool{}
	for i := range v.names {
		if unit := v.names[i].unit; !seen[unit] {
			seen[unit] = true
			told = append(append(told, v.births(i)...), v.judge(i, true)...)
		}
	}
	return told
}

// births tells of the servers of the service at a place that are new and answer, where rs_init_notifies is set.
func (v *vitals) births(i int) (told []happening) {
	s := &v.model.Services[i]
	if !v.model.Globals.RSInitNotifies || s.Origin == config.FromCommand {
		return nil
	}
	for k, key := range v.names[i].reals {
		if v.born[key] && !v.reals[key].down {
			told = append(told, happening{kind: realUp, service: s, real: &s.Reals[k]})
		}
	}
	return told
}

// judge decides whether the service at a place has its quorum: it gains it when the weights of the servers that answer reach
// quorum plus hysteresis, and loses it when they are below quorum minus hysteresis, or when nobody is left. With first, a
// service that never had a quorum is told of its sorry server.
func (v *vitals) judge(i int, first bool) (told []happening) {
	s := &v.model.Services[i]
	if s.Origin == config.FromCommand {
		return nil // it has neither quorum nor sorry server
	}
	key, name := v.names[i].unit, serviceName(s)
	had, known := v.quorum[key]
	sum, quorum := v.strength(i), max(s.Quorum, 1)
	say := func(kind happeningKind, format string, args ...any) {
		told = append(told, happening{kind: kind, service: s, text: fmt.Sprintf(format, args...), weight: sum, first: first})
	}
	lost := "Lost quorum"
	if first {
		lost = "Starting with quorum down"
	}
	switch need, least := quorum+s.Hysteresis, quorum-s.Hysteresis; {
	case !had && sum >= need:
		v.quorum[key] = true
		say(quorumUp, "Gained quorum %d+%d=%d <= %d for VS %s", quorum, s.Hysteresis, need, sum, name)
		if s.SorryServer != nil && known {
			say(said, "%s sorry server %s from VS %s", sorryVerb(s, "Disabling", "Removing"), realName(s, s.SorryServer), name)
			say(said, "Adding alive servers to the pool for VS %s", name)
		}
	case had && (sum == 0 || sum < least):
		v.quorum[key] = false
		say(quorumDown, lost+" %d-%d=%d > %d for VS %s", quorum, s.Hysteresis, least, sum, name)
		if s.SorryServer != nil {
			say(said, "%s sorry server %s to VS %s", sorryVerb(s, "Enabling", "Adding"), realName(s, s.SorryServer), name)
			say(said, "Removing alive servers from the pool for VS %s", name)
		}
	case !had && !known:
		v.quorum[key] = false
		if first && s.SorryServer != nil {
			say(quorumDown, lost+" %d-%d=%d > %d for VS %s", quorum, s.Hysteresis, least, sum, name)
			say(said, "%s sorry server %s to VS %s", sorryVerb(s, "Enabling", "Adding"), realName(s, s.SorryServer), name)
			say(said, "Removing alive servers from the pool for VS %s", name)
		}
	}
	return told
}

func sorryVerb(s *config.Service, inhibited, otherwise string) string {
	if s.SorryInhibit {
		return inhibited
	}
	return otherwise
}

// strength is the sum of the weights of the servers that answer of the service at a place.
func (v *vitals) strength(i int) (sum int) {
	for k, key := range v.names[i].reals {
		if p := v.reals[key]; !p.down {
			sum += p.of(&v.model.Services[i].Reals[k])
		}
	}
	return sum
}

// inForce returns what of the model is to be forwarded now: servers that do not answer are left out, or have the weight 0
// (inhibit_on_failure); a service without its quorum has its sorry server in the place of all others. Nothing of the model is
// changed.
func (v *vitals) inForce() *config.Model {
	out := *v.model
	out.Services = slices.Clone(out.Services)
	for i := range out.Services {
		s := &out.Services[i]
		s.Reals = v.servers(i)
		s.SorryServer = nil
	}
	return &out
}

// servers is what of the service at a place is in force.
func (v *vitals) servers(i int) []config.Real {
	s, n := &v.model.Services[i], &v.names[i]
	sorry := s.SorryServer != nil && !v.quorum[n.unit]
	list := make([]config.Real, 0, len(s.Reals)+1)
	for k, key := range n.reals {
		r := s.Reals[k]
		p := v.reals[key]
		r.Weight, r.Edits = p.of(&r), r.Edits+p.edits<<32
		if p.down || sorry {
			if !r.Inhibit {
				continue
			}
			r.Weight = 0
		}
		list = append(list, r)
	}
	if s.SorryServer != nil && (sorry || s.SorryInhibit) {
		r := *s.SorryServer
		if !sorry {
			r.Weight = 0
		}
		list = append(list, r)
	}
	return list
}

// everybody are the real servers of a service and its sorry server: all that may have to be reached.
func everybody(s *config.Service) []config.Real {
	if s.SorryServer == nil {
		return s.Reals
	}
	return append(slices.Clip(s.Reals), *s.SorryServer)
}

// AllWell returns what is forwarded of a model while every real server answers.
func AllWell(m *config.Model) *config.Model {
	var v vitals
	v.adopt(m)
	clear(v.reals)
	v.judgeAll()
	return v.inForce()
}
