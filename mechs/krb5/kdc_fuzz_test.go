package krb5

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/kdctest"
)

// recorded are the replies to an AS exchange and to a TGS exchange of a KDC, in full, and a
// KRB-ERROR with hints.
func recorded(f *testing.F) [][]byte {
	f.Helper()
	r := kdctest.New(f, kdctest.Options{PAC: true})
	r.AddUser("alice", "secret")
	r.AddService("host/h.test")
	var replies [][]byte
	config, err := ParseConfig(r.Krb5Conf())
	if err != nil {
		f.Fatal(err)
	}
	m := New(Options{Config: config, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &recorder{Conn: c, replies: &replies}, nil
	}})
	cred, err := FromPassword("alice@"+r.Realm(), "secret")
	if err != nil {
		f.Fatal(err)
	}
	defer cred.Close()
	h, err := m.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
	if err != nil {
		f.Fatal(err)
	}
	defer h.Close()
	if _, _, err := h.Step(f.Context(), nil); err != nil || len(replies) != 3 {
		f.Fatal(err, len(replies))
	}
	return replies
}

// A recorder keeps what is read behind the length.
type recorder struct {
	net.Conn
	replies *[][]byte
	got     []byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.got = append(r.got, b[:n]...)
	return n, err
}

func (r *recorder) Close() error {
	if len(r.got) > 4 {
		*r.replies = append(*r.replies, r.got[4:])
	}
	return r.Conn.Close()
}

// FuzzKDCReply fuzzes what a KDC answers, or who stands in its place; and what is inside,
// of a KDC that has the key. A ticket that comes of it is the one that was asked for.
func FuzzKDCReply(f *testing.F) {
	for _, r := range recorded(f) {
		f.Add(r, false)
	}
	k, m, cred := newFuzzKDC(f)
	server := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"host", "h"}}, Realm: testRealm}
	req := &ikrb5.KDCReq{TGS: true, Body: m.requestBody(server)}
	f.Add(k.honest(req), false)
	f.Add(k.part(req).Append(nil), true)
	f.Fuzz(func(t *testing.T, b []byte, inside bool) {
		for _, tgs := range []bool{false, true} {
			answer := func(req *ikrb5.KDCReq) []byte {
				if !inside {
					return b
				}
				usage := uint32(ikrb5.UsageASRep)
				if req.TGS {
					usage = ikrb5.UsageTGSRepSession
				}
				rep := k.rep(req, k.part(req))
				cipher, err := k.key.Encrypt(nil, b, usage)
				if err != nil {
					return nil
				}
				rep.EncPart.Cipher = cipher
				return rep.Append(nil)
			}
			tkt, err := k.ask(t, m, cred, tgs, answer)
			switch {
			case (tkt == nil) != (err != nil):
				t.Fatal(tkt, err)
			case err == nil && (tkt.key == nil || tkt.expired(time.Now()) || tkt.server.Realm != testRealm):
				t.Fatalf("%+v", tkt)
			case errors.Is(err, io.EOF) && len(b) > 0 && !inside:
				t.Fatal(err)
			}
		}
	})
}

// newFuzzKDC is newFakeKDC with the same key every time: seeds travel between processes.
func newFuzzKDC(f *testing.F) (*fakeKDC, *Mech, *Credential) {
	f.Helper()
	key, err := ikrb5.NewKey(ikrb5.AES128SHA2, make([]byte, 16))
	if err != nil {
		f.Fatal(err)
	}
	k := &fakeKDC{key: key}
	alice := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 1, Components: []string{"alice"}}, Realm: testRealm}
	cred, err := FromClientKeytab(testKeytab(testKey{alice, key, 1, time.Now()}), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { cred.Close() })
	return k, New(Options{Config: &Config{KDCs: map[string][]string{testRealm: {"tcp/kdc"}}}, Dial: k.dial}), cred
}
