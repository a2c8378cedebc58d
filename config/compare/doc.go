// Package compare says whether two configurations make a pair: a master and a backup that understand each other.
package compare
