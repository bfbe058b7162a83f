package krb5

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/oid"
)

var weakTypes = []ikrb5.EType{ikrb5.DES3SHA1, ikrb5.RC4HMAC, ikrb5.Camellia128, ikrb5.Camellia256}

func weakKey(t testing.TB, e ikrb5.EType, i byte) *ikrb5.Key {
	t.Helper()
	v := make([]byte, e.KeyLen())
	for j := range v {
		v[j] = byte(j)*3 ^ i<<5
	}
	k, err := ikrb5.NewAnyKey(e, v)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func weakPair(t testing.TB, e ikrb5.EType, flags gss.Flags) (i, a *secContext) {
	end := func(initiator bool) *secContext {
		p := contextParams{
			info:      gss.Info{Mech: oid.Krb5, Flags: flags},
			initiator: initiator, key: weakKey(t, e, 1), partial: weakKey(t, e, 2), acceptorSubkey: true, sendSeq: 1000, recvSeq: 2000,
		}
		if !initiator {
			p.sendSeq, p.recvSeq = p.recvSeq, p.sendSeq
		}
		return newContext(p)
	}
	return end(true), end(false)
}

func TestWeakRoundTrip(t *testing.T) {
	for _, e := range weakTypes {
		i, a := weakPair(t, e, gss.DefaultFlags)
		for _, c := range [][2]*secContext{{i, a}, {a, i}} {
			for n := range 70 {
				msg := bytes.Repeat([]byte{byte(n)}, n)
				for _, l := range levels {
					tok, err := c[0].Wrap([]byte("before"), msg, l)
					if err != nil || string(tok[:6]) != "before" || len(tok)-6-n > c[0].Info().Overhead {
						t.Fatalf("%v: %d octets of %d, %v", e, len(tok), c[0].Info().Overhead, err)
					}
					if n > 4 && bytes.Contains(tok, msg) != (l == gss.IntegrityOnly) {
						t.Errorf("%v, %v: in clear?", e, l)
					}
					got, gotLevel, err := c[1].Unwrap([]byte("before"), tok[6:])
					if err != nil || string(got) != "before"+string(msg) || gotLevel != l {
						t.Fatalf("%v, %v: %q, %v, %v", e, l, got, gotLevel, err)
					}
					if _, _, err := c[1].Unwrap(nil, tok[6:]); !errors.Is(err, gss.DuplicateToken) {
						t.Errorf("%v: again: %v", e, err)
					}
					if _, _, err := c[0].Unwrap(nil, tok[6:]); !errors.Is(err, gss.BadMIC) {
						t.Errorf("%v: reflected: %v", e, err)
					}
				}
				mic := must[[]byte](t)(c[0].MIC(nil, msg))
				if err := c[1].VerifyMIC(msg, mic); err != nil {
					t.Fatal(e, err)
				}
				if err := c[0].VerifyMIC(msg, mic); !errors.Is(err, gss.BadMIC) {
					t.Errorf("%v: a reflected MIC: %v", e, err)
				}
			}
		}
		// The acceptor's subkey does not count with the old tokens.
		full, partial := must[[]byte](t)(i.PRF(gss.PRFFull, nil, 16)), must[[]byte](t)(a.PRF(gss.PRFPartial, nil, 16))
		if bytes.Equal(full, partial) != e.Old() {
			t.Errorf("%v: the keys of the PRF", e)
		}
		if e.Old() {
			if _, err := i.WrapAEAD(nil, nil, []byte("ad"), gss.Confidential); !errors.Is(err, gss.Unavailable) {
				t.Error(err)
			}
			if _, _, err := i.UnwrapAEAD(nil, nil, []byte("ad")); !errors.Is(err, gss.Unavailable) {
				t.Error(err)
			}
			if err := i.WrapIOV(gss.Confidential, []gss.Buffer{header}); !errors.Is(err, gss.Unavailable) {
				t.Error(err)
			}
			if _, err := i.UnwrapIOV([]gss.Buffer{header}); !errors.Is(err, gss.Unavailable) {
				t.Error(err)
			}
		}
		for _, l := range levels {
			n, err := i.WrapSizeLimit(l, 200)
			if err != nil || len(must[[]byte](t)(i.Wrap(nil, make([]byte, n), l))) > 200 {
				t.Errorf("%v: WrapSizeLimit %d, %v", e, n, err)
			}
		}
		if _, err := i.Wrap(nil, nil, 9); !errors.Is(err, gss.BadQOP) {
			t.Error(err)
		}
		m := New(Options{AllowWeak: true})
		sc, err := m.Import(must[[]byte](t)(i.Export()))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Unwrap(nil, must[[]byte](t)(sc.Wrap(nil, nil, gss.Confidential))); !errors.Is(err, gss.GapToken) && err != nil {
			t.Error(err)
		}
		if _, err := New(Options{}).Import(must[[]byte](t)(sc.(Context).Export())); !errors.Is(err, gss.Unavailable) {
			t.Errorf("%v: imported where it is off: %v", e, err)
		}
	}
}

// numberOfRC4 reports whether bit is in the sequence number of an RC4 token of framing 60
// LL: it is encrypted with a key stream, and no checksum is of it (RFC 4757 §7.3), so that
// whoever can change it there makes another number of it.
func numberOfRC4(e ikrb5.EType, bit int) bool {
	const at = 2 + 2 + 9 + oldHeader
	return e == ikrb5.RC4HMAC && bit/8 >= at && bit/8 < at+4
}

// CVE-2014-4341, 4342, 2022-3437: every bit, every length; one error for a bad padding and
// a bad checksum. The number in RC4's tokens that are not sealed is not protected.
func TestWeakTampering(t *testing.T) {
	for _, e := range weakTypes {
		i, a := weakPair(t, e, unsequenced)
		for _, l := range levels {
			for n := range 10 {
				msg := bytes.Repeat([]byte{0xa5}, n)
				tok := must[[]byte](t)(i.Wrap(nil, msg, l))
				size := len(tok) - headerLen
				for bit := range 8 * len(tok) {
					tok[bit/8] ^= 1 << (bit % 8)
					if l == gss.IntegrityOnly && numberOfRC4(e, bit) {
						if got, _, err := a.Unwrap(nil, tok); err != nil || !bytes.Equal(got, msg) {
							t.Fatalf("%v, bit %d: %x, %v", e, bit, got, err)
						}
					} else if e.Old() || bit/16 != 3 || (int(tok[atRRC])<<8|int(tok[atRRC+1]))%size != 0 {
						if got, _, err := a.Unwrap([]byte("x"), tok); !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) || string(got) != "x" {
							t.Fatalf("%v, %v, %d octets, bit %d: %x, %v", e, l, n, bit, got, err)
						}
					}
					tok[bit/8] ^= 1 << (bit % 8)
				}
				for k := range tok {
					for _, bad := range [][]byte{tok[:k], tok[k+1:]} {
						if _, _, err := a.Unwrap(nil, bad); !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) {
							t.Fatalf("%v: %v", e, err)
						}
					}
				}
			}
		}
		msg := []byte("message")
		mic := must[[]byte](t)(i.MIC(nil, msg))
		for bit := range 8 * len(mic) {
			mic[bit/8] ^= 1 << (bit % 8)
			if err := a.VerifyMIC(msg, mic); !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) && (err != nil || !numberOfRC4(e, bit)) {
				t.Fatalf("%v: MIC, bit %d: %v", e, bit, err)
			}
			mic[bit/8] ^= 1 << (bit % 8)
		}
		for k := range mic {
			if err := a.VerifyMIC(msg, mic[:k]); !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) {
				t.Fatalf("%v: MIC, %d octets: %v", e, k, err)
			}
		}
		for bit := range 8 * len(msg) {
			msg[bit/8] ^= 1 << (bit % 8)
			if err := a.VerifyMIC(msg, mic); !errors.Is(err, gss.BadMIC) {
				t.Fatalf("%v: message, bit %d: %v", e, bit, err)
			}
			msg[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// Padding that is authentic and wrong is refused as a wrong checksum is, and so is one
// that is longer than the message.
func TestWeakPadding(t *testing.T) {
	for _, e := range []ikrb5.EType{ikrb5.RC4HMAC, ikrb5.DES3SHA1} {
		i, a := weakPair(t, e, unsequenced)
		alg := i.oldAlgs()
		token := func(data []byte, seal uint16) []byte {
			head := []byte{2, 1, byte(alg.sign >> 8), byte(alg.sign), byte(seal >> 8), byte(seal), 0xff, 0xff}
			sum := must[[]byte](t)(i.key.ChecksumParts(nil, usageOldSign, head, data))[:alg.sumLen]
			data = bytes.Clone(data)
			if seal == alg.seal {
				if err := i.key.OldData(data, 1000, false); err != nil {
					t.Fatal(err)
				}
			}
			return must[[]byte](t)(i.oldToken("Wrap", nil, head, sum, data, 1000))
		}
		for _, seal := range []uint16{alg.seal, oldNotSealed} {
			good := append([]byte("confoundmessage"), bytes.Repeat([]byte{1}, 1)...)
			if got, _, err := a.Unwrap(nil, token(good, seal)); err != nil || string(got) != "message" {
				t.Fatalf("%v: %q, %v", e, got, err)
			}
			for _, end := range []string{"\x00", "\x09", "\xff", "\x01\x02", "\x80"} {
				data := []byte("confoundmessage?")
				copy(data[len(data)-len(end):], end)
				if _, _, err := a.Unwrap(nil, token(data, seal)); !errors.Is(err, gss.BadMIC) {
					t.Errorf("%v, padding %x: %v", e, end, err)
				}
			}
			if e == ikrb5.RC4HMAC {
				if _, _, err := a.Unwrap(nil, token([]byte("confound\x02"), seal)); !errors.Is(err, gss.BadMIC) {
					t.Errorf("%v: padding longer than the data: %v", e, err)
				}
			}
			if _, _, err := a.Unwrap(nil, token([]byte("confound"), seal)); !errors.Is(err, gss.DefectiveToken) {
				t.Errorf("%v: no padding: %v", e, err)
			}
		}
	}
}

// Tokens of one kind on a context of the other are refused.
func TestWeakMixed(t *testing.T) {
	old, _ := weakPair(t, ikrb5.RC4HMAC, unsequenced)
	other, _ := weakPair(t, ikrb5.DES3SHA1, unsequenced)
	cfx, _ := contextPair(t, allETypes[0], unsequenced)
	for _, c := range [][2]*secContext{{old, cfx}, {cfx, old}, {old, other}, {other, old}} {
		for _, l := range levels {
			if _, _, err := c[1].Unwrap(nil, must[[]byte](t)(c[0].Wrap(nil, []byte("message"), l))); !errors.Is(err, gss.DefectiveToken) {
				t.Errorf("%v on %v: %v", c[0].key.EType(), c[1].key.EType(), err)
			}
		}
		if err := c[1].VerifyMIC(nil, must[[]byte](t)(c[0].MIC(nil, nil))); !errors.Is(err, gss.DefectiveToken) {
			t.Errorf("%v on %v: %v", c[0].key.EType(), c[1].key.EType(), err)
		}
	}
}

func TestWeakNumbersEnd(t *testing.T) {
	c := newContext(contextParams{info: gss.Info{Mech: oid.Krb5, Flags: unsequenced}, key: weakKey(t, ikrb5.RC4HMAC, 1), partial: weakKey(t, ikrb5.RC4HMAC, 1), sendSeq: 1<<32 - 1})
	if _, err := c.MIC(nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.MIC(nil, nil); !errors.Is(err, gss.ContextExpired) {
		t.Error(err)
	}
}

// Both ends of contexts of a real MIT krb5, as far as it still has these types.
func TestMITWeak(t *testing.T) {
	exe := buildMITPeer(t)
	for _, name := range []string{"arcfour-hmac", "des3-cbc-sha1", "camellia128-cts-cmac", "camellia256-cts-cmac"} {
		etype := map[string]ikrb5.EType{
			"arcfour-hmac": ikrb5.RC4HMAC, "des3-cbc-sha1": ikrb5.DES3SHA1,
			"camellia128-cts-cmac": ikrb5.Camellia128, "camellia256-cts-cmac": ikrb5.Camellia256,
		}[name]
		r := peers.MITRealm(t, peers.Options{Enctype: name, LibDefaults: []string{"allow_weak_crypto = true", "allow_rc4 = true", "allow_des3 = true"}})
		ccache := r.Kinit(t, "user")
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags &^ gss.Mutual} {
			p := startMITPeer(t, exe, r, ccache, flags)
			for n := range p.ends {
				m := &p.ends[n]
				if !etype.Old() && m.EType != etype {
					t.Fatalf("%s: MIT's context is of %v", name, m.EType)
				}
				m.EType = etype
				key := func(b []byte) *ikrb5.Key { return must[*ikrb5.Key](t)(ikrb5.NewAnyKey(etype, b)) }
				ours := newContext(contextParams{
					info: gss.Info{Mech: oid.Krb5, Flags: gss.DefaultFlags}, initiator: !m.Initiator, acceptorSubkey: m.AcceptorSubkey,
					key: key(m.Key), partial: key(m.Partial), sendSeq: m.RecvSeq, recvSeq: m.SendSeq,
				})
				for _, msg := range mitMessages {
					msg := []byte(msg)
					for conf, l := range []gss.Level{gss.IntegrityOnly, gss.Confidential} {
						got, gotLevel, err := ours.Unwrap(nil, p.must(m, "wrap", conf, msg))
						if err != nil || !bytes.Equal(got, msg) || gotLevel != l {
							t.Errorf("%s: MIT's token, %v: %q, %v, %v", name, l, got, gotLevel, err)
						}
						f := p.do(m, "unwrap", must[[]byte](t)(ours.Wrap(nil, msg, l)))
						if len(f) != 3 || f[0] != "ok" || f[1] != fmt.Sprint(conf) || !bytes.Equal(p.hex(f[2]), msg) {
							t.Errorf("%s: MIT answers %v to a token, %v, of %d octets", name, f, l, len(msg))
						}
					}
					if err := ours.VerifyMIC(msg, p.must(m, "mic", msg)); err != nil {
						t.Errorf("%s: MIT's MIC: %v", name, err)
					}
					p.must(m, "verify", msg, must[[]byte](t)(ours.MIC(nil, msg)))
				}
				for _, k := range []gss.PRFKey{gss.PRFFull, gss.PRFPartial} {
					if got, err := ours.PRF(k, []byte("prf input"), 100); err != nil || !bytes.Equal(got, p.must(m, "prf", int(k), []byte("prf input"), 100)) {
						t.Errorf("%s: PRF %v: %x, %v", name, k, got, err)
					}
				}
			}
		}
	}
}

func FuzzUnwrapWeak(f *testing.F) {
	for n, e := range weakTypes {
		i, _ := weakPair(f, e, unsequenced)
		for _, l := range levels {
			f.Add(byte(n), must[[]byte](f)(i.Wrap(nil, []byte("message"), l)))
		}
		f.Add(byte(n), must[[]byte](f)(i.MIC(nil, []byte("message"))))
	}
	f.Fuzz(func(t *testing.T, n byte, tok []byte) {
		_, a := weakPair(t, weakTypes[n%4], unsequenced)
		got, _, err := a.Unwrap([]byte("before"), tok)
		switch {
		case err == nil && bytes.HasPrefix(got, []byte("before")) && len(got)-6 < len(tok):
		case (errors.Is(err, gss.BadMIC) || errors.Is(err, gss.DefectiveToken)) && string(got) == "before":
		default:
			t.Fatalf("%q, %v", got, err)
		}
		if err := a.VerifyMIC([]byte("message"), tok); err != nil && !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) {
			t.Fatal(err)
		}
	})
}
