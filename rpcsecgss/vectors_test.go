package rpcsecgss

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/window"
)

// A hexContext is the context of testdata/vectors.py.
type hexContext struct {
	gss.Context // nil
	me, peer    string
	info        gss.Info
}

func hexMIC(who string, msg []byte) []byte {
	h := hmac.New(sha256.New, []byte(who))
	h.Write(msg)
	return h.Sum(nil)
}

func (c *hexContext) Info() gss.Info { return c.info }
func (c *hexContext) MIC(dst, msg []byte) ([]byte, error) {
	return append(dst, hexMIC(c.me, msg)...), nil
}
func (c *hexContext) Close() error { return nil }

func (c *hexContext) VerifyMIC(msg, mic []byte) error {
	if !hmac.Equal(mic, hexMIC(c.peer, msg)) {
		return gss.BadMIC
	}
	return nil
}

func (c *hexContext) Wrap(dst, msg []byte, _ gss.Level) ([]byte, error) {
	tok := append([]byte{1}, msg...)
	return append(append(dst, tok...), hexMIC(c.me, tok)...), nil
}

func (c *hexContext) Unwrap(dst, tok []byte) ([]byte, gss.Level, error) {
	n := len(tok) - sha256.Size
	if n < 1 || tok[0] != 1 || c.VerifyMIC(tok[:n], tok[n:]) != nil {
		return dst, 0, gss.BadMIC
	}
	return append(dst, tok[1:n]...), gss.Confidential, nil
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || len(b) == 0 {
		t.Fatal(name, err)
	}
	return b
}

const (
	vectorXID = 0x01020304
	vectorSeq = 7

	firstHandle = "the first handle"
	userHandle  = "the user's own.."
	childHandle = "a child's handle"
)

func exporterBindings() []byte {
	b := []byte("tls-exporter:")
	for i := range 32 {
		b = append(b, byte(i))
	}
	return b
}

func endPointBindings() []byte {
	b := []byte("tls-server-end-point:")
	for i := range 32 {
		b = append(b, byte(100+i))
	}
	return b
}

// vectorServer has the contexts of the vectors, of one version.
func vectorServer(t testing.TB, version uint32) (*testServer, *peer) {
	s := &testServer{Server: NewServer(ServerOptions{MinService: None, Assertions: policy("host")})}
	t.Cleanup(func() { s.Close() })
	s.Handle(testProg, testVers, s.dispatch)
	for h, c := range map[string]*hexContext{
		firstHandle: {me: "acceptor", peer: "initiator", info: gss.Info{Peer: gss.Name{Mech: "1", Text: "user:host"}}},
		userHandle:  {me: "user acceptor", peer: "user initiator", info: gss.Info{Peer: gss.Name{Mech: "1", Text: "user:alice"}}},
	} {
		s.open.put(&entry{handle: handle([]byte(h)), version: version, sc: c, ends: time.Now().Add(time.Hour), win: window.New(0, true, false)})
	}
	return s, &peer{addr: &net.TCPAddr{}, channel: 1, bound: func() [][]byte { return [][]byte{exporterBindings(), endPointBindings()} }}
}

func vectorSession(version uint32) *session {
	return &session{version: version, handle: []byte(firstHandle),
		sc: &hexContext{me: "initiator", peer: "acceptor", info: gss.Info{Flags: gss.Conf}}}
}

// The server answers each call of the vectors with the reply that is there.
func TestVectorsServer(t *testing.T) {
	calls, err := filepath.Glob("testdata/v*-call*.hex")
	if err != nil || len(calls) != 14 {
		t.Fatalf("%d vectors, %v", len(calls), err)
	}
	for _, path := range calls {
		name := strings.TrimSuffix(filepath.Base(path), ".hex")
		t.Run(name, func(t *testing.T) {
			s, from := vectorServer(t, uint32(name[1]-'0'))
			if name == "v2-data-call" {
				e, _ := s.open.get([]byte(firstHandle))
				e.bind(1)
			}
			got, want := s.deliver(from, vector(t, name)), vector(t, strings.Replace(name, "-call", "-reply", 1))
			if name == "v3-create-call" || name == "v3-create-call-empty" { // the child's handle is random
				sv := Privacy
				if name == "v3-create-call-empty" {
					sv = Integrity
				}
				sc := vectorSession(3).sc
				_, body, _, err := parseReply(got)
				if err != nil {
					t.Fatal(err)
				}
				res, err := unprotect(sc, sv, vectorSeq, body)
				if err != nil || len(res) < 20 {
					t.Fatal(err)
				}
				copy(res[4:], childHandle)
				if body, err = protect(&hexContext{me: "acceptor"}, sv, vectorSeq, res); err != nil {
					t.Fatal(err)
				}
				got = append(got[:len(got)-len(body)], body...)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%x\nwant\n%x", got, want)
			}
		})
	}
}

