package testenv

import (
	"testing"
	"time"
)

// patience is how long a kernel may take for what it does on its own time.
const patience = 5 * time.Second

// Await waits until ok, for what the kernel or another process does on its own time, and fails the test when that
// takes longer than any of them should.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// AwaitOr is Await with a word of its own for the failure: fail ends the test.
func AwaitOr(t testing.TB, ok func() bool, fail func()) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			fail()
			return
		}
	}
}
