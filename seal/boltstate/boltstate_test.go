package boltstate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/seal/boltstate"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
)

func name(who string) gss.Name { return gss.Name{Mech: oid.PKIX, Text: "mail:" + who + "@example.org"} }

// establish stands for a handshake of any mechanism.
func establish(initiator, acceptor string) (i, a gss.Context) {
	ms := make([]byte, 32)
	rand.Read(ms)
	end := func(local, peer string, isInitiator bool) gss.Context {
		sc, err := record.New(record.Params{
			Info: gss.Info{Mech: oid.PKIX, Local: name(local), Peer: name(peer), Initiator: isInitiator, Flags: gss.DefaultFlags},
			MS:   ms, Hash: sha256.New, AEAD: record.AES256GCM,
		})
		if err != nil {
			panic(err)
		}
		return sc
	}
	return end(initiator, acceptor, true), end(acceptor, initiator, false)
}

func testPath(t testing.TB) string { return filepath.Join(t.TempDir(), "seal.db") }

func mustOpen(t testing.TB, path string, o *boltstate.Options) *boltstate.File {
	t.Helper()
	f, err := boltstate.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustClose(t testing.TB, f *boltstate.File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustAdd(t testing.TB, f *boltstate.File, sc seal.Secret) boltstate.ID {
	t.Helper()
	id, err := f.Add(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustSender(t testing.TB, sc seal.Secret) *seal.Sender {
	t.Helper()
	s, err := seal.NewSender(sc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func oneTime(t testing.TB, s *seal.Sender, body string) []byte {
	t.Helper()
	m, err := s.Seal(nil, []byte(body), &seal.Options{OneTime: true})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// want fails unless err has this Major and cause (nil: any).
func want(t testing.TB, what string, err error, m gss.Major, cause error) {
	t.Helper()
	if gss.MajorOf(err) != m || cause != nil && !errors.Is(err, cause) {
		t.Errorf("%s: %v, want %v (%v)", what, err, m, cause)
	}
}

func opens(t testing.TB, f *boltstate.File, m []byte, body string) {
	t.Helper()
	got, err := f.Recipient().Unseal(t.Context(), nil, m, nil)
	if err != nil || string(got.Body) != body {
		t.Errorf("%s: %v", body, err)
	}
}

// What was added, removed, struck and expected is so when the file is opened again.
func TestReopen(t *testing.T) {
	path := testPath(t)
	f := mustOpen(t, path, nil)
	var senders []*seal.Sender
	var ids []boltstate.ID
	for _, who := range []string{"alice", "carol", "dave"} {
		i, a := establish(who, "bob")
		senders = append(senders, mustSender(t, i))
		ids = append(ids, mustAdd(t, f, a))
	}
	m := oneTime(t, senders[0], "once")
	opens(t, f, m, "once")
	if err := f.Remove(t.Context(), ids[1]); err != nil {
		t.Error(err)
	}
	if err := f.Remove(t.Context(), ids[1]); !errors.Is(err, boltstate.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	_, err := f.Recipient().Unseal(t.Context(), nil, oneTime(t, senders[1], ""), nil)
	want(t, "removed", err, gss.BadMIC, nil)
	late := oneTime(t, senders[2], "late")
	mustClose(t, f)
	mustClose(t, f)
	_, err = f.Recipient().Unseal(t.Context(), nil, late, nil)
	want(t, "closed", err, gss.BadMIC, nil)
	_, err = f.Add(t.Context(), mustContext("eve"))
	if err == nil {
		t.Error("added to a closed file")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	for range 2 {
		f = mustOpen(t, path, &boltstate.Options{Recipient: seal.RecipientOptions{ScanRate: 1}}) // too poor to search twice
		cs, err := f.Contexts(t.Context())
		if err != nil || len(cs) != 2 || cs[0].ID != ids[0] || cs[1].ID != ids[2] || cs[0].Peer != name("alice") || cs[0].Local != name("bob") ||
			cs[0].Mech != oid.PKIX || time.Since(cs[0].Established) > time.Minute || cs[0].End.Sub(cs[0].Established) < seal.MaxContext-time.Second {
			t.Fatalf("%+v, %v", cs, err)
		}
		if n := f.Recipient().Len(); n != 2 {
			t.Errorf("%d contexts", n)
		}
		if _, err = f.Recipient().Unseal(t.Context(), nil, make([]byte, 400), nil); err == nil { // what it could spend is spent
			t.Error("garbage opens")
		}
		_, err = f.Recipient().Unseal(t.Context(), nil, m, nil)
		want(t, "no number that is expected", err, gss.Unavailable, seal.ErrBusy)
		for range 5 {
			opens(t, f, oneTime(t, senders[0], "more"), "more")
		}
		mustClose(t, f)
	}
	f = mustOpen(t, path, nil)
	_, err = f.Recipient().Unseal(t.Context(), nil, m, nil)
	want(t, "once more", err, gss.DuplicateToken, strike.ErrSeen)
	opens(t, f, late, "late")
	if id := mustAdd(t, f, mustContext("carol")); slices.Contains(ids, id) {
		t.Errorf("ID %d comes again", id)
	}
}

func mustContext(peer string) gss.Context {
	_, a := establish(peer, "bob")
	return a
}

// The file serves all roles, on any host that has it; whoever seals has a lane of
// his own.
func TestRoles(t *testing.T) {
	aliceBob, bobAlice := establish("alice", "bob")
	aliceCarol, carolAlice := establish("alice", "carol")
	alice, bob, carol := mustOpen(t, testPath(t), nil), mustOpen(t, testPath(t), nil), mustOpen(t, testPath(t), nil)
	mustAdd(t, alice, mustContext("bob")) // an older one
	for f, scs := range map[*boltstate.File][]gss.Context{alice: {aliceBob, aliceCarol}, bob: {bobAlice}, carol: {carolAlice}} {
		for _, sc := range scs {
			mustAdd(t, f, sc)
			sc.Close()
		}
	}
	numbers := map[uint64]bool{}
	for range 20 {
		s, err := alice.Sender(t.Context(), name("bob"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := bob.Recipient().Unseal(t.Context(), nil, oneTime(t, s, "x"), nil)
		if err != nil || numbers[got.N] || got.N>>32 == 0 {
			t.Fatalf("number %x, %v", got.N, err)
		}
		numbers[got.N] = true
		s.Close()
	}
	s, err := alice.Sender(t.Context(), name("bob"))
	if err != nil {
		t.Fatal(err)
	}
	via, err := alice.Sender(t.Context(), name("carol"))
	if err != nil {
		t.Fatal(err)
	}
	grant, err := s.Grant(nil, []byte("granted"), via, nil)
	if err != nil {
		t.Fatal(err)
	}
	relay, err := carol.Relay(t.Context(), name("alice"))
	if err != nil {
		t.Fatal(err)
	}
	held, err := relay.Accept(grant)
	if err != nil {
		t.Fatal(err)
	}
	m, err := held.Present(nil, nil, seal.Channel{Unbound: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := bob.Recipient().Unseal(t.Context(), nil, m, &seal.UnsealOptions{Unbound: true, Require: seal.RelayByKey})
	if err != nil || string(got.Body) != "granted" {
		t.Error(err)
	}
	_, err = bob.Recipient().Unseal(t.Context(), nil, m, &seal.UnsealOptions{Unbound: true})
	want(t, "the proof again", err, gss.DuplicateToken, strike.ErrSeen)
	for _, err := range []error{s.Close(), via.Close(), relay.Close(), held.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	cs, err := alice.Contexts(t.Context())
	if err != nil || len(cs) != 3 {
		t.Fatalf("%v, %v", cs, err)
	}
	for _, c := range slices.Backward(cs) {
		s, err := alice.Sender(t.Context(), c.Peer)
		if err != nil {
			t.Errorf("%s: %v", c.Peer, err)
		} else {
			s.Close()
		}
		if err := alice.Remove(t.Context(), c.ID); err != nil {
			t.Error(err)
		}
	}
	if _, err := alice.Sender(t.Context(), name("bob")); !errors.Is(err, boltstate.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	if _, err := alice.Sender(t.Context(), name("eve")); !errors.Is(err, boltstate.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := alice.Relay(t.Context(), name("eve")); !errors.Is(err, boltstate.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
}

// A copy of the file unseals on another host, or after the file was restored: what
// was sealed before and may have been struck in the original is refused.
func TestRestoredFile(t *testing.T) {
	path := testPath(t)
	alice, bobAlice := establish("alice", "bob")
	s := mustSender(t, alice)
	f := mustOpen(t, path, nil)
	mustAdd(t, f, bobAlice)
	mustClose(t, f)
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f = mustOpen(t, path, nil)
	m := oneTime(t, s, "once")
	opens(t, f, m, "once")
	mustClose(t, f)
	if err := os.WriteFile(path+"2", backup, 0o600); err != nil {
		t.Fatal(err)
	}
	f = mustOpen(t, path+"2", nil)
	_, err = f.Recipient().Unseal(t.Context(), nil, m, nil)
	want(t, "struck after the backup", err, gss.Unavailable, strike.ErrUnsure)
	reusable, err := s.Seal(nil, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, f, reusable, "x")
}

// Once an hour the past is erased in the file, as in the state that was in it.
func TestHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := testPath(t)
		var failed atomic.Int32
		o := &boltstate.Options{Recipient: seal.RecipientOptions{MaxLifetime: time.Hour}, Failed: func(error) { failed.Add(1) }}
		f := mustOpen(t, path, o)
		alice, bobAlice := establish("alice", "bob")
		mustAdd(t, f, bobAlice)
		_, bobShort := establish("short", "bob")
		s, err := seal.NewState(expiring{bobShort, time.Now().Add(10 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.AddState(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		s.Close()
		x := mustSender(t, alice)
		m, err := x.Seal(nil, []byte("body"), &seal.Options{Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		opens(t, f, m, "body")

		before := states(t, path)
		if len(before) != 2 {
			t.Fatalf("%d states", len(before))
		}
		time.Sleep(8*time.Hour + time.Minute)
		synctest.Wait()
		after := states(t, path)
		for id, b := range before {
			s, err := seal.ParseState(b)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Erase(time.Hour) || bytes.Equal(after[id], b) {
				t.Error("nothing was erased")
			}
			// But for the lanes, which follow the keys, it is what Erase leaves.
			erased := s.Append(nil)
			if n := len(erased) - 32 - 1; !bytes.Equal(after[id][:n], erased[:n]) {
				t.Error("the file has another state than Erase leaves")
			}
			s.Close()
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(states(t, path)); n != 1 {
			t.Errorf("%d states, want that which did not expire", n)
		}
		time.Sleep(31 * 24 * time.Hour)
		synctest.Wait()
		if n := len(states(t, path)); n != 0 {
			t.Errorf("%d states after 30 days", n)
		}
		if _, err := f.Sender(t.Context(), name("alice")); !errors.Is(err, boltstate.ErrNotFound) {
			t.Errorf("a sender: %v", err)
		}
		if failed.Load() != 0 {
			t.Error("erasing failed")
		}
		mustClose(t, f)
	})
}

// expiring is a context that ends.
type expiring struct {
	gss.Context
	at time.Time
}

func (e expiring) Info() gss.Info {
	i := e.Context.Info()
	i.Expiry = e.at
	return i
}

// states reads the states from a copy of the file.
func states(t *testing.T, path string) map[uint64][]byte {
	t.Helper()
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(name, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := map[uint64][]byte{}
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("gss seal state 1")).ForEach(func(k, v []byte) error {
			found[binary.BigEndian.Uint64(k)] = bytes.Clone(v)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A file that was opened late, or whose clock stepped back, erases all the same, and
// brings nothing back.
func TestOpenErases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := testPath(t)
		f := mustOpen(t, path, nil)
		mustAdd(t, f, mustContext("alice"))
		mustClose(t, f)
		before := states(t, path)
		time.Sleep(100 * time.Hour)
		f = mustOpen(t, path, nil)
		after := states(t, path)
		if len(after) != 1 || bytes.Equal(before[1], after[1]) {
			t.Error("not erased when it was opened")
		}
		time.Sleep(100*24*time.Hour + time.Minute)
		mustClose(t, f)
		f = mustOpen(t, path, nil)
		if n, m := len(states(t, path)), f.Recipient().Len(); n != 0 || m != 0 {
			t.Errorf("%d states, %d contexts", n, m)
		}
		mustClose(t, f)
	})
}

// Many contexts take several transactions.
func TestMany(t *testing.T) {
	path := testPath(t)
	f := mustOpen(t, path, nil)
	s, err := seal.NewState(mustContext("alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 700
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n / 4 {
				if _, err := f.AddState(t.Context(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, f)
	f = mustOpen(t, path, nil)
	cs, err := f.Contexts(t.Context())
	if err != nil || len(cs) != n || f.Recipient().Len() != n || cs[n-1].ID != n {
		t.Errorf("%d contexts, %d in the Recipient, %v", len(cs), f.Recipient().Len(), err)
	}
}

// Once: the effect and the strike are one.
func TestOnce(t *testing.T) {
	path := testPath(t)
	f := mustOpen(t, path, nil)
	alice, bobAlice := establish("alice", "bob")
	s := mustSender(t, alice)
	mustAdd(t, f, bobAlice)
	put := func(tx *bolt.Tx, m seal.Message) error {
		b, err := tx.CreateBucketIfNotExists([]byte("effects"))
		if err != nil {
			return err
		}
		if b.Get(m.Body) != nil {
			t.Errorf("%s takes effect again", m.Body)
		}
		return b.Put(bytes.Clone(m.Body), []byte{1})
	}
	no := errors.New("no")
	reusable, err := s.Seal(nil, []byte("reusable"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string][]byte{"one-time": oneTime(t, s, "one-time"), "reusable": reusable} {
		err := f.Once(t.Context(), m, nil, func(tx *bolt.Tx, m seal.Message) error { return errors.Join(put(tx, m), no) })
		if !errors.Is(err, no) {
			t.Errorf("%s: %v", what, err)
		}
		func() {
			defer func() {
				if recover() != no {
					t.Error("no panic")
				}
			}()
			f.Once(t.Context(), m, nil, func(tx *bolt.Tx, m seal.Message) error { put(tx, m); panic(no) })
		}()
		if err := f.Once(t.Context(), m, nil, put); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		err = f.Once(t.Context(), m, nil, put)
		want(t, what, err, gss.DuplicateToken, strike.ErrSeen)
		_, err = f.Recipient().Unseal(t.Context(), nil, m, &seal.UnsealOptions{Strike: true})
		want(t, what+", without", err, gss.DuplicateToken, strike.ErrSeen)
	}
	m := oneTime(t, s, "opened")
	opens(t, f, m, "opened")
	err = f.Once(t.Context(), m, nil, put)
	want(t, "opened before", err, gss.DuplicateToken, strike.ErrSeen)

	// What is refused before the strike waits for nobody's transaction.
	m = oneTime(t, s, "busy")
	err = f.Once(t.Context(), m, nil, func(tx *bolt.Tx, got seal.Message) error {
		err := f.Once(t.Context(), make([]byte, 400), nil, put)
		want(t, "garbage", err, gss.BadMIC, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := f.Once(ctx, oneTime(t, s, "waits"), nil, put); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("inside: %v", err)
		}
		return put(tx, got)
	})
	if err != nil {
		t.Error(err)
	}

	// Race for the same messages, with other strikes in between.
	var ms [][]byte
	for i := range 20 {
		ms = append(ms, oneTime(t, s, string(rune('A'+i))))
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, m := range ms {
				err := f.Once(t.Context(), m, nil, put)
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, strike.ErrSeen) {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				opens(t, f, oneTime(t, s, "between"), "between")
			}
		})
	}
	wg.Wait()
	if won.Load() != 20 {
		t.Errorf("%d of 20 took effect", won.Load())
	}
	mustClose(t, f)
	f = mustOpen(t, path, nil)
	for _, m := range ms {
		err := f.Once(t.Context(), m, nil, put)
		want(t, "after reopening", err, gss.DuplicateToken, strike.ErrSeen)
	}
}

func TestRefusedFiles(t *testing.T) {
	path := testPath(t)
	f := mustOpen(t, path, nil)
	mustAdd(t, f, mustContext("alice"))
	if _, err := boltstate.Open(path, &boltstate.Options{Strikes: boltstore.Options{LockTimeout: time.Millisecond}}); !errors.Is(err, boltstore.ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	mustClose(t, f)
	for what, o := range map[string]*boltstate.Options{
		"a store": {Recipient: seal.RecipientOptions{Store: strike.NewMemory(strike.MemoryOptions{})}},
		"sharing": {Strikes: boltstore.Options{Shared: true}},
	} {
		if _, err := boltstate.Open(path, o); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	if runtime.GOOS != "windows" {
		os.Chmod(path, 0o640)
		if _, err := boltstate.Open(path, nil); !errors.Is(err, strike.ErrBroken) {
			t.Errorf("others may read it: %v", err)
		}
		os.Chmod(path, 0o600)
	}
	good := states(t, path)[1]
	for what, put := range map[string]func(*bolt.Bucket) error{
		"a bit": func(b *bolt.Bucket) error {
			bad := bytes.Clone(good)
			bad[200] ^= 1
			return b.Put([]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), bad)
		},
		"half": func(b *bolt.Bucket) error {
			return b.Put([]byte("\x00\x00\x00\x00\x00\x00\x00\x02"), good[:len(good)/2])
		},
		"empty": func(b *bolt.Bucket) error { return b.Put([]byte("\x00\x00\x00\x00\x00\x00\x00\x02"), nil) },
		"key":   func(b *bolt.Bucket) error { return b.Put([]byte("short"), good) },
		"sub-bucket": func(b *bolt.Bucket) error {
			_, err := b.CreateBucket([]byte("\x00\x00\x00\x00\x00\x00\x00\x02"))
			return err
		},
	} {
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx *bolt.Tx) error { return put(tx.Bucket([]byte("gss seal state 1"))) }); err != nil {
			t.Fatal(err)
		}
		db.Close()
		_, err = boltstate.Open(path, nil)
		if !errors.Is(err, boltstore.ErrCorrupt) || !errors.Is(err, strike.ErrBroken) {
			t.Errorf("%s: %v", what, err)
		}
		db, err = bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("gss seal state 1"))
			if b.Bucket([]byte("\x00\x00\x00\x00\x00\x00\x00\x02")) != nil {
				return b.DeleteBucket([]byte("\x00\x00\x00\x00\x00\x00\x00\x02"))
			}
			return errors.Join(b.Delete([]byte("short")), b.Delete([]byte("\x00\x00\x00\x00\x00\x00\x00\x02")), b.Put([]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), good))
		})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		mustClose(t, mustOpen(t, path, nil))
	}
}
