package health

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// certificate makes a certificate that signs itself and is valid between two times.
func certificate(t *testing.T, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return certificateOf(t, key, from, to)
}

// certificateOf makes one for a key.
func certificateOf(t *testing.T, key crypto.Signer, from, to time.Time) tls.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other.example.org"}, DNSNames: []string{"other.example.org"},
		NotBefore: from, NotAfter: to,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS is serve with TLS; talk is given the connection after its handshake.
func serveTLS(t *testing.T, c *tls.Config, talk func(*tls.Conn)) netip.AddrPort {
	return serve(t, func(conn net.Conn) {
		secured := tls.Server(conn, c)
		if secured.Handshake() == nil {
			talk(secured)
		}
	})
}

// say reads a request, answers 200, and ends properly or not.
func say(properly bool) func(*tls.Conn) {
	return func(c *tls.Conn) {
		answering("HTTP/1.0 200 OK\r\n\r\nhello")(c)
		if properly {
			c.Close()
		}
	}
}

func TestSSL(t *testing.T) {
	now := time.Now()
	good, expired := certificate(t, now.Add(-time.Hour), now.Add(time.Hour)), certificate(t, now.Add(-2*time.Hour), now.Add(-time.Hour))
	configured := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	garbage := tls.Certificate{Certificate: [][]byte{[]byte("no certificate")}, PrivateKey: good.PrivateKey}
	old := configured(good)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	older := configured(certificateOf(t, key, now.Add(-time.Hour), now.Add(time.Hour)))
	older.MaxVersion, older.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	ancient := configured(good)
	ancient.MinVersion, ancient.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	const handshake = "SSL handshake/communication error connecting to"
	for _, tt := range []struct {
		name      string
		addr      netip.AddrPort
		compliant bool
		want      string
	}{
		{"self-signed, of another name", serveTLS(t, configured(good), say(true)), false, ""},
		{"expired", serveTLS(t, configured(expired), say(true)), false, ""},
		{"TLS 1.2", serveTLS(t, old, say(true)), false, ""},
		{"TLS 1.2 with the server's RSA key only", serveTLS(t, older, say(true)), false, ""},
		{"TLS 1.1", serveTLS(t, ancient, say(true)), false, handshake},
		{"garbage for a certificate", serveTLS(t, configured(garbage), say(true)), false, handshake},
		{"closes without close_notify", serveTLS(t, configured(good), say(false)), false, ""},
		{"closes without close_notify, strictly", serveTLS(t, configured(good), say(false)), true, "SSL read error from"},
		{"closes without close_notify, this url strictly", serveTLS(t, configured(good), say(false)), false, "SSL read error from"},
		{"closes with close_notify, strictly", serveTLS(t, configured(good), say(true)), true, ""},
		{"no TLS", serve(t, answering("HTTP/1.0 200 OK\r\n\r\nhello")), false, handshake},
		{"closes at once", serve(t, func(c net.Conn) { hear(c) }), false, handshake},
		{"never shakes hands", serve(t, silent), false, "Timeout connecting"},
		{"says nothing after the handshake", serveTLS(t, configured(good), func(c *tls.Conn) { silent(c) }), false, "Timeout WEB read"},
		{"stops in the body", serveTLS(t, configured(good), func(c *tls.Conn) {
			answering("HTTP/1.0 200 OK\r\n\r\nhello")(c)
			silent(c)
		}), false, "Timeout SSL read"},
		{"says nothing and ends", serveTLS(t, configured(good), func(c *tls.Conn) { hear(c); c.Close() }), false, "SSL read error from"},
		{"says nothing and closes", serveTLS(t, configured(good), func(c *tls.Conn) { hear(c) }), false, "Read, no data received from "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var block *TLS
			h, err := NewHTTP(HTTPOptions{
				Dial: Dial{Addr: tt.addr, Timeout: patient(2*time.Second, tt.want)}, TLS: block.With(false, "", tt.compliant),
				URLs: []URL{{Path: "/", Compliant: strings.Contains(tt.name, "this url")}},
			})
			if err != nil {
				t.Fatal(err)
			}
			checkText(t, h, tt.want)
		})
	}
}

