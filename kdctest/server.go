package kdctest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	maxRequest     = 1 << 16          // octets of a request over TCP
	maxConnections = 64               // at a time; further ones wait
	idleTimeout    = 10 * time.Second // for a whole request, and for a reply to leave
)

// A handler answers requests. It is safe for concurrent use.
type handler interface {
	answer(request []byte, udp bool) []byte // nil: no answer
	tooLong() []byte                        // answers a request over maxRequest
}

// A server listens on one port of 127.0.0.1, UDP and TCP (RFC 4120 §7.2).
type server struct {
	handler
	addr  string
	tcp   net.Listener
	udp   net.PacketConn
	wg    sync.WaitGroup
	slots chan struct{} // one for each connection
	ended chan struct{} // closed by close

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

func (s *server) start(h handler) error {
	s.handler, s.conns, s.slots, s.ended = h, map[net.Conn]bool{}, make(chan struct{}, maxConnections), make(chan struct{})
	var err error
	for range 100 { // somebody else may have the UDP port of the same number
		if s.tcp, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			break
		}
		s.addr = s.tcp.Addr().String()
		if s.udp, err = net.ListenPacket("udp4", s.addr); err == nil {
			s.wg.Go(s.serveUDP)
			s.wg.Go(s.serveTCP)
			return nil
		}
		s.tcp.Close()
	}
	return fmt.Errorf("kdctest: no port to listen on: %w", err)
}

func (s *server) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ended)
		s.tcp.Close()
		s.udp.Close()
		for c := range s.conns {
			c.Close()
		}
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// serveUDP answers one request after the other.
func (s *server) serveUDP() {
	buf := make([]byte, maxRequest)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			if s.isClosed() {
				return
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if reply := s.answer(buf[:n], true); reply != nil {
			s.udp.WriteTo(reply, from) // the client asks again if it gets lost
		}
	}
}

func (s *server) serveTCP() {
	for {
		s.slots <- struct{}{}
		c, err := s.tcp.Accept()
		if err != nil {
			<-s.slots
			if s.isClosed() {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors, perhaps
			continue
		}
		if !s.track(c) {
			c.Close()
			return
		}
		s.wg.Go(func() {
			defer func() { <-s.slots }()
			defer s.untrack(c)
			s.serveConn(c)
		})
	}
}

// serveConn answers requests, each behind its length in four octets, until the
// client leaves or errs.
func (s *server) serveConn(c net.Conn) {
	for {
		c.SetDeadline(time.Now().Add(idleTimeout))
		var n [4]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return
		}
		length := binary.BigEndian.Uint32(n[:])
		if length > maxRequest { // with the high bit too, RFC 4120 §7.2.2
			writeTCP(c, s.tooLong())
			return
		}
		var request bytes.Buffer // grows with what comes
		if _, err := io.CopyN(&request, c, int64(length)); err != nil {
			return
		}
		reply := s.answer(request.Bytes(), false)
		if reply == nil || writeTCP(c, reply) != nil {
			return
		}
	}
}

func writeTCP(c net.Conn, reply []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
	return err
}

func (s *server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = true
	}
	return !s.closed
}

func (s *server) untrack(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
