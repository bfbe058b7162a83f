package gssnet

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
)

// On the wire, after the handshake, each frame is a token of Wrap with
// confidentiality, as long as
const (
	maxChunk = 16 << 10        // of message
	maxFrame = maxChunk + 1024 // of token
)

// An empty message is the end of what its sender has to say.

// needed are the services of a context without which there is no Conn: octets that
// are dropped, repeated or exchanged would go unnoticed.
const needed = gss.Conf | gss.Integ | gss.Replay | gss.Sequence

// A Conn is a net.Conn whose octets are wrapped. Its end is authenticated: Read
// returns io.EOF only if the peer said so, in Close or CloseWrite, and
// io.ErrUnexpectedEOF if the connection just ended.
//
// All methods may be called concurrently. After the handshake Read and Write do
// not allocate.
type Conn struct {
	nc        net.Conn
	r         *bufio.Reader // of nc
	dl        deadlines
	initiator bool

	running chan struct{} // holds one element while h is in use
	h       gss.Handshake
	done    atomic.Bool // of the handshake: sc, chunk and err do not change afterwards
	sc      gss.Context
	chunk   int // octets of a message that fit into a frame
	err     error

	closed  atomic.Bool
	closing context.Context // ends when Close is called
	close   context.CancelFunc

	rmu  sync.Mutex
	buf  []byte // what a frame is unwrapped into if it is larger than the caller's slice
	rest []byte // of buf: not read yet
	rerr error  // sticky

	wmu  sync.Mutex
	out  []byte // frame under construction
	werr error  // sticky
}

// Client returns a Conn that runs h, the result of an Initiate, and then wraps what
// goes over nc. The default flags of gss.InitOptions are what it needs.
func Client(nc net.Conn, h gss.Handshake) *Conn { return newConn(nc, h, true) }

// Server is Client for the result of an Accept; let that Require gss.Conf,
// gss.Replay and gss.Sequence, or else an initiator that does not ask for them is
// turned away without a word.
func Server(nc net.Conn, h gss.Handshake) *Conn { return newConn(nc, h, false) }

func newConn(nc net.Conn, h gss.Handshake, initiator bool) *Conn {
	c := &Conn{nc: nc, h: h, initiator: initiator, running: make(chan struct{}, 1)}
	c.r = bufio.NewReaderSize(nc, 4+maxFrame)
	c.dl.nc = nc
	c.closing, c.close = context.WithCancel(context.Background())
	return c
}

var errUnprotected = errors.New("gssnet: a connection needs confidentiality, replay detection and sequencing")

// Handshake runs the handshake, unless that has been done, and returns its error.
// Read and Write do it if nobody did, without a limit in time. The first caller's
// ctx bounds it: if that ends, the handshake has failed for everybody, as its
// tokens cannot be sent again. See Initiate for the errors; a context without
// what a Conn needs is Unavailable.
func (c *Conn) Handshake(ctx context.Context) error {
	if c.done.Load() {
		return c.err
	}
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return over(ctx)
	}
	if c.done.Load() {
		return c.err
	}
	if c.closed.Load() {
		c.err = net.ErrClosed
		c.h.Close()
	} else {
		ctx, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(c.closing, cancel)
		c.sc, c.err = c.handshake(ctx)
		stop()
		cancel()
	}
	c.h = nil
	c.done.Store(true)
	return c.err
}

func (c *Conn) handshake(ctx context.Context) (gss.Context, error) {
	t := &stream{rw: wire{c.r, c.nc}, max: MaxToken, interrupt: c.dl.interrupt, resume: c.dl.resume}
	sc, err := run(ctx, t, c.h, c.initiator)
	if c.closed.Load() {
		if sc != nil {
			sc.Close()
		}
		return nil, net.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	i := sc.Info()
	c.chunk = min(maxChunk, maxFrame-i.Overhead)
	if !i.Flags.Has(needed) || c.chunk <= 0 {
		sc.Close()
		return nil, &gss.Error{Op: operation(c.initiator), Mech: i.Mech, Major: gss.Unavailable, Err: errUnprotected}
	}
	return sc, nil
}

// wire is what a handshake reads and writes. Stream sees what is Buffered.
type wire struct {
	*bufio.Reader
	io.Writer
}

// SecContext returns the context: nil before the handshake has succeeded. It is
// there for its Info, PRF and optional interfaces; a message that is wrapped or
// unwrapped with it is missing on the connection.
func (c *Conn) SecContext() gss.Context {
	if !c.done.Load() {
		return nil
	}
	return c.sc
}

// Read reads what the peer wrote. A deadline that passes leaves the connection
// intact; after any other error Read repeats it.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.Handshake(context.Background()); err != nil {
		return 0, err
	}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.rest) == 0 {
		if c.closed.Load() {
			return 0, net.ErrClosed
		}
		if c.rerr != nil {
			return 0, c.rerr
		}
		n, err := c.readFrame(p)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				c.rerr = err
			}
			return 0, c.orClosed(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	n := copy(p, c.rest)
	clear(c.rest[:n])
	c.rest = c.rest[n:]
	return n, nil
}

