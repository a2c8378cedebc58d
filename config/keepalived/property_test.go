package keepalived

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

// clear sets every position to zero, so that Models of different texts can be compared.
func clear(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[config.Pos]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				clear(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			clear(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			clear(v.Elem())
		}
	}
}

// reparse prints a Model and parses what was printed.
func reparse(t *testing.T, m *config.Model) *config.Model {
	t.Helper()
	var b bytes.Buffer
	if err := Print(&b, m); err != nil {
		t.Fatal(err)
	}
	again, _, err := Parse("printed", &b, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, print(t, m))
	}
	return again
}

func print(t *testing.T, m *config.Model) string {
	t.Helper()
	var b bytes.Buffer
	if err := Print(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sameModel(t *testing.T, m, again *config.Model) {
	t.Helper()
	clear(reflect.ValueOf(m))
	clear(reflect.ValueOf(again))
	if reflect.DeepEqual(m, again) {
		return
	}
	var a, b strings.Builder
	dump(&a, "", reflect.ValueOf(*m))
	dump(&b, "", reflect.ValueOf(*again))
	was, read := strings.Split(a.String(), "\n"), strings.Split(b.String(), "\n")
	for i := range min(len(was), len(read)) {
		if was[i] != read[i] {
			t.Fatalf("printed\n%s\nread %s\nwas  %s", print(t, m), read[i], was[i])
		}
	}
	t.Fatalf("printed\n%s\nread %d lines, was %d", print(t, m), len(read), len(was))
}

// TestPrintArticles prints the Models of all configurations of testdata and reads them again.
func TestPrintArticles(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.conf")
	rows, _ := os.ReadFile("testdata/notes.txt")
	texts := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = string(b)
	}
	for row := range strings.SplitSeq(string(rows), "\n====\n") {
		name, rest, _ := strings.Cut(row, "\n")
		texts[name], _, _ = strings.Cut(rest, "\n----")
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			m, _, err := Parse("f", strings.NewReader(unescape(text)), nil)
			if err != nil {
				t.Skip("has errors")
			}
			sameModel(t, m, reparse(t, m))
		})
	}
}

// TestPrintRandom prints random Models and reads them again.
func TestPrintRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range 300 {
		m := g.model()
		again := reparse(t, m)
		sameModel(t, m, again)
		if a, b := print(t, m), print(t, again); a != b {
			t.Fatalf("printed again it differs:\n%s\n%s", a, b)
		}
	}
}

// generator makes random Models of what a keepalived.conf can say.
type generator struct{ *rand.Rand }

func (g generator) flip() bool { return g.IntN(2) == 0 }

// text is a value with some of what must be quoted.
func (g generator) text() string {
	const letters = "abcXYZ019 .-_/:#!{}\"'\\$@～–\u00A0权"
	runes := []rune(letters)
	var b strings.Builder
	for range 1 + g.IntN(8) {
		b.WriteRune(runes[g.IntN(len(runes))])
	}
	return b.String()
}

func (g generator) maybeText() string {
	if g.flip() {
		return ""
	}
	return g.text()
}

func (g generator) seconds(most int) time.Duration {
	return time.Duration(1+g.IntN(most)) * time.Second
}

func (g generator) fraction() time.Duration {
	return time.Duration(1+g.IntN(9_999_999)) * time.Microsecond
}

func (g generator) addr(six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", 1+g.IntN(0xFFFE)))
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + g.IntN(250))})
}

func (g generator) tunnel() config.Tunnel {
	switch g.IntN(3) {
	case 0:
		return config.Tunnel{}
	case 1:
		return config.Tunnel{Type: config.GRE, Sum: config.TunnelSum(g.IntN(2))}
	}
	return config.Tunnel{Type: config.GUE, Port: uint16(1 + g.IntN(65535)), Sum: config.TunnelSum(g.IntN(3))}
}

func (g generator) model() *config.Model {
	m := &config.Model{Marks: g.marks()}
	if g.flip() {
		g.globals(&m.Globals)
	}
	if g.flip() {
		m.Name = g.text()
		m.TLS = config.TLSClient{Password: g.maybeText(), CA: g.maybeText(), Certificate: g.maybeText(), Key: g.maybeText()}
	}
	if g.flip() {
		m.Dataplane = config.Dataplane{Interfaces: []string{"eth0", "eth1"}, Queues: g.IntN(4), Cores: []int{g.IntN(8)}, Mode: config.Mode(g.IntN(3)),
			ZeroCopy: config.ZeroCopy(g.IntN(3)), Wait: config.Wait(g.IntN(3)), Connections: g.IntN(9), Replace: g.flip(),
			Workers: g.IntN(3), Steer: config.Steer(g.IntN(2))}
		if g.flip() {
			m.Dataplane.Cores, m.Dataplane.AutoCores = nil, true
		}
		for _, s := range []config.Sysctl{{Name: "sloppy_tcp", Value: "1"}, {Name: "sync_threshold", Value: "3 50"},
			{Name: "est_nice", Value: "-5"}, {Name: "lblc_expiration", Value: "60"}} {
			if g.flip() {
				m.Dataplane.Sysctls = append(m.Dataplane.Sysctls, s)
			}
		}
	}
	for range g.IntN(3) {
		m.Services = append(m.Services, g.service())
	}
	if g.flip() {
		m.Services = append(m.Services, g.group("G1")...)
	}
	g.vrrp(m)
	return m
}

// TestPrintCannotSay refuses what has no keyword.
func TestPrintCannotSay(t *testing.T) {
	m := &config.Model{Services: []config.Service{{Mark: 1, Persistence: time.Second, Netmask: netip.MustParseAddr("255.0.255.0")}}}
	var b bytes.Buffer
	const want = "the persistence mask 255.0.255.0 of fwmark 1 cannot be written in keepalived.conf"
	if err := Print(&b, m); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
