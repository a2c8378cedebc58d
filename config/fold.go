package config

// Oddity says what is unusual about a character that Fold took for a simpler one.
type Oddity uint8

// The oddities.
const (
	Plain     Oddity = iota
	Blank            // a space of typography: U+00A0, U+3000 and the like
	Invisible        // takes no room: byte order mark, zero-width space, soft hyphen
	Dash             // any dash but '-'
	Wide             // full-width digits, letters and punctuation
	QuoteMark        // typographic quotation marks
)

// Fold returns what the author of a configuration meant by a character that articles, editors and input methods put in
// the place of an ASCII one. Characters that stand for nothing else come back as they are;
// of an Invisible one nothing is left (0).
func Fold(r rune) (rune, Oddity) {
	switch {
	case r < 0x80:
		return r, Plain
	case r == 0x85, r == 0xA0, r == 0x1680, r >= 0x2000 && r <= 0x200A, r == 0x202F, r == 0x205F, r == 0x3000:
		return ' ', Blank
	case r == 0x2028, r == 0x2029:
		return '\n', Blank
	case r == 0xAD, r >= 0x200B && r <= 0x200F, r == 0x2060, r == 0xFEFF:
		return 0, Invisible
	case r >= 0x2010 && r <= 0x2015, r == 0x2212:
		return '-', Dash
	case r >= 0xFF01 && r <= 0xFF5E:
		return r - 0xFEE0, Wide
	case r == 0x3002: // ideographic full stop, between the numbers of an address
		return '.', Wide
	case r == 0x201C, r == 0x201D, r == 0x201E:
		return '"', QuoteMark
	case r == 0x2018, r == 0x2019:
		return '\'', QuoteMark
	}
	return r, Plain
}
