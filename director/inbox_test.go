package director

import (
	"context"
	"strconv"
	"testing"
)

// TestInbox: what is put in is told in order and to the end, and nobody who puts something in waits for one who is told.
func TestInbox(t *testing.T) {
	b := newInbox[string]()
	ctx, cancel := context.WithCancel(context.Background())
	stuck, done := make(chan struct{}), make(chan struct{})
	var told []string
	go func() {
		defer close(done)
		b.run(ctx, func(name string) {
			<-stuck
			told = append(told, name)
		})
	}()
	for i := range 1000 {
		b.put(strconv.Itoa(i))
	}
	cancel()
	close(stuck)
	<-done
	if len(told) != 1000 {
		t.Fatalf("%d told, want 1000", len(told))
	}
	for i, name := range told {
		if name != strconv.Itoa(i) {
			t.Fatalf("%s told in the place of %d", name, i)
		}
	}
}
