package keepalived

import (
	"strings"
	"unicode/utf8"

	"dirsw/config"
)

// mark says where a text comes from, from a byte on.
type mark struct {
	at  int
	pos config.Pos
	// fixed is set where the text stands for something else, which is at pos: all of it has that position, and no comment
	// begins in it.
	fixed bool
}

// piece is a part of a line with its origins. The first mark is at 0 unless the text is empty.
type piece struct {
	text  string
	marks []mark
}

// written returns a piece that stands in a file.
func written(text string, pos config.Pos) piece { return piece{text: text, marks: []mark{{pos: pos}}} }

// posAt returns the position of the byte at offset i.
func (p piece) posAt(i int) config.Pos {
	k := len(p.marks) - 1
	if k < 0 {
		return config.Pos{}
	}
	for k > 0 && p.marks[k].at > i {
		k--
	}
	m := p.marks[k]
	if !m.fixed && i > m.at {
		m.pos.Col += utf8.RuneCountInString(p.text[m.at:min(i, len(p.text))])
	}
	return m.pos
}

// sub returns the bytes from i up to j.
func (p piece) sub(i, j int) piece {
	if i >= j {
		return piece{marks: []mark{{pos: p.posAt(i)}}}
	}
	out := piece{text: p.text[i:j]}
	for k, m := range p.marks {
		end := len(p.text)
		if k+1 < len(p.marks) {
			end = p.marks[k+1].at
		}
		if end <= i || m.at >= j {
			continue
		}
		if m.at < i {
			m.pos, m.at = p.posAt(i), i
		}
		m.at -= i
		out.marks = append(out.marks, m)
	}
	return out
}

// plus returns both pieces, one after the other.
func (p piece) plus(q piece) piece {
	if p.text == "" {
		return q
	}
	out := piece{text: p.text + q.text, marks: append([]mark(nil), p.marks...)}
	if q.text == "" {
		return out
	}
	for _, m := range q.marks {
		m.at += len(p.text)
		out.marks = append(out.marks, m)
	}
	return out
}

// trim returns the piece without blanks at both ends.
func (p piece) trim() piece {
	i := len(p.text) - len(strings.TrimLeftFunc(p.text, blankish))
	j := len(strings.TrimRightFunc(p.text, blankish))
	return p.sub(i, j)
}

// blankish reports whether a character is a blank, or is read as one, or as nothing.
func blankish(r rune) bool {
	folded, odd := config.Fold(r)
	return isBlank(folded) || folded == '\n' || odd == config.Invisible
}

// assembly is the text that the lexer gets, put together from lines of several files.
type assembly struct {
	b     strings.Builder
	marks []mark
	// next is what the position is after the last line without a new mark.
	next config.Pos
}

// add appends a line.
func (a *assembly) add(p piece) {
	plain := len(p.marks) == 1 && !p.marks[0].fixed
	if !plain || p.marks[0].pos != a.next {
		for _, m := range p.marks {
			m.at += a.b.Len()
			a.marks = append(a.marks, m)
		}
	}
	a.b.WriteString(p.text)
	a.b.WriteByte('\n')
	a.next = config.Pos{}
	if plain {
		a.next = config.Pos{File: p.marks[0].pos.File, Line: p.marks[0].pos.Line + 1, Col: 1}
	}
}
