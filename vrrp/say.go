package vrrp

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logRoom is how many lines may wait to be written. A transition of 255 instances has some thousands.
const logRoom = 8192

// scribe writes log lines on a goroutine of its own: whoever reads the log may be slow, and adverts do not wait for it. The
// thread is the only caller of its methods.
type scribe struct {
	log   *zap.Logger
	lines chan line // nil: lines are written at once
	done  chan struct{}
	lost  uint64 // since the last line that found room
}

// line is one that waits.
type line struct {
	level  zapcore.Level
	text   string
	fields []zap.Field
}

// start begins the goroutine.
func (s *scribe) start() {
	s.lines, s.done = make(chan line, logRoom), make(chan struct{})
	go func() {
		defer close(s.done)
		for l := range s.lines {
			s.log.Log(l.level, l.text, l.fields...)
		}
	}()
}

// stop writes what waits, and ends the goroutine.
func (s *scribe) stop() {
	close(s.lines)
	<-s.done
	s.lines = nil
}

// details reports whether lines of the lowest level are written at all.
func (s *scribe) details() bool { return s.log.Core().Enabled(zapcore.DebugLevel) }

// say writes a line, or loses it if there is no room, which a later line tells.
func (s *scribe) say(level zapcore.Level, text string, fields ...zap.Field) {
	if s.lines == nil {
		s.log.Log(level, text, fields...)
		return
	}
	if s.lost > 0 && len(s.lines) < logRoom/2 {
		s.lines <- line{zap.WarnLevel, "log lines of VRRP were lost", []zap.Field{zap.Uint64("lines", s.lost)}}
		s.lost = 0
	}
	select {
	case s.lines <- line{level, text, fields}:
	default:
		s.lost++
	}
}
