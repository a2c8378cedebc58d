package config

import (
	"fmt"
	"reflect"
	"strings"
)

// settings returns what is set of the settings of one kind.
func (c *Check) settings() []any {
	all := []any{c.HTTP, c.SMTP, c.DNS, c.UDP, c.Misc, c.File, c.BFD, c.Agent}
	set := all[:0]
	for _, s := range all {
		if v := reflect.ValueOf(s); !v.IsNil() {
			set = append(set, v.Elem().Interface())
		}
	}
	return set
}

// plain returns the check without its position and the settings of one kind: it can be compared with ==.
func (c Check) plain() Check {
	c.Pos = Pos{}
	c.HTTP, c.SMTP, c.DNS, c.UDP, c.Misc, c.File, c.BFD, c.Agent = nil, nil, nil, nil, nil, nil, nil, nil
	return c
}

// writeCheck writes all that a check says but its position.
func writeCheck(b *strings.Builder, c *Check) {
	fmt.Fprintf(b, "%+v", c.plain())
	for _, s := range c.settings() {
		fmt.Fprintf(b, " %+v", s)
	}
	b.WriteByte('\n')
}

// Equal reports whether two checks differ in nothing but their positions.
func (c Check) Equal(o Check) bool {
	return c.plain() == o.plain() && reflect.DeepEqual(c.settings(), o.settings())
}
