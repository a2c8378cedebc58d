// Command oracle plays transcripts of a Linux kernel's IPVS through dirsw and says where dirsw answers otherwise.
//
//	go run ./bench/oracle [-v] FILE…
//
// A case builds its table with the ipvsadm grammar, director.Compile makes the snapshot of it, and a forward.Worker on a
// lane in memory gets the packets at the times of the transcript. A line a case says "ok NAME" or "differs NAME: first
// difference, got, want"; the last line counts them. What the director refuses is a difference too, with the reason. The
// exit status is 1 when any case differs, and 2 when a file cannot be read. FILE may be compressed with gzip.
//
// The formats are recognised by what stands in the lines, not by the names of files: sequences of connections (schedulers,
// persistence), frames in and out, states and timers, and the command line of ipvsadm.
package main
