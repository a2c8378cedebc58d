package keepalived

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// manualName is the page that lists every keyword. It is written by `go test -run Manual -update`.
const manualName = "../../docs/manual/keywords.md"

const manualHead = `# Keywords of the configuration

Every keyword that dirsw knows, by the block that it stands in, as the parser has them; those with a * are dirsw's own. What is served does
what keepalived.conf(5) says, unless the page of its part says otherwise (docs/manual/keepalived.md lists them). What has no effect is
accepted, and ` + "`dirsw check`" + ` says with one note for all of a kind what happens instead. A keyword that stands in the wrong block, or that
nobody knows, is a complaint with the nearest one that is known. The include family, parameters, conditions and repetition are in
docs/manual/configuration.md.
`

// manualOwn are keywords that keepalived has not, by block; a block whose name is there is dirsw's own as a whole.
func manualOwn() map[string][]string {
	return map[string][]string{
		"":              {"dataplane", "vrrp_arbiter"},
		"dataplane":     nil,
		"vrrp_arbiter":  nil,
		"heartbeat":     nil,
		"AGENT_CHECK":   nil,
		"real_server":   {"AGENT_CHECK", "check_path"},
		"vrrp_instance": {"heartbeat", "split_brain_script", "probe_addresses", "track_arbiter"},

		"vrrp_sync_group": {"track_arbiter"},
		"TCP_CHECK":       {"check_path"}, "UDP_CHECK": {"check_path"}, "HTTP_GET": {"check_path"}, "SSL_GET": {"check_path"},
		"SMTP_CHECK": {"check_path"}, "DNS_CHECK": {"check_path"},
	}
}

// manualBlocks is the order of the page; a block that is not named comes at the end.
var manualBlocks = strings.Fields("global_defs vrrp_instance authentication heartbeat vrrp_sync_group vrrp_script track_file vrrp_track_process " +
	"vrrp_arbiter bfd_instance garp_group virtual_server real_server TCP_CHECK HTTP_GET SSL_GET url SMTP_CHECK host DNS_CHECK UDP_CHECK " +
	"PING_CHECK MISC_CHECK FILE_CHECK BFD_CHECK AGENT_CHECK SSL dataplane")

// manual writes the page from the vocabulary.
func manual() string {
	var b strings.Builder
	b.WriteString(manualHead)
	v := newVocabulary()
	rank := func(block string) int {
		if i := slices.Index(manualBlocks, block); block == "" || i >= 0 {
			return i
		}
		return len(manualBlocks)
	}
	for _, block := range slices.SortedFunc(maps.Keys(v), func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) }) {
		if block != raw {
			manualBlock(&b, v[block], block)
		}
	}
	return b.String()
}

// manualBlock writes the keywords of one block: first what is served, then what is not, with the reason.
func manualBlock(b *strings.Builder, words map[string]keyword, block string) {
	own, some := manualOwn()[block]
	var does []string
	why := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(words)) {
		k, text := words[name], "`"+name+"`"
		if some && block != "" && len(own) == 0 || slices.Contains(own, name) {
			text += "*"
		}
		switch {
		case k.use == refused:
			why["refused: "+k.fix] = append(why["refused: "+k.fix], text)
		case k.topic != noTopic:
			why[k.topic.why()] = append(why[k.topic.why()], text)
		default:
			does = append(does, text)
		}
	}
	title := block
	if block == "" {
		title = "Outside of all blocks"
	}
	fmt.Fprintf(b, "\n## %s\n", title)
	for len(does) > 0 { // lines of the width of the other pages
		line := does[0]
		for does = does[1:]; len(does) > 0 && len(line)+len(does[0]) < 138; does = does[1:] {
			line += " " + does[0]
		}
		b.WriteString(line + "\n")
	}
	if len(why) == 0 {
		return
	}
	b.WriteString("\n| without effect | |\n|---|---|\n")
	for _, reason := range slices.SortedFunc(maps.Keys(why), func(x, y string) int { return strings.Compare(why[x][0], why[y][0]) }) {
		fmt.Fprintf(b, "| %s | %s |\n", strings.Join(why[reason], " "), reason)
	}
}

// TestManualNamesEveryKeyword holds the page about keywords to the parser's tables.
func TestManualNamesEveryKeyword(t *testing.T) {
	got := manual()
	if *update {
		if err := os.WriteFile(manualName, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(manualName)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	have, need := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range need {
		if i >= len(have) || have[i] != need[i] {
			t.Fatalf("docs/manual/keywords.md, line %d: run `go test ./config/keepalived -run Manual -update`; it should be\n%s", i+1, need[i])
		}
	}
	t.Fatalf("docs/manual/keywords.md has %d lines too many", len(have)-len(need))
}

// TestManualOwnKeywords finds names in manualOwn that the parser does not know.
func TestManualOwnKeywords(t *testing.T) {
	v := newVocabulary()
	for block, names := range manualOwn() {
		if v[block] == nil {
			t.Errorf("there is no block %q", block)
		}
		for _, name := range names {
			if _, ok := v[block][name]; !ok {
				t.Errorf("%q has no keyword %q", block, name)
			}
		}
	}
}
