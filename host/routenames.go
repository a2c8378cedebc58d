package host

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// RouteNames finds the numbers that have names in the files of iproute2: "rt_tables", "rt_protos", "rt_realms",
// "rt_scopes". Its zero value looks where iproute2 does.
type RouteNames struct {
	Dirs []string // the first that has a name wins; nil: /etc/iproute2, /usr/share/iproute2, /usr/lib/iproute2
}

// Number returns the number of a name in a file, or in the files ending in .conf of the directory of that name with
// ".d". A name that is a number, as strconv.ParseUint reads it with base 0, is that number. The files are read each time.
func (r RouteNames) Number(file, name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 0, 32); err == nil {
		return uint32(n), nil
	}
	dirs := r.Dirs
	if dirs == nil {
		dirs = []string{"/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"}
	}
	for _, dir := range dirs {
		paths, _ := filepath.Glob(filepath.Join(dir, file+".d", "*.conf")) // the pattern is well-formed
		for _, path := range append([]string{filepath.Join(dir, file)}, paths...) {
			if n, ok := lookUp(path, name); ok {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("%s has no %q", file, name)
}

// lookUp reads lines of a number and a name. A file that cannot be read has none.
func lookUp(path, name string) (uint32, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 || words[1] != name {
			continue
		}
		if n, err := strconv.ParseUint(words[0], 0, 32); err == nil {
			return uint32(n), true
		}
	}
	return 0, false
}
