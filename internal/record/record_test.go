package record

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// pair returns the two ends of a context.
func pair(t testing.TB, change func(*Params)) (i, a *Context) {
	t.Helper()
	var c [2]*Context
	for n := range c {
		p := Params{
			Info: gss.Info{Mech: oid.PKIX, Initiator: n == 0, Flags: testFlags},
			MS:   bytes.Repeat([]byte{7}, 32), Hash: sha512.New384, AEAD: AES256GCM,
		}
		if change != nil {
			change(&p)
		}
		var err error
		if c[n], err = New(p); err != nil {
			t.Fatal(err)
		}
	}
	return c[0], c[1]
}

func major(t *testing.T, what string, err error, want gss.Major) {
	t.Helper()
	var e *gss.Error
	if !errors.As(err, &e) || e.Major != want || e.Mech != oid.PKIX || e.Op == "" {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// kinds are the ways to protect and check a message.
var kinds = []struct {
	name    string
	protect func(c *Context, msg []byte) ([]byte, error)
	check   func(c *Context, tok, msg []byte) ([]byte, error)
}{
	{"confidential",
		func(c *Context, msg []byte) ([]byte, error) { return c.Wrap(nil, msg, gss.Confidential) }, unwrapped},
	{"integrity only",
		func(c *Context, msg []byte) ([]byte, error) { return c.Wrap(nil, msg, gss.IntegrityOnly) }, unwrapped},
	{"MIC",
		func(c *Context, msg []byte) ([]byte, error) { return c.MIC(nil, msg) },
		func(c *Context, tok, msg []byte) ([]byte, error) { return msg, c.VerifyMIC(msg, tok) }},
}

func unwrapped(c *Context, tok, _ []byte) ([]byte, error) {
	got, _, err := c.Unwrap(nil, tok)
	return got, err
}

var variants = map[string]func(*Params){
	"aes256gcm-sha384": nil,
	"chacha20poly1305-sha256": func(p *Params) {
		p.AEAD, p.Hash, p.MS = ChaCha20Poly1305, sha256.New, bytes.Repeat([]byte{9}, 32)
	},
	"oneway": func(p *Params) {
		p.OneWay, p.Hash, p.MS = true, sha256.New, bytes.Repeat([]byte{9}, 32)
	},
}

// Nothing but the token itself passes, in either direction, and what failed does
// not hinder the genuine token.
func TestTampering(t *testing.T) {
	msg := []byte("a message")
	for name, change := range variants {
		for _, k := range kinds {
			for _, fromInitiator := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/initiator %v", name, k.name, fromInitiator), func(t *testing.T) {
					i, a := pair(t, change)
					from, to := i, a
					if !fromInitiator {
						from, to = a, i
					}
					tok, err := k.protect(from, msg)
					if err != nil {
						t.Fatal(err)
					}
					refused := func(what string, tok []byte) {
						t.Helper()
						got, err := k.check(to, tok, msg)
						if m := gss.MajorOf(err); m != gss.BadMIC && m != gss.DefectiveToken {
							t.Errorf("%s: %q, %v", what, got, err)
						}
					}
					for n := range len(tok) * 8 {
						bad := bytes.Clone(tok)
						bad[n/8] ^= 1 << (n % 8)
						refused(fmt.Sprint("bit ", n), bad)
					}
					for n := range tok {
						refused(fmt.Sprint("cut to ", n), tok[:n])
					}
					refused("longer", append(bytes.Clone(tok), 0))
					for typ := range 256 {
						if byte(typ) != tok[0] {
							bad := bytes.Clone(tok)
							bad[0] = byte(typ)
							refused(fmt.Sprint("type ", typ), bad)
						}
					}
					if k.name == "MIC" {
						for n := range len(msg) * 8 {
							bad := bytes.Clone(msg)
							bad[n/8] ^= 1 << (n % 8)
							major(t, "another message", to.VerifyMIC(bad, tok), gss.BadMIC)
						}
						if _, _, err := to.Unwrap(nil, tok); gss.MajorOf(err) != gss.DefectiveToken {
							t.Error("Unwrap of a MIC:", err)
						}
					} else if err := to.VerifyMIC(msg, tok); gss.MajorOf(err) != gss.DefectiveToken {
						t.Error("VerifyMIC of a Wrap token:", err)
					}
					if _, err := k.check(from, tok, msg); err == nil {
						t.Error("reflected")
					}
					if got, err := k.check(to, tok, msg); err != nil || !bytes.Equal(got, msg) {
						t.Errorf("the genuine token after all this: %q, %v", got, err)
					}
					_, err = k.check(to, tok, msg)
					major(t, "again", err, gss.DuplicateToken)
				})
			}
		}
	}
}

