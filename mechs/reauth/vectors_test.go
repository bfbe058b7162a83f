package reauth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
)

type octets []byte

func (o *octets) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	d, err := hex.DecodeString(s)
	*o = d
	return err
}

// vector is a file of testdata: what testdata/vectors.py computes of a ticket and its use.
type vector struct {
	Group                                                    Group
	Bindings, App, Secret, Initiator, Acceptor, PRF, PSK     octets
	RingID, RingKey                                          octets
	AuthTime, Now, End                                       int64
	Flags                                                    gss.Flags
	Ticket, Issue, Resume, BadCB, Resumed, PSK2, Ticket2, MS octets
	Confirm, PRFOut                                          octets
}

func loadVectors(t testing.TB) map[string]*vector {
	t.Helper()
	names, err := filepath.Glob("testdata/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no vectors", err)
	}
	vs := make(map[string]*vector)
	for _, f := range names {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v := new(vector)
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(f, err)
		}
		vs[filepath.Base(f)] = v
	}
	return vs
}

// alias is a toy under Kerberos' OID, which the vectors are for.
type alias struct{ gss.Mechanism }

func (alias) OID() oid.OID { return oid.Krb5 }

// ringOf returns a ring with one key.
func ringOf(id, key []byte, created time.Time) *Ring {
	r := NewRing()
	k := ringKey{created: created}
	copy(k.id[:], id)
	copy(k.key[:], key)
	r.keys = []ringKey{k}
	return r
}

func (v *vector) mech() *Mech {
	r := ringOf(v.RingID, v.RingKey, time.UnixMilli(v.AuthTime))
	return New(alias{&toy.Krb{Party: toy.NewParty("x")}}, Options{Ring: r, Time: func() time.Time { return time.UnixMilli(v.Now) }})
}

func TestVectors(t *testing.T) {
	for name, v := range loadVectors(t) {
		t.Run(name, func(t *testing.T) {
			m := v.mech()
			psk, issueKey := firstKeys(bytes.Clone(v.PRF), oid.Krb5.AppendDER(nil), hash(v.Initiator), hash(v.Acceptor))
			if !bytes.Equal(psk, v.PSK) {
				t.Fatalf("psk %x", psk)
			}
			p, err := open(issueKey, v.Issue)
			if err != nil {
				t.Fatal(err)
			}
			end, tf, tk, ok := parseIssue(p)
			if !ok || end.UnixMilli() != v.End || !bytes.Equal(tk, v.Ticket) {
				t.Fatal("issue", end, tf)
			}
			body, ok := m.o.Ring.open(v.Ticket, m.o.Time(), m.o.Life)
			initiatorName, _ := parseMN(v.Initiator)
			acceptorName, _ := parseMN(v.Acceptor)
			if !ok || !bytes.Equal(body.psk, v.PSK) || body.initiator != initiatorName || !bytes.Equal(body.acceptor, hash(v.Acceptor)) ||
				body.tf != tf || body.flags != v.Flags || !bytes.Equal(body.app, v.App) || body.end.UnixMilli() != v.End ||
				body.authTime.UnixMilli() != v.AuthTime || body.inner != oid.Krb5 {
				t.Fatalf("ticket %+v", body)
			}
			again, ok := body.marshal()
			if back, ok2 := parseTicket(again); !ok || !ok2 || back.initiator != body.initiator {
				t.Error("the ticket's body does not survive")
			}

			// The initiator that sent this RESUME reads this RESUMED.
			r, ok := parseResume(v.Resume)
			if !ok {
				t.Fatal("RESUME")
			}
			e := &entry{tf: tf, flags: v.Flags, end: end, ticket: tk, psk: bytes.Clone(psk), local: initiatorName, peer: acceptorName}
			h := &initiator{asking: asking{o: (&gss.InitOptions{Require: v.Flags}).Resolved(), entry: e, asked: v.Flags}}
			h.handshake = handshake{m: m, op: "test", bind: newBinding(v.Bindings)}
			h.keys = newSchedule(r.kind, psk, m.der, r.head)
			p, err = open(h.keys.authKey(), r.auth)
			if err != nil {
				t.Fatal(err)
			}
			a, ok := parseAuthenticator(p)
			if !ok || !bytes.Equal(a.target, v.Acceptor) || a.flags != v.Flags || a.time.UnixMilli() != v.Now || !a.bind.equal(h.bind) {
				t.Fatalf("A %+v", a)
			}
			if !bytes.Equal(a.marshal(), p) {
				t.Error("A is written otherwise")
			}
			h.keys.authenticated(r.auth)
			c, err := seal(h.keys.alertKey(), append([]byte{4}, make([]byte, 15)...))
			if err != nil || !bytes.Equal(append([]byte{tokBadCB}, c...), v.BadCB) {
				t.Errorf("BADCB %x", c)
			}
			w, ok := parseResumed(v.Resumed)
			if !ok {
				t.Fatal("RESUMED")
			}
			if v.Group == NoShare {
				h.share, _, _ = newShare(NoShare)
				out, sc, err := h.answered(t.Context(), v.Resumed)
				if err != nil {
					t.Fatal(err)
				}
				if k, _ := sc.PRF(gss.PRFFull, []byte("known answer"), 32); !bytes.Equal(k, v.PRFOut) {
					t.Error("PRF")
				}
				if w.rf == 0 && out != nil || w.rf == rfConfirm && !bytes.Equal(out, v.Confirm) {
					t.Errorf("CONFIRM %x", out)
				}
				n := m.o.Cache.take(e.key, m.o.Time(), func(*entry) bool { return true })
				if n == nil || !bytes.Equal(n.psk, v.PSK2) || !bytes.Equal(n.ticket, v.Ticket2) {
					t.Error("next ticket")
				}
			} else {
				h.keys.agreed(bytes.Clone(v.Secret), w.head)
				if !bytes.Equal(h.keys.nextPSK(), v.PSK2) {
					t.Error("psk'")
				}
				if _, err := open(h.keys.replyKey(), w.reply); err != nil {
					t.Error(err)
				}
			}
			if h.keys.es == nil && h.ms == nil {
				h.ms = h.keys.master(w.reply)
			}
			if !bytes.Equal(h.ms, v.MS) || !bytes.Equal(append([]byte{tokConfirm}, h.keys.confirmation(h.ms)...), v.Confirm) {
				t.Error("MS or CONFIRM")
			}

			// An acceptor takes this RESUME, unless its share is no share of the group.
			ah, err := m.Accept(&gss.AcceptOptions{Bindings: v.Bindings})
			if err != nil {
				t.Fatal(err)
			}
			defer ah.Close()
			out, _, err := ah.Step(t.Context(), gss.AppendToken(nil, m.oid, v.Resume))
			if err != nil || len(out) == 0 || out[0] != tokResumed {
				t.Errorf("an acceptor: %x, %v", out, err)
			}
		})
	}
}
