// Package lint holds this repository to its own rules: who may import whom, no package-level state, no clock behind the
// reader's back, unsafe code in named files only, nothing too long to read, nothing left to do.
//
// The rules run as tests (go test ./internal/lint) over the source tree, by syntax alone. Each names the place and the
// reason. The import rules are the table of docs/design/architecture.md, section 1: a new edge is a design decision, made
// in its own commit, here and there.
package lint