func TestAssociatedData(t *testing.T) {
	i, a := pair(t, nil)
	for _, l := range []gss.Level{gss.Confidential, gss.IntegrityOnly} {
		tok, err := i.WrapAEAD(nil, []byte("bcd"), []byte("a"), l)
		if err != nil {
			t.Fatal(err)
		}
		for _, ad := range []string{"", "b", "ab", "a\x00"} {
			_, _, err := a.UnwrapAEAD(nil, tok, []byte(ad))
			major(t, fmt.Sprintf("ad %q", ad), err, gss.BadMIC)
		}
		_, _, err = a.Unwrap(nil, tok)
		major(t, "without ad", err, gss.BadMIC)
		if got, level, err := a.UnwrapAEAD(nil, tok, []byte("a")); err != nil || string(got) != "bcd" || level != l {
			t.Errorf("%q, %v, %v", got, level, err)
		}
	}
}

// On an error dst is as it was, and nothing of the message is behind it.
func TestDst(t *testing.T) {
	i, a := pair(t, nil)
	msg := bytes.Repeat([]byte("secret! "), 100)
	for _, l := range []gss.Level{gss.Confidential, gss.IntegrityOnly} {
		buf := make([]byte, 0, 4096)
		tok, err := i.Wrap(append(buf, "head"...), msg, l)
		if err != nil || !bytes.HasPrefix(tok, []byte("head")) || &tok[0] != &buf[:1][0] {
			t.Fatal("Wrap did not append in place:", err)
		}
		tok = bytes.Clone(tok[4:])
		check := func(what string, tok []byte, want gss.Major) {
			t.Helper()
			dst := append(make([]byte, 0, 4096), "head"...)
			got, _, err := a.Unwrap(dst, tok)
			major(t, what, err, want)
			if string(got) != "head" || bytes.Contains(got[:cap(got)], []byte("secret")) {
				t.Errorf("%s: dst %q", what, got)
			}
		}
		bad := bytes.Clone(tok)
		bad[len(bad)-1] ^= 1
		check("forged", bad, gss.BadMIC)
		got, _, err := a.Unwrap([]byte("head"), tok)
		if err != nil || string(got) != "head"+string(msg) {
			t.Fatal(err)
		}
		check("duplicate", tok, gss.DuplicateToken)
	}
	i.Wrap(nil, msg, 0)
	late, _ := i.Wrap(nil, msg, 0)
	dst := append(make([]byte, 0, 4096), "head"...)
	got, _, err := a.Unwrap(dst, late)
	major(t, "gap", err, gss.GapToken)
	if string(got) != "head" || bytes.Contains(got[:cap(got)], []byte("secret")) {
		t.Error("plaintext behind a gap")
	}
	for _, l := range []gss.Level{7} {
		got, err := i.Wrap(dst, msg, l)
		major(t, "level", err, gss.BadQOP)
		if string(got) != "head" {
			t.Error("dst changed")
		}
	}
}

func TestSequenceStates(t *testing.T) {
	for _, tt := range []struct {
		flags gss.Flags
		want  []gss.Major // for the arrival of tokens 0 2 1 1
	}{
		{testFlags, []gss.Major{0, gss.GapToken, gss.UnseqToken, gss.DuplicateToken}},
		{testFlags &^ gss.Sequence, []gss.Major{0, 0, 0, gss.DuplicateToken}},
		{testFlags &^ gss.Replay, []gss.Major{0, gss.GapToken, gss.UnseqToken, gss.DuplicateToken}},
		{testFlags &^ (gss.Sequence | gss.Replay), []gss.Major{0, 0, 0, 0}},
	} {
		i, a := pair(t, func(p *Params) { p.Info.Flags = tt.flags })
		// One sequence for all kinds.
		t0, _ := i.Wrap(nil, []byte("0"), gss.Confidential)
		t1, _ := i.MIC(nil, []byte("1"))
		t2, _ := i.Wrap(nil, []byte("2"), gss.IntegrityOnly)
		arrivals := []func() error{
			func() error { _, _, err := a.Unwrap(nil, t0); return err },
			func() error { _, _, err := a.Unwrap(nil, t2); return err },
			func() error { return a.VerifyMIC([]byte("1"), t1) },
			func() error { return a.VerifyMIC([]byte("1"), t1) },
		}
		for n, f := range arrivals {
			if err := f(); gss.MajorOf(err) != tt.want[n] {
				t.Errorf("%v: arrival %d: %v, want %v", tt.flags, n, err, tt.want[n])
			}
		}
	}
}

