// Package testenv tells a test what the machine it runs on can do, and makes networks for it: namespaces without a name,
// so that nothing is left when the process ends however it ends, veth pairs between them, and raw frames on their ends.
package testenv
