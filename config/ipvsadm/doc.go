// Package ipvsadm speaks the command line of ipvsadm 1.31: it parses commands, applies them to a Model with the kernel's
// rules and errors, and prints listings in ipvsadm's layouts, byte for byte.
package ipvsadm
