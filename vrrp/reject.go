package vrrp

import "fmt"

// Reject says why a received advertisement was not given to the state machine. Each has a counter (Stats.Rejects), and
// there is no "other". Accepted, zero, is no reason at all.
type Reject uint8

// Reasons, in the order in which they are looked for.
const (
	Accepted           Reject = iota
	RejectAHUnexpected        // an authentication header (RFC 4302), and the instance is not configured for it
	RejectAHMissing           // no authentication header, and the instance is configured for it
	RejectLength              // not as long as its own count of addresses says, or shorter than a header
	RejectTTL                 // TTL or hop limit is not 255 (RFC 9568, section 7.1), or not in the peer's range
	RejectVersion             // not the version of the instance
	RejectAuthUnknown         // an authentication type that no RFC has
	RejectAuthType            // another authentication type than configured
	RejectAuthData            // the wrong password, or a wrong integrity check value
	RejectReplay              // the sequence number of its authentication header was there before
	RejectInterval            // version 2, and another interval than configured (RFC 3768, section 7.1)
	RejectType                // not an ADVERTISEMENT
	RejectChecksum            // the checksum is wrong
	RejectCast                // multicast to an instance that speaks unicast, or the reverse
	RejectOwner               // for an address owner that does not listen (owner_ignore_adverts)
	RejectPeer                // unicast from an address that is no configured peer
	RejectAddrs               // with none of our addresses: another virtual router that has our identifier
	RejectOwnAddress          // from the address that the instance sends from: an echo, or somebody has our address
	RejectVRID                // no instance on that link has its virtual router identifier
	RejectStopped             // the instance does not take part now: it waits for the start, or is being stopped
	numRejects
)

// String returns the reason as the listings and metrics name it.
func (r Reject) String() string {
	names := [numRejects]string{
		"accepted", "ah-unexpected", "ah-missing", "length", "ttl", "version", "auth-unknown", "auth-type", "auth-data",
		"replay", "interval", "type", "checksum", "cast", "owner", "peer", "addresses",
		"own-address", "vrid", "stopped",
	}
	if r < numRejects {
		return names[r]
	}
	return fmt.Sprintf("reject(%d)", uint8(r))
}

// NumRejects is the number of values that a Reject has, Accepted included.
const NumRejects = int(numRejects)
