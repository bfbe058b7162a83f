package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// A vector is what testdata/vectors/generate.py writes, an implementation in another
// language. The script says what the keys are.
type vector struct {
	*testing.T
	head   map[string][]string // what was not used yet
	octets []byte
}

func readVector(t *testing.T, file string) vector {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(b), "\n\n")
	if !ok {
		t.Fatal("no empty line")
	}
	v := vector{T: t, head: map[string][]string{}}
	for line := range strings.SplitSeq(head, "\n") {
		key, value, ok := strings.Cut(line, ": ")
		if !ok && !strings.HasSuffix(line, ":") {
			t.Fatalf("%q", line)
		}
		key = strings.TrimSuffix(key, ":")
		v.head[key] = append(v.head[key], value)
	}
	v.octets = v.unhex(strings.ReplaceAll(body, "\n", ""))
	return v
}

func (v vector) unhex(s string) []byte {
	v.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		v.Fatal(err)
	}
	return b
}

// all returns the values of a key, and counts them as used.
func (v vector) all(key string) []string {
	s := v.head[key]
	delete(v.head, key)
	return s
}

func (v vector) has(key string) bool { return len(v.head[key]) > 0 }

// text returns the value of a key, "" if there is none.
func (v vector) text(key string) string {
	v.Helper()
	s := v.all(key)
	switch len(s) {
	case 0:
		return ""
	case 1:
		return s[0]
	}
	v.Fatalf("%s comes more than once", key)
	return ""
}

func (v vector) bytes(key string) []byte { v.Helper(); return v.unhex(v.text(key)) }

// number returns the value of a key, or absent.
func (v vector) number(key string, absent uint64) uint64 {
	v.Helper()
	s := v.text(key)
	if s == "" {
		return absent
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		v.Fatal(err)
	}
	return n
}

func (v vector) ms(key string, absent time.Time) time.Time {
	v.Helper()
	return time.UnixMilli(int64(v.number(key, uint64(absent.UnixMilli()))))
}

func (v vector) duration(key string) time.Duration {
	v.Helper()
	return time.Duration(v.number(key, 0)) * time.Millisecond
}

func (v vector) claims(key string) Claims {
	v.Helper()
	if b := v.bytes(key); len(b) == 1 {
		return Claims(b[0])
	} else if len(b) > 1 {
		v.Fatal("claims")
	}
	return 0
}

func (v vector) name(b []byte) gss.Name { v.Helper(); return readName(v.T, b) }

func (v vector) oid(key string) oid.OID { v.Helper(); return readOID(v.T, v.bytes(key)) }

func (v vector) initiator(key string) bool {
	v.Helper()
	switch s := v.text(key); s {
	case "initiator":
		return true
	case "acceptor":
		return false
	default:
		v.Fatalf("%s: %q", key, s)
		return false
	}
}

// done fails if a key was not used.
func (v vector) done() {
	v.Helper()
	for key := range v.head {
		v.Errorf("%s was not looked at", key)
	}
}

func readOID(t *testing.T, der []byte) (o oid.OID) {
	t.Helper()
	s := cryptobyte.String(der)
	if !oid.Read(&s, &o) || !s.Empty() {
		t.Fatal("OID")
	}
	return o
}

func readName(t *testing.T, b []byte) gss.Name {
	t.Helper()
	n, err := gss.ParseName(b)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// hexOctets are octets in JSON.
type hexOctets []byte

func (h *hexOctets) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// fixedContext has the PRF outputs that it is given.
type fixedContext struct {
	info gss.Info
	prf  map[string][]byte
}

func (c *fixedContext) Info() gss.Info { return c.info }

func (c *fixedContext) PRF(_ gss.PRFKey, in []byte, n int) ([]byte, error) {
	if out, ok := c.prf[string(in)]; ok && len(out) == n {
		return bytes.Clone(out), nil
	}
	return nil, gss.Unavailable
}

// otherEnd is the peer's.
func (c *fixedContext) otherEnd() *fixedContext {
	o := *c
	o.info.Local, o.info.Peer, o.info.Initiator = c.info.Peer, c.info.Local, !c.info.Initiator
	return &o
}

// seenStore strikes in memory whatever the time is.
type seenStore map[[32]byte]bool

func (s seenStore) Strike(_ context.Context, key [32]byte, _, _ time.Time) error {
	if s[key] {
		return strike.ErrSeen
	}
	s[key] = true
	return nil
}

var vectorMajors = map[string]gss.Major{
	"BadMIC": gss.BadMIC, "OldToken": gss.OldToken, "DefectiveToken": gss.DefectiveToken, "BadName": gss.BadName, "BadBindings": gss.BadBindings,
	"Unauthorized": gss.Unauthorized, "DuplicateToken": gss.DuplicateToken, "ContextExpired": gss.ContextExpired,
}

var vectorCauses = map[string]error{
	"ErrExpired": ErrExpired, "ErrNotYet": ErrNotYet, "ErrErased": ErrErased, "ErrRelay": ErrRelay, "ErrProof": ErrProof, "ErrClaim": ErrClaim,
	"ErrIntroduction": ErrIntroduction, "ErrStream": ErrStream, "ErrTruncated": ErrTruncated,
}

// Messages, grants, presentations and streams of an implementation in another
// language: what opens, what each refusal is, and that this package makes the same.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	kinds := map[string]int{}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			v := readVector(t, f)
			kind, expect := v.text("kind"), v.text("expect")
			kinds[kind+" "+expect]++
			if v.text("comment") == "" {
				t.Error("no comment")
			}
			var err error
			// In a bubble the timer of a grant at its end does not fire meanwhile.
			synctest.Test(t, func(t *testing.T) {
				v.T = t
				err = v.run(kind, expect == "success")
			})
			v.T = t
			if expect != "success" {
				m, ok := vectorMajors[expect]
				if !ok {
					t.Fatalf("expect: %s", expect)
				}
				cause := v.text("cause")
				wantMajor(t, "got", err, m, vectorCauses[cause])
				for name, c := range vectorCauses {
					if errors.Is(err, c) != (name == cause) {
						t.Errorf("%v, want cause %q", err, cause)
					}
				}
			} else if err != nil {
				t.Fatal(err)
			}
			v.done()
		})
	}
	// Whoever removes vectors has to say so here.
	for k, least := range map[string]int{
		"message success": 60, "message BadMIC": 30, "message OldToken": 9, "message DefectiveToken": 35, "message BadName": 5, "message BadBindings": 10,
		"message Unauthorized": 6, "message DuplicateToken": 4, "message ContextExpired": 1, "grant success": 4, "grant DefectiveToken": 10, "grant OldToken": 2,
		"stream success": 8, "stream BadMIC": 12, "stream DefectiveToken": 6,
	} {
		if kinds[k] < least {
			t.Errorf("%d vectors of %s, want %d", kinds[k], k, least)
		}
	}
}

