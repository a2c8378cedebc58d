package keepalived

import (
	"slices"
	"time"

	"dirsw/config"
)

// trackKind returns what the lines of a block are about.
func trackKind(keyword string) (config.TrackKind, bool) {
	for k := config.TrackInterface; k <= config.TrackArbiter; k++ {
		if k.String() == keyword {
			return k, true
		}
	}
	return 0, false
}

// unsetWeight is the weight of a line that names none, until settle knows what is tracked.
const unsetWeight = 1 << 20

// weightOf is how far from 0 a weight may be: a file or a process may take all of the priority.
func weightOf(k config.TrackKind) int64 {
	if k == config.TrackOfFile || k == config.TrackOfProcess {
		return 254
	}
	return 253
}

// tracks reads lines of NAME [weight N [reverse|noreverse]], and of NAME takeover.
func (p *parser) tracks(s *statement, kind config.TrackKind, to *[]config.Track) {
	for _, line := range p.values(s) {
		t := config.Track{Pos: line.pos(), Kind: kind, Name: line.name(), Weight: unsetWeight}
		if kind == config.TrackInterface && !p.link(line.words[0]) {
			continue
		}
		if same := slices.IndexFunc(*to, func(o config.Track) bool { return o.Kind == kind && o.Name == t.Name }); same >= 0 {
			p.note(line.pos(), "%s is tracked already, in line %d: that one counts", t.Name, (*to)[same].Pos.Line)
			continue
		}
		if p.trackOptions(line, &t) {
			*to = append(*to, t)
		}
	}
}

// trackOptions reads what follows the name.
func (p *parser) trackOptions(line *statement, t *config.Track) bool {
	r := reader{p: p, words: line.words, what: t.Kind.String()}
	r.next()
	for r.more() && !r.bad {
		switch w := r.next(); w.text {
		case "weight":
			r.weight(&t.Weight, weightOf(t.Kind))
		case "takeover":
			if t.Kind != config.TrackBFD {
				p.fail(w.pos, "write it behind a name in track_bfd", "takeover is for sessions of BFD")
				return false
			}
			t.Takeover, t.Weight = true, 0
			p.turn(t.Pos)
		case "reverse", "noreverse", "no_reverse":
			t.Reverse = w.text == "reverse"
			p.turn(t.Pos)
		default:
			p.stray(w, "weight N, then reverse or noreverse", show(t.Name)+" in "+r.what)
			return false
		}
	}
	return !r.bad
}

// turn remembers that a line says reverse or noreverse.
func (p *parser) turn(pos config.Pos) {
	if p.turned == nil {
		p.turned = map[config.Pos]bool{}
	}
	p.turned[pos] = true
}

// weight stores a number from -most to most.
func (r *reader) weight(to *int, most int64) {
	if w, ok := r.value(); ok {
		n, ok := r.p.integer(w, -most, most)
		*to, r.bad = int(n), r.bad || !ok
	}
}

// setWeight reads `weight N [reverse]`.
func (p *parser) setWeight(b *block, s *statement, most int64, weight *int, reverse *bool) {
	args, ok := p.args(b, s, 1, 2)
	if !ok {
		return
	}
	if n, ok := p.integer(args[0], -most, most); ok {
		*weight = int(n)
	}
	if len(args) < 2 {
		return
	}
	switch args[1].text {
	case "reverse":
		*reverse = true
	case "noreverse":
	default:
		p.stray(args[1], "reverse", "weight")
	}
}

