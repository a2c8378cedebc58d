package director

import (
	"fmt"
	"time"

	"dirsw/config"
	"dirsw/script"
)

// programs turns the commands of a configuration into programs to run.
type programs struct {
	globals *config.ScriptGlobals
	byUser  map[string]*script.User // looked up
	bad     map[string]error        // those that could not be
}

func newPrograms(g *config.ScriptGlobals) *programs {
	return &programs{globals: g, byUser: map[string]*script.User{}, bad: map[string]error{}}
}

// user returns who runs a command: the one that it names, else script_user, else the default.
func (p *programs) user(c *config.Command) (*script.User, error) {
	name, group := c.User, c.Group
	if name == "" {
		name, group = p.globals.User, p.globals.Group
	}
	key := name + ":" + group
	if u, ok := p.byUser[key]; ok {
		return u, p.bad[key]
	}
	var u *script.User
	var err error
	if name == "" {
		u, err = script.DefaultUser(p.globals.SupplementaryGroups)
	} else {
		u, err = script.LookupUser(name, group, p.globals.SupplementaryGroups)
	}
	p.byUser[key], p.bad[key] = u, err
	return u, err
}

// command returns the program; ok is false if there is none to run. A program that script security forbids, or that cannot be
// run, is an error: keepalived passes such a one over.
func (p *programs) command(c *config.Command, timeout time.Duration) (out script.Command, err error) {
	u, err := p.user(c)
	if err != nil {
		return out, err
	}
	out = script.Command{Args: c.Args, User: u, Timeout: timeout}
	f := script.Check(out)
	switch {
	case f.Err != nil:
		return out, f.Err
	case !f.Usable(p.globals.Security):
		return out, fmt.Errorf("%w, and enable_script_security is set", f.Insecure)
	}
	return out, nil
}
