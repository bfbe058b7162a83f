package krb5

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
)

// since is a store as it is long after it was made, at first: what would be asked of it for
// the time before is asked for that.
type since struct {
	strike.Store
	first time.Time
}

func (s since) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if from.Before(s.first) {
		from = s.first
	}
	return s.Store.Strike(ctx, key, from, until)
}

// A service that remembers AP-REQs in a file: after a restart a replay is refused as a
// replay, and somebody new is let in at once, without mutual authentication.
func TestReplayRestart(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	config := &Config{DefaultRealm: testRealm}
	path := filepath.Join(t.TempDir(), "replays")
	var first time.Time
	start := func() *boltstore.Store {
		t.Helper()
		s, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f.mech = New(Options{Config: config, Replay: since{s, first}})
		return s
	}
	oneWay := func() []byte { return f.token(f.ticketPart(), f.authenticator(allFlags&^gss.Mutual, nil)) }
	store := start()
	if _, _, err := f.accept(oneWay(), nil); !errors.Is(err, strike.ErrUnsure) {
		t.Errorf("as soon as there is a file: %v", err)
	}
	first = time.Now()
	f.mech = New(Options{Config: config, Replay: since{store, first}})
	tok := oneWay()
	if _, _, err := f.accept(tok, nil); err != nil {
		t.Fatal(err)
	}
	mutual := f.token(f.ticketPart(), f.authenticator(allFlags, nil))
	if _, _, err := f.accept(mutual, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = start()
		for name, tok := range map[string][]byte{"one-way": tok, "mutual": mutual} {
			out, _, err := f.accept(tok, nil)
			refused(t, out, err, gss.DuplicateToken, ikrb5.KRB_AP_ERR_REPEAT)
			if t.Failed() {
				t.Fatal(name)
			}
		}
		if _, _, err := f.accept(oneWay(), nil); err != nil {
			t.Errorf("somebody new: %v", err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.accept(oneWay(), nil); gss.MajorOf(err) != gss.Unavailable {
		t.Errorf("with the file closed: %v", err)
	}
}

// WithReplay changes one thing.
func TestWithReplay(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	m := New(Options{Config: &Config{DefaultRealm: testRealm, EncTypes: []int32{19}}, Initiator: f.service.Source(), Acceptor: f.service.Source(),
		Services: []string{"a/b@C"}, ActForUsers: true, Replay: broken{strike.ErrSeen}})
	n := m.WithReplay(vouching{})
	a, b := reflect.ValueOf(m).Elem(), reflect.ValueOf(n).Elem()
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if a.Field(i).IsZero() && name != "last" {
			t.Errorf("%s is not set here", name)
		}
		if name != "replay" && name != "last" && b.Field(i).IsZero() {
			t.Errorf("%s is lost", name)
		}
	}
	if !reflect.DeepEqual(m.config, n.config) || n.replay != strike.Store(vouching{}) {
		t.Errorf("%+v", n)
	}
}
