package config_test

import (
	"strings"
	"testing"

	"dirsw/config"
)

// TestValidateVRRP runs the rows of testdata/validate_vrrp.txt.
func TestValidateVRRP(t *testing.T) {
	rows(t, "testdata/validate_vrrp.txt", func(t *testing.T, input string) string {
		if err := parse(t, input).Validate(schedulers()); err != nil {
			return err.Error()
		}
		return "valid"
	})
}

// TestDiffVRRP runs the rows of testdata/diff_vrrp.txt.
func TestDiffVRRP(t *testing.T) {
	rows(t, "testdata/diff_vrrp.txt", func(t *testing.T, input string) string {
		before, after, _ := strings.Cut(input, "\n>>>>\n")
		var b strings.Builder
		for _, c := range config.Diff(parse(t, before), parse(t, after)) {
			b.WriteString(c.String() + "\n")
		}
		return b.String()
	})
}
