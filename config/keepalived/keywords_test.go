package keepalived

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestEveryKeyword gives every keyword of the tables a value and requires that it does something: that it reaches the
// Model, is complained about, or is told.
func TestEveryKeyword(t *testing.T) {
	around := map[string][2]string{
		"":                   {"", ""},
		"global_defs":        {"global_defs {\n", "}\n"},
		"SSL":                {"SSL {\n", "}\n"},
		"dataplane":          {"dataplane {\n", "}\n"},
		"vrrp_instance":      {"vrrp_instance A {\n", "}\n"},
		"heartbeat":          {"vrrp_instance A {\nheartbeat {\n", "}\n}\n"},
		"vrrp_sync_group":    {"vrrp_sync_group G {\n", "}\n"},
		"vrrp_script":        {"vrrp_script S {\n", "}\n"},
		"track_file":         {"track_file F {\n", "}\n"},
		"vrrp_track_process": {"vrrp_track_process P {\n", "}\n"},
		"bfd_instance":       {"bfd_instance B {\nneighbor_ip 2001:db8::1\n", "}\n"},
		"vrrp_arbiter":       {"vrrp_arbiter R {\n", "}\n"},
		"garp_group":         {"garp_group {\n", "}\n"},
		"authentication":     {"vrrp_instance A {\nauthentication {\n", "}\n}\n"},
		"virtual_server":     {"virtual_server 192.0.2.1 80 {\n", "real_server 192.0.2.11 80 {\nTCP_CHECK {\n}\n}\n}\n"},
		"real_server":        {"virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.11 80 {\n", "TCP_CHECK {\n}\n}\n}\n"},
		"url":                {"virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.11 80 {\nHTTP_GET {\nurl {\npath /\nregex x\n", "}\n}\n}\n}\n"},
		"host":               {"virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.11 80 {\nSMTP_CHECK {\nhost {\n", "}\n}\n}\n}\n"},
	}
	for check, needs := range map[string]string{"TCP_CHECK": "", "PING_CHECK": "", "UDP_CHECK": "", "HTTP_GET": "url {\npath /\n}\n",
		"SSL_GET": "url {\npath /\n}\n", "SMTP_CHECK": "", "DNS_CHECK": "", "MISC_CHECK": "misc_path /bin/true\n",
		"FILE_CHECK": "track_file x\n", "BFD_CHECK": "", "AGENT_CHECK": "connect_port 1\n"} {
		around[check] = [2]string{"virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.11 80 {\n" + check + " {\n" + needs, "}\n}\n}\n"}
	}
	said := func(text string) string {
		m, notes, err := Parse("f", strings.NewReader(text), nil)
		var b strings.Builder
		dump(&b, "", reflect.ValueOf(*m))
		for _, n := range notes {
			b.WriteString(n.Text)
		}
		if err != nil {
			b.WriteString(err.Error())
		}
		return b.String()
	}
	count := 0
	for block, names := range newVocabulary() {
		if block == raw {
			continue
		}
		frame, ok := around[block]
		if !ok {
			t.Errorf("no text for the block %q", block)
			continue
		}
		for name, k := range names {
			text := name + " 7"
			if k.block != "" {
				text += " {\nx\n}"
			}
			if slices.Contains([]string{"preempt", "accept", "random_seed", "ttl"}, name) {
				continue // say what is so without them
			}
			if strings.Contains(said(frame[0]+text+"\n"+frame[1]), "is ignored") {
				text = name // it takes no value
			}
			if said(frame[0]+frame[1]) == said(frame[0]+text+"\n"+frame[1]) {
				t.Errorf("%q in %q does nothing", name, block)
			}
			if got := said(frame[0] + text + "\n" + frame[1]); strings.Contains(got, "unknown keyword \""+name+"\"") {
				t.Errorf("%q in %q is unknown: %s", name, block, got)
			}
			count++
		}
	}
	if count < 400 {
		t.Errorf("only %d keywords", count)
	}
}
