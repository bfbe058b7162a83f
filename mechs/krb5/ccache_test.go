package krb5

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "files", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What MIT's kinit and kvno wrote, which klist lists as a setting, a TGT and a ticket.
func TestCCacheOfMIT(t *testing.T) {
	for version, name := range map[uint8]string{3: "mit-3.ccache", 4: "mit-4.ccache"} {
		b := testFile(t, name)
		c, err := parseCCache(b)
		if err != nil {
			t.Fatal(err)
		}
		var servers []string
		for _, cred := range c.creds {
			servers = append(servers, cred.server.String())
		}
		want := []string{`krb5_ccache_conf_data/fast_avail/krbtgt\/TEST.GSS\@TEST.GSS@X-CACHECONF:`, "krbtgt/TEST.GSS@TEST.GSS", "host/localhost@TEST.GSS"}
		if c.version != version || c.client.String() != "alice@TEST.GSS" || !slices.Equal(servers, want) || string(c.creds[0].ticket) != "yes" {
			t.Errorf("%s: %d %v %v", name, c.version, c.client, servers)
		}
		tickets := c.tickets()
		if len(tickets) != 2 || tickets[0].flags&ikrb5.TicketInitial == 0 || tickets[1].end.Sub(tickets[0].auth) != 10*time.Hour || tickets[0].key.EType() != ikrb5.AES128SHA1 || tickets[1].key.EType() != ikrb5.AES256SHA1 {
			t.Errorf("%s: %+v and %+v", name, tickets[0], tickets[1])
		}
		if got := c.append(nil); !bytes.Equal(got, b) {
			t.Errorf("%s: written again it is\n%x, was\n%x", name, got, b)
		}
		c.version = 7 - version
		again, err := parseCCache(c.append(nil))
		if err != nil || !reflect.DeepEqual(again.creds, c.creds) {
			t.Errorf("%s in version %d: %v", name, c.version, err)
		}
	}
}

// What MIT's library wrote: one key was removed, version numbers need more than an
// octet, and all were written in one second.
func TestKeytabOfMIT(t *testing.T) {
	b := testFile(t, "mit.keytab")
	c, err := FromKeytab(b, "host/a.test@TEST.GSS")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	k := c.shared.keys
	if len(k.entries) != 7 { // without the RC4 key
		t.Errorf("%d keys", len(k.entries))
	}
	p := c.shared.principal
	var fills []byte
	for _, key := range k.newest(p) {
		fills = append(fills, key.Bytes()[0])
	}
	if slices.Sort(fills); !bytes.Equal(fills, []byte{4, 5}) {
		t.Errorf("the newest are %v", fills)
	}
	for kvno, want := range map[uint32][]byte{1: {1}, 255: {2}, 256: {3}, 70000: {5}, 70000 & 0xff: nil, 511: nil, 0: nil} {
		var got []byte
		for _, e := range k.candidates(p, &ikrb5.EncryptedData{EType: ikrb5.AES128SHA1, HasKVNO: true, KVNO: kvno}) {
			got = append(got, e.key.Bytes()[0])
		}
		if !bytes.Equal(got, want) {
			t.Errorf("version %d: %v, want %v", kvno, got, want)
		}
	}
	if got := k.candidates(p, &ikrb5.EncryptedData{EType: ikrb5.AES128SHA1}); len(got) != 4 || got[0].kvno != 70000 || got[3].kvno != 1 {
		t.Errorf("any version: %v", got)
	}
	for principal, want := range map[string]gss.Major{
		`http/x\/y\@z@TEST.GSS`: 0, "user@TEST.GSS": 0, "host/gone.test@TEST.GSS": gss.NoCred, "host/b.test@TEST.GSS": gss.NoCred,
	} {
		c, err := FromKeytab(b, principal)
		if gss.MajorOf(err) != want {
			t.Errorf("%s: %v", principal, err)
		}
		if err != nil && !strings.Contains(err.Error(), principal) {
			t.Errorf("%v does not say which of the keytab's", err)
		}
		if err == nil {
			c.Close()
		}
	}
}

