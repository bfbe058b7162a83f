package rpcsecgss

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// errLine is the error of a connection that has ended, and not by a fault of what
// was said on it: what was not answered may be said again on another.
var errLine = errors.New("rpcsecgss: the connection has ended")

// A line is a connection of a Client's. The servers of MIT and libtirpc look a
// context up by connection, and what a channel is bound to is gone with it: a line
// has contexts of its own.
type line struct {
	c        *Client
	conn     net.Conn
	datagram bool
	writing  chan struct{} // a mutex that can be waited for with a context.Context
	dead     chan struct{} // closed when err is set

	// Under the Client's lock.
	err     error    // why it cannot be used any more
	session *session // nil: none at present
	stale   *session // to be destroyed before there is another; one use of it is held
}

// use makes conn the line. It is closed if the Client is.
func (c *Client) use(conn net.Conn) (*line, error) {
	l := &line{c: c, conn: conn, datagram: isDatagram(conn.LocalAddr()), writing: make(chan struct{}, 1), dead: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		conn.Close()
		return nil, errClosed
	}
	c.line = l
	c.readers.Go(l.read)
	return l, nil
}

var errClosed = fmt.Errorf("rpcsecgss: the client is closed: %w", net.ErrClosed)

// pauses are between attempts to get a line, or to say the same on the next.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// onLine runs f on the line that there is, and if that ends, and there is Dial, again
// on the next.
func (c *Client) onLine(ctx context.Context, f func(*line) error) error {
	for wait := time.Duration(0); ; wait = min(max(2*wait, firstPause), lastPause) {
		if err := c.pause(ctx, wait); err != nil {
			return err
		}
		l, err := c.connect(ctx)
		if err != nil {
			return err
		}
		if err = f(l); !errors.Is(err, errLine) || c.o.Dial == nil || c.ctx.Err() != nil {
			return err
		}
	}
}

func (c *Client) pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return errClosed
	}
}

// alive returns the line, if it can be used or there will be no other.
func (c *Client) alive() (*line, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil:
		return nil, errClosed
	case c.line != nil && c.line.err == nil:
		return c.line, nil
	case c.o.Dial != nil:
		return nil, nil
	case c.line != nil:
		return nil, c.line.err
	}
	return nil, errLine // there is neither a connection nor Dial
}

// connect returns the line, and makes one if there is none.
func (c *Client) connect(ctx context.Context) (*line, error) {
	if l, err := c.alive(); l != nil || err != nil {
		return l, err
	}
	select {
	case c.setup <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, errClosed
	}
	defer func() { <-c.setup }()
	if l, err := c.alive(); l != nil || err != nil {
		return l, err
	}
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		conn, err := c.o.Dial(until)
		if err == nil {
			return c.use(conn)
		}
		if ended := c.pause(ctx, wait); ended != nil {
			return nil, fmt.Errorf("%w: %w", ended, err)
		}
	}
}

// octets is a message that is there already.
func octets(msg []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return msg, nil }
}

// send writes the message that build makes when the line is free; its error is
// build's too. A stream that was left within one is of no more use.
func (l *line) send(ctx context.Context, build func() ([]byte, error)) error {
	select {
	case l.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.dead:
		return l.err
	}
	defer func() { <-l.writing }()
	if err := ctx.Err(); err != nil {
		return err
	}
	msg, err := build()
	if err != nil {
		return err
	}
	if l.datagram && len(msg) > maxDatagram || uint64(len(msg)) >= 1<<31 {
		return fmt.Errorf("rpcsecgss: a call of %d octets is too long to be sent", len(msg))
	}
	l.conn.SetWriteDeadline(time.Time{})
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.conn.SetWriteDeadline(time.Unix(1, 0))
		close(late)
	})
	if !l.datagram {
		msg = frame(msg)
	}
	n, err := l.conn.Write(msg)
	if !stop() {
		<-late // or it would end the next one's write
	}
	switch {
	case err == nil || l.datagram && errors.Is(err, syscall.ECONNREFUSED): // as if it were lost
		return nil
	case l.datagram:
	case n > 0 || ctx.Err() == nil:
		if l.fail(err); ctx.Err() == nil {
			return l.err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// read hands replies to who waits for them until the connection ends.
func (l *line) read() {
	r := bufio.NewReader(l.conn)
	buf := make([]byte, 0)
	if l.datagram {
		buf = make([]byte, 1<<16)
	}
	for {
		var msg []byte
		var err error
		if l.datagram {
			var n int
			n, err = l.conn.Read(buf)
			if msg = bytes.Clone(buf[:n]); errors.Is(err, syscall.ECONNREFUSED) {
				continue // the answer to an earlier datagram, which is repeated
			}
		} else {
			msg, err = readRecord(r, l.c.o.MaxMessage)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			l.fail(err)
			return
		}
		if len(msg) < 8 || binary.BigEndian.Uint32(msg[4:]) != msgReply {
			if l.datagram {
				continue
			}
			l.fail(ErrReply)
			return
		}
		l.c.mu.Lock()
		var ch chan []byte
		if w := l.c.pending[binary.BigEndian.Uint32(msg)]; w != nil && w.on == l {
			ch = w.replies
		}
		l.c.mu.Unlock()
		select {
		case ch <- msg:
		default: // nobody waits for it
		}
	}
}

// fail ends the line, once.
func (l *line) fail(err error) {
	l.c.mu.Lock()
	if l.err == nil {
		if l.err = err; !errors.Is(err, ErrReply) && !errors.Is(err, errRecord) {
			l.err = fmt.Errorf("%w: %w", errLine, err)
		}
		close(l.dead)
	}
	s, stale := l.session, l.stale
	l.session, l.stale = nil, nil
	l.c.mu.Unlock()
	l.conn.Close()
	s.drop()
	if stale != nil {
		stale.unuse()
	}
}
