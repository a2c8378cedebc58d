// Package keepalived reads and writes keepalived.conf.
//
// Parse goes in three steps, each going on after an error so that all are told at once: lex.go makes words of the text,
// mending what articles and editors do to it; tree.go makes blocks of the words, mending braces; the other files give
// the blocks their meaning. What is a keyword, and where, stands in keywords.go.
package keepalived
