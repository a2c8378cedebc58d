package packet

import (
	"os/exec"
	"regexp"
	"testing"
)

// TestInlined: what is called once or more for each packet is still inlined by the compiler.
func TestInlined(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go command to ask the compiler")
	}
	out, err := exec.Command(tool, "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	inlined := map[string]bool{}
	for _, m := range regexp.MustCompile(`can inline (\S+)`).FindAllStringSubmatch(string(out), -1) {
		inlined[m[1]] = true
	}
	for _, name := range []string{
		"(*Frame).Bytes", "(*Frame).Len", "(*Addr).put4", "Addr.Is4", "Tuple.Reverse", "SetMACs",
		"Fold", "fold64", "UpdateChecksum16", "pseudoHeader4", "isExtension", "(*Meta).Plain", "Hops", "Sender", "older", "plainSum",
		"Ethernet.Type", "IPv4.TTL", "IPv4.Dst", "IPv6.Dst", "TCP.Flags", "UDP.Checksum", "SCTP.Checksum",
	} {
		if !inlined[name] {
			t.Errorf("%s is not inlined any more", name)
		}
	}
}
