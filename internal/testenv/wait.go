package testenv

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen, before it says that it does not. It bounds tests that hang and
// asserts nothing: what takes a millisecond here may take seconds on a machine that has other work, and who waits asks all
// the time whether it has happened.
const Patience = time.Minute

// Await waits until ok, for what the kernel or another process does on its own time, and fails the test when that does
// not come.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// AwaitOr is Await with a word of its own for the failure: fail ends the test.
func AwaitOr(t testing.TB, ok func() bool, fail func()) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			fail()
			return
		}
	}
}
