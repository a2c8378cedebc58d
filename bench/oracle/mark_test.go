package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestMarks plays what a kernel did with services by firewall mark: ports of servers, IPv6, chains of rules, routes that
// make packets local by their marks, and cache_bypass.
func TestMarks(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"testdata/mark.jsonl.gz"}, &out, &errs); code != 0 || !strings.HasSuffix(out.String(), "31 ok, 0 differ\n") {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	}
}
