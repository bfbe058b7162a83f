package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A tlsReturning is a TLS client that comes back to a server.
type tlsReturning struct {
	client, server *tls.Config
	before         bool
}

func (c *certified) newTLSReturning(curve tls.CurveID) *tlsReturning {
	curves := []tls.CurveID{curve}
	return &tlsReturning{
		client: &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: curves, RootCAs: c.ca.Pool(), Certificates: []tls.Certificate{c.client},
			ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(8)},
		server: &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: curves, ClientCAs: c.ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
			Certificates: []tls.Certificate{c.server}},
	}
}

// again resumes, once it was there before, gets the next ticket, and closes.
func (r *tlsReturning) again() error {
	x, y := newWires()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(y, r.server)
		err := s.Handshake()
		s.Close()
		done <- err
	}()
	c := tls.Client(x, r.client)
	err := c.Handshake()
	if err == nil {
		_, err = io.Copy(io.Discard, c) // the ticket
	}
	if err == nil && r.before && !c.ConnectionState().DidResume {
		err = errNotResumed
	}
	r.before = true
	c.Close()
	return errors.Join(err, <-done)
}

// A wire is an end of a connection in memory that, unlike net.Pipe's, buffers.
type wire struct {
	net.Conn // for what TLS does not call
	in, out  chan []byte
	rest     []byte
	once     sync.Once
}

func newWires() (x, y *wire) {
	a, b := make(chan []byte, 64), make(chan []byte, 64)
	return &wire{in: a, out: b}, &wire{in: b, out: a}
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

func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
