// Package config is what the operator asked for, as data.
//
// A Model comes from a keepalived.conf (config/keepalived) or from ipvsadm commands (config/ipvsadm); it knows nothing of
// the machine. Validate reports everything that is wrong with it, with positions; Diff says what changed between two.
package config
