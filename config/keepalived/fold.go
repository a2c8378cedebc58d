package keepalived

// odd says what is unusual about a character that was understood as something simpler.
type odd uint8

const (
	plain     odd = iota
	blank         // a space of typography: U+00A0, U+3000 and the like
	invisible     // takes no room: byte order mark, zero-width space, soft hyphen
	dash          // any dash but '-'
	wide          // full-width digits, letters and punctuation
	quoteMark     // typographic quotation marks
)

// fold returns what the author of a configuration meant by a character that articles, editors and input methods put in
// the place of an ASCII one. Characters that stand for nothing else come back as they are.
func fold(r rune) (rune, odd) {
	switch {
	case r < 0x80:
		return r, plain
	case r == 0x85, r == 0xA0, r == 0x1680, r >= 0x2000 && r <= 0x200A, r == 0x202F, r == 0x205F, r == 0x3000:
		return ' ', blank
	case r == 0x2028, r == 0x2029:
		return '\n', blank
	case r == 0xAD, r >= 0x200B && r <= 0x200F, r == 0x2060, r == 0xFEFF:
		return 0, invisible
	case r >= 0x2010 && r <= 0x2015, r == 0x2212:
		return '-', dash
	case r >= 0xFF01 && r <= 0xFF5E:
		return r - 0xFEE0, wide
	case r == 0x3002: // ideographic full stop, between the numbers of an address
		return '.', wide
	case r == 0x201C, r == 0x201D, r == 0x201E:
		return '"', quoteMark
	case r == 0x2018, r == 0x2019:
		return '\'', quoteMark
	}
	return r, plain
}
