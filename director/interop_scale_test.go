package director

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
	"dirsw/vrrp"
)

// TestInteropThousandsOfAddresses has dirsw take over 2000 addresses from keepalived and hold them for a while, with adverts
// so frequent that keepalived would be master again had the work of setting and announcing them held adverts back.
func TestInteropThousandsOfAddresses(t *testing.T) {
	testenv.NeedNetAdmin(t)
	ours, theirs := &ownNode{in: testenv.NewNamespace(t)}, &keepalivedNode{in: testenv.NewNamespace(t)}
	testenv.Veth(t, testenv.End{In: ours.in, Name: "eth0", Addrs: []string{"10.0.0.1/16"}},
		testenv.End{In: theirs.in, Name: "eth0", Addrs: []string{"10.0.0.2/16"}})
	var excluded strings.Builder
	for n := range 1990 {
		fmt.Fprintf(&excluded, "    10.0.%d.%d/32\n", 100+n/200, 1+n%200)
	}
	conf := func(state string, priority int, excluded string) string { // which no advert names, so that the other need not have them
		return fmt.Sprintf("vrrp_instance VI {\n  state %s\n  interface eth0\n  virtual_router_id 51\n  priority %d\n  version 3\n  advert_int 0.25\n"+
			"  virtual_ipaddress {\n    10.0.0.200/32\n  }\n  virtual_ipaddress_excluded {\n%s  }\n}\n", state, priority, excluded)
	}
	theirs.start(t, conf("BACKUP", 100, ""))
	theirs.log().await(t, 0, "(VI) Entering MASTER STATE")
	n := theirs.log().size()
	ours.start(t, conf("MASTER", 150, excluded.String()))
	ours.log().await(t, 0, "(VI) Entering MASTER STATE")
	theirs.log().await(t, n, "(VI) Entering BACKUP STATE")
	n = theirs.log().size()
	time.Sleep(7 * time.Second) // the second burst of announcements comes after 5 s
	if log := theirs.log().since(n); strings.Contains(log, "Entering MASTER STATE") {
		t.Error("keepalived took over while the master lived")
	}
	instances, _ := ours.runner.States()
	s := &instances[0]
	if s.State != vrrp.Master || s.Stats.BecomeMaster != 1 {
		t.Errorf("dirsw is %v and became master %d times", s.State, s.Stats.BecomeMaster)
	}
	t.Logf("latest advert %v, %d stalls", s.Stats.Late.Max, s.Stats.Late.Stalls)
}
