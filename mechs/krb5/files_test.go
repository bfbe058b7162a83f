package krb5

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// sampleCCache has a TGT and a service ticket.
func sampleCCache(t testing.TB) []byte {
	f := newForger(t, ikrb5.AES128SHA1)
	part := f.ticketPart()
	tkt := f.ticket(part)
	return testCCache(f.client,
		&ticket{server: tgtName(testRealm, testRealm), raw: tkt.Append(nil), key: f.session, start: part.AuthTime, end: part.EndTime},
		&ticket{server: f.server, raw: tkt.Append(nil), key: f.session, start: part.AuthTime, end: part.EndTime.Add(time.Minute)},
	)
}

func TestCCache(t *testing.T) {
	good := sampleCCache(t)
	c, err := FromCCache(good)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name() != (gss.Name{Mech: "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02", Text: "alice@TEST.GSS"}) || len(c.shared.tickets) != 2 ||
		time.Until(c.Expiry()).Round(time.Minute) != time.Hour+time.Minute {
		t.Errorf("%v, %v, %v", c.Name(), c.shared.tickets, c.Expiry())
	}
	c.Close()
	// Cut between two credentials it is a cache with fewer; anywhere else, none.
	whole := 0
	for n := range good {
		c, err := FromCCache(good[:n])
		switch {
		case err == nil:
			whole++
			c.Close()
		case gss.MajorOf(err) == gss.NoCred && whole == 0:
			whole++
		case gss.MajorOf(err) != gss.DefectiveCredential:
			t.Errorf("%d of %d octets: %v", n, len(good), err)
		}
	}
	if whole != 2 {
		t.Errorf("%d lengths are whole, not 2", whole)
	}
	for name, bad := range map[string][]byte{
		"nothing":            nil,
		"version 1":          append([]byte{5, 1}, good[2:]...),
		"version 2":          append([]byte{5, 2}, good[2:]...),
		"version 5":          append([]byte{5, 5}, good[2:]...),
		"4 Gi components":    append(slices.Clone(good[:20]), 255, 255, 255, 255),
		"realm of 4 GiB":     append(slices.Clone(good[:24]), 255, 255, 255, 255, 'x'),
		"an octet too many":  append(slices.Clone(good), 0),
		"principal of NUL":   []byte("\x05\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01R\x00\x00\x00\x01\x00"),
		"principal of bytes": []byte("\x05\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01R\x00\x00\x00\x01\xff"),
		"no principal":       []byte("\x05\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01R"),
	} {
		if _, err := FromCCache(bad); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Entries of no use are passed over, wherever they are.
func TestCCacheOthers(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA1)
	part := f.ticketPart()
	tkt := f.ticket(part)
	good := ticket{server: f.server, raw: tkt.Append(nil), key: f.session, start: part.AuthTime, end: part.EndTime}
	referral, setting := good, good
	referral.server.Realm = ""
	setting.server.Realm, setting.raw = "X-CACHECONF:", []byte("yes")
	c, err := FromCCache(testCCache(f.client, &referral, &setting, &good, &referral))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.shared.tickets) != 1 || c.shared.get(f.server.String(), time.Now()) == nil {
		t.Errorf("%v", c.shared.tickets)
	}
	if _, err := FromCCache(testCCache(f.client, &setting)); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("nothing of use: %v", err)
	}
	// MIT does not say whose a service is that it found by referral; the ticket does.
	c, err = FromCCache(testCCache(f.client, &referral))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.shared.get(f.server.String(), time.Now()) == nil {
		t.Errorf("%v", c.shared.tickets)
	}
}

func TestCCacheEnded(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA1)
	tkt := f.ticket(f.ticketPart())
	past := time.Now().Add(-time.Minute)
	b := testCCache(f.client, &ticket{server: f.server, raw: tkt.Append(nil), key: f.session, start: past, end: past})
	if _, err := FromCCache(b); gss.MajorOf(err) != gss.CredentialsExpired {
		t.Errorf("%v", err)
	}
}

