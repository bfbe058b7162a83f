package rpcsecgss

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/gsseal/gss"
)

// A pair is a client's session and the server that has its context; messages go
// from one to the other by hand.
type pair struct {
	*testServer
	*session
	t    testing.TB
	from *peer
}

func newPair(t testing.TB, m gss.Mechanism, o ServerOptions) *pair {
	t.Helper()
	if o.Accept == nil {
		o.Accept = acceptor(m)
	}
	s := serve(t, "tcp", o)
	c := s.client(t, ClientOptions{Mech: m, Target: service})
	if _, err := c.Establish(within(t)); err != nil {
		t.Fatal(err)
	}
	return &pair{s, present(c), t, &peer{addr: s.addr, host: "127.0.0.1"}}
}

func (p *pair) header(xid, proc uint32) header {
	return header{xid: xid, prog: testProg, vers: testVers, proc: proc}
}

func (s *session) seal(h header, proc, seq uint32, service Service, args []byte) ([]byte, error) {
	msg, _, err := s.sealRequest(h, seq, request{h.proc, proc, service, fixed(args)})
	return msg, err
}

// data returns an echo call.
func (p *pair) data(seq uint32, sv Service, args []byte) []byte {
	p.t.Helper()
	msg, err := p.seal(p.header(seq, procEcho), procData, seq, sv, args)
	if err != nil {
		p.t.Fatal(err)
	}
	return msg
}

// deliver has the server judge msg, and returns its reply; nil if it is dropped.
func (s *testServer) deliver(from *peer, msg []byte) []byte {
	now, later, err := s.receive(from, bytes.Clone(msg))
	if err != nil {
		return nil
	}
	if later != nil {
		now = later()
	}
	return now
}

// why is the error of a reply, whose verifier is not looked at.
func why(reply []byte) error {
	if reply == nil {
		return io.EOF
	}
	_, _, _, err := parseReply(reply)
	return err
}

func TestReplaysAndWindow(t *testing.T) {
	for name, m := range mechanisms() {
		if name == "uni" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := newPair(t, m, ServerOptions{MinService: None})
			step := func(what string, msg []byte, want error, executed int64) {
				t.Helper()
				reply := p.deliver(p.from, msg)
				if err := why(reply); err != want {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
				if n := p.executed.Load(); n != executed {
					t.Errorf("%s: executed %d, want %d", what, n, executed)
				}
			}
			first := p.data(1, Integrity, text("a"))
			step("first", first, nil, 1)
			step("replay", first, io.EOF, 1)

			// A number of the far future, without the key.
			for _, seq := range []uint32{2, 1 << 20, maxSeq - 1, maxSeq} {
				forged := p.data(seq, None, text("forged"))
				at := bytes.Index(forged, p.handle) + (len(p.handle)+3)&^3
				forged[at+10] ^= 1 // in the verifier
				step("forged", forged, CredProblem, 1)
			}
			step("above MAXSEQ", p.data(maxSeq+1, Privacy, nil), CtxProblem, 1)
			step("next", p.data(2, Privacy, text("b")), nil, 2)
			step("overtaken", p.data(1+Window, Privacy, text("c")), nil, 3)
			step("late", p.data(3, Privacy, text("d")), nil, 4)
			step("late again", p.data(3, Privacy, text("d")), io.EOF, 4)
			step("far", p.data(3*Window, Privacy, text("e")), nil, 5)
			step("below the window", p.data(4, Privacy, text("f")), io.EOF, 5)
			step("at its edge", p.data(2*Window+1, Privacy, text("g")), nil, 6)

			// The same call again, as its client would: another number, another header.
			msg, err := p.seal(p.header(1, procEcho), procData, 3*Window+1, Integrity, text("a"))
			if err != nil {
				t.Fatal(err)
			}
			step("retransmission", msg, nil, 6)
			if res, _, err := p.open(p.deliver(p.from, p.data(3*Window+2, Privacy, text("h"))), []sent{{seq: 3*Window + 2}}, Privacy); err != nil || !bytes.Equal(res, text("h")) {
				t.Errorf("%x, %v", res, err)
			}
		})
	}
}

