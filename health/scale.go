package health

import "math"

// Scale is what the number in a tracked file means to a server (FILE_CHECK: weight, reverse).
type Scale struct {
	Weight  int32 // 0: any number but 0 takes the server down
	Reverse bool  // the other way round
}

// Of returns what the file's number says: whether the server is up, and what is added to its weight. A product at or
// below the smallest 32 bit number is down, as in keepalived (process_update_checker_track_file_status).
func (s Scale) Of(value int64) (up bool, delta int) {
	if s.Weight == 0 {
		return (value == 0) != s.Reverse, 0
	}
	// file numbers and weights have 32 bits each: the product cannot overflow
	d := min(max(value, math.MinInt32), math.MaxInt32+1) * int64(s.Weight)
	if s.Reverse {
		d = -d
	}
	if d <= math.MinInt32 {
		return false, 0
	}
	return true, int(min(d, math.MaxInt32))
}
