package xsk

import (
	"fmt"
	"strings"
	"testing"
)

// TestSeats tells which worker gets which queues: each receive queue has one worker, and each worker one queue of each
// port to send by.
func TestSeats(t *testing.T) {
	ports := []port{
		{PortOptions: PortOptions{Receive: true}, queues: 5},
		{PortOptions: PortOptions{Receive: false}},
		{PortOptions: PortOptions{Receive: true}, queues: 2},
	}
	for _, tt := range []struct {
		worker, workers int
		want            string
	}{
		{0, 1, "0/0rs 0/1r 0/2r 0/3r 0/4r 1/0s 2/0rs 2/1r"},
		{0, 2, "0/0rs 0/2r 0/4r 1/0s 2/0rs"},
		{1, 2, "0/1rs 0/3r 1/1s 2/1rs"},
	} {
		var got []string
		for _, s := range seats(ports, tt.worker, tt.workers) {
			how := ""
			if s.receive {
				how += "r"
			}
			if s.send {
				how += "s"
			}
			got = append(got, fmt.Sprintf("%d/%d%s", s.port, s.queue, how))
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("worker %d of %d has %s, want %s", tt.worker, tt.workers, got, tt.want)
		}
	}
}

func TestFrames(t *testing.T) {
	all := []seat{{receive: true, send: true}, {receive: true}, {send: true}}
	for _, tt := range []struct{ ask, ring, total, share int }{
		{0, 2048, 12416, 4096}, // two sockets receive, two send
		{0, 512, 3200, 1024},
		{384, 2048, 384, 64},
		{10000, 2048, 10000, 4872},
	} {
		total, share, err := frames(all, tt.ring, &Options{Frames: tt.ask})
		if err != nil || total != tt.total || share != tt.share {
			t.Errorf("%d frames with rings of %d: %d, %d each (%v); want %d and %d", tt.ask, tt.ring, total, share, err, tt.total, tt.share)
		}
		if used := reserve + 2*share + 2*least; used > total {
			t.Errorf("%d frames with rings of %d: %d are promised of %d", tt.ask, tt.ring, used, total)
		}
	}
	if _, _, err := frames(all, 2048, &Options{Frames: 383}); err == nil {
		t.Error("383 frames are taken for enough")
	}
}
