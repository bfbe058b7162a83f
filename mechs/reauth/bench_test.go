package reauth

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// The benchmarks are both sides together, as ratios of one run.

func pump(b *testing.B, client, server gss.Mechanism) (resumed bool) {
	ctx := context.Background()
	i, err := client.Initiate(files, nil)
	if err != nil {
		b.Fatal(err)
	}
	a, err := server.Accept(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close()
	defer a.Close()
	var tok []byte
	var ic, ac gss.Context
	for ic == nil || ac == nil {
		if ic == nil {
			if tok, ic, err = i.Step(ctx, tok); err != nil {
				b.Fatal(err)
			}
		}
		if ac == nil {
			if tok, ac, err = a.Step(ctx, tok); err != nil {
				b.Fatal(err)
			}
		}
	}
	ic.Close()
	ac.Close()
	_, resumed = ac.(*Context)
	return resumed
}

func BenchmarkResume(b *testing.B) {
	s := pkixStand(b)
	for name, g := range map[string]Group{"none": NoShare, "X25519": X25519, "X25519MLKEM768": X25519MLKEM768} {
		for how, store := range map[string]strike.Store{"confirmed": nil, "at-once": strike.NewMemory(strike.MemoryOptions{})} {
			b.Run(name+"/"+how, func(b *testing.B) {
				client, server := New(s.client, Options{Group: g}), New(s.server, Options{Store: store})
				pump(b, client, server)
				b.ReportAllocs()
				for b.Loop() {
					if !pump(b, client, server) {
						b.Fatal("not resumed")
					}
				}
			})
		}
	}
}

// BenchmarkFull is what the inner mechanism takes.
func BenchmarkFull(b *testing.B) {
	s := pkixStand(b)
	for b.Loop() {
		pump(b, s.client, s.server)
	}
}

// A wire is an end of a connection in memory that, unlike net.Pipe's, buffers.
type wire struct {
	net.Conn
	in, out chan []byte
	rest    []byte
	once    *sync.Once
}

func wires() (x, y *wire) {
	c, _ := net.Pipe()
	a, b := make(chan []byte, 64), make(chan []byte, 64)
	return &wire{c, a, b, nil, new(sync.Once)}, &wire{c, b, a, nil, new(sync.Once)}
}

func (w *wire) Read(b []byte) (int, error) {
	if len(w.rest) == 0 {
		var ok bool
		if w.rest, ok = <-w.in; !ok {
			return 0, io.EOF
		}
	}
	n := copy(b, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wire) Write(b []byte) (int, error) {
	w.out <- append([]byte(nil), b...)
	return len(b), nil
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.out) })
	return nil
}

// BenchmarkTLS is a resumption of TLS 1.3, which always agrees on a new key.
func BenchmarkTLS(b *testing.B) {
	alice := testCA.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}, EKUs: []oid.OID{oid.MustParse("1.3.6.1.5.5.7.3.2")}})
	server := testCA.Issue(pkixtest.Template{DNS: []string{"files.example.org"}, EKUs: []oid.OID{oid.MustParse("1.3.6.1.5.5.7.3.1")}})
	for name, curve := range map[string]tls.CurveID{"X25519": tls.X25519, "X25519MLKEM768": tls.X25519MLKEM768} {
		b.Run(name, func(b *testing.B) {
			curves := []tls.CurveID{curve}
			cc := &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: curves, RootCAs: testCA.Pool(), Certificates: []tls.Certificate{alice},
				ServerName: "files.example.org", ClientSessionCache: tls.NewLRUClientSessionCache(8)}
			sc := &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: curves, ClientCAs: testCA.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
				Certificates: []tls.Certificate{server}}
			once := func() bool {
				x, y := wires()
				done := make(chan error, 1)
				go func() {
					s := tls.Server(y, sc)
					err := s.Handshake()
					s.Close()
					done <- err
				}()
				c := tls.Client(x, cc)
				if err := c.Handshake(); err != nil {
					b.Fatal(err, <-done)
				}
				io.Copy(io.Discard, c)
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				c.Close()
				return c.ConnectionState().DidResume
			}
			once()
			for b.Loop() {
				if !once() {
					b.Fatal("not resumed")
				}
			}
		})
	}
}