// run gives the octets to the recipient or relay, and, if they are good, makes them.
func (v vector) run(kind string, good bool) error {
	now := v.ms("now", time.Time{})
	c := &clock{t: v.ms("established", now)}
	sc := &fixedContext{
		gss.Info{Mech: v.oid("mech"), Local: v.name(v.bytes("local")), Peer: v.name(v.bytes("peer")), Initiator: v.initiator("role")},
		map[string][]byte{labelSeal: v.bytes("prf")},
	}
	if v.has("expiry") {
		sc.info.Expiry = v.ms("expiry", now)
	}
	if kind == "grant" {
		return v.accept(sc, c, now, good)
	}
	r := newRecipient(&RecipientOptions{Store: seenStore{}, MaxLifetime: v.duration("limit")}, c.now)
	defer r.Close()
	if _, err := r.Add(sc); err != nil {
		v.Fatal(err)
	}
	c.add(now.Sub(c.now()))
	o := &UnsealOptions{
		Data: v.bytes("data"), Require: v.claims("require"), MaxAge: v.duration("max-age"), Bindings: v.bytes("bindings"), Unbound: v.text("unbound") == "yes",
	}
	data := bytes.Clone(o.Data)
	for _, n := range v.all("relay-name") {
		o.RelayNames = append(o.RelayNames, v.name(v.unhex(n)))
	}
	if prf := v.bytes("relay-prf"); len(prf) > 0 { // of whoever it is: the names are those above
		o.Relay = &fixedContext{gss.Info{Peer: gss.Name{Mech: oid.PKIX, Text: "mail:somebody"}}, map[string][]byte{labelPresent: prf}}
	}
	open := func() (Message, []byte, error) {
		switch kind {
		case "message":
			m, err := r.Unseal(v.Context(), nil, v.octets, o)
			return m, m.Body, err
		case "stream":
			s, m, err := r.UnsealStream(v.Context(), bytes.NewReader(v.octets), o)
			if err != nil {
				return m, nil, err
			}
			body, err := io.ReadAll(s)
			return m, body, err
		}
		v.Fatalf("kind: %s", kind)
		return Message{}, nil, nil
	}
	if v.text("twice") == "yes" {
		if _, _, err := open(); err != nil {
			v.Fatalf("the first time: %v", err)
		}
	}
	m, body, err := open()
	if !good {
		return err
	}
	if err != nil {
		return err
	}
	want := Message{
		Body: m.Body, Payload: m.Payload, Claims: v.claims("claims"), Originator: sc.info.Peer, Recipient: sc.info.Local, Relay: m.Relay,
		SealedAt: v.ms("sealed-at", now), Until: v.ms("until", now), N: v.number("n", 0), StrikeKey: [32]byte(v.bytes("strike-key")),
	}
	if got, want := fmt.Sprintf("%+v", m), fmt.Sprintf("%+v", want); got != want {
		v.Errorf("got  %s\nwant %s", got, want)
	}
	if v.has("body-sha256") {
		if sum := sha256.Sum256(body); !bytes.Equal(sum[:], v.bytes("body-sha256")) {
			v.Errorf("another body, of %d octets", len(body))
		}
	} else if !bytes.Equal(body, v.bytes("body")) {
		v.Errorf("body %q", body)
	}
	if payload := v.bytes("payload"); !bytes.Equal(m.Payload, payload) || (m.Payload != nil) != m.Claims.Has(RelayByKey) {
		v.Errorf("payload %q", m.Payload)
	}
	if m.Claims.Has(RelayByName) != !m.Relay.IsZero() {
		v.Errorf("relay %v", m.Relay)
	}
	if v.has("salt") {
		v.seal(sc.otherEnd(), &m, body, data)
	} else if v.has("grant") { // whose relay key is random
		v.acceptCarried(v.bytes("grant"), m.SealedAt)
	}
	return nil
}

