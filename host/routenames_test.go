package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRouteNames(t *testing.T) {
	etc, usr := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(etc, "rt_tables.d"), 0o755))
	for path, text := range map[string]string{
		filepath.Join(etc, "rt_tables"):             "#\n# reserved values\n#\n255\tlocal\n0x64 isp1 # the first\nx bad\n100000 wide\n",
		filepath.Join(etc, "rt_tables.d/more.conf"): "7 more\n",
		filepath.Join(etc, "rt_tables.d/more.bak"):  "8 backup\n",
		filepath.Join(usr, "rt_tables"):             "200 isp1\n201 isp2",
	} {
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	names := RouteNames{Dirs: []string{etc, usr}}
	for name, want := range map[string]uint32{"local": 255, "isp1": 100, "isp2": 201, "more": 7, "wide": 100000, "12": 12, "0x20": 32, "bad": 0, "backup": 0, "": 0} {
		got, err := names.Number("rt_tables", name)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: got %d, %v; want %d", name, got, err, want)
		}
	}
	if _, err := (RouteNames{}).Number("rt_nothing", "main"); err == nil {
		t.Error("a file that does not exist has a name")
	}
}
