// Package measure compares contenders in interleaved rounds and says how sure the answer is.
//
// On a machine that others use too, a rate alone says little: it moves by a third from minute to minute. So every
// contender runs once in each round, ratios are taken inside a round, and what is told is the median of the rounds with
// their least and greatest.
package measure
