package gssnet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/internal/toy"
)

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"files.example.org"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// tlsPair is an established TLS connection over TCP.
func tlsPair(t *testing.T, cert tls.Certificate, version uint16) (c, s *tls.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- nc
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	c = tls.Client(nc, &tls.Config{RootCAs: roots, ServerName: "files.example.org", MinVersion: version, MaxVersion: version})
	s = tls.Server(<-accepted, &tls.Config{Certificates: []tls.Certificate{cert}})
	t.Cleanup(func() { c.Close(); s.Close() })
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestTLSBindings(t *testing.T) {
	cert := certificate(t)
	seen := map[string]bool{}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for range 2 {
			c, s := tlsPair(t, cert, version)
			x, errX := TLSExporter(c.ConnectionState())
			y, errY := TLSExporter(s.ConnectionState())
			if errX != nil || errY != nil || !bytes.Equal(x, y) || !strings.HasPrefix(string(x), "tls-exporter:") || len(x) != 13+32 {
				t.Errorf("%x, %v; %x, %v", x, errX, y, errY)
			}
			if seen[string(x)] {
				t.Error("two connections have the same")
			}
			seen[string(x)] = true
			x, errX = TLSServerEndPoint(c.ConnectionState().PeerCertificates[0])
			y, errY = TLSServerEndPoint(cert.Leaf)
			if errX != nil || errY != nil || !bytes.Equal(x, y) {
				t.Errorf("%x, %v; %x, %v", x, errX, y, errY)
			}
		}
	}
	if _, err := TLSExporter(tls.ConnectionState{}); !errors.Is(err, gss.Unavailable) {
		t.Error("before the handshake:", err)
	}
	if _, err := TLSExporter(tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS11}); !errors.Is(err, gss.Unavailable) {
		t.Error("TLS 1.1:", err)
	}
}

// TestTLSServerEndPoint compares with the fingerprints that OpenSSL prints.
func TestTLSServerEndPoint(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pem")
	if err != nil || len(files) != 6 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(raw)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(f, err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(f, "pem") + "txt")
		if err != nil {
			t.Fatal(err)
		}
		got, err := TLSServerEndPoint(cert)
		if string(want) == "undefined\n" {
			if !errors.Is(err, gss.Unavailable) || got != nil {
				t.Errorf("%s: %x, %v", f, got, err)
			}
			continue
		}
		hash, ok := bytes.CutPrefix(got, []byte("tls-server-end-point:"))
		if err != nil || !ok || hex.EncodeToString(hash)+"\n" != string(want) {
			t.Errorf("%s: %x, %v, want %s", f, got, err, want)
		}
	}
}

// TestTLSExporterOpenSSL: the other side of the connection is OpenSSL.
func TestTLSExporterOpenSSL(t *testing.T) {
	peers.Need(t, "openssl")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", l.Addr().String(), "-tls1_3",
		"-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	defer cancel()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	defer s.Close()
	if err := s.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := TLSExporter(s.ConnectionState())
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if h, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "Keying material: "); ok {
			want, err := hex.DecodeString(h)
			if err != nil || !bytes.Equal(got, append([]byte("tls-exporter:"), want...)) {
				t.Errorf("%x, OpenSSL has %s", got, h)
			}
			return
		}
	}
	t.Error("OpenSSL printed no keying material")
}

// TestTLSBound: a context over TLS is bound to its connection, and one that
// somebody in the middle passes on, from his connection to another, is refused.
func TestTLSBound(t *testing.T) {
	bindings := func(c *tls.Conn) []byte {
		b, err := TLSExporter(c.ConnectionState())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	cert := certificate(t)
	for _, name := range []string{"two tokens", "three tokens"} {
		m := mechanisms[name]
		c, s := tlsPair(t, cert, tls.VersionTLS13)
		cc := Client(c, initiator(t, m.make("alice"), &gss.InitOptions{Bindings: bindings(c)}))
		sc := Server(s, acceptor(t, m.make("files"), &gss.AcceptOptions{Bindings: bindings(s)}))
		go func() {
			io.Copy(sc, sc)
			sc.Close()
		}()
		if _, err := cc.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 5)
		if _, err := io.ReadFull(cc, p); err != nil || string(p) != "hello" || !sc.SecContext().Info().Flags.Has(gss.Bound) {
			t.Errorf("%q, %v", p, err)
		}
		cc.Close()

		// Mallory has a connection with either side.
		c, toClient := tlsPair(t, cert, tls.VersionTLS13)
		toServer, s := tlsPair(t, cert, tls.VersionTLS13)
		go func() { io.Copy(toServer, toClient); toServer.Close() }()
		go func() { io.Copy(toClient, toServer); toClient.Close() }()
		cc = Client(c, initiator(t, m.make("alice"), &gss.InitOptions{Bindings: bindings(c)}))
		sc = Server(s, acceptor(t, m.make("files"), &gss.AcceptOptions{Bindings: bindings(s)}))
		done := make(chan error, 1)
		go func() {
			done <- sc.Handshake(t.Context())
			sc.Close()
		}()
		errC := cc.Handshake(t.Context())
		cc.Close()
		errS := <-done
		if errS == nil || errC == nil || !errors.Is(errors.Join(errC, errS), gss.BadBindings) {
			t.Errorf("%s, passed on: %v; %v", name, errC, errS)
		}
	}
}

func ExampleTLSExporter() {
	connect := func(conn *tls.Conn) (*Conn, error) {
		bindings, err := TLSExporter(conn.ConnectionState()) // after conn.Handshake
		if err != nil {
			return nil, err
		}
		m := &toy.Krb{Party: toy.NewParty("alice")} // in a program: a mechanism of package mechs
		h, err := m.Initiate(gss.Service("echo", "files.example.org"), &gss.InitOptions{Bindings: bindings})
		if err != nil {
			return nil, err
		}
		return Client(conn, h), nil
	}
	_ = connect
}
