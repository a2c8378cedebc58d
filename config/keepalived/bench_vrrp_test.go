package keepalived

import (
	"fmt"
	"strings"
	"testing"

	"dirsw/config"
)

// routers is a configuration of n vrrp_instances, each with a script of its own and all in one group.
func routers(n int) string {
	var b strings.Builder
	b.WriteString("vrrp_sync_group G {\n  group {\n")
	for i := range n {
		fmt.Fprintf(&b, "    VI_%d\n", i)
	}
	b.WriteString("  }\n}\n")
	for i := range n {
		fmt.Fprintf(&b, "vrrp_script s%d {\n  script \"/bin/check %d\"\n}\n", i, i)
		fmt.Fprintf(&b, "vrrp_instance VI_%d {\n  interface eth%d\n  virtual_router_id %d\n  track_script {\n    s%d\n  }\n", i, i/255, 1+i%255, i)
		fmt.Fprintf(&b, "  virtual_ipaddress {\n    10.%d.%d.1/32\n  }\n}\n", i>>8&255, i&255)
	}
	return b.String()
}

// BenchmarkParseVRRP reads, checks and compares 10 000 vrrp_instances.
func BenchmarkParseVRRP(b *testing.B) {
	text := routers(10_000)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m, _, err := Parse("f", strings.NewReader(text), nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Validate(nil); err != nil {
			b.Fatal(err)
		}
		if got := config.Diff(m, m); len(got) != 0 {
			b.Fatal(got)
		}
	}
}
