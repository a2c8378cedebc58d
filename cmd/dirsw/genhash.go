package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"time"

	"dirsw/health"
)

const genhashUsage = `usage: dirsw genhash -s ADDRESS -p PORT -u PATH [-S [-I]] [-V HOST] [-P 1.0|1.0c|1.1] [-t SECONDS] [-m MARK] [-v]

Prints the MD5 of a page that the keyword digest of HTTP_GET and SSL_GET wants, as keepalived's genhash does.
  -S, --use-ssl          HTTPS              -V, --use-virtualhost  the Host header
  -I, --use-sni          name it in the handshake too
  -s, --server           -p, --port         -u, --url              where the page is
  -P, --protocol         of HTTP            -t, --timeout          in seconds
  -m, --fwmark           on the packets     -v, --verbose          show header and page as well
`

// cmdGenhash computes the digest of a page, with the options of genhash.
func cmdGenhash(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("genhash", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	text := func(short, long, value string) *string {
		s := fs.String(short, value, "")
		fs.StringVar(s, long, value, "")
		return s
	}
	number := func(short, long string, value uint) *uint {
		n := fs.Uint(short, value, "")
		fs.UintVar(n, long, value, "")
		return n
	}
	boolean := func(short, long string) *bool {
		b := fs.Bool(short, false, "")
		fs.BoolVar(b, long, false, "")
		return b
	}
	server, url, host, proto := text("s", "server", ""), text("u", "url", ""), text("V", "use-virtualhost", ""), text("P", "protocol", "1.0")
	port, seconds, mark := number("p", "port", 0), number("t", "timeout", 5), number("m", "fwmark", 0)
	tls, sni, verbose := boolean("S", "use-ssl"), boolean("I", "use-sni"), boolean("v", "verbose")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, genhashUsage)
		return exitOK
	}
	addr, addrErr := netip.ParseAddr(*server)
	protocol, known := health.ParseHTTPProtocol(*proto)
	switch {
	case err != nil:
	case fs.NArg() > 0:
		err = fmt.Errorf("what is %q?", fs.Arg(0))
	case *server == "" || *port == 0 || *url == "":
		err = errors.New("-s, -p and -u are needed")
	case addrErr != nil:
		err = fmt.Errorf("-s %q: write an IP address", *server)
	case *port > 65535:
		err = fmt.Errorf("-p %d: write a port up to 65535", *port)
	case !known:
		err = fmt.Errorf("-P %q: write 1.0, 1.0c or 1.1", *proto)
	}
	if err != nil {
		fmt.Fprintf(stderr, "dirsw genhash: %v\n%s", err, genhashUsage)
		return exitUsage
	}
	o := health.DigestOptions{Protocol: protocol, VirtualHost: *host, Path: *url, Dial: health.Dial{
		Addr: netip.AddrPortFrom(addr, uint16(*port)), Mark: uint32(*mark), Timeout: time.Duration(*seconds) * time.Second}}
	if *tls {
		o.TLS = (*health.TLS)(nil).With(*sni, "", false)
	}
	if *verbose {
		o.Verbose = stdout
	}
	begin := time.Now()
	sum, err := health.Digest(ctx, o)
	if err != nil {
		return fail(stderr, "genhash", err)
	}
	fmt.Fprintf(stdout, "%x\n", sum)
	if *verbose {
		fmt.Fprintf(stdout, "\nGlobal response time for [%s] = %d usecs\n", *url, time.Since(begin).Microseconds())
	}
	return exitOK
}