func TestKeytab(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA2)
	good := f.keytab()
	rc4 := []byte("\x00\x00\x00\x2a\x00\x01\x00\x01R\x00\x01x\x00\x00\x00\x01\x00\x00\x00\x00\x01\x00\x17\x00\x10")
	rc4 = append(rc4, make([]byte, 46-len(rc4))...)
	hole := append(binary.BigEndian.AppendUint32(nil, uint32(0xffffffff-9)), make([]byte, 10)...)
	for name, tt := range map[string]struct {
		b    []byte
		want gss.Major
	}{
		"as it should be":          {good, 0},
		"a hole, then it":          {slices.Concat(good[:2], hole, good[2:]), 0},
		"and zeros behind":         {append(slices.Clone(good), make([]byte, 64)...), 0},
		"and RC4":                  {slices.Concat(good, rc4), 0},
		"RC4 only":                 {slices.Concat(good[:2], rc4), gss.NoCred},
		"no entry":                 {good[:2], gss.NoCred},
		"nothing":                  {nil, gss.DefectiveCredential},
		"version 1":                {append([]byte{5, 1}, good[2:]...), gss.DefectiveCredential},
		"an entry of 2 GiB":        {append(slices.Clone(good[:2]), 0x7f, 255, 255, 255, 1), gss.DefectiveCredential},
		"a hole of 2 GiB":          {append(slices.Clone(good[:2]), 0x80, 0, 0, 0, 1), gss.DefectiveCredential},
		"an entry of nothing much": {append(slices.Clone(good[:2]), 0, 0, 0, 1, 1), gss.DefectiveCredential},
	} {
		c, err := FromKeytab(tt.b, "")
		if gss.MajorOf(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if k := c.shared.keys.entries; len(k) != 1 || k[0].kvno != 1 || k[0].short || !k[0].principal.Equal(f.server) {
				t.Errorf("%s: %+v", name, k)
			}
			c.Close()
		}
	}
	for n := 3; n < len(good); n++ {
		if _, err := FromKeytab(good[:n], ""); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("%d of %d octets: %v", n, len(good), err)
		}
	}
	for principal, want := range map[string]gss.Major{
		"host/h.test@TEST.GSS": 0, "host/h.test@OTHER": gss.NoCred, "host/H.test@TEST.GSS": gss.NoCred, "host@TEST.GSS": gss.NoCred,
		"host/h.test": gss.BadName, "@": gss.BadName, "a\\": gss.BadName,
	} {
		c, err := FromKeytab(good, principal)
		if gss.MajorOf(err) != want {
			t.Errorf("%s: %v", principal, err)
		}
		if err == nil && c.Name().Text != principal {
			t.Errorf("%v, want %s", c.Name(), principal)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for name, open := range map[string]func(string) (*Credential, error){
		"ccache":        FromCCacheFile,
		"keytab":        func(p string) (*Credential, error) { return FromKeytabFile(p, "") },
		"client keytab": func(p string) (*Credential, error) { return FromClientKeytabFile(p, "") },
	} {
		if _, err := open(filepath.Join(dir, "none")); gss.MajorOf(err) != gss.NoCred {
			t.Errorf("%s that is not there: %v", name, err)
		}
		if _, err := open("FILE:" + dir); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("%s that is a folder: %v", name, err)
		}
		big := filepath.Join(dir, "big")
		if err := os.WriteFile(big, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(big, 1<<30); err != nil {
			t.Fatal(err)
		}
		if _, err := open(big); gss.MajorOf(err) != gss.DefectiveCredential || !strings.Contains(err.Error(), "larger") {
			t.Errorf("%s of a GiB: %v", name, err)
		}
	}
}

func FuzzCCache(f *testing.F) {
	good := sampleCCache(f)
	f.Add(good)
	f.Add(append([]byte{5, 3}, good[16:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := FromCCache(b)
		if err == nil {
			c.Close()
		} else if m := gss.MajorOf(err); m != gss.DefectiveCredential && m != gss.NoCred && m != gss.CredentialsExpired {
			t.Error(err)
		}
	})
}

func FuzzKeytab(f *testing.F) {
	g := newForger(f, ikrb5.AES128SHA2)
	f.Add(g.keytab())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := FromKeytab(b, "")
		if err == nil {
			c.Close()
		} else if m := gss.MajorOf(err); m != gss.DefectiveCredential && m != gss.NoCred {
			t.Error(err)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add(sampleConfig)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseConfig(text); err == nil {
			c.encTypes()
			c.realmOf("a.b.c")
		}
	})
}
