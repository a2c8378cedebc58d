package main

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// differences is the page that lists the cases in which dirsw is not like the kernel, in lines "Cases: `pattern`, …".
const differences = "../../docs/differences.md"

// manyAccelerated is how many packets of all transcripts must have been forwarded by the accelerator at least.
const manyAccelerated = 25_000

// TestGolden plays every transcript. A case may differ only if the page of differences names it, and must then.
func TestGolden(t *testing.T) {
	page, err := os.ReadFile(differences)
	if err != nil {
		t.Fatal(err)
	}
	patterns := map[string]bool{} // used?
	for _, l := range regexp.MustCompile(`(?m)^Cases: .*$`).FindAllString(string(page), -1) {
		for _, p := range regexp.MustCompile("`[^`]+`").FindAllString(l, -1) {
			patterns[strings.Trim(p, "`")] = false
		}
	}
	files, err := filepath.Glob("testdata/golden/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	listed := func(name string) bool {
		for p := range patterns {
			if ok, _ := path.Match(p, name); ok || p == name {
				patterns[p] = true
				return true
			}
		}
		return false
	}
	ok, differ := 0, 0
	var all traffic
	for _, f := range files {
		var out bytes.Buffer
		r := &report{out: &out}
		if err := playFile(f, r); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for l := range strings.Lines(out.String()) {
			if what, cut := strings.CutPrefix(l, "differs "); cut {
				if name, _, _ := strings.Cut(what, ": "); !listed(name) {
					t.Errorf("%s: %s", filepath.Base(f), l)
				}
			} else if name, cut := strings.CutPrefix(strings.TrimSpace(l), "ok "); cut && patterns[name] {
				t.Errorf("%s: %s is listed in %s, and does not differ", filepath.Base(f), name, differences)
			}
		}
		ok, differ = ok+r.ok, differ+r.differ
		all.packets, all.accelerated = all.packets+r.traffic.packets, all.accelerated+r.traffic.accelerated
	}
	for p, used := range patterns {
		if !used {
			t.Errorf("%s lists %s, which no case is or which does not differ", differences, p)
		}
	}
	t.Logf("%d ok, %d differ and are listed; %d of %d packets accelerated", ok, differ, all.accelerated, all.packets)
	if all.accelerated < manyAccelerated {
		t.Errorf("%d packets of the transcripts were accelerated, want %d: else their answers tell nothing of the accelerator",
			all.accelerated, manyAccelerated)
	}
}
