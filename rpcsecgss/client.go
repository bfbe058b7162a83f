package rpcsecgss

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/gsseal/gss"
)

// ClientOptions tune NewClient.
type ClientOptions struct {
	// Mech makes the contexts, with Target and Init; nil: calls are made with
	// AUTH_NONE. Init.Require's default is Mutual and Integ, and Conf with Privacy.
	// Replay and Sequence are never asked for: see the package's documentation.
	Mech   gss.Mechanism
	Target gss.Name
	Init   gss.InitOptions

	Service    Service       // 0: Privacy
	MaxMessage int           // octets of a reply; 0: DefaultMaxMessage
	Retransmit time.Duration // how long a datagram's answer is waited for at first; it doubles up to 16 times that. 0: 1 s
}

// attempts is how often a context is made for one call: a denial that goes on is no
// accident.
const attempts = 4

// A Client calls the procedures of one program over one connection, which is its
// own. It makes a context when it is first needed and another when that is gone.
// It is safe for concurrent use; as many calls run at a time as the server's
// window allows.
type Client struct {
	conn       net.Conn
	datagram   bool
	prog, vers uint32
	o          ClientOptions

	writing chan struct{} // a mutex that can be waited for with a context.Context
	setup   chan struct{} // held by who makes a context
	dead    chan struct{} // closed when err is set
	reader  sync.WaitGroup

	mu      sync.Mutex
	err     error // why the connection cannot be used any more
	xid     uint32
	pending map[uint32]chan []byte
	session *session // nil: none at present
	stale   *session // to be destroyed before there is another; one use of it is held
}

// NewClient returns a client of version vers of program prog at the other end of
// conn: a stream, or a connected socket of datagrams. It sends nothing yet. The
// caller closes the Client, which closes conn.
func NewClient(conn net.Conn, prog, vers uint32, o ClientOptions) *Client {
	if o.Service == 0 {
		o.Service = Privacy
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.Retransmit <= 0 {
		o.Retransmit = time.Second
	}
	c := &Client{
		conn:     conn,
		datagram: isDatagram(conn.LocalAddr()),
		prog:     prog,
		vers:     vers,
		o:        o,
		writing:  make(chan struct{}, 1),
		setup:    make(chan struct{}, 1),
		dead:     make(chan struct{}),
		xid:      rand.Uint32(),
		pending:  make(map[uint32]chan []byte),
	}
	c.reader.Go(c.read)
	return c
}

// Call calls a procedure with args, XDR, and returns its results, XDR, which are
// the caller's. ctx bounds all of it; over datagrams nothing else does.
//
// Errors: an AcceptStat or *VersionError if the server could not do it, an
// AuthStat if it would not, a *gss.Error if no context came about or the reply did
// not verify, ErrReply, ErrXDR, ctx's, the connection's. After an error other than an
// AcceptStat, an AuthStat or a failed context the call may have been executed.
func (c *Client) Call(ctx context.Context, proc uint32, args []byte) ([]byte, error) {
	xid, replies, err := c.register()
	if err != nil {
		return nil, err
	}
	defer c.forget(xid)
	if c.o.Mech == nil {
		return c.callPlain(ctx, xid, replies, proc, args)
	}
	for n := 0; n < attempts; n++ {
		var s *session
		if s, err = c.acquire(ctx); err != nil {
			return nil, err
		}
		var results []byte
		var gone bool
		results, gone, err = c.callIn(ctx, s, xid, replies, proc, args)
		c.release(s, gone)
		if !gone {
			return results, err
		}
		if errors.Is(err, errDropped) {
			n-- // nothing was sent
		}
	}
	return nil, err
}

// callIn makes a call in s. gone says that s is of no more use and that, as err
// says, the server did not do what this asked.
func (c *Client) callIn(ctx context.Context, s *session, xid uint32, replies <-chan []byte, proc uint32, args []byte) (results []byte, gone bool, err error) {
	var seqs []uint32
	wait := c.o.Retransmit
	for {
		// A number is taken when the line is free: MIT's server and libtirpc's take
		// one that was overtaken by too many for the end of the context.
		err = c.send(ctx, func() ([]byte, error) {
			seq, err := s.next(maxSeq - 1) // one is left for DESTROY
			if err != nil {
				return nil, err
			}
			seqs = append(seqs, seq)
			return s.seal(header{xid: xid, prog: c.prog, vers: c.vers, proc: proc}, procData, seq, c.o.Service, args)
		})
		if err != nil {
			return nil, errors.Is(err, gss.ContextExpired) || errors.Is(err, gss.NoContext), err
		}
		for again := false; !again; {
			msg, err := c.await(ctx, replies, wait)
			if err != nil {
				return nil, false, err
			}
			if msg == nil {
				wait, again = min(2*wait, 16*c.o.Retransmit), true
				continue
			}
			results, gone, err := s.open(msg, seqs, c.o.Service)
			if errors.Is(err, errVerifier) || errors.Is(err, ErrReply) {
				if c.datagram {
					continue // anybody can send one
				}
			}
			return results, gone, err
		}
	}
}

// callPlain makes a call with AUTH_NONE.
func (c *Client) callPlain(ctx context.Context, xid uint32, replies <-chan []byte, proc uint32, args []byte) ([]byte, error) {
	var e Encoder
	e.header(header{xid: xid, prog: c.prog, vers: c.vers, proc: proc})
	e.auth(auth{})
	e.b = append(e.b, args...)
	for wait := c.o.Retransmit; ; wait = min(2*wait, 16*c.o.Retransmit) {
		if err := c.send(ctx, octets(e.b)); err != nil {
			return nil, err
		}
		msg, err := c.await(ctx, replies, wait)
		if err != nil {
			return nil, err
		}
		if msg != nil {
			_, results, _, err := parseReply(msg)
			return results, err
		}
	}
}

// await waits for a reply. It returns nil and no error if a datagram should be
// sent again.
func (c *Client) await(ctx context.Context, replies <-chan []byte, wait time.Duration) ([]byte, error) {
	var timer <-chan time.Time
	if c.datagram {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case msg := <-replies:
		return msg, nil
	case <-timer:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.dead:
		select { // the last one may have been in it
		case msg := <-replies:
			return msg, nil
		default:
			return nil, c.err
		}
	}
}

// register makes up an xid to wait for. The channel has room for a few replies to
// repeated datagrams; what does not fit is dropped.
func (c *Client) register() (uint32, <-chan []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil, c.err
	}
	for c.xid++; c.pending[c.xid] != nil; c.xid++ {
	}
	ch := make(chan []byte, 4)
	c.pending[c.xid] = ch
	return c.xid, ch, nil
}

