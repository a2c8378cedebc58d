// Package invariants says whether this binary checks, at run time, what must always be so.
//
// The build tag `invariants` turns the checks on: frame conservation in the lanes, checksums over published snapshots,
// agreement of the connection table with its timer wheel, ownership of rings. Without the tag Enabled is a false
// constant, so a check inside `if invariants.Enabled { … }` costs nothing, not even the evaluation of its arguments.
package invariants
