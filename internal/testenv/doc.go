// Package testenv tells a test what the machine it runs on can do.
package testenv