// readFrame unwraps the next frame, to p if that has room for the token, and else
// to c.rest. What has arrived of a frame stays in c.r until it is whole.
func (c *Conn) readFrame(p []byte) (int, error) {
	length, err := c.r.Peek(4)
	if err != nil {
		return 0, ended(err)
	}
	n := binary.BigEndian.Uint32(length)
	if n > maxFrame {
		return 0, c.fail(gss.DefectiveToken, errTooLong)
	}
	frame, err := c.r.Peek(4 + int(n))
	if err != nil {
		return 0, ended(err)
	}
	direct := len(p) >= int(n)
	dst := p[:0:len(p)]
	if !direct {
		if c.buf == nil {
			c.buf = make([]byte, 0, maxFrame)
		}
		dst = c.buf[:0]
	}
	msg, level, err := c.sc.Unwrap(dst, frame[4:])
	if err != nil {
		return 0, err
	}
	c.r.Discard(4 + int(n))
	switch {
	case level != gss.Confidential:
		clear(msg)
		return 0, c.fail(gss.BadQOP, errUnprotected)
	case len(msg) == 0:
		return 0, io.EOF
	case len(msg) > int(n):
		return 0, c.fail(gss.Failure, errTooLong) // dst was outgrown: not where we look
	case direct:
		return len(msg), nil
	}
	c.rest = msg
	return 0, nil
}

// ended is what an end of the connection is that the peer did not announce.
func ended(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *Conn) fail(m gss.Major, err error) error {
	return &gss.Error{Op: "Unwrap", Mech: c.sc.Info().Mech, Major: m, Err: err}
}

// orClosed is net.ErrClosed if that is why err came.
func (c *Conn) orClosed(err error) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// Write wraps p in frames of at most 16 KiB and writes them. After an error, which
// may have left half a frame behind, Write repeats it; so it is with a deadline
// that passes.
func (c *Conn) Write(p []byte) (n int, err error) {
	if err := c.Handshake(context.Background()); err != nil {
		return 0, err
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	for len(p) > 0 {
		k := min(len(p), c.chunk)
		if err := c.writeFrame(p[:k]); err != nil {
			return n, err
		}
		n, p = n+k, p[k:]
	}
	return n, nil
}

// writeFrame writes a frame with the message p. c.wmu is held.
func (c *Conn) writeFrame(p []byte) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	if c.werr != nil {
		return c.werr
	}
	if c.out == nil {
		c.out = make([]byte, 0, 4+maxFrame)
	}
	frame, err := c.sc.Wrap(c.out[:4], p, gss.Confidential)
	if err == nil {
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
		_, err = c.nc.Write(frame)
	}
	if err != nil {
		c.werr = err
		return c.orClosed(err)
	}
	return nil
}

// errShutdown is a Write after CloseWrite.
var errShutdown = errors.New("gssnet: Write after CloseWrite")

// CloseWrite tells the peer, authenticated, that nothing follows: its Read returns
// io.EOF. Reading goes on.
func (c *Conn) CloseWrite() error {
	if err := c.Handshake(context.Background()); err != nil {
		return err
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.end()
}

// end writes the last frame, once. c.wmu is held.
func (c *Conn) end() error {
	if c.werr == errShutdown {
		return nil
	}
	if err := c.writeFrame(nil); err != nil {
		return err
	}
	c.werr = errShutdown
	return nil
}

// farewell is how long Close waits for the end to be written.
const farewell = 5 * time.Second

// Close closes the connection and erases its keys. Before that it tells the peer
// as CloseWrite does, if the handshake succeeded and no Write is in progress; it
// waits no longer than five seconds for it. Calls in progress fail with
// net.ErrClosed, a handshake too.
func (c *Conn) Close() error {
	if c.done.Load() && c.sc != nil && c.wmu.TryLock() {
		if !c.closed.Load() {
			c.dl.set(nil, new(time.Now().Add(farewell)))
			c.end()
		}
		c.wmu.Unlock()
	}
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	err := c.nc.Close()
	c.close()
	c.running <- struct{}{} // until h is at rest
	defer func() { <-c.running }()
	if !c.done.Load() {
		c.h.Close()
		c.h, c.err = nil, net.ErrClosed
		c.done.Store(true)
	}
	if c.sc != nil {
		c.sc.Close()
	}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	clear(c.buf[:cap(c.buf)])
	c.rest = nil
	return err
}

// NetConn returns the connection beneath. Reading or writing it directly breaks
// the one above.
func (c *Conn) NetConn() net.Conn { return c.nc }

// LocalAddr returns that of the connection beneath.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns that of the connection beneath, which nobody authenticated;
// SecContext().Info().Peer is who it is.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline is net.Conn's. It also bounds the handshake.
func (c *Conn) SetDeadline(t time.Time) error { return c.dl.set(&t, &t) }

// SetReadDeadline is net.Conn's.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.dl.set(&t, nil) }

// SetWriteDeadline is net.Conn's.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.dl.set(nil, &t) }

var _ net.Conn = (*Conn)(nil)
