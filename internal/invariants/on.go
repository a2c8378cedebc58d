//go:build invariants

package invariants

// Enabled is true: built with the tag `invariants`.
const Enabled = true
