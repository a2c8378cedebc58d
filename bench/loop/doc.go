// Package loop measures a worker that forwards the same frames again and again, on a lane in memory.
package loop
