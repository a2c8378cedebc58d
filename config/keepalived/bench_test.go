package keepalived

import (
	"fmt"
	"strings"
	"testing"

	"dirsw/config"
)

// large is a configuration of n virtual servers with k real servers each.
func large(n, k int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "virtual_server 198.51.%d.%d 80 {\n  delay_loop 6\n  lvs_sched wrr\n  lvs_method DR\n  protocol TCP\n", i/250, i%250)
		for j := range k {
			fmt.Fprintf(&b, "  real_server 203.0.%d.%d 80 {\n    weight %d\n    TCP_CHECK {\n      connect_timeout 3\n    }\n  }\n", j/250, j%250, 1+j%9)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// BenchmarkParse reads 1000 virtual servers with 100 real servers each.
func BenchmarkParse(b *testing.B) {
	text := large(1000, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := Parse("f", strings.NewReader(text), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDiff finds the one weight that differs among them.
func BenchmarkDiff(b *testing.B) {
	before, _, _ := Parse("f", strings.NewReader(large(1000, 100)), nil)
	after, _, _ := Parse("f", strings.NewReader(large(1000, 100)), nil)
	after.Services[500].Reals[50].Weight++
	b.ReportAllocs()
	for b.Loop() {
		if got := config.Diff(before, after); len(got) != 1 {
			b.Fatal(got)
		}
	}
}

// BenchmarkValidate checks them.
func BenchmarkValidate(b *testing.B) {
	m, _, _ := Parse("f", strings.NewReader(large(1000, 100)), nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Validate([]string{"wrr"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExpand makes 8 x 32 x 254 instances of one line, as the manual of keepalived does, and gives them to the lexer.
func BenchmarkExpand(b *testing.B) {
	const text = "$VI= \\\nvrrp_instance vrrp4.${IF}.${NUM}.${ID} { \\\n interface bond${IF}.${NUM} \\\n use_vmac vrrp4.${IF}.${NUM}.${ID} \\\n" +
		" virtual_router_id ${ID} \\\n priority 130 \\\n virtual_ipaddress { \\\n 10.${IF}.${NUM}.${ID}/24 \\\n } \\\n}\n" +
		"~SEQ(IF,0,7) ~SEQ(NUM,0,31) ~SEQ(ID,1,254) $VI\n"
	b.ReportAllocs()
	for b.Loop() {
		e := expand("f", text, Options{})
		words, marks := e.expanded()
		if l := lex(words, marks, config.Pos{File: "f", Line: 1, Col: 1}); len(l.toks) < 65024*20 {
			b.Fatal(len(l.toks))
		}
	}
}
