package director

import (
	"context"
	"strconv"
	"testing"

	"dirsw/notify"
)

// TestHerald: what the election says is told in order and to the end, and nobody who says it waits for one who is told.
func TestHerald(t *testing.T) {
	h := herald{came: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	stuck, done := make(chan struct{}), make(chan struct{})
	var told []string
	go func() {
		defer close(done)
		h.run(ctx, func(e notify.Event) {
			<-stuck
			told = append(told, e.Name)
		})
	}()
	for i := range 1000 {
		h.say(notify.Event{Name: strconv.Itoa(i)})
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
