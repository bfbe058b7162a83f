package rpcsecgss

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
)

// ServerOptions tune NewServer.
type ServerOptions struct {
	// Accept starts a context; nil: no client can make one. It should let no
	// initiator in who asks for gss.Sequence: such contexts are refused anyway.
	Accept func() (gss.Handshake, error)

	AllowNone  bool    // hand calls with AUTH_NONE to handlers too; else they are AuthTooWeak
	MinService Service // calls with less are AuthTooWeak; 0: Integrity. Channel is the most

	// Bindings returns the channel bindings (RFC 5056) of a connection that Serve
	// accepted, each with its prefix, as "tls-exporter:" and 32 octets; nil: none. A
	// client that shows the same may use Channel on it: there must be none of a
	// connection that does not encrypt, if calls are to be private.
	Bindings func(c net.Conn) [][]byte

	Assertions AssertionPolicy // of version 3

	MaxMessage int           // octets of a call; 0: DefaultMaxMessage
	MaxCalls   int           // in progress on a connection, or a socket of datagrams; 0: 64
	ConnIdle   time.Duration // a connection without a whole call for this long is closed; 0: 5 min

	MaxContexts int           // 0: 4096; a new one ends the one not used for longest
	MaxPerPeer  int           // of these, of one principal; 0: a quarter of MaxContexts
	Idle        time.Duration // a context not used for this long ends; 0: 1 h
	MaxLifetime time.Duration // of a context, if its credentials do not end before; 0: 24 h

	MaxHalfOpen        int           // handshakes that a client has not completed; 0: 1024
	MaxHalfOpenPerHost int           // of these, of one address; 0: 64. A new one ends its host's oldest
	HalfOpenTime       time.Duration // in which a handshake has to complete; 0: 30 s

	Replies     int // answers kept for calls that are repeated; 0: 1024
	ReplyOctets int // octets of these, together; 0: 16 MiB. A longer answer is not kept
}

func (o *ServerOptions) resolve() {
	for _, d := range []struct {
		v *int
		n int
	}{
		{&o.MaxMessage, DefaultMaxMessage}, {&o.MaxCalls, 64}, {&o.MaxContexts, 4096}, {&o.MaxHalfOpen, 1024},
		{&o.MaxHalfOpenPerHost, 64}, {&o.Replies, 1024}, {&o.ReplyOctets, 16 << 20},
	} {
		if *d.v <= 0 {
			*d.v = d.n
		}
	}
	if o.MaxPerPeer <= 0 {
		o.MaxPerPeer = max(o.MaxContexts/4, 1)
	}
	for _, d := range []struct {
		v *time.Duration
		n time.Duration
	}{{&o.ConnIdle, 5 * time.Minute}, {&o.Idle, time.Hour}, {&o.MaxLifetime, 24 * time.Hour}, {&o.HalfOpenTime, 30 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.n
		}
	}
	if o.MinService == 0 {
		o.MinService = Integrity
	}
}

// A Call is what a Handler is asked to do.
type Call struct {
	XID, Prog, Vers, Proc uint32 // XID is the client's, and the same when it repeats a call
	Args                  []byte // XDR, the Handler's own; not to be believed under None

	Version uint32      // of RPCSEC_GSS; 0: AUTH_NONE
	Service Service     // 0: AUTH_NONE, and then nobody knows who calls
	Info    gss.Info    // of the context; Info.Peer is who calls
	Context gss.Context // not to be closed by a Handler; nil: AUTH_NONE
	Remote  net.Addr

	Host       gss.Info    // of a host that vouches for who calls; zero: none does
	Assertions []Assertion // what was granted to the context, not to be changed by a Handler
}

// Key is the same for a call and its repetitions, in other contexts, over other
// connections, to other processes: a hash of who calls (Info.Peer, the Host that vouches
// for it, the Assertions), the XID and what is asked. A Handler that commits its effect
// and results under Key in one transaction, and answers from there what it finds, does
// nothing twice, whatever crashes. ok is false if nobody can tell who calls.
//
// Clients choose an XID at random when they start, and count. Two of one principal
// that must not be mistaken for each other, now and for as long as keys are kept, put
// something unique into the arguments.
func (c *Call) Key() (key [sha256.Size]byte, ok bool) {
	if c.Info.Flags.Has(gss.Anon) || c.Host.Flags.Has(gss.Anon) {
		return key, false
	}
	who, err := c.Info.Peer.Export()
	if err != nil {
		return key, false
	}
	var host []byte
	if c.Host != (gss.Info{}) {
		if host, err = c.Host.Peer.Export(); err != nil {
			return key, false
		}
	}
	args := sha256.Sum256(c.Args)
	var e Encoder
	e.String("gss rpc call 1")
	e.Opaque(who)
	for _, v := range [...]uint32{c.XID, c.Prog, c.Vers, c.Proc} {
		e.Uint32(v)
	}
	e.Fixed(args[:])
	if host != nil || len(c.Assertions) > 0 { // what one gets is not for who has less
		e.Opaque(host)
		e.assertions(c.Assertions)
	}
	return sha256.Sum256(e.b), true
}

