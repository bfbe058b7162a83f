package gssnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gsseal/gss"
)

// MaxToken is how long a token of a handshake may be, in octets, if nothing else
// is said: more than Windows lets a Kerberos ticket grow to.
const MaxToken = 1 << 16

var (
	errTooLong   = errors.New("gssnet: token too long")
	errPremature = errors.New("gssnet: the peer spoke before it was its turn")
)

// Stream returns a Transport that frames tokens on rw. A token longer than max
// octets (0: MaxToken) is refused, and memory for it is taken as it arrives. It
// reads no further than the token. It must not be used concurrently.
//
// If rw has a SetDeadline method, as a net.Conn has, then ctx interrupts; an
// interrupted rw has no deadline afterwards, whatever it had before. Otherwise ctx
// is only looked at between reads and writes.
//
// If rw has a method Buffered() int, as a bufio.Reader has, nothing may be
// buffered when it is our turn to send: those octets came before what they would
// be an answer to, unprotected, and must not be taken for protected ones later
// (CVE-2021-23214 and its kind). Whoever puts a handshake behind a dialogue in
// clear, and reads that through a buffer, passes the buffer and not what is
// beneath.
func Stream(rw io.ReadWriter, max int) Transport {
	if max <= 0 {
		max = MaxToken
	}
	s := &stream{rw: rw, max: max}
	if d, ok := rw.(interface{ SetDeadline(time.Time) error }); ok {
		s.interrupt = func() { d.SetDeadline(past) }
		s.resume = func() { d.SetDeadline(time.Time{}) }
	}
	return s
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

type stream struct {
	rw                io.ReadWriter
	max               int
	interrupt, resume func() // nil: cannot
}

// during runs f, and makes it fail when ctx ends.
func (s *stream) during(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return over(ctx)
	}
	if s.interrupt == nil || ctx.Done() == nil {
		return f()
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		s.interrupt()
	})
	err := f()
	if stop() {
		return err
	}
	<-interrupted // or it would undo resume
	s.resume()
	if err != nil {
		return over(ctx)
	}
	return nil
}

// over is the error of what ctx, which has ended, put an end to.
func over(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		return fmt.Errorf("gssnet: %w: %w", err, cause)
	}
	return fmt.Errorf("gssnet: %w", err)
}

func (s *stream) Send(ctx context.Context, token []byte) error {
	if len(token) > s.max || uint64(len(token)) > 1<<32-1 {
		return &gss.Error{Op: "Send", Major: gss.Failure, Err: errTooLong}
	}
	if b, ok := s.rw.(interface{ Buffered() int }); ok && b.Buffered() > 0 {
		return &gss.Error{Op: "Send", Major: gss.DefectiveToken, Err: errPremature}
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(token)), uint32(len(token)))
	frame = append(frame, token...)
	return s.during(ctx, func() error {
		_, err := s.rw.Write(frame)
		return err
	})
}

func (s *stream) Receive(ctx context.Context) (token []byte, err error) {
	err = s.during(ctx, func() error {
		token, err = s.read()
		return err
	})
	if err != nil {
		return nil, err
	}
	return token, nil
}

// firstRead is how much memory a length alone is worth.
const firstRead = 4096

func (s *stream) read() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(s.rw, length[:]); err != nil {
		return nil, err // io.EOF: nothing at all
	}
	n := binary.BigEndian.Uint32(length[:])
	if uint64(n) > uint64(s.max) {
		return nil, &gss.Error{Op: "Receive", Major: gss.DefectiveToken, Err: errTooLong}
	}
	token := make([]byte, min(n, firstRead))
	for have := 0; ; {
		if _, err := io.ReadFull(s.rw, token[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if have = len(token); have == int(n) {
			return token, nil
		}
		token = append(token, make([]byte, min(int(n)-have, have))...)
	}
}
