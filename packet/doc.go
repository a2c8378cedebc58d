// Package packet reads and edits frames in place.
//
// Parse looks at a frame once, compares every length from the wire, and leaves what it learnt in a Meta; after that the
// offsets in the Meta are trusted. Views such as IPv4 are byte slices with methods named after the fields of their RFC.
// Nothing here allocates, and nothing here knows what a service is.
package packet