// TestSSLName tells the server's name as enable_sni and sni_name say.
func TestSSLName(t *testing.T) {
	var heard string
	good := certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	addr := serveTLS(t, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		heard = h.ServerName
		return &good, nil
	}}, say(true))
	for _, tt := range []struct {
		name, host string
		enable     bool
		sni, want  string
	}{
		{"none", "www.example.org", false, "", ""},
		{"enable_sni", "www.example.org", true, "", "www.example.org"},
		{"enable_sni with a port", "www.example.org:8443", true, "", "www.example.org"},
		{"enable_sni without a virtual host", "", true, "", ""},
		{"sni_name", "www.example.org", true, "sni.example.org", "sni.example.org"},
	} {
		heard = ""
		var block *TLS
		h, err := NewHTTP(HTTPOptions{
			Dial: Dial{Addr: addr}, URLs: []URL{{Path: "/"}}, VirtualHost: tt.host, TLS: block.With(tt.enable, tt.sni, false),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Check(context.Background()); err != nil || heard != tt.want {
			t.Errorf("%s: name %q, error %v; want %q", tt.name, heard, err, tt.want)
		}
	}
}

// TestSSLClientCertificate asks a server that wants to know who asks.
func TestSSLClientCertificate(t *testing.T) {
	addr := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))},
		ClientAuth:   tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12,
	}, say(true))
	block, err := LoadTLS(TLSFiles{
		CA: "testdata/key/certificate.pem", Certificate: "testdata/key/certificate.pem", Key: "testdata/key/pkcs8-aes256.pem", Password: "secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		block *TLS
		want  string
	}{{"known", block, ""}, {"unknown", nil, "SSL handshake/communication error connecting to"}} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: addr}, URLs: []URL{{Path: "/"}}, TLS: tt.block.With(false, "", false)})
			if err != nil {
				t.Fatal(err)
			}
			checkText(t, h, tt.want)
		})
	}
}

func TestLoadTLSFails(t *testing.T) {
	const dir = "testdata/key/"
	for _, tt := range []struct {
		f    TLSFiles
		want string
	}{
		{TLSFiles{CA: dir + "none.pem"}, "SSL ca"},
		{TLSFiles{CA: dir + "plain.pem"}, "no certificate in"},
		{TLSFiles{Key: dir + "plain.pem"}, "certificate and key go together"},
		{TLSFiles{Certificate: dir + "none.pem", Key: dir + "plain.pem"}, "SSL certificate"},
		{TLSFiles{Certificate: dir + "certificate.pem", Key: dir + "README"}, "no PEM"},
		{TLSFiles{Certificate: dir + "certificate.pem", Key: dir + "pkcs8-aes256.pem", Password: "wrong"}, ""},
		{TLSFiles{Certificate: dir + "certificate.pem", Key: dir + "scrypt.pem", Password: "secret"}, "only PBKDF2"},
	} {
		if _, err := LoadTLS(tt.f); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.f, err, tt.want)
		}
	}
}

// TestDecryptKey opens keys that openssl encrypted.
func TestDecryptKey(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile("testdata/key/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := read("plain.pem")
	block, _ := pem.Decode(want)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"plain.pem", "pkcs8-aes256.pem", "pkcs8-aes192.pem", "pkcs8-aes128-sha1.pem", "pkcs8-des3-sha512.pem",
		"pem-aes256.pem", "pem-aes128.pem", "pem-des3.pem",
	} {
		got, err := decryptKey(read(name), "secret")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		block, _ := pem.Decode(got)
		opened, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			opened, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil || !key.Equal(opened) {
			t.Errorf("%s: another key (%v)", name, err)
		}
	}
}

// FuzzDecryptKey opens any file: no panic, and no long computation.
func FuzzDecryptKey(f *testing.F) {
	for _, name := range []string{"pkcs8-aes256.pem", "pem-des3.pem", "scrypt.pem"} {
		b, err := os.ReadFile("testdata/key/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		if !bytes.Contains(b, []byte("ENCRYPTED PRIVATE KEY")) { // some of those take their time, as they say
			_, _ = decryptKey(b, "secret")
		}
	})
}
