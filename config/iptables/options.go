package iptables

import "strings"

// arity is what an option has behind it.
type arity uint8

const (
	bare arity = iota // nothing
	takes
	may // something, if it is no option
)

// option is an option of the command itself or of an extension.
type option struct {
	name  string // without "--"
	short byte   // 0: none; options of the same short letter are the same
	arity arity
	key   string // of an extension's option: the name it is handled by
}

// globalOptions are those of iptables itself. Commands take their further arguments themselves.
func globalOptions() []option {
	return []option{
		{"append", 'A', takes, ""}, {"check", 'C', takes, ""}, {"delete", 'D', takes, ""}, {"insert", 'I', takes, ""},
		{"replace", 'R', takes, ""}, {"list", 'L', may, ""}, {"list-rules", 'S', may, ""}, {"flush", 'F', may, ""},
		{"zero", 'Z', may, ""}, {"new-chain", 'N', takes, ""}, {"delete-chain", 'X', may, ""}, {"rename-chain", 'E', takes, ""},
		{"policy", 'P', takes, ""}, {"source", 's', takes, ""}, {"src", 's', takes, ""}, {"destination", 'd', takes, ""},
		{"dst", 'd', takes, ""}, {"protocol", 'p', takes, ""}, {"proto", 'p', takes, ""}, {"in-interface", 'i', takes, ""},
		{"out-interface", 'o', takes, ""}, {"jump", 'j', takes, ""}, {"goto", 'g', takes, ""}, {"match", 'm', takes, ""},
		{"table", 't', takes, ""}, {"fragments", 'f', bare, ""}, {"set-counters", 'c', takes, ""}, {"wait", 'w', may, ""},
		{"wait-interval", 'W', takes, ""}, {"numeric", 'n', bare, ""}, {"verbose", 'v', bare, ""}, {"exact", 'x', bare, ""},
		{"line-numbers", '0', bare, ""}, {"modprobe", 'M', takes, ""}, {"ipv4", '4', bare, ""}, {"ipv6", '6', bare, ""},
		{"help", 'h', bare, ""}, {"version", 'V', bare, ""},
	}
}

// extensionOptions are those of a match or target that is understood; ok is false for one that is not.
func extensionOptions(extension string) (list []option, ok bool) {
	ports := []option{{"source-port", 0, takes, "sport"}, {"sport", 0, takes, "sport"}, {"destination-port", 0, takes, "dport"},
		{"dport", 0, takes, "dport"}}
	switch extension {
	case "tcp":
		return append(ports, option{"syn", 0, bare, "syn"}, option{"tcp-flags", 0, takes, "tcp-flags"},
			option{"tcp-option", 0, takes, "tcp-option"}), true
	case "udp":
		return ports, true
	case "sctp":
		return append(ports, option{"chunk-types", 0, takes, "chunk-types"}), true
	case "multiport":
		return []option{{"source-ports", 0, takes, "sports"}, {"sports", 0, takes, "sports"}, {"destination-ports", 0, takes, "dports"},
			{"dports", 0, takes, "dports"}, {"ports", 0, takes, "ports"}}, true
	case "mark":
		return []option{{"mark", 0, takes, "mark"}}, true
	case "comment":
		return []option{{"comment", 0, takes, "comment"}}, true
	case "MARK":
		return []option{{"set-xmark", 0, takes, "set-xmark"}, {"set-mark", 0, takes, "set-mark"}, {"and-mark", 0, takes, "and-mark"},
			{"or-mark", 0, takes, "or-mark"}, {"xor-mark", 0, takes, "xor-mark"}}, true
	}
	return nil, false
}

// extension is a match or target that a rule uses, with its options.
type extension struct {
	name    string
	match   int // index in the rule's matches; -1: the target
	options []option
	given   map[string]bool // options by key
}

// found is what an option's name stands for.
type found struct {
	option
	ext *extension // nil: an option of iptables itself
}

// lookup finds a long option as getopt_long does: by its whole name, or by a beginning that nothing else has. Extensions
// that came later are asked first. Several is set to the names that a beginning could stand for.
func (p *parser) lookup(name string) (f found, several []string, ok bool) {
	groups := []found{}
	for i := len(p.exts) - 1; i >= 0; i-- {
		for _, o := range p.exts[i].options {
			groups = append(groups, found{o, p.exts[i]})
		}
	}
	for _, o := range globalOptions() {
		groups = append(groups, found{o, nil})
	}
	for _, g := range groups {
		if g.name == name {
			return g, nil, true
		}
	}
	for _, g := range groups {
		switch {
		case !strings.HasPrefix(g.name, name) || name == "":
		case !ok:
			f, ok = g, true
			several = []string{"--" + g.name}
		case g.key != f.key || g.short != f.short:
			several = append(several, "--"+g.name)
		}
	}
	if len(several) > 1 {
		return f, several, false
	}
	return f, nil, ok
}

// short finds an option by its letter.
func short(letter byte) (option, bool) {
	for _, o := range globalOptions() {
		if o.short == letter {
			return o, true
		}
	}
	return option{}, false
}
