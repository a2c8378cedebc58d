package main

import (
	"bytes"
	"strings"
	"testing"
)

// session is a group with traffic between its commands.
const session = `{"group":"g","cmd":"ipvsadm -R","stdin":"-A -t 192.0.2.100:80 -s rr\n-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g\n","exit":0,"stdout":"","stderr":""}
{"group":"g","traffic":["SYN","7 x client data of IP length 1440"]}
{"group":"g","cmd":"ipvsadm -Ln --stats","exit":0,"stdout":"IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n  -> RemoteAddress:Port\nTCP  192.0.2.100:80                      0        0        0        0        0\n  -> 172.16.0.11:80                      0        0        0        0        0\n","stderr":""}
{"group":"g","sleep":2.1}
{"group":"g","cmd":"ipvsadm -Ln --stats","exit":0,"stdout":"IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n  -> RemoteAddress:Port\nTCP  192.0.2.100:80                      1        8        0    10120        0\n  -> 172.16.0.11:80                      1        8        0    10120        0\n","stderr":""}
{"group":"g","cmd":"ipvsadm -Ln --rate -t 192.0.2.100:80","exit":0,"stdout":"Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n  -> RemoteAddress:Port\nTCP  192.0.2.100:80                      0        1        0     1265        0\n  -> 172.16.0.11:80                      0        1        0     1265        0\n","stderr":""}
{"group":"g","cmd":"ipvsadm -Lnc","exit":0,"stdout":"IPVS connection entries\npro expire state       source             virtual            destination\nTCP 14:57  ESTABLISHED 10.1.0.1:4000      192.0.2.100:80     172.16.0.11:80\n","stderr":""}
{"group":"g","cmd":"cat /proc/net/ip_vs_conn","exit":0,"stdout":"Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\nTCP 0A010001 0FA0 C0000264 0050 AC10000B 0050 ESTABLISHED     897\n","stderr":""}
{"group":"g","cmd":"cat /proc/net/ip_vs_stats","exit":0,"stdout":"   Total Incoming Outgoing         Incoming         Outgoing\n   Conns  Packets  Packets            Bytes            Bytes\n       1        8        0             2788                0\n\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n       0        1        0              4F1                0\n","stderr":""}
{"group":"g","cmd":"ipvsadm -Z","exit":0,"stdout":"","stderr":""}
{"group":"g","cmd":"ipvsadm -e -t 192.0.2.100:80 -r 172.16.0.12 -w 3","exit":255,"stdout":"","stderr":"No such destination\n"}
`

// TestSession plays a session as it is, and with one thing changed.
func TestSession(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"as it is", "", "", ""},
		{"counters before they were looked at", "80                      0        0 ", "80                      1        0 ", "differs cli/g/3"},
		{"packets", "1        8        0    10120", "1        9        0    10120", "differs cli/g/5"},
		{"rate", "    1265  ", "    1266  ", "differs cli/g/6"},
		{"time left, too long", "14:57", "14:59", "differs cli/g/7"},
		{"state", "ESTABLISHED     897", "SYN_RECV        897", "differs cli/g/8"},
		{"total", "2788", "2789", "differs cli/g/9"},
		{"what dirsw has to say beside", "No such destination\\n", "No such destination\\nhint: x\\n", "differs cli/g/11"},
		{"message", "No such destination", "No such service", "differs cli/g/11"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(session, c.old, c.new, 1)
			if text == session && c.old != "" {
				t.Fatalf("%q is not in the session", c.old)
			}
			var out bytes.Buffer
			r := &report{out: &out, verbose: true}
			if err := playAll(strings.NewReader(text), r); err != nil {
				t.Fatal(err)
			}
			if c.old == "" {
				if r.differ != 0 {
					t.Errorf("%s", out.String())
				}
				return
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("%s\nwant %q", out.String(), c.want)
			}
		})
	}
}