// Whatever is changed in a call, it is not executed, and in its header the window
// does not notice either. So for a reply, and whatever is missing of either.
func TestBitFlips(t *testing.T) {
	p := newPair(t, mechanisms()["krb"], ServerOptions{MinService: None})
	var seq uint32
	for _, sv := range []Service{None, Integrity, Privacy} {
		seq++
		good := p.data(seq, sv, text("hello"))
		c, _, err := parseCall(good)
		if err != nil {
			t.Fatal(err)
		}
		args := len(good) - len(c.body)
		before := p.executed.Load()
		for bit := range 8 * args {
			bad := bytes.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			if reply := p.deliver(p.from, bad); reply != nil && why(reply) == nil {
				t.Fatalf("%v: bit %d of the header: it was executed", sv, bit)
			}
		}
		for n := range args {
			if reply := p.deliver(p.from, good[:n]); reply != nil && why(reply) == nil {
				t.Fatalf("%v: %d octets: it was executed", sv, n)
			}
		}
		if p.executed.Load() != before {
			t.Fatalf("%v: executed", sv)
		}
		reply := p.deliver(p.from, good)
		if res, _, err := p.open(reply, []sent{{seq: seq}}, sv); err != nil || !bytes.Equal(res, text("hello")) {
			t.Fatalf("%v: %x, %v", sv, res, err)
		}
		for bit := 64; bit < 8*len(reply); bit++ { // xid and type are Client.read's
			bad := bytes.Clone(reply)
			bad[bit/8] ^= 1 << (bit % 8)
			res, _, err := p.open(bad, []sent{{seq: seq}}, sv)
			if stat, ok := errors.AsType[AcceptStat](err); sv != None && err == nil || err == nil && bit < 8*(len(reply)-len(text("hello"))) || ok && stat == 0 {
				t.Fatalf("%v: bit %d of the reply: %x", sv, bit, res)
			}
		}
		for n := range reply {
			if _, _, err := p.open(reply[:n], []sent{{seq: seq}}, sv); err == nil && (sv != None || n < len(reply)-len(text("hello"))) {
				t.Fatalf("%v: %d octets of the reply are fine", sv, n)
			}
		}
		if _, _, err := p.open(reply, []sent{{seq: seq + 1}}, sv); !errors.Is(err, errVerifier) {
			t.Errorf("%v: the reply to another call: %v", sv, err)
		}
		if sv == None {
			continue
		}

		// The body: each needs a number of its own.
		before = p.executed.Load()
		for i := 0; i < 8*len(c.body); i += 3 {
			seq++
			bad := p.data(seq, sv, text("hello"))
			bad[args+i/8] ^= 1 << (i % 8)
			if err := why(p.deliver(p.from, bad)); err != GarbageArgs {
				t.Fatalf("%v: bit %d of the body: %v", sv, i, err)
			}
		}
		// The body of another call.
		seq += 2
		x, y := p.data(seq-1, sv, text("xxxxx")), p.data(seq, sv, text("yyyyy"))
		if err := why(p.deliver(p.from, append(bytes.Clone(x[:args]), y[args:]...))); err != GarbageArgs {
			t.Errorf("%v: another call's body: %v", sv, err)
		}
		if p.executed.Load() != before {
			t.Errorf("%v: executed", sv)
		}
	}
}

