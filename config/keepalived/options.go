package keepalived

import (
	"io"
	"math/rand/v2"
)

// Options is what a configuration may ask of the machine it is read on. The zero value, and nil, answer nothing: no other
// file is read, and conditional lines are for nobody.
type Options struct {
	// Open opens a file that the configuration names to be read: by include, or by iptables_save.
	Open func(name string) (io.ReadCloser, error)
	// Glob returns the names of the files that a pattern of include matches, as filepath.Glob does. nil: patterns are names.
	Glob func(pattern string) ([]string, error)
	// ConfigID is what @ID is compared with, and ${_INSTANCE}: the host's name up to the dot unless -i says another.
	ConfigID string
	// Dir is the working directory: ${_PWD} of a file that is named relative to it.
	Dir string
	// Env looks up a variable of the environment, for ${_ENV NAME}.
	Env func(name string) (value string, ok bool)
	// Seed is what ${_RANDOM} begins with unless random_seed says another.
	Seed uint64
}

// random returns the source of ${_RANDOM}.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
