package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// A transcript is lines of JSON; each line is a case, or a part of one that stands in several lines. What a line is shows
// in the keys it has.
type kind int

const (
	unknown     kind = iota
	connections      // steps with "op": new connections, packets, commands, listings
	frames           // steps with "in" and "out"
	transition       // one packet in one state
	sequence         // a conversation, state by state
	expiry           // likewise, and when the entry went
	reuse            // a SYN on a connection that is there
	cli              // a command of ipvsadm and what it printed
	syncing          // connection synchronisation
	events           // a log of keepalived and what it did
)

// keys is what tells the kinds apart.
type keys struct {
	Case   *string
	Table  *string
	Group  *string
	Mode   *int            `json:"conn_reuse_mode"`
	After  json.RawMessage `json:"after"`
	Inject json.RawMessage `json:"inject"`
	Event  *string         `json:"ev"`
	Steps  []struct {
		Op   *string
		Desc *string
		Pkt  *string
	}
}

func kindOf(line []byte) (kind, error) {
	var k keys
	if err := json.Unmarshal(line, &k); err != nil {
		return unknown, err
	}
	switch {
	case k.Table != nil:
		return transition, nil
	case k.Mode != nil:
		return reuse, nil
	case k.Group != nil:
		return cli, nil
	case k.Inject != nil:
		return syncing, nil
	case k.Event != nil:
		return events, nil
	case k.After != nil:
		return expiry, nil
	case k.Case == nil:
		return unknown, nil
	case len(k.Steps) > 0 && k.Steps[0].Desc != nil:
		return frames, nil
	case len(k.Steps) > 0 && k.Steps[0].Pkt != nil && k.Steps[0].Op == nil:
		return sequence, nil
	}
	return connections, nil
}

// playFile plays every case of a transcript and tells r.
func playFile(name string, r *report) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return playAll(f, r)
}

func playAll(in io.Reader, r *report) error {
	in, err := uncompressed(in)
	if err != nil {
		return err
	}
	plain, quick := &player{traffic: &traffic{}}, &player{traffic: &r.traffic, accelerated: true}
	defer plain.end()
	defer quick.end()
	lines := bufio.NewReaderSize(in, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			if err := errors.Join(plain.line(text), quick.line(text)); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			r.merge(plain, quick)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func uncompressed(in io.Reader) (io.Reader, error) {
	b := bufio.NewReader(in)
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(b)
	}
	return b, nil
}

// player plays the lines of one file, with an accelerator or without. Cases that share a director with those before them are kept
// in order here.
type player struct {
	accelerated bool
	traffic     *traffic
	told        []told // of the last line
	reuse       *reuseGroup
	shell       *shell
	events      bool // told already
}

// told is what became of a case.
type told struct {
	name string
	err  error
}

func (p *player) tell(name string, err error) { p.told = append(p.told, told{name, err}) }

// merge tells what became of the cases of a line, which are the same with an accelerator.
func (r *report) merge(plain, quick *player) {
	for i, c := range plain.told {
		err := quick.told[i].err
		var d *difference
		switch {
		case c.err != nil:
			err = c.err
		case errors.As(err, &d):
			d.where = "accelerated: " + d.where
		}
		r.tell(c.name, err)
	}
	plain.told, quick.told = plain.told[:0], quick.told[:0]
}

func (p *player) line(line []byte) error {
	k, err := kindOf(line)
	if err != nil {
		return err
	}
	switch k {
	case connections:
		return single(p, line, (*connectionsCase).play, func(c *connectionsCase) string { return c.Case })
	case frames:
		return single(p, line, (*framesCase).play, func(c *framesCase) string { return c.Case })
	case transition:
		return single(p, line, (*transitionRow).play, (*transitionRow).name)
	case sequence, expiry:
		return single(p, line, (*sequenceCase).play, func(c *sequenceCase) string { return c.Case })
	case reuse:
		return p.reuseLine(line)
	case cli:
		return p.cliLine(line)
	case syncing:
		var c struct{ Case string }
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		p.tell(c.Case, &unserved{why: "connection synchronisation is not played yet"})
		return nil
	case events:
		if !p.events {
			p.events = true
			p.tell("keepalived", &unserved{why: "logs of keepalived are not played yet"})
		}
		return nil
	}
	return fmt.Errorf("a line of no format that is known: %s", short(string(line)))
}

// end lets go of what the last lines shared.
func (p *player) end() {
	if p.reuse != nil {
		p.reuse.close()
	}
	if p.shell != nil {
		p.shell.close()
	}
}

// single plays a line that is a whole case.
func single[T any](p *player, line []byte, play func(*T, *player) error, name func(*T) string) error {
	var c T
	if err := json.Unmarshal(line, &c); err != nil {
		return err
	}
	p.tell(name(&c), guarded(func() error { return play(&c, p) }))
	return nil
}

// guarded makes an error of a panic: it says of one case that dirsw fails, and the others are played all the same.
func guarded(play func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return play()
}
