package krb5

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A Source of a cache that nobody has touched says so when its last ticket has ended:
// somebody else may have something to fall back on.
func TestSourceEnded(t *testing.T) {
	data, _ := cached(t, 0)
	dir, memory := t.TempDir(), new(MemoryCaches)
	for _, name := range []string{"FILE:" + filepath.Join(dir, "cc"), "MEMORY:a", "FileSource"} {
		path := filepath.Join(dir, "other")
		var source Source
		if name == "FileSource" {
			if err := (&fileCache{path: path}).replace(t.Context(), data); err != nil {
				t.Fatal(err)
			}
			source = FileSource(path, FromCCacheFile)
		} else {
			c, err := OpenCache(name, &CacheOptions{Memory: memory})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.one.replace(t.Context(), data); err != nil {
				t.Fatal(err)
			}
			source = c.Source()
		}
		cred, err := source(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer cred.Close()
		again, err := source(t.Context())
		if err != nil || again.shared != cred.shared {
			t.Errorf("%s: read again: %v", name, err)
		}
		again.Close()
		cred.shared.mu.Lock() // as an hour later
		cred.shared.expiry = time.Now().Add(-time.Second)
		cred.shared.mu.Unlock()
		if later, err := source(t.Context()); err != nil || later.shared == cred.shared {
			t.Errorf("%s: the same credential, %v", name, err)
		} else {
			later.Close()
		}
	}
}

// OwnFile is about folders too: who owns the folder decides which caches are in it.
func TestOwnFolder(t *testing.T) {
	if noFollow == 0 {
		t.Skip("folders have no owner and no mode here")
	}
	data, _ := cached(t, 0)
	top := t.TempDir()
	for name, tt := range map[string]struct {
		prepare func(dir string) error
		ok      bool
	}{
		"not there": {func(string) error { return nil }, true},
		"ours":      {func(dir string) error { return os.Mkdir(dir, 0o700) }, true},
		"everybody's": {func(dir string) error {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chmod(dir, 0o777)
		}, false},
		"a link": {func(dir string) error {
			if err := os.Mkdir(dir+"-target", 0o700); err != nil {
				return err
			}
			return os.Symlink(dir+"-target", dir)
		}, false},
		"another's": {func(dir string) error {
			if os.Getuid() != 0 {
				return os.Symlink(top, dir) // only root can give one away
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chown(dir, 65534, 65534)
		}, false},
		"a file": {func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, false},
	} {
		dir := filepath.Join(top, name)
		if err := tt.prepare(dir); err != nil {
			t.Fatal(name, err)
		}
		c, err := OpenCache("DIR:"+dir, &CacheOptions{OwnFile: true})
		if err != nil {
			t.Fatal(err)
		}
		cred, err := credentialOf(data)
		if err != nil {
			t.Fatal(err)
		}
		defer cred.Close()
		if err := c.Store(t.Context(), cred); (err == nil) != tt.ok {
			t.Errorf("%s: store: %v", name, err)
		}
		if _, err := c.New(t.Context()); (err == nil) != tt.ok {
			t.Errorf("%s: new: %v", name, err)
		}
		// Whoever put it there, the folder decides.
		(&fileCache{path: filepath.Join(dir, "tkt")}).replace(t.Context(), data)
		_, err = c.Principal(t.Context())
		if (err == nil) != tt.ok || err != nil && gss.MajorOf(err) != gss.NoCred {
			t.Errorf("%s: read: %v", name, err)
		}
		if _, err := c.Collection(t.Context()); (err == nil) != tt.ok {
			t.Errorf("%s: list: %v", name, err)
		}
	}
	// And each file in it.
	dir := filepath.Join(top, "ours")
	if err := os.Rename(filepath.Join(dir, "tkt"), filepath.Join(top, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(top, "elsewhere"), filepath.Join(dir, "tkt")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"DIR:" + dir, "DIR::" + dir + "/tkt"} {
		c, err := OpenCache(name, &CacheOptions{OwnFile: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Principal(t.Context()); gss.MajorOf(err) != gss.NoCred {
			t.Errorf("%s, a link: %v", name, err)
		}
	}
}

// A host's name of nothing but dots does not take a minute to find out that there is
// no such domain.
func TestHostOfDots(t *testing.T) {
	c := &Config{DefaultRealm: "R", Domains: make(map[string]string)}
	for i := range 100 { // more than are compared one by one
		c.Domains[fmt.Sprintf("d%d.test", i)] = "A"
	}
	for _, host := range []string{strings.Repeat(".", 1<<19), strings.Repeat("x.", 1<<19), strings.Repeat("x.", 1<<19) + "x:1"} {
		start := time.Now()
		_, err := c.principal(gss.Service("host", host), "")
		if gss.MajorOf(err) != gss.BadName || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	}
}

// What comes for a credential that was closed meanwhile is dropped.
func TestKeepAfterClose(t *testing.T) {
	data, _ := cached(t, 0)
	cred, err := credentialOf(data)
	if err != nil {
		t.Fatal(err)
	}
	late := cred.shared.get(cred.shared.home().String(), time.Now())
	cred.Close()
	cred.Close()
	cred.shared.put(late)
	cred.shared.alias("x", late)
	cred.shared.replaceTGT(context.Background(), late)
	if cred.shared.tickets != nil || cred.shared.get(late.server.String(), time.Time{}) != nil || cred.Handle() != nil {
		t.Error("kept")
	}
	m := New(Options{Config: &Config{DefaultRealm: testRealm}})
	if err := m.Login(t.Context(), cred); gss.MajorOf(err) != gss.NoCred {
		t.Error(err)
	}
	if err := m.Renew(t.Context(), cred); gss.MajorOf(err) != gss.NoCred {
		t.Error(err)
	}
	if _, err := m.Impersonate(t.Context(), cred, mechName(ikrb5.Principal{Name: ikrb5.PrincipalName{Components: []string{"u"}}, Realm: testRealm})); gss.MajorOf(err) != gss.NoCred {
		t.Error(err)
	}
	c, _ := OpenCache("MEMORY:x", &CacheOptions{Memory: new(MemoryCaches)})
	if err := c.Store(t.Context(), cred); gss.MajorOf(err) != gss.NoCred {
		t.Error(err)
	}
}

// A daemon that accepts and says nothing: everybody waits for as long as he wants to,
// and not for those before him.
func TestSilentKCM(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "kcm"))
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	c, err := OpenCache("KCM:a", &CacheOptions{KCMSocket: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	source := c.Source()
	patient, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := source(patient)
		first <- err
	}()
	conn, err := l.Accept() // he is the first
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*20*time.Millisecond)
			defer cancel()
			if _, err := source(ctx); !errors.Is(err, context.DeadlineExceeded) || gss.MajorOf(err) != gss.DefectiveCredential {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("the last one waited for %v", d)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one: %v", err)
	}
}

// What others put into a cache is not used as its owner's, and a file that is somebody
// else's, or was put aside, or is full, is left alone.
func TestCacheOfMany(t *testing.T) {
	data, more := cached(t, 2)
	other := *data
	other.creds = append([]ccacheCred(nil), data.creds...)
	other.creds[1].skey = 1 // for user-to-user authentication: its ticket is under another key
	other.creds[2].client = tgtName("X", "X")
	if tickets := other.tickets(); len(tickets) != 1 || !tickets[0].server.Equal(data.creds[0].server) {
		t.Errorf("%d tickets", len(tickets))
	}
	if noFollow == 0 {
		return
	}
	dir := t.TempDir()
	f := &fileCache{path: filepath.Join(dir, "cc"), own: true}
	if err := f.replace(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	if _, err := f.read(t.Context()); err != nil {
		t.Error(err)
	}

	held, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if busy, err := tryLock(held, true); runtime.GOOS == "linux" && !busy && err == nil {
		added := make(chan error)
		go func() { added <- f.add(context.Background(), data.client, &more) }()
		time.Sleep(20 * time.Millisecond) // he has opened it and waits
		aside := filepath.Join(dir, "aside")
		if err := os.Rename(f.path, aside); err != nil {
			t.Fatal(err)
		}
		if err := f.replace(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		held.Close()
		if err := <-added; !errors.Is(err, errNotOurs) {
			t.Errorf("put aside: %v", err)
		}
	}

	full := *data
	full.creds = append([]ccacheCred(nil), data.creds...)
	full.creds[2].second = make([]byte, maxCCacheSize-len(data.append(nil))-100)
	if err := f.replace(t.Context(), &full); err != nil {
		t.Fatal(err)
	}
	if err := f.add(t.Context(), data.client, &more); err == nil {
		t.Error("added to a full one")
	}
	if c, err := f.read(t.Context()); err != nil || len(c.creds) != 3 {
		t.Error(err)
	}

	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(f.path, 65534, 65534); err != nil {
		t.Skip(err)
	}
	if _, err := f.read(t.Context()); !errors.Is(err, errNoCache) {
		t.Errorf("another's: %v", err)
	}
}

// A renewed TGT takes the place of the old one and of nothing else.
func TestRenewedPlace(t *testing.T) {
	data, _ := cached(t, 0)
	cred, err := credentialOf(data)
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	s := cred.shared
	old := s.get(s.home().String(), time.Now())
	renewed := *old
	renewed.raw = append([]byte(nil), old.raw...)
	renewed.end = old.end.Add(time.Hour)

	second, foreign := data.creds[0], data.creds[0]
	second.skey = 1
	foreign.client = tgtName("X", "X")
	data.creds = []ccacheCred{second, foreign, data.creds[0]}
	memory := &memoryCache{new(MemoryCaches), "a"}
	s.cache = memory
	if err := memory.replace(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	s.replaceTGT(t.Context(), &renewed)
	c, err := memory.read(t.Context())
	if err != nil || len(c.creds) != 3 {
		t.Fatal(c, err)
	}
	for i, want := range []time.Time{old.end, old.end, renewed.end} {
		if got := ccacheTime(c.creds[i].end); !got.Equal(want) || c.creds[i].skey != data.creds[i].skey || !c.creds[i].client.Equal(data.creds[i].client) {
			t.Errorf("%d: ends %v, not %v", i, got, want)
		}
	}

	// Somebody else has logged in there meanwhile.
	other := *data
	other.client = foreign.client
	if err := memory.replace(t.Context(), &other); err != nil {
		t.Fatal(err)
	}
	s.replaceTGT(t.Context(), &renewed)
	if c, err := memory.read(t.Context()); err != nil || len(c.creds) != 3 || !c.client.Equal(other.client) || !ccacheTime(c.creds[1].end).Equal(old.end) || !ccacheTime(c.creds[2].end).Equal(old.end) {
		t.Errorf("%+v, %v", c, err)
	}
}
