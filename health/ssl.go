package health

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// TLS is what an SSL_GET needs beyond an HTTP_GET.
//
// As with keepalived no certificate of a server is verified: a real server presents that of the service, for another
// name than it is asked by. A self-signed, expired or foreign one is therefore no failure; one that is no certificate
// at all is.
type TLS struct {
	EnableSNI bool   // enable_sni: the name of the url's virtual host
	SNIName   string // sni_name: this name, for all urls
	Compliant bool   // tls_compliant: a server that closes without saying so (close_notify) has failed

	certificates []tls.Certificate
}

// TLSFiles are the files of the SSL block; "" where not given.
type TLSFiles struct {
	Password    string // of the key
	CA          string
	Certificate string // client certificate and its chain, PEM
	Key         string // its private key, PEM; may be encrypted
}

// LoadTLS reads the files of the SSL block. The CA file is read, so that a wrong one is noticed, and then not used, as
// nothing is verified.
func LoadTLS(f TLSFiles) (*TLS, error) {
	t := &TLS{}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("SSL ca: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("SSL ca: no certificate in %s", f.CA)
		}
	}
	switch {
	case f.Certificate == "" && f.Key == "":
		return t, nil
	case f.Certificate == "" || f.Key == "":
		return nil, fmt.Errorf("SSL: certificate and key go together")
	}
	chain, err := os.ReadFile(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("SSL certificate: %w", err)
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return nil, fmt.Errorf("SSL key: %w", err)
	}
	if key, err = decryptKey(key, f.Password); err != nil {
		return nil, fmt.Errorf("SSL key %s: %w", f.Key, err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("SSL certificate %s and key %s: %w", f.Certificate, f.Key, err)
	}
	t.certificates = []tls.Certificate{pair}
	return t, nil
}

// With returns a copy of t for one check. t may be nil: no SSL block.
func (t *TLS) With(enableSNI bool, sniName string, compliant bool) *TLS {
	c := TLS{EnableSNI: enableSNI, SNIName: sniName, Compliant: compliant}
	if t != nil {
		c.certificates = t.certificates
	}
	return &c
}

// client makes the TLS side of conn. host is the url's virtual host, "" if it has none.
func (t *TLS) client(conn net.Conn, host string) *tls.Conn {
	return tls.Client(&abrupt{Conn: conn}, &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // see TLS
		ServerName:         t.serverName(host),
		Certificates:       t.certificates,
		CipherSuites:       cipherSuites(),
		// Without the post-quantum one, whose greeting does not fit into one packet.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
	})
}

// abrupt remembers that the other side closed the TCP connection: crypto/tls takes that for a proper end.
type abrupt struct {
	net.Conn
	closed bool
}

// Read reads.
func (a *abrupt) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	a.closed = a.closed || errors.Is(err, io.EOF)
	return n, err
}

// notified reports whether a TLS connection that has ended was closed as RFC 8446, 6.1 wants, with a close_notify.
func notified(conn net.Conn) bool {
	c, ok := conn.(*tls.Conn)
	return ok && !c.NetConn().(*abrupt).closed
}

// serverName is the name for SNI, "" for none. A port is not part of a name.
func (t *TLS) serverName(host string) string {
	switch {
	case t.SNIName != "":
		return t.SNIName
	case !t.EnableSNI:
		return ""
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// cipherSuites are those of Go and, for old servers, those with AES and the server's RSA key, which OpenSSL offers too.
func cipherSuites() []uint16 {
	out := []uint16{
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	}
	for _, s := range tls.CipherSuites() {
		out = append(out, s.ID)
	}
	return out
}
