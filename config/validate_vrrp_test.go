package config_test

import "testing"

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
	rows(t, "testdata/diff_vrrp.txt", func(t *testing.T, input string) string { return diff(t, input) })
}
