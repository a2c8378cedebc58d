//go:build invariants

package conntrack

// checkEvery is how many calls of Expire pass for one look at all of the table.
const checkEvery = 1024

// check panics, now and then, if the table does not fit together. Expire calls it.
func (t *Table) check() {
	if t.calls%checkEvery != 1 {
		return
	}
	if err := t.verify(); err != nil {
		panic("conntrack: " + err.Error())
	}
}

// checkNew panics if a connection with the key of s is there already.
func (t *Table) checkNew(s *Spec, h uint64) {
	if c, d := t.Lookup(&s.Tuple, h); c != nil && d == FromClient {
		panic("conntrack: Insert of a connection that is there")
	}
}
