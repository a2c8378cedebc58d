package keepalived

import (
	"math"
	"slices"
	"strings"

	"dirsw/config"
)

// http reads what HTTP_GET and SSL_GET have.
func (p *parser) http(b *block, s *statement, h *config.HTTPSettings) {
	switch s.name() {
	case "http_protocol":
		p.choice(b, s, func(i int) { h.Version = config.HTTPVersion(i) }, "1.0", "1.0C", "1.1")
	case "virtualhost":
		p.setText(b, s, &h.VirtualHost)
	case "fast_recovery":
		p.setBool(b, s, &h.FastRecovery)
	case "enable_sni":
		p.setBool(b, s, &h.SNI)
	case "sni_name":
		p.setText(b, s, &h.ServerName)
	case "url":
		p.bare(b, s)
		p.url(s, h)
	}
}

// url reads a url block.
func (p *parser) url(s *statement, h *config.HTTPSettings) {
	u, errs := config.URL{}, len(p.errs)
	b := s.block
	var status []config.StatusRange
	p.each(b, func(s *statement) {
		switch s.name() {
		case "path":
			p.setText(b, s, &u.Path)
		case "digest":
			p.digest(b, s, &u)
		case "status_code":
			status = append(status, p.status(b, s)...)
		case "virtualhost":
			p.setText(b, s, &u.VirtualHost)
		case "tls_compliant":
			p.setFlag(b, s, &u.Compliant)
		default:
			p.regex(b, s, &u.Regex)
		}
	})
	if u.Path == "" && len(p.errs) == errs {
		p.fail(s.pos(), "write path", "a url without path")
		return
	}
	if u.Status = joinRanges(status); u.Status == nil {
		u.Status = []config.StatusRange{{From: 200, To: 299}}
	}
	if r := u.Regex; r.MaxOffset > 0 && r.MinOffset >= r.MaxOffset {
		p.fail(s.pos(), "write a regex_min_offset that is less", "regex_min_offset %d is not below regex_max_offset %d", r.MinOffset, r.MaxOffset)
	}
	if r := u.Regex; r.Pattern == "" && (r.NoMatch || r.Options != nil || r.MinOffset != 0 || r.MaxOffset != 0) {
		p.note(s.pos(), "regex settings without regex mean nothing")
		u.Regex = config.Regex{}
	}
	h.URLs = append(h.URLs, u)
}

// digest reads an MD5 in hexadecimal, as genhash prints it.
func (p *parser) digest(b *block, s *statement, u *config.URL) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return
	}
	d := strings.ToLower(args[0].text)
	if len(d) != 32 || strings.Trim(d, "0123456789abcdef") != "" {
		p.fail(args[0].pos, "write the 32 hexadecimal digits that genhash prints", "malformed digest %s", show(args[0].text))
		return
	}
	u.Digest = d
}

// status reads status_code N|N-M ….
func (p *parser) status(b *block, s *statement) (list []config.StatusRange) {
	args, ok := p.args(b, s, 1, math.MaxInt)
	if !ok {
		return nil
	}
	for _, w := range args {
		from, to, isRange := strings.Cut(w.text, "-")
		low, ok := p.integer(token{pos: w.pos, text: from}, 100, 599)
		high := low
		if ok && isRange {
			high, ok = p.integer(token{pos: w.pos, text: to}, 100, 599)
		}
		if ok && high < low {
			p.fail(w.pos, "write the lower one first", "the range %s of status codes is empty", w.text)
			ok = false
		}
		if ok {
			list = append(list, config.StatusRange{From: int(low), To: int(high)})
		}
	}
	return list
}

// joinRanges sorts ranges and makes one of those that touch.
func joinRanges(list []config.StatusRange) []config.StatusRange {
	slices.SortFunc(list, func(a, b config.StatusRange) int { return a.From - b.From })
	var out []config.StatusRange
	for _, r := range list {
		if n := len(out); n > 0 && r.From <= out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// regex reads what a url has of regular expressions.
func (p *parser) regex(b *block, s *statement, r *config.Regex) {
	switch s.name() {
	case "regex":
		if args, ok := p.args(b, s, 1, 1); ok {
			r.Pattern = args[0].escaped()
		}
	case "regex_no_match":
		p.bare(b, s)
		r.NoMatch = true
	case "regex_options":
		args, ok := p.args(b, s, 1, math.MaxInt)
		if !ok {
			return
		}
		for _, w := range args {
			p.regexOption(w, r)
		}
	case "regex_min_offset":
		p.setInt(b, s, 0, math.MaxInt32, &r.MinOffset)
	case "regex_max_offset":
		p.setInt(b, s, 1, math.MaxInt32, &r.MaxOffset)
	}
}

// regexOption reads one name of PCRE2's options. Those that Go's regular expressions know reach the Model.
func (p *parser) regexOption(w token, r *config.Regex) {
	switch w.text {
	case "caseless", "multiline", "dotall", "ungreedy":
		if !slices.Contains(r.Options, w.text) {
			r.Options = append(r.Options, w.text)
		}
	case "allow_empty_class", "alt_bsux", "auto_callout", "dollar_endonly", "dupnames", "extended", "firstline", "match_unset_backref",
		"never_ucp", "never_utf", "no_auto_capture", "no_auto_possess", "no_dotstar_anchor", "no_start_optimize", "ucp", "utf",
		"never_backslash_c", "alt_circumflex", "alt_verbnames", "use_offset_limit":
		p.note(w.pos, "the regular expression option %s has no effect: caseless, multiline, dotall and ungreedy have", w.text)
	default:
		p.fail(w.pos, "write caseless, multiline, dotall or ungreedy", "unknown regular expression option %s", show(w.text))
	}
}

// finishHTTP reports whether there is anything to ask for.
func (r *checkReader) finishHTTP() bool {
	p, c := r.p, r.c
	if len(c.HTTP.URLs) == 0 {
		p.fail(c.Pos, "write url { path / }", "%s asks for no url", c.Kind)
		return false
	}
	for i := range c.HTTP.URLs {
		u := &c.HTTP.URLs[i]
		if c.Kind == config.HTTPGet && u.Compliant {
			p.note(c.Pos, "tls_compliant means nothing in HTTP_GET: there is no TLS")
		}
		u.Compliant = c.Kind == config.SSLGet && (u.Compliant || r.compliant)
	}
	if c.HTTP.SNI && c.HTTP.ServerName == "" && c.HTTP.VirtualHost == "" &&
		slices.ContainsFunc(c.HTTP.URLs, func(u config.URL) bool { return u.VirtualHost == "" }) {
		p.note(c.Pos, "enable_sni without virtualhost or sni_name: no name is sent, as keepalived does")
	}
	return true
}
