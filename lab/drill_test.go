package lab

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dirsw/internal/testenv"
)

var update = flag.Bool("update", false, "rewrite the expectations under testdata")

// articles is where the configurations of articles are.
const articles = "../config/keepalived/testdata"

// planned is what `drill -n` says of two files.
func planned(t *testing.T, files ...string) string {
	t.Helper()
	var pair [2]member
	for i, f := range files {
		pair[i] = member{node: []string{"lb1", "lb2"}[i], file: f}
		if err := pair[i].parse(); err != nil {
			t.Fatal(err)
		}
	}
	p, err := derive(pair)
	if err != nil {
		return err.Error() + "\n"
	}
	if err := p.spec().validate(); err != nil {
		t.Errorf("the cluster cannot be built: %v", err)
	}
	var b strings.Builder
	p.introduce(&b)
	return strings.NewReplacer(files[0], "a.conf", files[1], "b.conf").Replace(b.String())
}

// TestDrillPlans runs testdata/drill/plans.txt: a title, what both files have, lines beginning with "@a" or "@b" being of one
// of them, "----", the cluster that follows.
func TestDrillPlans(t *testing.T) {
	const name = "testdata/drill/plans.txt"
	src, err := os.ReadFile(name)
	must(t, err)
	var out []string
	for row := range strings.SplitSeq(string(src), "\n====\n") {
		title, rest, _ := strings.Cut(row, "\n")
		input, _, ok := strings.Cut(rest, "\n----")
		if !ok {
			t.Fatalf("row %q has no ----", title)
		}
		var files [2]string
		for i, mine := range []string{"@a", "@b"} {
			files[i] = filepath.Join(t.TempDir(), mine)
			var text strings.Builder
			for l := range strings.Lines(input + "\n") {
				if own, is := strings.CutPrefix(l, mine); is || !strings.HasPrefix(l, "@") {
					text.WriteString(own)
				}
			}
			must(t, os.WriteFile(files[i], []byte(text.String()), 0o600))
		}
		out = append(out, title+"\n"+input+"\n----\n"+planned(t, files[:]...))
	}
	expect(t, name, strings.Join(out, "====\n"))
}

// TestDrillPlansFiles does the same with whole files.
func TestDrillPlansFiles(t *testing.T) {
	for name, files := range drillPairs(t) {
		t.Run(name, func(t *testing.T) {
			expect(t, filepath.Join("testdata/drill", name+".golden"), planned(t, files[:]...))
		})
	}
}

// expect compares a text with that of a file, or rewrites the file.
func expect(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(name, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// drillPairs are files that make a pair: those of articles, and of an office with everything. Of one article there is the master's
// only, which says what is different in the backup's.
func drillPairs(t *testing.T) map[string][2]string {
	t.Helper()
	master := filepath.Join(articles, "article-web-cluster.conf")
	text, err := os.ReadFile(master)
	must(t, err)
	backup := filepath.Join(t.TempDir(), "backup.conf")
	other := strings.NewReplacer("state MASTER", "state BACKUP", "priority 100 ", "priority 99 ", "mcast_src_ip 192.168.56.1 ", "mcast_src_ip 192.168.56.101 ")
	must(t, os.WriteFile(backup, []byte(other.Replace(string(text))), 0o600))
	return map[string][2]string{
		"demo":   {filepath.Join(articles, "article-demo-master.conf"), filepath.Join(articles, "article-demo-backup.conf")},
		"web":    {master, backup},
		"office": {"testdata/drill/office-a.conf", "testdata/drill/office-b.conf"},
	}
}

// TestDrill plays them.
func TestDrill(t *testing.T) {
	testenv.NeedNetAdmin(t)
	t.Parallel()
	lines := map[string][]string{}
	for name, files := range drillPairs(t) {
		lines[name] = []string{"drill", "-servers", "1", "-f", files[0], "-f", files[1]}
	}
	playedWell(t, playAll(t, buildProgram(t), lines))
}

func TestDrillRefuses(t *testing.T) {
	for _, args := range []string{"", "-f a", "-f a -f b -f c", "-f a -f b -i x", "-f a -f b what", "-z"} {
		if err := drillCommand(t.Context(), strings.Fields(args), os.Stdout, self()); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

// TestDrillPlansAnything: whatever configuration makes a cluster, or an error that says why not.
func TestDrillPlansAnything(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(articles, "*.conf"))
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are no configurations")
	}
	for _, f := range files {
		if got := planned(t, f, f); !strings.Contains(got, "director: ") && !strings.Contains(got, "vrrp_instance") {
			t.Errorf("%s: %s", f, got)
		}
	}
}
