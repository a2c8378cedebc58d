// Package ring passes values from exactly one goroutine to exactly one other, without locks and without allocation.
//
// It carries the commands from the director to a worker, the records from a worker to the director, and the frames
// that one worker hands over to another.
package ring
