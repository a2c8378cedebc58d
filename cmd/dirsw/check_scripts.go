package main

import (
	"errors"
	"fmt"
	"reflect"

	"dirsw/config"
	"dirsw/script"
)

// scriptFindings looks at the programs that a configuration names, as they are on this machine. What cannot work is a note:
// the file may be meant for another machine. unsafe is what enable_script_security forbids to run.
func scriptFindings(m *config.Model) (notes []config.Note, unsafe error) {
	var errs config.Errors
	seen := map[string]bool{}
	eachCommand(reflect.ValueOf(*m), config.Pos{}, func(c config.Command, pos config.Pos) {
		if seen[c.String()] {
			return
		}
		seen[c.String()] = true
		user, err := scriptUser(&m.Globals.Scripts, c)
		if err != nil {
			notes = append(notes, config.Note{Pos: pos, Text: fmt.Sprintf("%s: %v", c.Args[0], err)})
			return
		}
		switch f := script.Check(script.Command{Args: c.Args, User: user}); {
		case f.Err != nil:
			notes = append(notes, config.Note{Pos: pos, Text: f.Err.Error()})
		case f.Insecure != nil && m.Globals.Scripts.Security:
			errs = append(errs, config.Error{Pos: pos, Message: f.Insecure.Error(), Fix: "let nobody but root write it, or name a user that runs it"})
		case f.Insecure != nil:
			notes = append(notes, config.Note{Pos: pos, Text: f.Insecure.Error() + ", and root runs it; enable_script_security would forbid that"})
		}
	})
	return notes, errs.Or()
}

// scriptUser is as whom a program runs.
func scriptUser(g *config.ScriptGlobals, c config.Command) (*script.User, error) {
	name, group := c.User, c.Group
	if name == "" {
		name, group = g.User, g.Group
	}
	if name == "" {
		return script.DefaultUser(g.SupplementaryGroups)
	}
	u, err := script.LookupUser(name, group, g.SupplementaryGroups)
	var unknown *script.UnknownError
	if err != nil && !errors.As(err, &unknown) {
		return nil, fmt.Errorf("look up the user of a program: %w", err)
	}
	return u, err
}

// eachCommand calls f for each program in a Model, with the position of the entry that it belongs to.
func eachCommand(v reflect.Value, pos config.Pos, f func(config.Command, config.Pos)) {
	switch v.Kind() {
	case reflect.Struct:
		if c, ok := v.Interface().(config.Command); ok {
			if !c.IsZero() {
				f(c, pos)
			}
			return
		}
		if p := v.FieldByName("Pos"); p.IsValid() && p.Type() == reflect.TypeFor[config.Pos]() {
			pos = p.Interface().(config.Pos)
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachCommand(v.Field(i), pos, f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachCommand(v.Index(i), pos, f)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			eachCommand(v.Elem(), pos, f)
		}
	}
}