// script reads a vrrp_script.
func (p *parser) script(outer *block, s *statement) {
	c := config.Script{Pos: s.pos(), Interval: time.Second, Rise: 1, Fall: 1}
	p.setText(outer, s, &c.Name)
	b := s.block
	var user config.Command
	p.each(b, func(s *statement) {
		switch s.name() {
		case "script":
			p.setProgram(b, s, &c.Command)
		case "interval":
			p.setTime(b, s, time.Millisecond, longest, &c.Interval)
		case "timeout":
			p.setTime(b, s, time.Millisecond, longest, &c.Timeout)
		case "weight":
			p.setWeight(b, s, 253, &c.Weight, &c.Reverse)
		case "rise":
			p.setInt(b, s, 1, 1<<31-1, &c.Rise)
		case "fall":
			p.setInt(b, s, 1, 1<<31-1, &c.Fall)
		case "user":
			if args, ok := p.args(b, s, 1, 2); ok {
				user.User, user.Group = account(args)
			}
		case "init_fail":
			p.setFlag(b, s, &c.InitFail)
		}
	})
	if c.Timeout == 0 {
		c.Timeout = c.Interval
	}
	if user.User != "" {
		c.Command.User, c.Command.Group = user.User, user.Group
	}
	p.model.VRRP.Scripts = append(p.model.VRRP.Scripts, c)
}

// trackFile reads a track_file, which was vrrp_track_file before keepalived 2.1.
func (p *parser) trackFile(outer *block, s *statement) {
	f := config.TrackFile{Pos: s.pos(), Weight: 1}
	p.setText(outer, s, &f.Name)
	b := s.block
	p.each(b, func(s *statement) {
		switch s.name() {
		case "file":
			p.setText(b, s, &f.Path)
		case "weight":
			p.setWeight(b, s, 254, &f.Weight, &f.Reverse)
		case "init_file":
			p.initFile(s, &f)
		}
	})
	p.model.VRRP.Files = append(p.model.VRRP.Files, f)
}

// initFile reads init_file [VALUE] [overwrite].
func (p *parser) initFile(s *statement, f *config.TrackFile) {
	f.Init = config.FileInitMissing
	for _, w := range s.args() {
		if w.text == "overwrite" {
			f.Init = config.FileInitAlways
		} else if n, ok := p.integer(w, -1<<31, 1<<31-1); ok {
			f.Value = int(n)
		}
	}
}

// trackProcess reads a vrrp_track_process.
func (p *parser) trackProcess(outer *block, s *statement) {
	t := config.TrackProcess{Pos: s.pos(), Quorum: 1, QuorumMax: config.NoQuorumMax}
	p.setText(outer, s, &t.Name)
	b := s.block
	p.each(b, func(s *statement) { p.processKeyword(b, s, &t) })
	if t.Match == config.ParamAny && len(t.Params) > 0 {
		t.Match = config.ParamExact
	}
	if t.Match != config.ParamAny {
		t.FullCommand = true
	}
	p.model.VRRP.Processes = append(p.model.VRRP.Processes, t)
}

func (p *parser) processKeyword(b *block, s *statement, t *config.TrackProcess) {
	const longestDelay = time.Hour
	switch s.name() {
	case "process":
		if args, ok := p.args(b, s, 1, 1<<20); ok {
			t.Command, t.Params = args[0].text, nil
			for _, a := range args[1:] {
				t.Params = append(t.Params, a.text)
			}
		}
	case "param_match":
		p.choice(b, s, func(i int) { t.Match = config.ParamInitial + config.ParamMatch(i) }, "initial", "partial")
	case "weight":
		p.setWeight(b, s, 254, &t.Weight, &t.Reverse)
	case "quorum":
		p.setInt(b, s, 1, 65535, &t.Quorum)
	case "quorum_max":
		p.setInt(b, s, 0, 65535, &t.QuorumMax)
	case "fork_delay":
		p.setTime(b, s, time.Microsecond, longestDelay, &t.UpDelay)
	case "terminate_delay":
		p.setTime(b, s, time.Microsecond, longestDelay, &t.DownDelay)
	case "delay":
		p.setTime(b, s, time.Microsecond, longestDelay, &t.UpDelay)
		t.DownDelay = t.UpDelay
	case "full_command":
		p.setFlag(b, s, &t.FullCommand)
	}
}
