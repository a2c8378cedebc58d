package config

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is a Model with one of everything.
func sample() *Model {
	vip := netip.MustParseAddr("192.0.2.1")
	marks := MarkTable{Chains: []MarkChain{{Name: "WEB", Rules: []MarkRule{{Matches: []MarkMatch{{Ports: []PortRange{{80, 90}}}}}}}}}
	return &Model{
		Marks:     Marks{IPv4: marks, IPv6: marks},
		Dataplane: Dataplane{Sysctls: []Sysctl{{Name: "sloppy_tcp", Value: "1"}}},
		Daemons:   []SyncDaemon{{Master: true, Interface: "eth0", MaxLen: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}},
		Services: []Service{{Addr: vip, Port: 80, Proto: TCP, Scheduler: "rr", Quorum: 1, SorryServer: &Real{Addr: netip.MustParseAddr("192.0.2.99"), Port: 80},
			Reals: []Real{{Addr: netip.MustParseAddr("192.0.2.11"), Port: 80, Weight: 1, Checks: []Check{{Kind: TCPCheck,
				HTTP: &HTTPSettings{URLs: []URL{{Path: "/", Status: []StatusRange{{200, 299}}}}}, SMTP: &SMTPSettings{Hosts: []Endpoint{{}}},
				DNS: &DNSSettings{}, UDP: &UDPSettings{}, Misc: &MiscSettings{}, File: &FileSettings{}, BFD: &BFDSettings{},
				Agent: &AgentSettings{}}}}}}},
		Globals:   Globals{Sync: &SyncGlobals{}},
		Instances: []Instance{sampleInstance(vip)},
		VRRP:      sampleVRRP(vip),
	}
}

// TestDiffSeesEveryField changes each field of a Model, one at a time: a field that Diff forgets would be a reload
// without effect.
func TestDiffSeesEveryField(t *testing.T) {
	skip := []string{
		"Services.Method", "Services.Tunnel", "Services.Tunnel.Type", "Services.Tunnel.Port", "Services.Tunnel.Sum", // of the reals it counts
		"Services.Reals.Tunnel.Type", "Services.Reals.Tunnel.Port", "Services.Reals.Tunnel.Sum", // with TUN only, see below
		"Services.IPv6",                                                                                                            // of a mark, which is another service then
		"Services.SorryServer.Checks",                                                                                              // it has none
		"Marks.IPv4.Chains.Origin", "Marks.IPv4.Chains.Rules.Origin", "Marks.IPv6.Chains.Origin", "Marks.IPv6.Chains.Rules.Origin", // no setting
		"Dataplane.Sysctls.Origin",                       // no setting
		"Instances.Rules.Goto", "VRRP.Static.Rules.Goto", // of another action
		"Births", "Services.Birth", "Services.Reals.Birth", "Services.Reals.Edits", "Services.SorryServer.Edits", "Services.SorryServer.Birth", // no setting
		"Services.SorryServer.Tunnel.Type", "Services.SorryServer.Tunnel.Port", "Services.SorryServer.Tunnel.Sum",
	}
	seen := 0
	var walk func(path string, get func(m *Model) reflect.Value)
	walk = func(path string, get func(m *Model) reflect.Value) {
		v := get(sample())
		switch v.Interface().(type) {
		case Pos, time.Time: // where and when, not what
			return
		case netip.Addr, netip.Prefix, MAC:
		default:
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					name := strings.TrimPrefix(path+"."+v.Type().Field(i).Name, ".")
					walk(name, func(m *Model) reflect.Value { return get(m).Field(i) })
				}
				return
			case reflect.Pointer:
				walk(path, func(m *Model) reflect.Value { return get(m).Elem() })
				return
			case reflect.Slice:
				if v.Len() > 0 && v.Index(0).Kind() == reflect.Struct {
					walk(path, func(m *Model) reflect.Value { return get(m).Index(0) })
					return
				}
			}
		}
		if slices.Contains(skip, path) {
			return
		}
		m := sample()
		alter(t, path, get(m))
		seen++
		if got := Diff(sample(), m); len(got) == 0 {
			t.Errorf("%s: Diff sees no change", path)
		}
		if got := Diff(m, m); len(got) != 0 {
			t.Errorf("%s: a Model differs from itself: %v", path, got)
		}
	}
	walk("", func(m *Model) reflect.Value { return reflect.ValueOf(m).Elem() })
	if seen < 80 {
		t.Errorf("only %d fields were tried", seen)
	}
}

