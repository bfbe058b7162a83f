package rpcsecgss

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
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

	// Dial makes a connection: the first one if NewClient was given none, and another
	// when one is lost. It is called again, with pauses of up to a second, until it
	// succeeds or ctx, that of a Call or Establish, ends. Nil: the client ends with its
	// connection.
	Dial func(ctx context.Context) (net.Conn, error)

	// Versions of RPCSEC_GSS. The first that is tried is MaxVersion; a server denies one
	// that it does not know, and then the one below is tried, down to MinVersion. Anybody
	// on the line can deny: what may not be had without a version needs it as MinVersion.
	// Channel is at least 2, User and Assertions are 3. MaxVersion 0 is 1, for the others
	// add nothing else but a round trip at most servers, or 3 if MinVersion is more.
	MinVersion, MaxVersion uint32

	// Bindings returns the channel bindings (RFC 5056) of a connection, each with its
	// prefix, the preferred one first. They are for Channel, which fails without. They are
	// not Init.Bindings, which version 2 does not use (RFC 5403 §5).
	Bindings func(c net.Conn) [][]byte

	User       *User       // whom Mech's host vouches for; nil: Mech's own principal calls
	Assertions []Assertion // what else is claimed

	Service    Service       // 0: Privacy
	MaxMessage int           // octets of a reply; 0: DefaultMaxMessage
	Retransmit time.Duration // how long a datagram's answer is waited for at first; it doubles up to 16 times that. 0: 1 s
}

// A User is a principal whom a host vouches for, RFC 7861 §2.7.1.1: ClientOptions.Mech
// authenticates the host, Mech the user, and the server takes calls for the user's if
// its AssertionPolicy.Host says so of the host.
type User struct {
	Mech   gss.Mechanism
	Target gss.Name // zero: ClientOptions.Target
	Init   gss.InitOptions
}

// attempts is how often a context is made for one call: a denial that goes on is no
// accident.
const attempts = 4

// A Client calls the procedures of one program over one connection at a time, which
// is its own. It makes a context when it is first needed and another when that is
// gone. It is safe for concurrent use; as many calls run at a time as the server's
// window allows.
type Client struct {
	prog, vers uint32
	o          ClientOptions

	setup   chan struct{} // held by who makes a connection or a context
	version uint32        // to be tried next; under setup
	ctx     context.Context
	cancel  context.CancelFunc // by Close
	readers sync.WaitGroup

	mu      sync.Mutex
	line    *line // nil: none yet
	xid     uint32
	pending map[uint32]*waiter
}

// A waiter waits for the reply to an xid on a line, and on no other.
type waiter struct {
	xid     uint32
	on      *line
	replies chan []byte
}

// NewClient returns a client of version vers of program prog at the other end of
// conn: a stream, or a connected socket of datagrams. conn may be nil if there is
// ClientOptions.Dial. It sends nothing yet. The caller closes the Client, which
// closes conn.
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
	o.MinVersion = max(o.MinVersion, version1)
	if o.Service == Channel {
		o.MinVersion = max(o.MinVersion, version2)
	}
	if o.User != nil || len(o.Assertions) > 0 {
		o.MinVersion = max(o.MinVersion, version3)
	}
	if o.MaxVersion == 0 && o.MinVersion == version1 {
		o.MaxVersion = version1
	} else if o.MaxVersion == 0 {
		o.MaxVersion = maxVersion
	}
	c := &Client{
		version: o.MaxVersion,
		prog:    prog,
		vers:    vers,
		o:       o,
		setup:   make(chan struct{}, 1),
		xid:     rand.Uint32(),
		pending: make(map[uint32]*waiter),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if conn != nil {
		c.use(conn)
	}
	return c
}