func TestOpenCacheNames(t *testing.T) {
	memory := new(MemoryCaches)
	linux := func(s string) string {
		if runtime.GOOS != "linux" {
			return ""
		}
		return s
	}
	for name, want := range map[string]string{ // "": Unavailable
		"/tmp/x": "FILE:/tmp/x", "FILE:/tmp/x": "FILE:/tmp/x", "WRFILE:/tmp/x": "FILE:/tmp/x", "relative": "FILE:relative", "/tmp/a:b": "FILE:/tmp/a:b", "FILE:/a:b": "FILE:/a:b",
		"DIR:/d": "DIR:/d", "DIR::/d/tkt": "DIR::/d/tkt", "DIR::/d/tktABC": "DIR::/d/tktABC", "DIR::/d/x": "", "DIR::tkt": "", "DIR:": "",
		"MEMORY:a": "MEMORY:a", "MEMORY:": "MEMORY:", "KCM:": "KCM:", "KCM:0:1": "KCM:0:1",
		"KEYRING:x": linux("KEYRING:legacy:x"), "KEYRING:session:x": linux("KEYRING:session:x"), "KEYRING:user:x:y": linux("KEYRING:user:x:y"), "KEYRING:persistent:": linux("KEYRING:persistent:"),
		"KEYRING:persistent:0:a:b": linux("KEYRING:persistent:0:a:b"), "KEYRING:legacy:x:x": linux("KEYRING:legacy:x:x"),
		"KEYRING:process:x": "", "KEYRING:thread:x": "", "KEYRING:other:x": "", "KEYRING:user:x:": "",
		"API:x": "", "MSLSA:": "", "nonsense:x": "", "FILE:a\x00b": "", strings.Repeat("x", 5000): "",
	} {
		c, err := OpenCache(name, &CacheOptions{Memory: memory})
		if err != nil && (want != "" || gss.MajorOf(err) != gss.Unavailable) || err == nil && c.String() != want {
			t.Errorf("%q: %v, %v", name, c, err)
		}
	}
	if _, err := OpenCache("MEMORY:a", nil); gss.MajorOf(err) != gss.Unavailable {
		t.Errorf("nowhere in memory: %v", err)
	}
}

// cached returns a cache's contents with a TGT and n tickets, and one ticket more.
func cached(t testing.TB, n int) (*ccache, ccacheCred) {
	f := newForger(t, ikrb5.AES128SHA1)
	part := f.ticketPart()
	c := &ccache{version: 4, client: f.client}
	for i := range n + 2 {
		server := tgtName(testRealm, testRealm)
		if i > 0 {
			server = ikrb5.Principal{Name: ikrb5.PrincipalName{Type: ikrb5.NTSrvHst, Components: []string{"host", fmt.Sprintf("h%d.test", i)}}, Realm: testRealm}
		}
		tkt := f.ticket(part)
		tk := ticket{server: server, raw: tkt.Append(nil), key: f.session, start: part.AuthTime, end: part.EndTime}
		c.creds = append(c.creds, tk.ccacheCred(f.client))
	}
	last := c.creds[n+1]
	c.creds = c.creds[:n+1]
	return c, last
}

