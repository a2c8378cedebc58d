package script

import (
	"context"
	"fmt"
	"testing"

	"dirsw/clock"
)

// BenchmarkRun is what one run of the smallest program costs, start to end.
func BenchmarkRun(b *testing.B) {
	for _, output := range []int{0, MaxOutput} {
		b.Run(fmt.Sprintf("output=%d", output), func(b *testing.B) {
			b.ReportAllocs()
			r := Runner{clock.NewSystem()}
			c := Command{Args: []string{"/bin/true"}, Output: output}
			for b.Loop() {
				if res := r.Run(context.Background(), c); !res.OK() {
					b.Fatal(res)
				}
			}
		})
	}
}
