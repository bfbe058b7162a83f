package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/rpcsecgss"
	"github.com/gsseal/gss/strike"
)

const (
	benchProgram = 0x20000001 // of those that are the user's own (RFC 5531 §8.3)
	benchVersion = 1
	fewContexts  = 1000
	inFlight     = 64
)

// benchRPC measures remote procedure calls that do nothing, over TCP on the loopback
// interface: what protecting them costs, and what many contexts cost.
func benchRPC(ctx context.Context, f *benchFlags, note func(string)) (*benchReport, error) {
	r := newBenchReport()
	w, err := newRPCWorld()
	if err != nil {
		return nil, err
	}
	defer w.realm.Close()
	if err := w.protection(ctx, f, r, note); err != nil {
		return nil, err
	}
	return r, w.crowd(ctx, f, r, note)
}

// An rpcWorld is a realm, a service and a user of it.
type rpcWorld struct {
	realm          *kdctest.Realm
	target         gss.Name
	client, server gss.Mechanism // Kerberos, with tickets
}

func newRPCWorld() (_ *rpcWorld, err error) {
	w := &rpcWorld{target: gss.Service("host", "bench.test")}
	if w.realm, err = kdctest.Start(kdctest.Options{Realm: "BENCH.TEST", Enctypes: []int32{18}}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.realm.Close()
		}
	}()
	if err := errors.Join(w.realm.AddUser("user", "password"), w.realm.AddService("host/bench.test")); err != nil {
		return nil, err
	}
	config, err := krb5.ParseConfig(w.realm.Krb5Conf())
	if err != nil {
		return nil, err
	}
	config.Domains = map[string]string{".test": "BENCH.TEST"}
	keytab, err := w.realm.Keytab("host/bench.test")
	if err != nil {
		return nil, err
	}
	user, err := krb5.FromPassword("user@BENCH.TEST", "password")
	if err != nil {
		return nil, err
	}
	host, err := krb5.FromKeytab(keytab, "")
	if err != nil {
		return nil, err
	}
	k := krb5.New(krb5.Options{Config: config, Initiator: user.Source(), Acceptor: host.Source()})
	w.client = reauth.New(k, reauth.Options{})
	w.server = reauth.New(k, reauth.Options{Store: strike.NewMemory(strike.MemoryOptions{})})
	return w, nil
}

// serve starts a server with a procedure 0 that does nothing.
func (w *rpcWorld) serve(o rpcsecgss.ServerOptions) (addr string, stop func(), err error) {
	o.Accept = func() (gss.Handshake, error) { return w.server.Accept(nil) }
	s := rpcsecgss.NewServer(o)
	s.Handle(benchProgram, benchVersion, func(context.Context, *rpcsecgss.Call) ([]byte, error) { return nil, nil })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(l) })
	return l.Addr().String(), func() {
		s.Close()
		wg.Wait()
	}, nil
}

// protection measures calls with each service against calls without any, one connection each.
func (w *rpcWorld) protection(ctx context.Context, f *benchFlags, r *benchReport, note func(string)) error {
	addr, stop, err := w.serve(rpcsecgss.ServerOptions{AllowNone: true})
	if err != nil {
		return err
	}
	defer stop()
	dial := func(o rpcsecgss.ClientOptions) (*rpcsecgss.Client, error) {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return rpcsecgss.NewClient(nc, benchProgram, benchVersion, o), nil
	}
	plain, err := dial(rpcsecgss.ClientOptions{})
	if err != nil {
		return err
	}
	defer plain.Close()
	for _, s := range []rpcsecgss.Service{rpcsecgss.Integrity, rpcsecgss.Privacy} {
		c, err := dial(rpcsecgss.ClientOptions{Mech: w.client, Target: w.target, Service: s})
		if err != nil {
			return err
		}
		defer c.Close()
		for _, n := range []int{1, inFlight} {
			what := fmt.Sprintf("calls with %s, %d at a time", s, n)
			note(what)
			d, err := fight(ctx, f.rounds, f.round, calls(ctx, c, n), calls(ctx, plain, n))
			if err != nil {
				return err
			}
			aim := 0.
			if s == rpcsecgss.Privacy {
				aim = 0.5
			}
			ratio := 1 / d.ratio
			rival := 1 / d.rival
			row := benchRow{What: what, Ours: 1 / d.ours, Rival: &rival, RivalIs: "without security", Unit: "/s", Ratio: &ratio, OK: ratio >= aim}
			if aim > 0 {
				row.Aim = fmt.Sprintf("≥ %g ×", aim)
			}
			r.Rows = append(r.Rows, row)
		}
	}
	return nil
}

