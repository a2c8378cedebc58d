package measure

import (
	"context"
	"fmt"
	"time"
)

// A Contender does its work over and over for about d of time and returns what it measured, in its own unit.
type Contender struct {
	Name string
	Run  func(ctx context.Context, d time.Duration) (float64, error)
}

// Rounds lets every contender run for d in each of n rounds, in the given order in even rounds and in the reverse order
// in odd ones, so that nobody always comes after the same one. It returns the measurements by contender and round, and
// stops at the first error. A first round is not counted: caches fill, pages come.
func Rounds(ctx context.Context, n int, d time.Duration, all ...Contender) ([][]float64, error) {
	got := make([][]float64, len(all))
	for round := range n + 1 {
		for place := range all {
			i := place
			if round%2 == 1 {
				i = len(all) - 1 - place
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			v, err := all[i].Run(ctx, d)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", all[i].Name, round, err)
			}
			if round > 0 {
				got[i] = append(got[i], v)
			}
		}
	}
	return got, nil
}
