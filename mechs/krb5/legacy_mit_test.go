package krb5_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/strike"
)

// A ticket of a type that is off: refused, unless the mechanism, its configuration and the
// credential allow it; then MIT's initiator and ours understand each other. The old
// tokens' key is the initiator's, so that without a store that vouches none is taken.
func TestMITWeakHandshake(t *testing.T) {
	for _, name := range []string{"arcfour-hmac", "des3-cbc-sha1", "camellia256-cts-cmac"} {
		old := !strings.HasPrefix(name, "camellia")
		r := peers.MITRealm(t, peers.Options{Enctype: name, LibDefaults: []string{"allow_weak_crypto = true", "allow_rc4 = true", "allow_des3 = true"}})
		cc := r.Kinit(t, "user")
		keytab, err := os.ReadFile(r.Keytab)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := krb5.FromKeytab(keytab, ""); !errors.Is(err, gss.NoCred) {
			t.Errorf("%s: FromKeytab: %v", name, err)
		}
		service := mustCred(t)(krb5.FromWeakKeytab(keytab, ""))
		for _, c := range []struct {
			name    string
			o       krb5.Options
			mode    gss.Flags
			refused error
		}{
			{"off", krb5.Options{Replay: oldStore()}, gss.DefaultFlags, gss.Unavailable},
			{"not permitted", krb5.Options{Config: &krb5.Config{EncTypes: []int32{18}}, AllowWeak: true, Replay: oldStore()}, gss.DefaultFlags, gss.Unavailable},
			{"allowed", krb5.Options{AllowWeak: true, Replay: oldStore()}, gss.DefaultFlags, nil},
			{"allowed, listed, one-way", krb5.Options{Config: &krb5.Config{EncTypes: []int32{16, 23, 26}}, AllowWeak: true, Replay: oldStore()}, gss.DefaultFlags &^ gss.Mutual, nil},
			{"nobody vouches", krb5.Options{AllowWeak: true, Replay: unsure{}}, gss.DefaultFlags, map[bool]error{true: gss.Unavailable}[old]},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				served := make(chan error, 1)
				go func() {
					conn, err := l.Accept()
					if err != nil {
						served <- err
						return
					}
					h, err := krb5.New(c.o).Accept(&gss.AcceptOptions{Credentials: []gss.Credential{service}, Require: c.mode})
					if err != nil {
						served <- err
						return
					}
					defer h.Close()
					_, err = sampleServe(t.Context(), conn, h)
					served <- err
				}()
				args := []string{"-mcount", "2", "-seq"}
				if !c.mode.Has(gss.Mutual) {
					args = append(args, "-nomutual")
				}
				out, _ := peers.GSSClient(t, r.Env("KRB5CCNAME=FILE:"+cc), l.Addr().(*net.TCPAddr).Port, append(args, "localhost", "host@localhost", "hello")...)
				err = <-served
				if c.refused != nil {
					if !errors.Is(err, c.refused) || strings.Contains(out, "Signature verified.") {
						t.Errorf("%v\n%s", err, out)
					}
				} else if err != nil || strings.Count(out, "Signature verified.") != 2 {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

type unsure struct{}

// Strike implements strike.Store.
func (unsure) Strike(context.Context, [32]byte, time.Time, time.Time) error { return strike.ErrUnsure }
