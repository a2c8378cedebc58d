// Package forward turns a batch of received frames into a batch to send, following one Snapshot.
//
// A Worker lives in breaths (Step): adopt news, pull a batch, decide, push, expire a bounded number of connections,
// commit counters. It alone touches its connection table, schedulers and counters; the doors from outside are Publish,
// Post and the readers of counters, and where directors tell each other of connections Learn and TakeRecords.
package forward