// The client makes the calls of the vectors, and takes the replies.
func TestVectorsClient(t *testing.T) {
	hello := text("hello")
	user := &hexContext{me: "user initiator", peer: "user acceptor"}
	create := func(raw []byte) ([]byte, error) {
		sc := vectorSession(3).sc
		channel, _ := sc.MIC(nil, exporterBindings())
		mic, _ := user.MIC(nil, raw)
		var e Encoder
		e.creation(creation{&mpAuth{[]byte(userHandle), mic}, channel, []Assertion{label("secret"), privilege("PRIV_copy", "please")}})
		return e.b, nil
	}
	for _, tt := range []struct {
		name    string
		version uint32
		proc    uint32
		gss     uint32
		sv      Service
		args    func([]byte) ([]byte, error)
		results []byte
		err     error
	}{
		{"v2-data-call", 2, 1, procData, Channel, fixed(hello), hello, nil},
		{"v3-data-call-none", 3, 1, procData, None, fixed(hello), hello, nil},
		{"v3-data-call-integrity", 3, 1, procData, Integrity, fixed(hello), hello, nil},
		{"v3-data-call-privacy", 3, 1, procData, Privacy, fixed(hello), hello, nil},
		{"v3-data-call-unavailable", 3, 99, procData, Privacy, fixed(nil), nil, ProcUnavail},
		{"v3-create-call", 3, 0, procCreate, Privacy, create, nil, nil},
		{"v3-create-call-empty", 3, 0, procCreate, Integrity, fixed(make([]byte, 12)), append([]byte("\x00\x00\x00\x10"+childHandle), make([]byte, 12)...), nil},
		{"v3-create-call-unknown", 3, 0, procCreate, Integrity, fixed([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x03ext\x00")), nil, UnknownMessage},
		{"v3-list-call", 3, 0, procList, Integrity, fixed([]byte{0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}), nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := vectorSession(tt.version)
			h := header{xid: vectorXID, prog: testProg, vers: testVers, proc: tt.proc}
			msg, raw, err := s.sealRequest(h, vectorSeq, request{tt.proc, tt.gss, tt.sv, tt.args})
			if want := vector(t, tt.name); err != nil || !bytes.Equal(msg, want) {
				t.Fatalf("%x, %v\nwant\n%x", msg, err, want)
			}
			res, _, err := s.open(vector(t, strings.Replace(tt.name, "-call", "-reply", 1)), []sent{{vectorSeq, raw}}, tt.sv)
			if err != tt.err || tt.results != nil && !bytes.Equal(res, tt.results) {
				t.Fatalf("%x, %v", res, err)
			}
			d := NewDecoder(res)
			switch tt.name {
			case "v3-create-call":
				child, got := d.Opaque(99), d.creation()
				if d.Done() != nil || string(child) != childHandle || got.mp == nil || string(got.mp.handle) != userHandle ||
					user.VerifyMIC(asReply(raw), got.mp.mic) != nil || s.sc.VerifyMIC(exporterBindings(), got.channel) != nil ||
					!same(got.assertions, []Assertion{label("s0"), privilege("PRIV_copy", "please")}) {
					t.Errorf("%+v", got)
				}
			case "v3-list-call":
				n := d.Len(8)
				var as []Assertion
				for range n {
					as = append(as, d.listed()...)
				}
				if n != 3 || d.Done() != nil || !same(as, []Assertion{privilege("PRIV_copy", ""), {LFS: LFS{3, 0}}, {LFS: LFS{7, 1}}}) {
					t.Errorf("%v", as)
				}
			}
		})
	}

	// BIND_CHANNEL: the verifier, and what is to be made of the answers.
	s := vectorSession(2)
	raw := s.header(header{xid: vectorXID, prog: testProg, vers: testVers}, procBind, vectorSeq, None)
	for i, tt := range []struct {
		name, reply string
		bindings    []byte
		hash        string
	}{
		{"v2-bind-call", "v2-bind-reply", exporterBindings(), hashes[0].oid},
		{"v2-bind-call-384", "v2-bind-reply-384", endPointBindings(), hashes[1].oid},
		{"", "v2-bind-reply-prefix", exporterBindings(), hashes[2].oid},
		{"", "v2-bind-reply-hash", exporterBindings(), hashes[0].oid},
	} {
		hash := hashBindings([]byte(tt.hash), tt.bindings)
		if tt.name != "" {
			mic, _ := s.sc.MIC(nil, bindInput(raw, hash))
			e := Encoder{bytes.Clone(raw)}
			e.auth(bindArgs{prefix(tt.bindings), []byte(tt.hash), mic}.auth())
			if want := vector(t, tt.name); !bytes.Equal(e.b, want) {
				t.Errorf("%s: %x\nwant\n%x", tt.name, e.b, want)
			}
		}
		verf, body, _, err := parseReply(vector(t, tt.reply))
		if err != nil || len(body) > 0 {
			t.Fatal(err)
		}
		res, mic, err := parseBindRes(verf.body)
		if err != nil || int(res.status) != max(i-1, 0) || s.sc.VerifyMIC(res.input(vectorSeq, hash), mic) != nil {
			t.Errorf("%s: %+v, %v", tt.reply, res, err)
		}
	}
}