// Call calls a procedure with args, XDR, and returns its results, XDR, which are
// the caller's. ctx bounds all of it; over datagrams, or with Dial, nothing else does.
// A call whose connection is lost is made again over the next, with the same xid: it
// may have been executed already. See the package's documentation.
//
// It is not made again as another principal, if the credentials are others' by then, nor,
// if there is no Target, to another server: BadName.
//
// Errors: an AcceptStat or *VersionError if the server could not do it, an
// AuthStat if it would not, a *gss.Error if no context came about or the reply did
// not verify, ErrReply, ErrXDR, ctx's, the connection's, Dial's. After an error other
// than an AcceptStat, an AuthStat or a failed context the call may have been executed.
func (c *Client) Call(ctx context.Context, proc uint32, args []byte) ([]byte, error) {
	if c.o.Mech != nil {
		return c.call(ctx, func(s *session) request { return request{proc, procData, s.service, fixed(args)} })
	}
	w := c.expect()
	defer c.forget(w)
	var results []byte
	err := c.onLine(ctx, func(l *line) (err error) {
		c.move(w, l)
		results, err = l.callPlain(ctx, w, proc, args)
		return err
	})
	return results, err
}

// parties are who makes a call, and to whom, as far as ClientOptions do not say.
type parties struct{ host, user, server gss.Name }

func (c *Client) parties(s *session) parties {
	p := parties{host: s.sc.Info().Local}
	if len(s.under) > 1 {
		p.user = s.under[1].sc.Info().Local
	}
	if c.o.Target.IsZero() {
		p.server = s.sc.Info().Peer
	}
	return p
}

// call makes the request that what returns for a session, in one after the other
// until it is answered.
func (c *Client) call(ctx context.Context, what func(*session) request) ([]byte, error) {
	w := c.expect()
	defer c.forget(w)
	var results []byte
	var first parties
	denied := 0
	err := c.onLine(ctx, func(l *line) error {
		c.move(w, l)
		for {
			s, err := l.acquire(ctx)
			if err != nil {
				return err
			}
			if first == (parties{}) {
				first = c.parties(s)
			} else if c.parties(s) != first {
				l.release(s, false)
				return &gss.Error{Op: "Init_sec_context", Mech: c.o.Mech.OID(), Major: gss.BadName, Err: errOthers}
			}
			var gone bool
			results, gone, err = l.exchange(ctx, s, w, what(s))
			l.release(s, gone)
			if !gone {
				return err
			}
			if errors.Is(err, errDropped) {
				continue // nothing was sent
			}
			if denied++; denied == attempts {
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Establish makes the context if there is none at present, and describes it. Call
// does so itself. Errors are Call's; AUTH_NONE has no context (NoContext).
func (c *Client) Establish(ctx context.Context) (gss.Info, error) {
	var info gss.Info
	err := c.inspect(ctx, func(s *session) { info = s.sc.Info() })
	return info, err
}

// inspect shows a session to f.
func (c *Client) inspect(ctx context.Context, f func(*session)) error {
	if c.o.Mech == nil {
		return &gss.Error{Op: "Inquire_context", Major: gss.NoContext}
	}
	return c.onLine(ctx, func(l *line) error {
		s, err := l.acquire(ctx)
		if err != nil {
			return err
		}
		defer l.release(s, false)
		f(s)
		return nil
	})
}

// Close tells the server that the context has ended (RFC 2203 §5.4), without
// waiting for its answer, and closes the connection. Calls in progress fail with
// net.ErrClosed. It can be called twice.
func (c *Client) Close() error {
	c.mu.Lock()
	l := c.line
	var s *session
	if l != nil && l.err == nil && l.session != nil && l.session.use() {
		s = l.session
	}
	c.mu.Unlock()
	if s != nil {
		ctx, cancel := context.WithTimeout(c.ctx, time.Second)
		l.destroy(ctx, s)
		cancel()
		s.unuse()
	}
	c.mu.Lock()
	c.cancel() // no line is made after this
	l = c.line
	c.mu.Unlock()
	if l != nil {
		l.fail(net.ErrClosed)
	}
	c.readers.Wait()
	return nil
}

// expect makes up an xid to wait for.
func (c *Client) expect() *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.xid++; c.pending[c.xid] != nil; c.xid++ {
	}
	w := &waiter{xid: c.xid}
	c.pending[c.xid] = w
	return w
}

// move makes w wait on l, where nothing has come for it yet. The channel has room for
// a few replies to repeated datagrams; what does not fit is dropped.
func (c *Client) move(w *waiter, l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.on != l {
		w.on, w.replies = l, make(chan []byte, 4)
	}
}

func (c *Client) forget(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, w.xid)
}