// seal makes the octets of m anew: as the originator, and its relay if it has one by key.
func (v vector) seal(sc *fixedContext, m *Message, body, data []byte) {
	v.Helper()
	c := &clock{t: m.SealedAt}
	s, err := newSender(sc, c.now)
	if err != nil {
		v.Fatal(err)
	}
	defer s.Close()
	s.lane, s.count = uint32(m.N>>32), m.N&0xffffffff
	s.fixedSalt = (*[saltSize]byte)(v.bytes("salt"))
	o := &Options{Lifetime: v.duration("lifetime"), OneTime: m.Claims.Has(OneTime), Data: data}
	if relay := v.bytes("relay"); len(relay) > 0 {
		o.Relay = v.name(relay)
	}
	extra, secret := Claims(0), []byte(nil)
	if m.Claims.Has(Stream) {
		extra, secret = Stream, append([]byte{streamVersion}, v.bytes("secret")...)
	}
	sealed := func(in []byte) []byte { // body, or what stands for it
		if extra != 0 {
			return secret
		}
		return in
	}(body)

	var got []byte
	if m.Claims.Has(RelayByKey) {
		via := &fixedContext{
			gss.Info{Mech: v.oid("via-mech"), Local: gss.Name{Mech: oid.PKIX, Text: "mail:a"}, Peer: gss.Name{Mech: oid.PKIX, Text: "mail:c"}, Initiator: v.initiator("via-role")},
			map[string][]byte{labelSeal: v.bytes("via-prf")},
		}
		vs, err := newSender(via, c.now)
		if err != nil {
			v.Fatal(err)
		}
		defer vs.Close()
		grant := v.bytes("grant")
		g, err := s.grant(nil, sealed, vs, o, extra)
		if err != nil || !bytes.Equal(g, grant) {
			v.Fatalf("grant: %v\n%x, want\n%x", err, g, grant)
		}
		r, err := newRelay(via.otherEnd(), c.now)
		if err != nil {
			v.Fatal(err)
		}
		defer r.Close()
		h, err := r.Accept(grant)
		if err != nil || h.from != m.Originator || h.to != m.Recipient {
			v.Fatalf("grant: %v", err)
		}
		defer h.Close()
		got = h.sealed
		if !bytes.Equal(v.octets[:len(got)], got) {
			v.Error("the relay holds another message")
		}
		// The proof's r is random: that it is as it should be is what opening it says.
	} else if got, _, err = s.seal(nil, sealed, o, extra, relaySecret{}); err != nil {
		v.Fatal(err)
	} else if extra == 0 && len(got) != len(v.octets) || !bytes.Equal(got, v.octets[:len(got)]) {
		v.Errorf("sealed:\n%x, want\n%x", got, v.octets)
	}
	if extra == 0 {
		return
	}
	var chunks bytes.Buffer
	w, err := s.beginStream(&chunks, got, secret, nil)
	if err != nil {
		v.Fatal(err)
	}
	writeAll(v.T, w, body)
	if !bytes.HasSuffix(v.octets, chunks.Bytes()) {
		v.Error("other chunks")
	}
}

// acceptCarried takes a grant that has its key in it, on a context that does not matter.
func (v vector) acceptCarried(grant []byte, now time.Time) {
	v.Helper()
	alice, carol := gss.Name{Mech: oid.PKIX, Text: "mail:a"}, gss.Name{Mech: oid.PKIX, Text: "mail:c"}
	r, err := newRelay(&fixedContext{gss.Info{Local: carol, Peer: alice}, map[string][]byte{labelSeal: bytes.Repeat([]byte{1}, 64)}}, (&clock{t: now}).now)
	if err != nil {
		v.Fatal(err)
	}
	defer r.Close()
	h, err := r.Accept(grant)
	if err != nil || !bytes.HasPrefix(v.octets, h.sealed) {
		v.Fatal(err)
	}
	h.Close()
}

// accept gives a grant to the relay.
func (v vector) accept(sc *fixedContext, c *clock, now time.Time, good bool) error {
	v.Helper()
	r, err := newRelay(sc, c.now)
	if err != nil {
		v.Fatal(err)
	}
	defer r.Close()
	c.add(now.Sub(c.now()))
	h, err := r.Accept(v.octets)
	if err != nil {
		return err
	}
	defer h.Close()
	if good && (!bytes.Equal(h.key[:], v.bytes("relay-key")) || !bytes.Equal(h.sealed, v.bytes("sealed"))) {
		v.Error("another key or message")
	}
	return nil
}