// calls is n callers at a time on one connection.
func calls(ctx context.Context, c *rpcsecgss.Client, n int) contender {
	return func(total int) (time.Duration, error) {
		start := time.Now()
		if n == 1 {
			for range total {
				if _, err := c.Call(ctx, 0, nil); err != nil {
					return 0, err
				}
			}
			return time.Since(start), nil
		}
		work := make(chan struct{}, total)
		for range total {
			work <- struct{}{}
		}
		close(work)
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				for range work {
					if _, err := c.Call(ctx, 0, nil); err != nil {
						errs[i] = err
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(start), errors.Join(errs...)
	}
}

// crowd measures the slowest of a hundred calls at a server with many live contexts, against
// the same at one with a thousand. Every context was resumed, and each call is on another one.
func (w *rpcWorld) crowd(ctx context.Context, f *benchFlags, r *benchReport, note func(string)) error {
	many := max(f.contexts/10, 1)
	var crowds [2]*rpcCrowd
	for i, n := range []int{many, fewContexts} {
		c, err := w.newCrowd(ctx, n, note)
		if err != nil {
			return err
		}
		defer c.close()
		crowds[i] = c
	}
	note("calls on many contexts")
	const turn = 1000 // calls
	var p99 [2][]float64
	var ratios []float64
	for range max(f.rounds/2, 1) {
		for i, c := range crowds {
			x, err := c.p99(ctx, turn)
			if err != nil {
				return err
			}
			p99[i] = append(p99[i], x)
		}
		last := len(p99[0]) - 1
		ratios = append(ratios, p99[0][last]/p99[1][last])
	}
	ratio, rival := median(ratios), median(p99[1])*1e6
	r.Rows = append(r.Rows, benchRow{
		What: fmt.Sprintf("99 of 100 calls take at most, %d contexts", many), Ours: median(p99[0]) * 1e6, Rival: &rival,
		RivalIs: fmt.Sprintf("%d contexts", fewContexts), Unit: "µs", Ratio: &ratio, Aim: "≤ 1.5 ×", OK: ratio <= 1.5,
	})
	return nil
}

// An rpcCrowd is a server and all its contexts, whose calls are made by hand: a Client has a
// connection of its own, and there are not that many.
type rpcCrowd struct {
	conn    net.Conn
	stop    func()
	members []rpcMember
	xid     uint32
	buf     []byte
}

type rpcMember struct {
	sc     gss.Context
	handle []byte
	seq    uint32
}

func (w *rpcWorld) newCrowd(ctx context.Context, n int, note func(string)) (_ *rpcCrowd, err error) {
	addr, stop, err := w.serve(rpcsecgss.ServerOptions{MaxContexts: n + 1, MaxPerPeer: n + 1})
	if err != nil {
		return nil, err
	}
	c := &rpcCrowd{stop: stop, members: make([]rpcMember, n)}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr); err != nil {
		return nil, err
	}
	for i := range c.members {
		if i%1000 == 0 {
			note(fmt.Sprintf("making contexts, %d of %d", i, n))
		}
		if c.members[i], err = c.join(ctx, w); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *rpcCrowd) close() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.stop()
	for _, m := range c.members {
		if m.sc != nil {
			m.sc.Close()
		}
	}
}

// join makes a context (RFC 2203 §5.2).
func (c *rpcCrowd) join(ctx context.Context, w *rpcWorld) (m rpcMember, err error) {
	h, err := w.client.Initiate(w.target, &gss.InitOptions{Require: gss.Mutual | gss.Integ | gss.Conf})
	if err != nil {
		return m, err
	}
	defer h.Close()
	var in []byte
	for proc := uint32(1); ; proc = 2 {
		out, sc, err := h.Step(ctx, in)
		if err != nil {
			return m, err
		}
		if sc != nil {
			m.sc = sc
		}
		if len(out) == 0 {
			return m, nil
		}
		var args rpcsecgss.Encoder
		args.Opaque(out)
		res, err := c.call(proc, &m, args.Bytes())
		if err != nil {
			return m, err
		}
		d := rpcsecgss.NewDecoder(res)
		handle, major, _, _, token := d.Opaque(256), d.Uint32(), d.Uint32(), d.Uint32(), d.Opaque(1<<16)
		if err := d.Done(); err != nil || major > 1 {
			return m, fmt.Errorf("a context was refused with major %#x (%w)", major, err)
		}
		m.handle = slices.Clone(handle)
		if m.sc != nil {
			return m, nil
		}
		in = slices.Clone(token)
	}
}

// call makes a call with procedure gssProc of RPCSEC_GSS and returns what is behind the reply's
// verifier and state. Data (0) is sent with privacy.
func (c *rpcCrowd) call(gssProc uint32, m *rpcMember, args []byte) ([]byte, error) {
	c.xid++
	m.seq++
	var cred, e rpcsecgss.Encoder
	cred.Uint32(1) // version
	cred.Uint32(gssProc)
	cred.Uint32(m.seq)
	cred.Uint32(3) // privacy
	cred.Opaque(m.handle)
	e.Uint32(0) // of the record mark
	for _, x := range []uint32{c.xid, 0, 2, benchProgram, benchVersion, 0, 6} {
		e.Uint32(x)
	}
	e.Opaque(cred.Bytes())
	if gssProc != 0 {
		e.Uint32(0)
		e.Uint32(0)
		e.Fixed(args)
	} else {
		mic, err := m.sc.MIC(nil, e.Bytes()[4:])
		if err != nil {
			return nil, err
		}
		e.Uint32(6)
		e.Opaque(mic)
		tok, err := m.sc.Wrap(nil, append(binary.BigEndian.AppendUint32(nil, m.seq), args...), gss.Confidential)
		if err != nil {
			return nil, err
		}
		e.Opaque(tok)
	}
	b := e.Bytes()
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)|1<<31)
	if _, err := c.conn.Write(b); err != nil {
		return nil, err
	}
	var mark [4]byte
	if _, err := io.ReadFull(c.conn, mark[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(mark[:]) &^ (1 << 31))
	c.buf = slices.Grow(c.buf[:0], n)[:n]
	if _, err := io.ReadFull(c.conn, c.buf); err != nil {
		return nil, err
	}
	d := rpcsecgss.NewDecoder(c.buf)
	xid, reply, stat, flavor, verf, accept := d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32(), d.Opaque(400), d.Uint32()
	if d.Err() != nil || xid != c.xid || reply != 1 || stat != 0 || accept != 0 {
		return nil, fmt.Errorf("a call was not answered: %x", c.buf)
	}
	if gssProc != 0 {
		return d.Rest(), nil
	}
	if flavor != 6 {
		return nil, errors.New("a reply came without a verifier")
	}
	if err := m.sc.VerifyMIC(binary.BigEndian.AppendUint32(nil, m.seq), verf); err != nil {
		return nil, err
	}
	res, _, err := m.sc.Unwrap(nil, d.Opaque(1<<20))
	return res, err
}

// p99 makes n calls, each on a context drawn by lot, and returns the seconds that 99 of 100
// take at most.
func (c *rpcCrowd) p99(ctx context.Context, n int) (float64, error) {
	took := make([]float64, n)
	for i := range took {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		m := &c.members[rand.IntN(len(c.members))]
		start := time.Now()
		if _, err := c.call(0, m, nil); err != nil {
			return 0, err
		}
		took[i] = time.Since(start).Seconds()
	}
	slices.Sort(took)
	return took[n*99/100], nil
}