func TestMemoryCaches(t *testing.T) {
	memory := new(MemoryCaches)
	open := func(name string) *Cache {
		c, err := OpenCache(name, &CacheOptions{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	data, _ := cached(t, 1)
	cred, err := credentialOf(data)
	if err != nil {
		t.Fatal(err)
	}
	a := open("MEMORY:a")
	if _, err := a.Credential(t.Context()); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("before: %v", err)
	}
	if err := a.Store(t.Context(), cred); err != nil {
		t.Fatal(err)
	}
	b, err := a.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if list, err := a.Collection(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := b.Store(t.Context(), cred); err != nil {
		t.Fatal(err)
	}
	if err := b.Switch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := a.Collection(t.Context()); err != nil || len(list) != 2 || list[0].String() != b.String() || list[1].String() != "MEMORY:a" {
		t.Errorf("%v, %v", list, err)
	}
	if n, err := open("MEMORY:").Principal(t.Context()); err != nil || n != cred.Name() {
		t.Errorf("the primary: %v, %v", n, err)
	}
	if err := b.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := open("MEMORY:").Principal(t.Context()); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("the primary is gone: %v", err)
	}
	if _, err := open("MEMORY:a").Credential(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who may add to a file, and what is left when that fails.
func TestFileCache(t *testing.T) {
	if noFollow == 0 {
		t.Skip("files have no owner and no mode here")
	}
	data, more := cached(t, 1)
	file := func(t *testing.T) *fileCache {
		f := &fileCache{path: filepath.Join(t.TempDir(), "cc")}
		if err := f.replace(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		return f
	}
	size := len(data.append(nil))
	unchanged := func(t *testing.T, f *fileCache, err error, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if b, err := os.ReadFile(f.path); err != nil || len(b) != size {
			t.Errorf("%d octets, %v; there were %d", len(b), err, size)
		}
	}
	t.Run("written", func(t *testing.T) {
		f := file(t)
		if info, err := os.Stat(f.path); err != nil || info.Mode() != 0o600 || info.Size() != int64(size) {
			t.Errorf("%v, %v", info, err)
		}
		if err := f.add(t.Context(), data.client, &more); err != nil {
			t.Fatal(err)
		}
		if err := f.add(t.Context(), data.client, &more); err != nil { // it is there
			t.Fatal(err)
		}
		c, err := f.read(t.Context())
		if err != nil || len(c.creds) != 3 || !reflect.DeepEqual(c.creds[2], more) {
			t.Errorf("%+v, %v", c, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(f.path)); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})
	t.Run("version 3", func(t *testing.T) {
		f := &fileCache{path: filepath.Join(t.TempDir(), "cc")}
		old := *data
		old.version = 3
		if err := f.replace(t.Context(), &old); err != nil {
			t.Fatal(err)
		}
		if err := f.add(t.Context(), data.client, &more); err != nil {
			t.Fatal(err)
		}
		if c, err := f.read(t.Context()); err != nil || c.version != 3 || len(c.creds) != 3 || !reflect.DeepEqual(c.creds[2], more) {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("another client's", func(t *testing.T) {
		f := file(t)
		unchanged(t, f, f.add(t.Context(), tgtName("X", "X"), &more), errOtherClient)
	})
	t.Run("torn", func(t *testing.T) {
		f := file(t)
		if err := os.Truncate(f.path, int64(size-1)); err != nil {
			t.Fatal(err)
		}
		size--
		defer func() { size++ }()
		unchanged(t, f, f.add(t.Context(), data.client, &more), errCCache)
	})
	t.Run("a link", func(t *testing.T) {
		f := file(t)
		link := &fileCache{path: f.path + "-link"}
		if err := os.Symlink(f.path, link.path); err != nil {
			t.Fatal(err)
		}
		if err := link.add(t.Context(), data.client, &more); err == nil {
			t.Error("added through a link")
		}
		unchanged(t, f, nil, nil)
	})
	t.Run("two names", func(t *testing.T) {
		f := file(t)
		if err := os.Link(f.path, f.path+"-link"); err != nil {
			t.Skip(err)
		}
		unchanged(t, f, f.add(t.Context(), data.client, &more), errNotOurs)
	})
	t.Run("others may read it", func(t *testing.T) {
		f := file(t)
		if err := os.Chmod(f.path, 0o640); err != nil {
			t.Fatal(err)
		}
		unchanged(t, f, f.add(t.Context(), data.client, &more), errNotOurs)
	})
	t.Run("locked", func(t *testing.T) {
		f := file(t)
		held, err := os.OpenFile(f.path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		if busy, err := tryLock(held, true); busy || err != nil {
			t.Skipf("no locks here: %v, %v", busy, err)
		}
		if runtime.GOOS != "linux" {
			t.Skip("a process's own locks do not stop it here")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		unchanged(t, f, f.add(ctx, data.client, &more), errLocked)
		if _, err := f.read(ctx); !errors.Is(err, errLocked) {
			t.Errorf("read: %v", err)
		}
		go func() {
			time.Sleep(20 * time.Millisecond)
			held.Close()
		}()
		if err := f.add(t.Context(), data.client, &more); err != nil {
			t.Error(err)
		}
	})
	t.Run("replaced meanwhile", func(t *testing.T) {
		f := file(t)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f.replace(context.Background(), data)
				}
			}
		})
		for range 200 { // there is a whole cache at every moment
			c, err := f.read(t.Context())
			if err != nil || len(c.creds) < 2 {
				t.Errorf("%v, %v", c, err)
			}
			if err := f.add(t.Context(), data.client, &more); err != nil && !errors.Is(err, errNotOurs) {
				t.Error(err)
			}
		}
		close(stop)
		wg.Wait()
	})
	t.Run("by many", func(t *testing.T) {
		many, _ := cached(t, 40)
		f := file(t)
		var wg sync.WaitGroup
		for i := range many.creds[2:] {
			wg.Go(func() {
				if err := f.add(context.Background(), data.client, &many.creds[2+i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if c, err := f.read(t.Context()); err != nil || len(c.creds) != 41 {
			t.Errorf("%v credentials, %v", len(c.creds), err)
		}
	})
}

func TestDirPrimary(t *testing.T) {
	dir := t.TempDir()
	data, _ := cached(t, 0)
	d := &dirCollection{path: dir}
	if err := d.member("tktx").replace(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"tktx\n": "tktx", "tkt\n": "tkt", "tktx": "", "x\n": "", "\n": "", "": "", "tkt/../../x\n": "", "tkt\ntktx\n": "", "tkt\x00\n": "", "../tktx\n": "", "tkt" + strings.Repeat("x", 1000) + "\n": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, "primary"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := d.primary(t.Context())
		if (err == nil) != (want != "") || err == nil && s.(*fileCache).path != filepath.Join(dir, want) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

// kcmAnswers are what Heimdal's daemon answered MIT's programs: operation and octets.
func kcmAnswers(t testing.TB) (out []struct {
	op  int
	raw []byte
}) {
	for line := range strings.Lines(string(testFile(t, "kcm.txt"))) {
		var op int
		var text string
		if _, err := fmt.Sscan(line, &op, &text); err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, struct {
			op  int
			raw []byte
		}{op, raw})
	}
	if len(out) == 0 {
		t.Fatal("no answers")
	}
	return out
}

func TestKCMAnswers(t *testing.T) {
	creds := 0
	for _, a := range kcmAnswers(t) {
		b, err := readKCMReply(bytes.NewReader(a.raw))
		if err != nil {
			var status kcmStatus
			if !errors.As(err, &status) {
				t.Errorf("operation %d: %v", a.op, err)
			}
			continue
		}
		switch a.op {
		case kcmGetPrincipal:
			if p, err := parseCCachePrincipal(b); err != nil || p.String() != "alice@TEST.GSS" {
				t.Errorf("%v, %v", p, err)
			}
		case kcmGetCredUUIDList:
			if ids, err := parseKCMList(b); err != nil || len(ids) != 3 {
				t.Errorf("%v, %v", ids, err)
			}
		case kcmGetCredByUUID:
			c, err := parseCCacheCred(b)
			if err != nil || c.client.String() != "alice@TEST.GSS" || !bytes.Equal(c.append(nil, 4), b) {
				t.Errorf("%v, %v", c.server, err)
			}
			creds++
		case kcmGetDefaultCache, kcmGetCacheByUUID:
			if name, err := parseKCMName(b); err != nil || name != "0" {
				t.Errorf("%q, %v", name, err)
			}
		}
		for n := range a.raw {
			if _, err := readKCMReply(bytes.NewReader(a.raw[:n])); err == nil {
				t.Errorf("operation %d, %d of %d octets", a.op, n, len(a.raw))
			}
		}
	}
	if creds != 3 {
		t.Errorf("%d credentials", creds)
	}
	for n, ok := range map[int]bool{0: true, 15: false, 17: false, 16 * maxKCMCreds: true, 16 * (maxKCMCreds + 1): false} {
		if ids, err := parseKCMList(make([]byte, n)); (err == nil) != ok || ok && len(ids) != n/16 {
			t.Errorf("%d octets of identifiers: %d, %v", n, len(ids), err)
		}
	}
}

// Daemons that claim, stall and lie.
func TestKCMHostile(t *testing.T) {
	u32 := func(n ...uint32) (b []byte) {
		for _, n := range n {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	answer := func(b []byte) []byte { return append(u32(uint32(4+len(b)), 0, 0), b...) }
	data, more := cached(t, 0)
	principal := appendCCachePrincipal(nil, data.client)
	good := data.creds[0].append(nil, 4)
	big := data.creds[0]
	sized := func(n int) []byte {
		big.second = make([]byte, n)
		return big.append(nil, 4)
	}
	for name, tt := range map[string]struct {
		principal, list, cred []byte
		want                  gss.Major
	}{
		"an honest one":           {answer(principal), answer(make([]byte, 16)), answer(good), 0},
		"one that is gone":        {answer(principal), answer(make([]byte, 32)), append(u32(4, 0), u32(0x96c73ac3)...), gss.NoCred},
		"no such cache":           {u32(4, 0, 0x96c73ac3), nil, nil, gss.NoCred},
		"no principal":            {answer(nil), nil, nil, gss.NoCred},
		"4 GiB":                   {u32(0xffffffff, 0, 0), nil, nil, gss.DefectiveCredential},
		"too short":               {u32(3, 0, 0), nil, nil, gss.DefectiveCredential},
		"a principal and more":    {answer(append(slices.Clone(principal), 0)), nil, nil, gss.DefectiveCredential},
		"a principal with NUL":    {answer([]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01R\x00\x00\x00\x01\x00")), nil, nil, gss.DefectiveCredential},
		"half an identifier":      {answer(principal), answer(make([]byte, 15)), nil, gss.DefectiveCredential},
		"100,000 identifiers":     {answer(principal), answer(make([]byte, 1_600_000)), answer(good), gss.DefectiveCredential},
		"a credential and more":   {answer(principal), answer(make([]byte, 16)), answer(append(slices.Clone(good), 0)), gss.DefectiveCredential},
		"half a credential":       {answer(principal), answer(make([]byte, 16)), answer(good[:len(good)/2]), gss.DefectiveCredential},
		"a credential of nothing": {answer(principal), answer(make([]byte, 16)), answer(nil), gss.DefectiveCredential},
		"transport's status":      {u32(4, 5, 0), nil, nil, gss.DefectiveCredential},
		"9 MiB":                   {answer(principal), answer(make([]byte, 16)), answer(sized(9 << 20)), 0},
		"twice 9 MiB":             {answer(principal), answer(make([]byte, 32)), answer(sized(9 << 20)), gss.DefectiveCredential},
		"11 MiB":                  {answer(principal), answer(make([]byte, 16)), answer(sized(11 << 20)), gss.DefectiveCredential},
		"nothing":                 {nil, nil, nil, gss.DefectiveCredential},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Skip(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			defer l.Close()
			wg.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					serveKCM(c, map[uint16][]byte{kcmGetPrincipal: tt.principal, kcmGetCredUUIDList: tt.list, kcmGetCredByUUID: tt.cred, kcmStore: answer(nil)})
				}
			})
			c, err := OpenCache("KCM:x", &CacheOptions{KCMSocket: socket})
			if err != nil {
				t.Fatal(err)
			}
			cred, err := c.Credential(t.Context())
			if gss.MajorOf(err) != tt.want {
				t.Errorf("%v", err)
			}
			if err == nil {
				cred.Close()
			}
			if err := c.one.add(t.Context(), tgtName("X", "X"), &more); err == nil {
				t.Error("a ticket was stored in another's cache")
			}
			if err := c.one.add(t.Context(), data.client, &more); err != nil && tt.want == 0 {
				t.Error(err)
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		c, _ := OpenCache("KCM:", &CacheOptions{KCMSocket: socket})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := c.Credential(ctx); err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// serveKCM answers one connection; nil hangs up.
func serveKCM(c net.Conn, answers map[uint16][]byte) {
	defer c.Close()
	for {
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[:]))-4); err != nil {
			return
		}
		b := answers[binary.BigEndian.Uint16(head[6:])]
		if b == nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func TestKeyringPrimary(t *testing.T) {
	// As MIT writes it: u32 version 1, u32 length, name.
	want, _ := hex.DecodeString("0000000100000003746b74")
	if got := appendKeyringPrimary(nil, "tkt"); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
	if name, err := parseKeyringPrimary(want); err != nil || name != "tkt" {
		t.Errorf("%q, %v", name, err)
	}
	for _, bad := range []string{"", "00000001", "0000000100000004746b74", "0000000100000002746b74", "0000000200000003746b74", "0000000100000000", "00000001ffffffff746b74", "0000000100000003740074"} {
		b, _ := hex.DecodeString(bad)
		if name, err := parseKeyringPrimary(b); !errors.Is(err, errKeyring) {
			t.Errorf("%s: %q, %v", bad, name, err)
		}
	}
}

// CVE-2023-39975: handles on a credential, and handshakes with it, are released in
// every order and twice, and what is still held works.
func TestCVE_2023_39975(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA1)
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		cred := f.credential()
		second := cred.Handle()
		h, err := f.mech.Initiate(mechName(f.server), &gss.InitOptions{Credentials: []gss.Credential{cred}})
		if err != nil {
			t.Fatal(err)
		}
		closers := []io.Closer{cred, second, h}
		for i, n := range order {
			for range 2 {
				if err := closers[n].Close(); err != nil {
					t.Errorf("%v: %v", order, err)
				}
			}
			alive := i < 2
			if (cred.shared.tickets != nil) != alive {
				t.Errorf("%v after %d: erased %v", order, i+1, alive)
			}
			third := second.Handle()
			if slices.Contains(order[:i+1], 1) != (third == nil) {
				t.Errorf("%v after %d: the second handle", order, i+1)
			}
			if third != nil {
				third.Close()
			}
			if left := cred.shared; alive && left.get(mechName(f.server).Text, time.Now()) == nil {
				t.Errorf("%v after %d: no ticket", order, i+1)
			}
			if n != 2 && slices.Contains(order[i+1:], 2) && i == 1 { // the handshake alone is left
				if _, _, err := h.Step(t.Context(), nil); err != nil {
					t.Errorf("%v: %v", order, err)
				}
			}
		}
		if err := f.mech.Renew(t.Context(), cred); gss.MajorOf(err) != gss.NoCred {
			t.Errorf("renewed when it was closed: %v", err)
		}
		if err := f.mech.Login(t.Context(), second); gss.MajorOf(err) != gss.NoCred {
			t.Errorf("logged in when it was closed: %v", err)
		}
	}
}
