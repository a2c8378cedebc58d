package stats

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fill sets every field of v to something that is not zero, so that a field lost on the way shows.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("2001:db8::1")))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("192.0.2.1:80")))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000, 5).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.String:
		v.SetString("s")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(-1 << 31)
	case reflect.Uint16:
		v.SetUint(65535)
	case reflect.Uint32:
		v.SetUint(1<<32 - 1)
	case reflect.Uint64:
		v.SetUint(1<<64 - 1)
	default:
		t.Fatalf("a field of kind %v: teach fill about it", v.Kind())
	}
}

func TestJSONKeepsEverything(t *testing.T) {
	for _, in := range []any{&Stats{}, &Conn{}} {
		fill(t, reflect.ValueOf(in).Elem())
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		out := reflect.New(reflect.TypeOf(in).Elem()).Interface()
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(in, out) {
			t.Errorf("%T through JSON:\n got %+v\nwant %+v", in, out, in)
		}
	}
}

// TestEveryFieldIsTagged keeps the names on the wire in one style, lower camel case.
func TestEveryFieldIsTagged(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(ty reflect.Type) {
		for i := range ty.NumField() {
			f := ty.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.Anonymous && (name == "" || name[0] < 'a' || name[0] > 'z') {
				t.Errorf("%s.%s: json name %q", ty.Name(), f.Name, name)
			}
			e := f.Type
			if e.Kind() == reflect.Slice {
				e = e.Elem()
			}
			if e.Kind() == reflect.Struct && e.PkgPath() == ty.PkgPath() {
				walk(e)
			}
		}
	}
	walk(reflect.TypeFor[Stats]())
	walk(reflect.TypeFor[Conn]())
}

func TestInvalidAddressSurvives(t *testing.T) {
	b, err := json.Marshal(Service{Mark: 6})
	if err != nil {
		t.Fatal(err)
	}
	var s Service
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if s.Addr.IsValid() || s.Mark != 6 {
		t.Errorf("got %v mark %d, want no address and mark 6", s.Addr, s.Mark)
	}
}

func TestCountersAdd(t *testing.T) {
	c := Counters{1, 2, 3, 4, 5}
	c.Add(Counters{10, 20, 30, 40, 50})
	if want := (Counters{11, 22, 33, 44, 55}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}