// A Handler executes the procedures of a version of a program, several at a time,
// and returns results, XDR, which it must not change later. An AcceptStat in its
// error goes to the client; any other error is SystemErr there, without words. ctx
// ends with the server; RemoteAddr finds the client's address in it.
type Handler func(ctx context.Context, c *Call) (results []byte, err error)

// A Server has programs. It is safe for concurrent use.
type Server struct {
	o       ServerOptions
	half    *table
	open    *table
	replies *replies
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	channels atomic.Uint64 // connections so far

	mu       sync.Mutex
	programs map[uint32]map[uint32]Handler
	closers  map[interface{ Close() error }]bool // what Close closes; nil: closed
}

// NewServer returns a server without programs.
func NewServer(o ServerOptions) *Server {
	o.resolve()
	s := &Server{
		o:        o,
		half:     newTable(o.MaxHalfOpen, o.MaxHalfOpenPerHost, o.HalfOpenTime),
		open:     newTable(o.MaxContexts, o.MaxPerPeer, o.Idle),
		replies:  newReplies(o.Replies, o.ReplyOctets),
		programs: make(map[uint32]map[uint32]Handler),
		closers:  make(map[interface{ Close() error }]bool),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Handle makes h the handler of version vers of program prog.
func (s *Server) Handle(prog, vers uint32, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.programs[prog] == nil {
		s.programs[prog] = make(map[uint32]Handler)
	}
	s.programs[prog][vers] = h
}

// DropContexts ends every context and handshake, as a restart would, and returns
// how many contexts there were. Clients make new ones, and their callers do not
// notice; calls in progress are not executed again.
func (s *Server) DropContexts() int {
	s.half.clear()
	return s.open.clear()
}

// own runs f, which serves c until it is closed, unless the server is closed.
func (s *Server) own(c interface{ Close() error }) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closers == nil {
		c.Close()
		return false
	}
	s.closers[c] = true
	s.wg.Add(1)
	return true
}

func (s *Server) disown(c interface{ Close() error }) {
	c.Close()
	s.mu.Lock()
	delete(s.closers, c)
	s.mu.Unlock()
	s.wg.Done()
}

// Close closes listeners, sockets and connections, waits for handlers (their ctx
// has ended), and ends all contexts. It can be called twice.
func (s *Server) Close() error {
	s.cancel()
	s.mu.Lock()
	for c := range s.closers {
		c.Close()
	}
	s.closers = nil
	s.mu.Unlock()
	s.wg.Wait()
	s.DropContexts()
	return nil
}

// Serve serves the connections that l accepts, and closes l. Its error is l's, or
// net.ErrClosed after Close.
func (s *Server) Serve(l net.Listener) error {
	if !s.own(l) {
		return net.ErrClosed
	}
	defer s.disown(l)
	for {
		c, err := l.Accept()
		if err != nil {
			return s.ended(err)
		}
		if s.own(c) {
			go s.serveConn(c)
		}
	}
}

func (s *Server) ended(err error) error {
	if s.ctx.Err() != nil {
		return net.ErrClosed
	}
	return err
}

// A peer is where messages come from, and answers go.
type peer struct {
	addr     net.Addr
	host     string
	datagram bool
	send     func(msg []byte)

	channel uint64          // tells connections apart; 0: datagrams
	bound   func() [][]byte // the connection's bindings; nil: none
}

// bindings are the connection's, of which each has a prefix.
func (p *peer) bindings() [][]byte {
	if p.bound == nil {
		return nil
	}
	return p.bound()
}

// bindings has a connection's ready for when they are needed.
func (s *Server) bindings(c net.Conn) func() [][]byte {
	if s.o.Bindings == nil {
		return nil
	}
	return sync.OnceValue(func() [][]byte { return prefixed(s.o.Bindings(c)) })
}

// writeTime is how long a client may take to read a reply.
const writeTime = 30 * time.Second

func (s *Server) serveConn(c net.Conn) {
	defer s.disown(c)
	var writing sync.Mutex
	p := &peer{addr: c.RemoteAddr(), host: host(c.RemoteAddr()), channel: s.channels.Add(1), bound: s.bindings(c), send: func(msg []byte) {
		writing.Lock()
		defer writing.Unlock()
		c.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := c.Write(frame(msg)); err != nil {
			c.Close() // nobody could tell where the next reply begins
		}
	}}
	var calls sync.WaitGroup
	defer calls.Wait()
	slots := make(chan struct{}, s.o.MaxCalls)
	r := bufio.NewReader(c)
	for {
		c.SetReadDeadline(time.Now().Add(s.o.ConnIdle))
		msg, err := readRecord(r, s.o.MaxMessage)
		if err != nil {
			return
		}
		slots <- struct{}{}
		reply, later, err := s.receive(p, msg)
		if err != nil {
			return // whoever sends this speaks something else
		}
		s.answer(p, reply, later, slots, &calls)
	}
}

// ServePacket serves the datagrams of pc, and closes it. Its error is pc's, or
// net.ErrClosed after Close.
func (s *Server) ServePacket(pc net.PacketConn) error {
	if !s.own(pc) {
		return net.ErrClosed
	}
	defer s.disown(pc)
	var calls sync.WaitGroup
	defer calls.Wait()
	slots := make(chan struct{}, s.o.MaxCalls)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return s.ended(err)
		}
		if n > s.o.MaxMessage {
			continue
		}
		p := &peer{addr: from, host: host(from), datagram: true, send: func(msg []byte) { pc.WriteTo(msg, from) }}
		slots <- struct{}{}
		reply, later, err := s.receive(p, bytes.Clone(buf[:n]))
		if err != nil {
			later = nil
		}
		s.answer(p, reply, later, slots, &calls)
	}
}