func TestFlagsLimitLevels(t *testing.T) {
	i, _ := pair(t, func(p *Params) { p.Info.Flags &^= gss.Conf })
	_, err := i.Wrap(nil, nil, gss.Confidential)
	major(t, "confidential without Conf", err, gss.Unavailable)
	if _, err := i.Wrap(nil, nil, gss.IntegrityOnly); err != nil {
		t.Error(err)
	}
	i, _ = pair(t, func(p *Params) { p.Info.Flags &^= gss.Integ })
	_, err = i.MIC(nil, nil)
	major(t, "MIC without Integ", err, gss.Unavailable)
	_, err = i.Wrap(nil, nil, gss.IntegrityOnly)
	major(t, "integrity only without Integ", err, gss.Unavailable)
}

func TestNumbersEnd(t *testing.T) {
	i, a := pair(t, func(p *Params) { p.Info.Flags &^= gss.Sequence })
	i.seq.Store(maxSeq - 1)
	tok, err := i.Wrap(nil, []byte("last"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Unwrap(nil, tok); err != nil {
		t.Error("the last token:", err)
	}
	for range 3 {
		_, err = i.Wrap(nil, nil, 0)
		major(t, "past the end", err, gss.ContextExpired)
		_, err = i.MIC(nil, nil)
		major(t, "past the end", err, gss.ContextExpired)
	}
	// What a peer would send who did not stop, correctly protected.
	seq := uint64(maxSeq)
	s := new(scratch)
	bad := appendHeader(nil, i.out, typeConfidential, seq)
	k, err := i.sealerOf(i.out)
	if err != nil {
		t.Fatal(err)
	}
	s.begin(i.out, bad, nil)
	s.number(&k.iv, seq)
	bad = k.aead.Seal(bad, s.nonce[:], nil, s.buf)
	_, _, err = a.Unwrap(nil, bad)
	major(t, "2^48 arrives", err, gss.DefectiveToken)
}

func TestPRF(t *testing.T) {
	i, a := pair(t, func(p *Params) { p.PartialKey = []byte("partial key") })
	for _, k := range []gss.PRFKey{gss.PRFFull, gss.PRFPartial} {
		x, err := i.PRF(k, []byte("in"), 100)
		y, err2 := a.PRF(k, []byte("in"), 100)
		if err != nil || err2 != nil || !bytes.Equal(x, y) || len(x) != 100 || bytes.Equal(x, make([]byte, 100)) {
			t.Error(k, err, err2)
		}
		if short, _ := i.PRF(k, []byte("in"), 50); !bytes.Equal(short, x[:50]) {
			t.Error("not a prefix")
		}
		if b, err := i.PRF(k, make([]byte, gss.MaxPRF), gss.MaxPRF); err != nil || len(b) != gss.MaxPRF {
			t.Error("largest:", err)
		}
	}
	full, _ := i.PRF(gss.PRFFull, nil, 32)
	partial, _ := i.PRF(gss.PRFPartial, nil, 32)
	if bytes.Equal(full, partial) {
		t.Error("FULL and PARTIAL agree")
	}
	_, err := i.PRF(gss.PRFFull, make([]byte, gss.MaxPRF+1), 1)
	major(t, "input too long", err, gss.Failure)
	_, err = i.PRF(gss.PRFFull, nil, gss.MaxPRF+1)
	major(t, "output too long", err, gss.Failure)
	_, err = i.PRF(gss.PRFFull, nil, -1)
	major(t, "negative", err, gss.Failure)
	_, err = i.PRF(2, nil, 1)
	major(t, "unknown key", err, gss.Unavailable)
}

// everyCall fails with want.
func everyCall(t *testing.T, c *Context, want gss.Major) {
	t.Helper()
	_, err := c.Wrap(nil, nil, 0)
	major(t, "Wrap", err, want)
	_, _, err = c.Unwrap(nil, nil)
	major(t, "Unwrap", err, want)
	_, err = c.WrapAEAD(nil, nil, nil, 0)
	major(t, "WrapAEAD", err, want)
	_, _, err = c.UnwrapAEAD(nil, nil, nil)
	major(t, "UnwrapAEAD", err, want)
	_, err = c.MIC(nil, nil)
	major(t, "MIC", err, want)
	major(t, "VerifyMIC", c.VerifyMIC(nil, nil), want)
	_, err = c.PRF(gss.PRFFull, nil, 1)
	major(t, "PRF", err, want)
}

func TestClose(t *testing.T) {
	i, _ := pair(t, func(p *Params) { p.PartialKey = []byte("partial") })
	keys := [][]byte{i.ms[:], i.partial}
	for range 2 {
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	everyCall(t, i, gss.NoContext)
	for n, k := range keys {
		if !bytes.Equal(k, make([]byte, len(k))) {
			t.Errorf("key %d is not erased", n)
		}
	}
	if i.Claim("x") {
		t.Error("Claim after Close")
	}
	if i.Info().Mech != oid.PKIX {
		t.Error("Info after Close")
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		i, _ := pair(t, func(p *Params) { p.Info.Expiry = end })
		time.Sleep(time.Hour)
		if _, err := i.Wrap(nil, nil, 0); err != nil {
			t.Error("at the expiry:", err)
		}
		time.Sleep(time.Nanosecond)
		everyCall(t, i, gss.ContextExpired)
		i.Close()
		everyCall(t, i, gss.NoContext)
	})
}

func TestParamsAreCopied(t *testing.T) {
	ms, partial := bytes.Repeat([]byte{7}, 32), []byte("partial")
	i, a := pair(t, func(p *Params) {
		if p.Info.Initiator {
			p.MS, p.PartialKey = ms, partial
		} else {
			p.PartialKey = []byte("partial")
		}
	})
	clear(ms)
	clear(partial)
	for _, k := range []gss.PRFKey{gss.PRFFull, gss.PRFPartial} {
		x, _ := i.PRF(k, nil, 32)
		y, _ := a.PRF(k, nil, 32)
		if !bytes.Equal(x, y) {
			t.Errorf("key %d changed with the caller's", k)
		}
	}
	if _, err := New(Params{MS: make([]byte, 31), Hash: sha512.New384, AEAD: AES256GCM}); gss.MajorOf(err) != gss.Failure {
		t.Error("short master secret:", err)
	}
}

func TestClaim(t *testing.T) {
	i, _ := pair(t, nil)
	if !i.Claim("seal") || i.Claim("seal") || !i.Claim("other") {
		t.Error("Claim")
	}
}

// Two acceptors with one master secret do not share keys, and the initiator stays
// with the one who answered.
func TestOneWay(t *testing.T) {
	i, a := pair(t, variants["oneway"])
	_, b := pair(t, variants["oneway"])
	fromA, _ := a.Wrap(nil, []byte("hello"), 0)
	fromB, _ := b.Wrap(nil, []byte("hello"), 0)
	if len(fromA) != len("hello")+a.Info().Overhead || a.Info().Overhead != i.Info().Overhead+naLen {
		t.Error("overhead", a.Info().Overhead, i.Info().Overhead)
	}
	if bytes.Equal(fromA[1+naLen+8:], fromB[1+naLen+8:]) {
		t.Fatal("one key and nonce for two")
	}
	swapped := bytes.Clone(fromA)
	copy(swapped[1:], fromB[1:1+naLen])
	_, _, err := i.Unwrap(nil, swapped)
	major(t, "another's nonce", err, gss.BadMIC)
	if got, _, err := i.Unwrap(nil, fromA); err != nil || string(got) != "hello" {
		t.Fatal(err)
	}
	_, _, err = i.Unwrap(nil, fromB)
	major(t, "the other acceptor", err, gss.BadMIC)
	mic, _ := b.MIC(nil, nil)
	major(t, "the other acceptor's MIC", i.VerifyMIC(nil, mic), gss.BadMIC)
	toB, _ := i.Wrap(nil, []byte("hi"), 0)
	if _, _, err := a.Unwrap(nil, toB); err != nil {
		t.Error(err)
	}
	i.Close()
	if i.ms != [keyLen]byte{} {
		t.Error("master secret kept after Close")
	}
}

// Two acceptors' first tokens arrive at once: one of them wins.
func TestOneWayRace(t *testing.T) {
	i, _ := pair(t, variants["oneway"])
	x, err := i.incoming("Unwrap", bytes.Repeat([]byte{1}, naLen))
	y, err2 := i.incoming("Unwrap", bytes.Repeat([]byte{2}, naLen))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if err := i.commit("Unwrap", x, 0); err != nil {
		t.Error(err)
	}
	major(t, "the loser", i.commit("Unwrap", y, 1), gss.BadMIC)
	if err := i.commit("Unwrap", x, 1); err != nil {
		t.Error(err)
	}
}

func TestConcurrent(t *testing.T) {
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			i, a := pair(t, func(p *Params) {
				if change != nil {
					change(p)
				}
				p.Info.Flags &^= gss.Sequence
			})
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for n := range 40 { // four times these are fewer than the window holds
						for _, e := range [][2]*Context{{i, a}, {a, i}} {
							k := kinds[n%len(kinds)]
							msg := []byte("message")
							tok, err := k.protect(e[0], msg)
							if err != nil {
								t.Error(err)
								return
							}
							if got, err := k.check(e[1], tok, msg); err != nil || !bytes.Equal(got, msg) {
								t.Error(err)
								return
							}
						}
						if _, err := i.PRF(gss.PRFFull, nil, 32); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			if got := i.seq.Load(); got != 160 {
				t.Error("sequence numbers used:", got)
			}
			// Close in the middle of calls: each ends, well or with NoContext.
			for range 4 {
				wg.Go(func() {
					for {
						tok, err := i.Wrap(nil, []byte("x"), 0)
						if err != nil {
							major(t, "during Close", err, gss.NoContext)
							return
						}
						if _, _, err := a.Unwrap(nil, tok); err != nil && gss.MajorOf(err) != gss.OldToken {
							t.Error(err)
						}
					}
				})
			}
			i.Close()
			wg.Wait()
		})
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, v := range loadVectors(f) {
		for _, tt := range v.Tokens {
			f.Add(v.OneWay, []byte(tt.Token), []byte(tt.Msg))
		}
	}
	f.Fuzz(func(t *testing.T, oneway bool, tok, msg []byte) {
		i, _ := pair(t, func(p *Params) { p.OneWay = oneway })
		if _, _, err := i.Unwrap(nil, tok); err == nil {
			t.Error("forged")
		} else if m := gss.MajorOf(err); m != gss.BadMIC && m != gss.DefectiveToken {
			t.Error(err)
		}
		if err := i.VerifyMIC(msg, tok); err == nil {
			t.Error("forged MIC")
		}
	})
}

// Keys are made at first use, which may be by many at once.
func TestFirstUse(t *testing.T) {
	for name, change := range variants {
		i, a := pair(t, func(p *Params) {
			if change != nil {
				change(p)
			}
			p.Info.Flags &^= gss.Sequence
		})
		if !fips140.Enabled() && (i.out.sealer.get() != nil || i.out.macs.get() != nil) {
			t.Error(name, "keys are made too early")
		}
		var wg sync.WaitGroup
		for n := range 12 {
			wg.Go(func() {
				from, to := i, a
				if n%2 == 1 {
					from, to = a, i
				}
				k := kinds[n%3]
				tok, err := k.protect(from, []byte("hello"))
				if err != nil {
					t.Error(name, err)
				} else if got, err := k.check(to, tok, []byte("hello")); err != nil || string(got) != "hello" {
					t.Errorf("%s: %q, %v", name, got, err)
				}
				if _, err := from.PRF(gss.PRFFull, nil, 16); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// What was expanded of keys does not stay, and messages go on.
func TestIdle(t *testing.T) {
	i, a := pair(t, nil)
	for range 3 {
		for _, k := range kinds {
			tok, err := k.protect(i, []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := k.check(a, tok, []byte("hello")); err != nil || string(got) != "hello" {
				t.Errorf("%s: %q, %v", k.name, got, err)
			}
		}
		runtime.GC()
		if i.out.sealer.get() != nil || i.out.macs.get() != nil || a.in.sealer.get() != nil || a.in.macs.get() != nil {
			t.Error("keys are kept")
		}
	}
}
