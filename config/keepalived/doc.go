// Package keepalived reads and writes keepalived.conf.
//
// Parse goes in four steps, each going on after an error so that all are told at once: expand.go makes one text of the
// file, of those that it includes, and of what its parameters, conditions and repetitions say, and remembers where each
// character comes from; lex.go makes words of the text, mending what articles and editors do to it; tree.go makes blocks
// of the words, mending braces; the other files give the blocks their meaning. What is a keyword, and where, stands in
// keywords.go and keywords_vrrp.go, with what is said of those that have no effect.
//
// What a Model holds is what is in force: every default is filled in, and what keepalived corrects in silence is corrected
// with a note. Print writes a Model so that Parse makes the same of it.
package keepalived
