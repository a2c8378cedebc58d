package main

import (
	"context"
	"fmt"

	"dirsw/bench/measure"
	"dirsw/bench/table"
)

// table measures other layouts of the connection table beside that of dirsw.
func (b *bench) table(ctx context.Context) error {
	all := table.Variants()
	few := []table.Variant{all[0], all[1], all[4], all[7], all[9], all[11]} // that fit into memory eight million times
	for _, s := range []struct {
		scale    int
		variants []table.Variant
	}{{10, all}, {16, all}, {20, all}, {23, few}} {
		if b.quick && s.scale > 16 {
			continue
		}
		b.say("table: %d connections", 1<<s.scale)
		r, err := pinned(func() (*table.Result, error) {
			return table.Measure(ctx, s.variants, s.scale, b.effort.Rounds, b.effort.Each/4)
		})
		if err != nil {
			return fmt.Errorf("%d connections: %w", 1<<s.scale, err)
		}
		b.report.Rows = append(b.report.Rows, tableRows(fmt.Sprintf("table, %d connections, a packet of a known one", 1<<s.scale), s.variants, r)...)
		for i, err := range r.Missing {
			if err != nil {
				b.skip("table of %d connections, %s: %v (vm.nr_hugepages)", 1<<s.scale, s.variants[i].Name, err)
			}
		}
	}
	return nil
}

// tableRows are what came out beside dirsw.
func tableRows(group string, all []table.Variant, r *table.Result) []measure.Row {
	const peer = "dirsw, two passes"
	rows := []measure.Row{measure.Compare(group, "dirsw, one pass", "ns", r.OnePass, peer, r.Product, measure.Target{})}
	for i, v := range all {
		if r.Variants[i] == nil {
			continue
		}
		row := measure.Compare(group, "model: "+v.Name, "ns", r.Variants[i], peer, r.Product, measure.Target{})
		row.Note = fmt.Sprintf("%d bytes a connection", v.BytesEach())
		rows = append(rows, row)
	}
	return rows
}