func (c *Client) forget(xid uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, xid)
}

// octets is a message that is there already.
func octets(msg []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return msg, nil }
}

// send writes the message that build makes when the line is free; its error is
// build's too. A stream that was left within one is of no more use.
func (c *Client) send(ctx context.Context, build func() ([]byte, error)) error {
	select {
	case c.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.err
	}
	defer func() { <-c.writing }()
	if err := ctx.Err(); err != nil {
		return err
	}
	msg, err := build()
	if err != nil {
		return err
	}
	if c.datagram && len(msg) > maxDatagram || uint64(len(msg)) >= 1<<31 {
		return fmt.Errorf("rpcsecgss: a call of %d octets is too long to be sent", len(msg))
	}
	c.conn.SetWriteDeadline(time.Time{})
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.conn.SetWriteDeadline(time.Unix(1, 0))
		close(late)
	})
	if !c.datagram {
		msg = frame(msg)
	}
	n, err := c.conn.Write(msg)
	if !stop() {
		<-late // or it would end the next one's write
	}
	switch {
	case err == nil || c.datagram && errors.Is(err, syscall.ECONNREFUSED): // as if it were lost
		return nil
	case c.datagram:
	case n > 0 || ctx.Err() == nil:
		c.fail(err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// read hands replies to who waits for them until the connection ends.
func (c *Client) read() {
	r := bufio.NewReader(c.conn)
	buf := make([]byte, 0)
	if c.datagram {
		buf = make([]byte, 1<<16)
	}
	for {
		var msg []byte
		var err error
		if c.datagram {
			var n int
			n, err = c.conn.Read(buf)
			if msg = bytes.Clone(buf[:n]); errors.Is(err, syscall.ECONNREFUSED) {
				continue // the answer to an earlier datagram, which is repeated
			}
		} else {
			msg, err = readRecord(r, c.o.MaxMessage)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			c.fail(err)
			return
		}
		if len(msg) < 8 || binary.BigEndian.Uint32(msg[4:]) != msgReply {
			if c.datagram {
				continue
			}
			c.fail(ErrReply)
			return
		}
		c.mu.Lock()
		ch := c.pending[binary.BigEndian.Uint32(msg)]
		c.mu.Unlock()
		select {
		case ch <- msg:
		default: // nobody waits for it
		}
	}
}

// fail ends the connection, once.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = fmt.Errorf("rpcsecgss: the connection has ended: %w", err)
		close(c.dead)
	}
	s, stale := c.session, c.stale
	c.session, c.stale = nil, nil
	c.mu.Unlock()
	c.conn.Close()
	s.drop()
	if stale != nil {
		stale.unuse()
	}
}

// Close tells the server that the context has ended (RFC 2203 §5.4), without
// waiting for its answer, and closes the connection. Calls in progress fail with
// net.ErrClosed. It can be called twice.
func (c *Client) Close() error {
	c.mu.Lock()
	s := c.session
	if c.err != nil {
		s = nil
	}
	c.mu.Unlock()
	if s != nil {
		c.destroy(s)
	}
	c.fail(net.ErrClosed)
	c.reader.Wait()
	return nil
}