// answer sends reply, if there is one, or what later comes to, and frees a slot.
func (s *Server) answer(p *peer, reply []byte, later func() []byte, slots <-chan struct{}, calls *sync.WaitGroup) {
	finish := func(msg []byte) {
		if msg != nil {
			p.send(msg)
		}
		<-slots
	}
	if later == nil {
		finish(reply)
		return
	}
	calls.Go(func() { finish(later()) })
}

type remoteKey struct{}

// RemoteAddr returns the address of the client in the ctx of a Handler, or of an
// acceptor's Step; nil if it has none.
func RemoteAddr(ctx context.Context) net.Addr {
	a, _ := ctx.Value(remoteKey{}).(net.Addr)
	return a
}

// receive judges a message: a reply to send now, or what is left to do, which may
// take its time, or neither: it is dropped. Calls in one context are authenticated
// here, in the order in which they came, so that slow ones are not overtaken by so
// many that they leave the window. An error is of something that is no call.
func (s *Server) receive(p *peer, msg []byte) (now []byte, later func() []byte, err error) {
	c, deny, err := parseCall(msg)
	if err != nil || deny != nil {
		return deny, nil, err
	}
	ctx := context.WithValue(s.ctx, remoteKey{}, p.addr)
	if c.cred.flavor != flavorGSS {
		if c.cred.flavor != flavorNone || !s.o.AllowNone {
			return denyAuth(c.xid, AuthTooWeak), nil, nil
		}
		return nil, func() []byte {
			return fit(p, c.xid, auth{}, s.execute(ctx, &Call{XID: c.xid, Prog: c.prog, Vers: c.vers, Proc: c.proc, Args: c.body, Remote: p.addr}))
		}, nil
	}
	g, err := parseGSSCred(c.cred.body)
	if err != nil {
		return denyAuth(c.xid, AuthBadCred), nil, nil
	}
	if !g.known() {
		return denyAuth(c.xid, AuthRejectedCred), nil, nil // RFC 2203 §5.1
	}
	switch g.proc {
	case procInit, procContinue:
		if c.proc != nullProc || c.verf.flavor != flavorNone || len(c.verf.body) > 0 || g.proc == procInit && len(g.handle) > 0 {
			return denyAuth(c.xid, AuthBadCred), nil, nil
		}
		if len(c.body) > 4+maxToken { // not to be kept until its turn comes
			return accept(c.xid, auth{}, answer{stat: GarbageArgs}), nil, nil
		}
		return nil, func() []byte { return s.accept(ctx, p, c, g) }, nil
	}
	now, later = s.data(ctx, p, c, g)
	return now, later, nil
}

// execute has a handler do c.
func (s *Server) execute(ctx context.Context, c *Call) answer {
	s.mu.Lock()
	versions := s.programs[c.Prog]
	h := versions[c.Vers]
	a := answer{stat: ProgUnavail}
	if h == nil && len(versions) > 0 {
		a = answer{stat: ProgMismatch, low: 1<<32 - 1}
		for v := range versions {
			a.low, a.high = min(a.low, v), max(a.high, v)
		}
	}
	s.mu.Unlock()
	if h == nil {
		return a
	}
	results, err := h(ctx, c)
	if err != nil {
		stat, ok := errors.AsType[AcceptStat](err)
		if !ok || stat < ProcUnavail || stat > SystemErr {
			stat = SystemErr
		}
		return answer{stat: stat}
	}
	return answer{results: results}
}

// fit is accept, or SystemErr if that is too long for p.
func fit(p *peer, xid uint32, verf auth, a answer) []byte {
	msg := accept(xid, verf, a)
	if p.datagram && len(msg) > maxDatagram || uint64(len(msg)) >= 1<<31 {
		msg = accept(xid, verf, answer{stat: SystemErr})
	}
	return msg
}