// Credentials and verifiers of every length, and the lengths of what is not there.
func TestAuthLengths(t *testing.T) {
	p := newPair(t, mechanisms()["krb"], ServerOptions{})
	conn := p.dial(t)
	send := func(msg []byte) []byte {
		t.Helper()
		if _, err := conn.Write(frame(msg)); err != nil {
			t.Fatal(err)
		}
		reply, err := readRecord(conn, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	start := func(flavor uint32, claim uint32, body []byte) Encoder {
		var e Encoder
		for _, v := range []uint32{7, msgCall, rpcVersion, testProg, testVers, procEcho, flavor, claim} {
			e.Uint32(v)
		}
		e.Fixed(body)
		return e
	}
	for n := range uint32(405) {
		// A credential of n octets, with a handle as long as fits.
		var e Encoder
		for _, v := range []uint32{version1, procData, 1, uint32(Privacy)} {
			e.Uint32(v)
		}
		e.Opaque(make([]byte, max(int(n&^3)-20, 0)))
		want := AuthBadCred
		if n >= 20 && n <= maxAuth && n%4 == 0 {
			want = CredProblem
		}
		c := start(flavorGSS, n, append(e.Bytes(), make([]byte, 8)...)[:n])
		c.auth(auth{flavorGSS, make([]byte, 16)})
		if err := why(send(c.Bytes())); err != want {
			t.Errorf("credential of %d octets: %v, want %v", n, err, want)
		}
		// A verifier of n octets.
		e = Encoder{}
		e.header(header{xid: 7, prog: testProg, vers: testVers, proc: procEcho, cred: gssCred{version1, procData, 1000 + n, Privacy, p.handle}.auth()})
		e.auth(auth{flavorGSS, make([]byte, n)})
		want = CredProblem
		if n > maxAuth {
			want = AuthBadVerf
		}
		if err := why(send(e.Bytes())); err != want {
			t.Errorf("verifier of %d octets: %v, want %v", n, err, want)
		}
	}
	for _, claim := range []uint32{401, 1 << 16, 1<<31 - 1, 1 << 31, math.MaxUint32 - 3, math.MaxUint32} {
		for _, there := range []int{0, 4, 399, 1000} {
			c := start(flavorGSS, claim, make([]byte, there))
			if err := why(send(c.Bytes())); err != AuthBadCred {
				t.Errorf("a claim of %d and %d octets: %v", claim, there, err)
			}
		}
	}
	// The server is as before.
	if err := why(p.deliver(p.from, p.data(1, Privacy, nil))); err != nil {
		t.Error(err)
	}
}

func TestOddCredentials(t *testing.T) {
	p := newPair(t, mechanisms()["krb"], ServerOptions{})
	const seq = 1
	try := func(what string, proc uint32, g gssCred, verf auth, want error) {
		t.Helper()
		var e Encoder
		h := p.header(1, proc)
		h.cred = g.auth()
		e.header(h)
		e.auth(verf)
		e.Opaque([]byte("token"))
		if err := why(p.deliver(p.from, e.Bytes())); err != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	mic := auth{flavorGSS, make([]byte, 16)}
	try("INIT of another procedure", procEcho, gssCred{1, procInit, 0, Privacy, nil}, auth{}, AuthBadCred)
	try("INIT with a handle", nullProc, gssCred{1, procInit, 0, Privacy, p.handle}, auth{}, AuthBadCred)
	try("INIT with a verifier", nullProc, gssCred{1, procInit, 0, Privacy, nil}, mic, AuthBadCred)
	try("version 0", nullProc, gssCred{0, procInit, 0, Privacy, nil}, auth{}, AuthRejectedCred)
	try("version 4", nullProc, gssCred{4, procInit, 0, Privacy, nil}, auth{}, AuthRejectedCred)
	try("another version than the context's", procEcho, gssCred{2, procData, seq, Privacy, p.handle}, mic, AuthBadCred)
	try("version 3", procEcho, gssCred{3, procData, seq, Privacy, p.handle}, mic, AuthBadCred)
	try("no such procedure of RPCSEC_GSS", nullProc, gssCred{1, 4, seq, None, p.handle}, mic, AuthBadCred)
	try("service 0", procEcho, gssCred{1, procData, seq, 0, p.handle}, mic, AuthBadCred)
	try("service 4", procEcho, gssCred{1, procData, seq, 4, p.handle}, mic, AuthBadCred)
	try("DESTROY of another procedure", procEcho, gssCred{1, procDestroy, seq, Privacy, p.handle}, mic, AuthBadCred)
	try("DESTROY, forged", nullProc, gssCred{1, procDestroy, seq, Privacy, p.handle}, mic, CredProblem)
	try("no verifier", procEcho, gssCred{1, procData, seq, Privacy, p.handle}, auth{}, AuthBadVerf)
	try("INIT's service is ignored", nullProc, gssCred{1, procInit, 0, 0, nil}, auth{}, nil) // a result that says why not
	var e Encoder
	e.header(header{xid: 1, prog: testProg, vers: testVers, cred: gssCred{1, procInit, 0, Privacy, nil}.auth()})
	e.auth(auth{})
	e.Uint32(math.MaxUint32)
	if err := why(p.deliver(p.from, e.Bytes())); err != GarbageArgs {
		t.Errorf("a token of 4 GiB: %v", err)
	}
	for n, want := range map[int]error{maxToken: nil, maxToken + 1: GarbageArgs} { // a result that says why not
		e = Encoder{}
		e.header(header{xid: 1, prog: testProg, vers: testVers, cred: gssCred{version1, procInit, 0, Privacy, nil}.auth()})
		e.auth(auth{})
		e.Opaque(make([]byte, n))
		if err := why(p.deliver(p.from, e.Bytes())); err != want {
			t.Errorf("a token of %d octets: %v, want %v", n, err, want)
		}
	}
	if err := why(p.deliver(p.from, p.data(seq, Privacy, nil))); err != nil {
		t.Errorf("the context after all this: %v", err)
	}
	// RPC version 3.
	e = Encoder{}
	for _, v := range []uint32{1, msgCall, 3, 0, 0, 0} {
		e.Uint32(v)
	}
	if v, ok := errors.AsType[*VersionError](why(p.deliver(p.from, e.Bytes()))); !ok || *v != (VersionError{true, 2, 2}) {
		t.Error(v)
	}
}

// Handles are random: none is found by guessing, and another's does not help.
func TestHandles(t *testing.T) {
	m := mechanisms()["krb"]
	p := newPair(t, m, ServerOptions{})
	c := p.client(t, ClientOptions{Mech: m, Target: service})
	if _, err := c.Establish(within(t)); err != nil {
		t.Fatal(err)
	}
	stolen := session{sc: present(c).sc, version: version1, // its own keys
		handle: p.handle}
	msg, err := stolen.seal(p.header(1, procEcho), procData, 1, Privacy, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := why(p.deliver(p.from, msg)); err != CredProblem {
		t.Errorf("another's handle: %v", err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		h := make([]byte, 16)
		if i < 128 {
			h = bytes.Clone(p.handle) // close by
			h[i/8] ^= 1 << (i % 8)
		} else {
			binary.BigEndian.PutUint64(h, rng.Uint64())
			binary.BigEndian.PutUint64(h[8:], rng.Uint64())
		}
		g := gssCred{version1, procData, 1, Privacy, h}
		hdr := p.header(1, procEcho)
		hdr.cred = g.auth()
		var e Encoder
		e.header(hdr)
		e.auth(auth{flavorGSS, make([]byte, 16)})
		if err := why(p.deliver(p.from, e.Bytes())); err != CredProblem {
			t.Fatalf("%x: %v", h, err)
		}
	}
	var ones [128]int
	const n = 4000
	seen := map[handle]bool{}
	for range n {
		h := newHandle()
		seen[h] = true
		for i := range ones {
			ones[i] += int(h[i/8] >> (i % 8) & 1)
		}
	}
	for i, k := range ones {
		if k < n/2-400 || k > n/2+400 { // twelve standard deviations
			t.Errorf("bit %d is 1 in %d of %d", i, k, n)
		}
	}
	if len(seen) != n {
		t.Error("a handle comes twice")
	}
	if err := why(p.deliver(p.from, p.data(1, Privacy, nil))); err != nil {
		t.Error(err)
	}
}

// Arguments are the handler's: no later message shows up in them.
func TestArgsAreTheHandlers(t *testing.T) {
	m := mechanisms()["krb"]
	for _, sv := range []Service{None, Integrity, Privacy} {
		for _, network := range []string{"tcp", "udp"} {
			s := serve(t, network, ServerOptions{Accept: acceptor(m), MinService: None})
			var mu sync.Mutex
			var kept [][]byte
			s.Handle(testProg, testVers, func(_ context.Context, c *Call) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				kept = append(kept, c.Args)
				return nil, nil
			})
			c := s.client(t, ClientOptions{Mech: m, Target: service, Service: sv})
			want := [][]byte{bytes.Repeat([]byte("long"), 500), []byte("shrt"), {}, bytes.Repeat([]byte("four"), 300)}
			for _, args := range want {
				if _, err := c.Call(within(t), procEcho, args); err != nil {
					t.Fatal(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range want {
				if !bytes.Equal(kept[i], want[i]) {
					t.Errorf("%s, %v: call %d has %d octets, want %d", network, sv, i, len(kept[i]), len(want[i]))
				}
				if extra := kept[i][len(kept[i]):cap(kept[i])]; sv == Privacy && bytes.Contains(extra, []byte("long")) && i > 0 {
					t.Errorf("%s: behind the arguments of call %d is an earlier one's", network, i)
				}
			}
		}
	}
}

// A record that claims much and brings little costs little.
func TestRecords(t *testing.T) {
	mark := func(last bool, n uint32) []byte {
		if last {
			n |= 1 << 31
		}
		return binary.BigEndian.AppendUint32(nil, n)
	}
	join := func(bs ...[]byte) []byte { return bytes.Join(bs, nil) }
	for _, tt := range []struct {
		name string
		in   []byte
		want string
		err  error
	}{
		{"one fragment", join(mark(true, 3), []byte("abc")), "abc", nil},
		{"three, one empty", join(mark(false, 1), []byte("a"), mark(false, 0), mark(true, 2), []byte("bc")), "abc", nil},
		{"empty", mark(true, 0), "", nil},
		{"nothing", nil, "", io.EOF},
		{"half a mark", []byte{1, 2}, "", io.ErrUnexpectedEOF},
		{"no last one", join(mark(false, 1), []byte("a")), "", io.ErrUnexpectedEOF},
		{"truncated", join(mark(true, 9), []byte("a")), "", io.ErrUnexpectedEOF},
		{"nothing of it", mark(true, 9), "", io.ErrUnexpectedEOF},
		{"2 GiB", mark(true, 1<<31-1), "", errRecord},
		{"too long together", join(mark(false, 100), make([]byte, 100), mark(true, 1<<20-99)), "", errRecord},
		{"only empty ones", bytes.Repeat(mark(false, 0), 2*maxFragments), "", errRecord},
	} {
		got, err := readRecord(bytes.NewReader(tt.in), 1<<20)
		if string(got) != tt.want || err != tt.err {
			t.Errorf("%s: %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	in := join(mark(true, 1<<30), make([]byte, 10000))
	const runs = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		readRecord(bytes.NewReader(in), 1<<30)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / runs; n > 8*uint64(len(in)) {
		t.Errorf("%d octets are allocated for %d", n, len(in))
	}
}

func TestXDR(t *testing.T) {
	var e Encoder
	e.Uint32(1)
	e.Int32(-2)
	e.Uint64(3)
	e.Bool(true)
	e.Bool(false)
	e.Fixed([]byte{1, 2, 3})
	e.Opaque([]byte{4, 5, 6, 7, 8})
	e.String("sillyprog")
	// By hand from RFC 4506 §4; the string is that of its §7.
	want := []byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 0,
		0, 0, 0, 5, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 9, 's', 'i', 'l', 'l', 'y', 'p', 'r', 'o', 'g', 0, 0, 0}
	if !bytes.Equal(e.Bytes(), want) {
		t.Fatalf("%x", e.Bytes())
	}
	read := func(b []byte) error {
		d := NewDecoder(b)
		ok := d.Uint32() == 1 && d.Int32() == -2 && d.Uint64() == 3 && d.Bool() && !d.Bool() && string(d.Fixed(3)) == "\x01\x02\x03" &&
			string(d.Opaque(5)) == "\x04\x05\x06\x07\x08" && d.String(9) == "sillyprog"
		if err := d.Done(); err != nil || !ok {
			return ErrXDR
		}
		return nil
	}
	if err := read(want); err != nil {
		t.Fatal(err)
	}
	for n := range want {
		if read(want[:n]) == nil {
			t.Errorf("%d octets are enough", n)
		}
	}
	for i := range 8 * len(want) {
		bad := bytes.Clone(want)
		bad[i/8] ^= 1 << (i % 8)
		if read(bad) == nil { // padding too
			t.Errorf("bit %d does not matter", i)
		}
	}
	for _, claim := range []uint32{9, 1 << 20, 1<<31 - 1, 1 << 31, math.MaxUint32 - 3, math.MaxUint32} {
		b := append(binary.BigEndian.AppendUint32(nil, claim), 1, 2, 3, 4, 5, 0, 0, 0)
		if n := testing.AllocsPerRun(10, func() {
			for _, most := range []int{-1, 5, math.MaxInt32, math.MaxInt} {
				d := Decoder{s: b}
				if d.Opaque(most) != nil || d.Err() == nil || d.Uint32() != 0 || d.Rest() != nil {
					t.Errorf("a claim of %d is believed", claim)
				}
				d = Decoder{s: b}
				if d.Len(4) != 0 || d.Done() == nil {
					t.Errorf("%d elements are believed", claim)
				}
			}
		}); n != 0 {
			t.Errorf("a claim of %d: %v allocations", claim, n)
		}
	}
	if d := NewDecoder([]byte{0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8}); d.Len(4) != 2 || d.Err() != nil {
		t.Error("two elements are there")
	}
	if d := NewDecoder([]byte{0, 0, 0, 2}); d.Bool() || d.Err() == nil {
		t.Error("2 is a boolean")
	}
}

// A server that says strange things: the client fails, and does not hang.
func TestStrangeServers(t *testing.T) {
	m := mechanisms()["krb"]
	serveOne := func(t *testing.T, answer func(xid []byte, call []byte) []byte) error {
		a, b := net.Pipe()
		defer b.Close()
		go func() {
			for {
				msg, err := readRecord(b, 1<<20)
				if err != nil {
					return
				}
				if reply := answer(msg[:4], msg); reply == nil {
					b.Close()
				} else if _, err := b.Write(reply); err != nil {
					return
				}
			}
		}()
		c := NewClient(a, testProg, testVers, ClientOptions{Mech: m, Target: service})
		defer c.Close()
		_, err := c.Call(within(t), procEcho, nil)
		return err
	}
	ok := append([]byte{0, 0, 0, 1, 0, 0, 0, 0}, make([]byte, 12)...) // REPLY, accepted, AUTH_NONE, success
	join := func(bs ...[]byte) []byte { return frame(bytes.Join(bs, nil)) }
	for _, tt := range []struct {
		name   string
		answer func(xid, call []byte) []byte
		want   error
	}{
		{"hangs up", func(_, _ []byte) []byte { return nil }, io.ErrUnexpectedEOF},
		{"echoes", func(_, call []byte) []byte { return frame(call) }, ErrReply},
		{"too long", func(_, _ []byte) []byte { return []byte{0xff, 0xff, 0xff, 0xff} }, errRecord},
		{"no result", func(xid, _ []byte) []byte { return join(xid, ok) }, ErrReply},
		{"a token of 4 GiB", func(xid, _ []byte) []byte {
			return join(xid, ok, make([]byte, 16), []byte{0xff, 0xff, 0xff, 0xff})
		}, ErrReply},
		{"complete without a token", func(xid, _ []byte) []byte {
			return join(xid, ok, initRes{handle: []byte("h"), window: 5}.octets())
		}, gss.DefectiveToken},
		{"goes on without a token", func(xid, _ []byte) []byte {
			return join(xid, ok, initRes{handle: []byte("h"), major: majorContinue, window: 5}.octets())
		}, gss.DefectiveToken},
		{"refuses", func(xid, _ []byte) []byte {
			return join(xid, ok, initRes{major: uint32(gss.NoCred), minor: 9}.octets())
		}, gss.NoCred},
		{"CREDPROBLEM to an INIT", func(xid, _ []byte) []byte { return frame(denyAuth(binary.BigEndian.Uint32(xid), CredProblem)) }, CredProblem},
		{"a verifier of 401 octets", func(xid, _ []byte) []byte {
			return join(xid, ok[:8], []byte{0, 0, 0, 6, 0, 0, 1, 0x91}, make([]byte, 408))
		}, ErrReply},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := serveOne(t, tt.answer); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}

	// One that answers in the server's place, with the token but without the key.
	s := NewServer(ServerOptions{Accept: acceptor(m)})
	defer s.Close()
	from := &peer{addr: &net.TCPAddr{}}
	err := serveOne(t, func(xid, call []byte) []byte {
		reply := (&testServer{Server: s}).deliver(from, call)
		verf, body, _, err := parseReply(reply)
		if err != nil {
			t.Error(err)
			return nil
		}
		verf.body[len(verf.body)-1] ^= 1
		return frame(accept(binary.BigEndian.Uint32(xid), verf, answer{results: body}))
	})
	if !errors.Is(err, errVerifier) || !errors.Is(err, gss.BadMIC) {
		t.Error(err)
	}
}

// replaying asks for gss.Replay, as MIT's kadmin does.
type replaying struct{ gss.Mechanism }

func (m replaying) Initiate(n gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	r := *o
	r.Request |= gss.Replay
	return m.Mechanism.Initiate(n, &r)
}

// A context that detects replays itself does not get to say so: a repeated number
// is dropped in silence all the same.
func TestReplayContext(t *testing.T) {
	p := newPair(t, replaying{mechanisms()["krb"]}, ServerOptions{})
	if !p.sc.Info().Flags.Has(gss.Replay) {
		t.Fatal("it does not")
	}
	two, one := p.data(2, Privacy, text("two")), p.data(1, Integrity, text("one"))
	for _, msg := range [][]byte{one, two} {
		if err := why(p.deliver(p.from, msg)); err != nil {
			t.Error(err)
		}
		if reply := p.deliver(p.from, msg); reply != nil {
			t.Errorf("a replay is answered: %v", why(reply))
		}
	}
}

// What is only authenticated does not pass for private.
func TestPrivacyIsPrivate(t *testing.T) {
	p := newPair(t, mechanisms()["krb"], ServerOptions{})
	good := p.data(1, Privacy, text("x"))
	c, _, err := parseCall(good)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := p.sc.Wrap(nil, append([]byte{0, 0, 0, 1}, text("x")...), gss.IntegrityOnly)
	if err != nil {
		t.Fatal(err)
	}
	e := Encoder{bytes.Clone(good[:len(good)-len(c.body)])}
	e.Opaque(tok)
	if err := why(p.deliver(p.from, e.Bytes())); err != GarbageArgs || p.executed.Load() != 0 {
		t.Error(err)
	}
	tok, err = p.sc.Wrap(nil, append([]byte{0, 0, 0, 1}, text("x")...), gss.IntegrityOnly)
	if err != nil {
		t.Fatal(err)
	}
	e = Encoder{}
	e.Opaque(tok)
	srv, _ := p.testServer.open.get(p.handle)
	if _, err := unprotect(srv.sc, Privacy, 1, e.Bytes()); !errors.Is(err, gss.BadQOP) {
		t.Error(err)
	}
}

// In versions 1 and 2 the verifier of a reply is what the MIC of no results would be:
// who sits on the line must not make a call that was done of one that failed, nor of one
// that the server has never seen.
func TestVerifiersAreNotResults(t *testing.T) {
	for version := uint32(1); version <= 3; version++ {
		p := boundPair(t, version, ServerOptions{})
		call := func(seq, proc uint32) (sent, auth, []byte) {
			t.Helper()
			msg, raw, err := p.sealRequest(p.header(seq, proc), seq, request{proc, procData, Integrity, fixed(nil)})
			if err != nil {
				t.Fatal(err)
			}
			reply := p.deliver(p.from, msg)
			if len(reply) == 0 {
				t.Fatal("no reply")
			}
			verf, _, _, _ := parseReply(reply)
			return sent{seq, raw}, verf, reply
		}
		forge := func(seq uint32, verf auth, mic []byte) []byte {
			var e Encoder
			e.Opaque(binary.BigEndian.AppendUint32(nil, seq))
			e.Opaque(mic)
			return accept(seq, verf, answer{results: e.b})
		}
		tx, verf, reply := call(1, 99)
		if _, _, err := p.session.open(reply, []sent{tx}, Integrity); err != ProcUnavail {
			t.Fatal(err)
		}
		if _, _, err := p.session.open(forge(1, verf, verf.body), []sent{tx}, Integrity); err == nil {
			t.Errorf("version %d: a call that failed is done", version)
		}
		// One that has no results is fine.
		tx, _, reply = call(2, procEcho)
		if res, _, err := p.session.open(reply, []sent{tx}, Integrity); err != nil || len(res) > 0 {
			t.Errorf("version %d: %x, %v", version, res, err)
		}
		// INIT's verifier is a MIC of the window.
		for range Window + 10 {
			if seq, err := p.next(maxSeq); err != nil || seq == Window {
				t.Errorf("version %d: number %d, %v", version, seq, err)
			}
		}
	}
}
