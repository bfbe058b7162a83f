package rpcsecgss

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/strike"
)

// counted counts the messages that a client sends, and notes the calls that are no control
// messages.
type counted struct {
	net.Conn
	sent *atomic.Int64
	data chan [2]uint32 // xid, sequence number
}

func (c counted) Write(b []byte) (int, error) {
	c.sent.Add(1) // a record is written at once
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	if u32(28) == flavorGSS && u32(40) == procData {
		c.data <- [2]uint32{u32(4), u32(44)}
	}
	return c.Conn.Write(b)
}

// A server that restarts has forgotten every context. Over reauth its clients are back
// with one INIT, or two without a store that can vouch, and nobody asks the KDC; if the
// ring is lost, too, by the mechanism beneath. Callers do not notice.
func TestReauth(t *testing.T) {
	realm := kdctest.New(t)
	realm.AddUser("alice", "secret")
	realm.AddService("rpc/localhost")
	dir := t.TempDir()
	conf, cc := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "cc")
	realm.WriteConf(conf)
	realm.WriteCCache(cc, "alice", "rpc/localhost")
	config, err := krb5.LoadConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	keytab, err := realm.Keytab("rpc/localhost")
	if err != nil {
		t.Fatal(err)
	}
	service1, err := krb5.FromKeytab(keytab, "")
	if err != nil {
		t.Fatal(err)
	}
	ca := pkixtest.NewCA("root")
	for _, inner := range []struct {
		name           string
		client, server gss.Mechanism
		accept         gss.AcceptOptions
		inits          int64 // messages of the handshake in full
	}{
		{"krb5", krb5.New(krb5.Options{Config: config, Initiator: krb5.FileSource(cc, krb5.FromCCacheFile)}), krb5.New(krb5.Options{Config: config}),
			gss.AcceptOptions{Credentials: []gss.Credential{service1}}, 1},
		{"pkix", certMech(t, ca, pkixtest.Template{Emails: []string{"alice@example.org"}}, pkix.X25519),
			certMech(t, ca, pkixtest.Template{DNS: []string{"localhost"}}, pkix.X25519), gss.AcceptOptions{}, 2},
	} {
		for _, store := range []strike.Store{nil, strike.NewMemory(strike.MemoryOptions{})} {
			for _, version := range []uint32{1, 3} {
				t.Run(fmt.Sprint(inner.name, "/store ", store != nil, "/v", version), func(t *testing.T) {
					ring := reauth.NewRing()
					accept := func(r *reauth.Ring) func() (gss.Handshake, error) {
						m := reauth.New(inner.server, reauth.Options{Ring: r, Store: store}) // which knows nobody
						return func() (gss.Handshake, error) { return m.Accept(&inner.accept) }
					}
					var resumed, executed atomic.Int64
					s := newRestarts(t, ServerOptions{Accept: accept(ring)}, func(_ context.Context, c *Call) ([]byte, error) {
						executed.Add(1)
						if _, ok := c.Context.(*reauth.Context); ok {
							resumed.Add(1)
						}
						var e Encoder
						e.String(c.Info.Peer.Text)
						return e.Bytes(), nil
					})
					var sent atomic.Int64
					data := make(chan [2]uint32, 100)
					c := NewClient(nil, testProg, testVers, ClientOptions{Mech: reauth.New(inner.client, reauth.Options{}), Target: service,
						MinVersion: version, MaxVersion: version, Dial: func(ctx context.Context) (net.Conn, error) {
							conn, err := s.dial(ctx)
							return counted{conn, &sent, data}, err
						}})
					defer c.Close()
					var name []byte
					call := func(what string, resumes bool, inits int64) {
						t.Helper()
						resumed.Store(0)
						sent.Store(0)
						got, err := c.Call(within(t), procEcho, text("x"))
						if err != nil || name != nil && !bytes.Equal(got, name) {
							t.Fatalf("%s: %q, %v", what, got, err)
						}
						name = got
						if (resumed.Load() == 1) != resumes {
							t.Errorf("%s: resumed %v", what, !resumes)
						}
						if n := sent.Load() - 1; n != inits {
							t.Errorf("%s: %d messages make a context, want %d", what, n, inits)
						}
					}
					again := int64(2)
					if store != nil {
						again = 1
					}
					call("first", false, inner.inits)
					as, tgs := realm.Requests()
					for range 3 {
						restart := c.line.dead
						s.stop()
						<-restart                 // it knows, or would write another message
						s.o.Accept = accept(ring) // a new process that has the ring
						s.start()
						call("restart", true, again)
					}
					s.s.DropContexts()
					resumed.Store(0)
					sent.Store(0)
					first := present(c)
					for len(data) > 0 {
						<-data
					}
					if _, err := c.Call(within(t), procEcho, text("x")); err != nil || resumed.Load() != 1 {
						t.Errorf("contexts are lost: %v, resumed %d", err, resumed.Load())
					}
					if n := sent.Load(); n != 1+1+again+1 || present(c) == first { // denied; destroyed; made; the call
						t.Errorf("%d messages", n)
					}
					if len(data) != 2 {
						t.Fatalf("the call was sent %d times", len(data))
					}
					if denied, repeated := <-data, <-data; denied[0] != repeated[0] || denied[1] == repeated[1] {
						t.Errorf("xid and number %d, then %d", denied, repeated)
					}
					if as2, tgs2 := realm.Requests(); as2 != as || tgs2 != tgs {
						t.Errorf("the KDC was asked %d times", as2+tgs2-as-tgs)
					}
					restart := c.line.dead
					s.stop()
					<-restart
					s.o.Accept = accept(reauth.NewRing())
					s.start()
					call("the ring is lost", false, 1+inner.inits)
					if executed.Load() != 6 {
						t.Errorf("executed %d", executed.Load())
					}
				})
			}
		}
	}
}
