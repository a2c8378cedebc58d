package health

import (
	"context"
	"crypto/md5"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// nginxConf serves one tree by two names on two ports, the second with TLS.
const nginxConf = `
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d default_server; listen 127.0.0.1:%[3]d ssl default_server; ssl_certificate %[1]s/cert; ssl_certificate_key %[1]s/key; root %[1]s/default; }
  server { listen 127.0.0.1:%[2]d; listen 127.0.0.1:%[3]d ssl; ssl_certificate %[1]s/cert; ssl_certificate_key %[1]s/key; server_name www.example.org; root %[1]s/www; location /gone { return 410; } }
}`

// startNginx starts nginx on two free ports, plain and TLS, and waits until it answers.
func startNginx(t *testing.T) (plain, secure netip.AddrPort) {
	t.Helper()
	testenv.NeedProgram(t, "nginx")
	dir := t.TempDir()
	for name, text := range map[string]string{"default/index.html": "default\n", "www/index.html": "<h1>It works</h1>\n", "www/big": strings.Repeat("0123456789", 50_000)} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plain, secure = refusing(t), refusing(t)
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, plain.Port(), secure.Port()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-c", conf, "-e", filepath.Join(dir, "error.log"), "-p", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	testenv.AwaitOr(t, func() bool {
		c, err := net.Dial("tcp", secure.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	}, func() {
		log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
		t.Fatalf("nginx does not answer:\n%s", log)
	})
	return plain, secure
}

// TestNginx asks a real web server, with and without TLS, and lets genhash ask it too.
func TestNginx(t *testing.T) {
	plain, secure := startNginx(t)
	page := md5.Sum([]byte("<h1>It works</h1>\n"))
	big := md5.Sum([]byte(strings.Repeat("0123456789", 50_000)))
	works, err := CompileRegex("it WORKS", []string{"caseless"})
	if err != nil {
		t.Fatal(err)
	}
	urls := []URL{
		{Path: "/", VirtualHost: "www.example.org", Digest: &page, Regex: works},
		{Path: "/big", Digest: &big},
		{Path: "/none", Status: []StatusRange{{404, 404}}},
		{Path: "/gone", Status: []StatusRange{{410, 410}}},
	}
	var block *TLS
	for _, p := range []HTTPProtocol{HTTP10, HTTP10C, HTTP10K, HTTP11, HTTP11K} {
		for _, tls := range []*TLS{nil, block.With(true, "", true)} {
			addr := plain
			if tls != nil {
				addr = secure
			}
			h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: addr}, Protocol: p, TLS: tls, VirtualHost: "www.example.org", URLs: urls})
			if err != nil {
				t.Fatal(err)
			}
			for i := range urls {
				if err := h.CheckStep(context.Background(), i); err != nil {
					t.Errorf("%v, TLS %v, %s: %v", p, tls != nil, urls[i].Path, err)
				}
			}
		}
	}
	testenv.NeedProgram(t, "genhash")
	for _, tls := range []*TLS{nil, block.With(true, "", false)} {
		addr, words := plain, []string{}
		if tls != nil {
			addr, words = secure, []string{"-S", "-I"}
		}
		for _, path := range []string{"/", "/big", "/none"} {
			args := append(words, "-s", "127.0.0.1", "-p", strconv.Itoa(int(addr.Port())), "-u", path, "-V", "www.example.org")
			out, err := exec.Command("genhash", args...).Output()
			if err != nil {
				t.Fatal(err)
			}
			sum, err := Digest(context.Background(), DigestOptions{Dial: Dial{Addr: addr}, TLS: tls, Path: path, VirtualHost: "www.example.org"})
			if got, want := hex.EncodeToString(sum[:]), strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("TLS %v, %s: %s (%v), genhash says %s", tls != nil, path, got, err, want)
			}
		}
	}
}