// alter gives a field another value.
func alter(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("198.51.100.7")))
		return
	case MAC:
		v.Set(reflect.ValueOf(MAC{2, 0, 0, 0, 0, 1}))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("198.51.100.7/24")))
		return
	case []netip.Addr:
		v.Set(reflect.ValueOf([]netip.Addr{netip.MustParseAddr("198.51.100.7")}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		one := reflect.New(v.Type().Elem()).Elem()
		alter(t, path, one)
		v.Set(reflect.Append(v, one))
	default:
		t.Fatalf("%s: no way to alter a %s", path, v.Type())
	}
}

// TestDiffSeesTunnels completes TestDiffSeesEveryField: a tunnel counts when the method is TUN.
func TestDiffSeesTunnels(t *testing.T) {
	with := func(tun Tunnel) *Model {
		m := sample()
		m.Services[0].Reals[0].Method, m.Services[0].Reals[0].Tunnel = TUN, tun
		return m
	}
	for _, tun := range []Tunnel{{Type: GRE}, {Type: GUE, Port: 6080}, {Type: GUE, Port: 6081}, {Type: GUE, Port: 6080, Sum: RemoteSum}} {
		for _, other := range []Tunnel{{}, {Type: GRE, Sum: Sum}, {Type: GUE, Port: 6082}} {
			if len(Diff(with(tun), with(other))) != 1 {
				t.Errorf("%+v and %+v: no change", tun, other)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	a := Error{Pos: Pos{"f", 2, 1}, Message: "wrong", Fix: "write right"}
	b := Error{Pos: Pos{"f", 1, 9}, Message: "bad"}
	err := Join(Errors{a}, nil, b, errors.New("read f: gone"))
	const want = "read f: gone\nf:1:9: bad\nf:2:1: wrong; write right"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	var list Errors
	if !errors.As(err, &list) || len(list) != 3 {
		t.Errorf("not an Errors of three: %v", err)
	}
	var one Error
	if !errors.As(err, &one) {
		t.Error("no Error inside")
	}
	if Join(nil, nil) != nil || Join(Errors{}) != nil || (Errors{}).Or() != nil {
		t.Error("an error without complaints")
	}
}

func TestNearest(t *testing.T) {
	for _, row := range []struct{ name, want string }{
		{"wieght", "weight"}, {"Weight", "weight"}, {"weigth", "weight"}, {"wei", ""}, {"lb_alg", "lb_algo"},
		{"connect_time_out", "connect_timeout"}, {"rr", ""}, {"", ""}, {strings.Repeat("x", 100000), ""},
	} {
		known := []string{"weight", "lb_algo", "lb_kind", "connect_timeout", "connect_port"}
		if got := Nearest(row.name, slices.Values(known)); got != row.want {
			t.Errorf("%.20q: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestFold(t *testing.T) {
	for _, row := range []struct {
		in, want rune
		odd      Oddity
	}{
		{'a', 'a', Plain}, {'\u00A0', ' ', Blank}, {'\u3000', ' ', Blank}, {'\u2003', ' ', Blank}, {'\u200B', 0, Invisible},
		{'\uFEFF', 0, Invisible}, {'–', '-', Dash}, {'—', '-', Dash}, {'−', '-', Dash}, {'：', ':', Wide}, {'｛', '{', Wide},
		{'０', '0', Wide}, {'。', '.', Wide}, {'“', '"', QuoteMark}, {'’', '\'', QuoteMark}, {'权', '权', Plain}, {'é', 'é', Plain},
	} {
		if got, odd := Fold(row.in); got != row.want || odd != row.odd {
			t.Errorf("%U: got %U %d, want %U %d", row.in, got, odd, row.want, row.odd)
		}
	}
}

func TestNames(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{TCP.String(), "TCP"}, {Protocol(1).String(), "protocol 1"}, {DR.String(), "DR"}, {Method(9).String(), "invalid(9)"},
		{WaitBusy.String(), "busy-poll"}, {ZeroCopyOff.String(), "off"}, {ModeGeneric.String(), "generic"}, {GUE.String(), "gue"},
		{RemoteSum.String(), "remcsum"}, {FromCommand.String(), "command"}, {Pos{}.String(), "-"}, {Pos{"f", 1, 2}.String(), "f:1:2"},
		{ServiceKey{Mark: 4294967295, IPv6: true}.String(), "fwmark 4294967295 IPv6"},
		{sample().Services[0].Key().String(), "TCP 192.0.2.1:80"},
		{Note{Pos{"f", 1, 2}, "so"}.String(), "f:1:2: so"}, {Note{Text: "so"}.String(), "so"},
	} {
		if row.got != row.want {
			t.Errorf("got %q, want %q", row.got, row.want)
		}
	}
}

func TestTimeoutsOrDefault(t *testing.T) {
	got := Timeouts{TCPFin: time.Second}.OrDefault()
	if want := (Timeouts{900 * time.Second, time.Second, 300 * time.Second}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
