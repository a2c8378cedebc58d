// Package ctl carries commands and listings between a running director and its operator over a unix socket.
//
// The protocol: one request for each connection, a JSON object on a line; the answer is a sequence of JSON objects, of
// which the last is {"end":true} or carries an error. A listing of connections comes in pieces, so that neither side
// ever holds a million of them. The socket has mode 0600, and both ends check by SO_PEERCRED (unix(7)) that the other
// is root or their own user.
package ctl
