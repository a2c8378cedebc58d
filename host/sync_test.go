package host

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestSyncGroups sends to groups of both families and receives what the other host sent, but not what it sent itself.
func TestSyncGroups(t *testing.T) {
	here, there, h := pair(t)
	other := there.host()
	for _, tt := range []struct{ name, group, from string }{
		{"IPv4", "224.0.0.81", "192.0.2.1"},
		{"IPv6", "ff02::81", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := SyncGroup{Interface: "veth0", Group: netip.MustParseAddr(tt.group), Port: 8848, Buffer: 1 << 20}
			out, err := h.OpenSyncSender(g)
			must(t, err)
			defer out.Close()
			back, err := h.OpenSyncReceiver(g)
			must(t, err)
			defer back.Close()
			g.Interface = "peer0"
			in, err := other.OpenSyncReceiver(g)
			must(t, err)
			defer in.Close()
			beside, err := other.OpenSyncReceiver(g) // as a second director on the host would
			must(t, err)
			defer beside.Close()
			answer, err := other.OpenSyncSender(g)
			must(t, err)
			defer answer.Close()

			must(t, out.Send([]byte("whole table")))
			buf := make([]byte, 5)
			for _, s := range []*SyncSocket{in, beside} {
				n, from, err := s.Receive(buf)
				if err != nil || n != 5 || !bytes.Equal(buf, []byte("whole")) {
					t.Errorf("%q, %v", buf[:n], err)
				}
				if tt.from != "" && from != netip.MustParseAddr(tt.from) || from.Is6() != g.Group.Is6() || from.Zone() != "" {
					t.Errorf("from %v, want %s", from, tt.from)
				}
			}
			must(t, answer.Send([]byte("back")))
			if n, _, err := back.Receive(buf); err != nil || string(buf[:n]) != "back" {
				t.Errorf("the first that is heard here: %q, %v; want what the other host said", buf[:n], err)
			}

			ended := make(chan error, 1)
			go func() {
				_, _, err := in.Receive(buf)
				ended <- err
			}()
			must(t, in.Close())
			if err := <-ended; err == nil {
				t.Error("Close did not end Receive")
			}
		})
	}

	t.Run("another interface of that name", func(t *testing.T) {
		must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "sync0"}}))
		here.up("sync0")
		s, err := h.OpenSyncReceiver(SyncGroup{Interface: "sync0", Group: netip.MustParseAddr("224.0.0.81"), Port: 8848})
		must(t, err)
		defer s.Close()
		must(t, s.Check())
		must(t, here.nl.LinkDel(here.link("sync0")))
		if s.Check() == nil {
			t.Error("nothing is said of an interface that has gone")
		}
		must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "sync0"}}))
		if s.Check() == nil {
			t.Error("nothing is said of another interface of that name")
		}
	})
	if _, err := h.OpenSyncSender(SyncGroup{Interface: "none0", Group: netip.MustParseAddr("224.0.0.81"), Port: 8848}); err == nil {
		t.Error("an interface that is not there was taken")
	}
}
