package krb5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

var allETypes = []ikrb5.EType{ikrb5.AES128SHA1, ikrb5.AES256SHA1, ikrb5.AES128SHA2, ikrb5.AES256SHA2}

// fixedKey is the key number i of type e.
func fixedKey(t testing.TB, e ikrb5.EType, i byte) *ikrb5.Key {
	t.Helper()
	v := make([]byte, e.KeyLen())
	for j := range v {
		v[j] = byte(j) ^ i<<5
	}
	return makeKey(t, e, v)
}

func makeKey(t testing.TB, e ikrb5.EType, value []byte) *ikrb5.Key {
	t.Helper()
	k, err := ikrb5.NewKey(e, value)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// contextPair returns both ends of a context whose acceptor asserted a subkey. It
// judges sequence numbers only if flags has it.
func contextPair(t testing.TB, e ikrb5.EType, flags gss.Flags) (initiator, acceptor *secContext) {
	t.Helper()
	end := func(i bool) *secContext {
		p := contextParams{
			info:      gss.Info{Mech: oid.Krb5, Flags: flags},
			initiator: i, key: fixedKey(t, e, 1), partial: fixedKey(t, e, 2), acceptorSubkey: true, sendSeq: 1000, recvSeq: 1 << 32,
		}
		if !i {
			p.sendSeq, p.recvSeq = p.recvSeq, p.sendSeq
		}
		return newContext(p)
	}
	return end(true), end(false)
}

const unsequenced = gss.Mutual | gss.Conf | gss.Integ

var levels = []gss.Level{gss.Confidential, gss.IntegrityOnly}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// rotate returns tok, whose RRC is 0, with another (RFC 4121 §4.2.5).
func rotate(tok []byte, rrc uint16) []byte {
	body := tok[headerLen:]
	out := binary.BigEndian.AppendUint16(slices.Clone(tok[:atRRC]), rrc)
	out = append(out, tok[8:headerLen]...)
	n := len(body) - int(rrc)%len(body)
	return append(append(out, body[n:]...), body[:n]...)
}

func TestRotateExample(t *testing.T) {
	// The RFC's own: 3 octets of aa..hh go to the front.
	tok := append(appendWrapHeader(nil, 0, 0), "abcdefgh"...)
	if got := rotate(tok, 3)[headerLen:]; string(got) != "fghabcde" {
		t.Fatalf("%s", got)
	}
	w, ok := parseWrap(rotate(tok, 3), false)
	if got := string(w.head) + string(w.tail); !ok || got != "abcdefgh" {
		t.Fatal(got)
	}
}

func TestRotation(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		dst := make([]byte, 0, 200)
		for _, l := range levels {
			for _, msg := range []string{"", "a", "message of some octets"} {
				tok := must[[]byte](t)(i.Wrap(nil, []byte(msg), l))
				step := 1 // every count there is, for one type
				if e != ikrb5.AES256SHA2 || raceEnabled {
					step = 251
				}
				for rrc := 0; rrc <= 0xffff; rrc += step {
					got, gotLevel, err := a.Unwrap(dst, rotate(tok, uint16(rrc)))
					if err != nil || string(got) != msg || gotLevel != l {
						t.Fatalf("%v, %v, %q, RRC %d: %q, %v, %v", e, l, msg, rrc, got, gotLevel, err)
					}
				}
			}
		}
	}
}

// sealedToken makes a token of initiator's whose encrypted header is inner.
func sealedToken(t testing.TB, i *secContext, clear, inner, msg []byte, filler int) []byte {
	t.Helper()
	return must[[]byte](t)(i.key.EncryptParts(slices.Clone(clear), usageInitiatorSeal, msg, bytes.Repeat([]byte{0xfe}, filler), inner))
}

func TestExtraCount(t *testing.T) {
	const msg = "message"
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		header := func(ec, rrc uint16, flags byte, seq uint64) []byte {
			h := appendWrapHeader(nil, flags, seq)
			binary.BigEndian.PutUint16(h[atEC:], ec)
			binary.BigEndian.PutUint16(h[atRRC:], rrc)
			return h
		}
		const flags = flagSealed | flagAcceptorSubkey
		check := func(what string, tok []byte, want error) {
			t.Helper()
			dst := make([]byte, 3, 100_000)
			got, l, err := a.Unwrap(dst, tok)
			if want != nil {
				if !errors.Is(err, want) || len(got) != 3 || bytes.Contains(dst[:cap(dst)], []byte(msg)) {
					t.Errorf("%v: %s: %q, %v, want %v", e, what, got, err, want)
				}
			} else if err != nil || string(got[3:]) != msg || l != gss.Confidential {
				t.Errorf("%v: %s: %q, %v, %v", e, what, got, l, err)
			}
		}
		for _, ec := range []int{0, 1, 15, 16, 17, 28, 255, 256, 0x7fff, 0x8000, 0xffff} {
			h := header(uint16(ec), 0, flags, 5)
			tok := sealedToken(t, i, h, h, []byte(msg), ec)
			check(fmt.Sprint("EC ", ec), tok, nil)
			check(fmt.Sprint("EC and RRC ", ec), rotate(tok, 28), nil)
			// CVE-2024-37370: it is no longer what was encrypted.
			for _, other := range []int{ec + 1, ec - 1, ec ^ 0x8000, 0} {
				if uint16(other) == uint16(ec) {
					continue
				}
				bad := slices.Clone(tok)
				binary.BigEndian.PutUint16(bad[atEC:], uint16(other))
				check(fmt.Sprint("EC ", ec, " became ", other), bad, gss.BadMIC)
			}
			// Properly encrypted, but there is no such filler.
			if ec > 0 {
				check(fmt.Sprint("EC ", ec, " and less filler"), sealedToken(t, i, h, h, nil, ec-1), gss.DefectiveToken)
			}
		}
		h := header(0, 0, flags, 5)
		for _, bad := range [][]byte{
			header(0, 1, flags, 5), header(0, 0x100, flags, 5), header(0, 0, flags|8, 5), header(0, 0, flags, 6),
			append(appendMICHeader(nil, flags, 5)[:3], h[3:]...), bytes.Repeat([]byte{0xff}, 16), make([]byte, 16),
		} {
			check(fmt.Sprintf("inner header %x", bad), sealedToken(t, i, h, bad, []byte(msg), 0), gss.BadMIC)
		}
		check("no inner header", must[[]byte](t)(i.key.EncryptParts(slices.Clone(h), usageInitiatorSeal, h[:15])), gss.DefectiveToken)
		// Unknown flags are ignored, also in what else can be sent.
		check("unknown flags", sealedToken(t, i, header(0, 0, flags|0xf8, 5), header(0, 0, flags|0xf8, 5), []byte(msg), 0), nil)

		// Not sealed: EC is the checksum's length, and nothing else.
		tok := must[[]byte](t)(i.Wrap(nil, []byte(msg), gss.IntegrityOnly))
		for ec := range 0x10000 {
			binary.BigEndian.PutUint16(tok[atEC:], uint16(ec))
			if _, _, err := a.Unwrap(nil, tok); (err == nil) != (ec == e.ChecksumLen()) || err != nil && !errors.Is(err, gss.DefectiveToken) {
				t.Fatalf("%v: EC %d: %v", e, ec, err)
			}
		}
	}
}

// Every bit of every kind of token, every prefix and suffix, and an octet more.
func TestTampering(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		for _, l := range levels {
			// A body of 64 octets, and one that no power of 2 is a multiple of.
			body64 := 64 - e.ChecksumLen()
			if l == gss.Confidential {
				body64 -= 32
			}
			for _, n := range []int{body64, body64 + 5} {
				msg := bytes.Repeat([]byte{0xa5}, n)
				tok := must[[]byte](t)(i.Wrap(nil, msg, l))
				size := len(tok) - headerLen
				if (size == 64) != (n == body64) {
					t.Fatal(size)
				}
				refuse := func(what string, tok []byte) {
					t.Helper()
					dst := append(make([]byte, 0, 200), "before"...)
					got, _, err := a.Unwrap(dst, tok)
					if !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) || string(got) != "before" ||
						bytes.Contains(dst[:cap(dst)], msg[:4]) {
						t.Fatalf("%v, %v: %s: %x, %v", e, l, what, got, err)
					}
				}
				accepted := 0
				for bit := range 8 * len(tok) {
					tok[bit/8] ^= 0x80 >> (bit % 8)
					// RRC is not protected. Where it means the same rotation, it is the same token.
					if rrc := binary.BigEndian.Uint16(tok[atRRC:]); bit/16 == 3 && int(rrc)%size == 0 {
						accepted++
						if got, gotLevel, err := a.Unwrap(nil, tok); err != nil || !bytes.Equal(got, msg) || gotLevel != l {
							t.Fatalf("%v: RRC %d: %v", e, rrc, err)
						}
					} else {
						refuse(fmt.Sprint("bit ", bit), tok)
					}
					tok[bit/8] ^= 0x80 >> (bit % 8)
				}
				want := 0
				if size == 64 {
					want = 10 // RRC 64, 128, up to 32768
				}
				if accepted != want {
					t.Fatalf("%v: %d bits do not matter, want %d", e, accepted, want)
				}
				for j := range tok {
					refuse(fmt.Sprint("prefix ", j), tok[:j])
					refuse(fmt.Sprint("suffix ", j+1), tok[j+1:])
				}
				refuse("an octet more", append(tok, 0))
			}
		}

		msg := []byte("message")
		mic := must[[]byte](t)(i.MIC(nil, msg))
		refuse := func(what string, msg, mic []byte) {
			t.Helper()
			if err := a.VerifyMIC(msg, mic); !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) {
				t.Fatalf("%v: MIC: %s: %v", e, what, err)
			}
		}
		for bit := range 8 * len(mic) {
			mic[bit/8] ^= 1 << (bit % 8)
			refuse(fmt.Sprint("bit ", bit), msg, mic)
			mic[bit/8] ^= 1 << (bit % 8)
		}
		for bit := range 8 * len(msg) {
			msg[bit/8] ^= 1 << (bit % 8)
			refuse(fmt.Sprint("message bit ", bit), msg, mic)
			msg[bit/8] ^= 1 << (bit % 8)
		}
		for j := range mic {
			refuse(fmt.Sprint("prefix ", j), msg, mic[:j])
			refuse(fmt.Sprint("suffix ", j+1), msg, mic[j+1:])
		}
		refuse("an octet more", msg, append(mic, 0))
		refuse("a shorter message", msg[:6], mic)
		refuse("a longer message", append(msg, 0), mic)
		if err := a.VerifyMIC(msg, mic); err != nil {
			t.Fatal(err)
		}
	}
}

// Who sent it, and with which key.
func TestDirection(t *testing.T) {
	msg := []byte("message")
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		for _, c := range []*secContext{i, a} {
			for _, l := range levels {
				if _, _, err := c.Unwrap(nil, must[[]byte](t)(c.Wrap(nil, msg, l))); !errors.Is(err, gss.BadMIC) {
					t.Errorf("%v: a reflected token: %v", e, err)
				}
			}
			if err := c.VerifyMIC(msg, must[[]byte](t)(c.MIC(nil, msg))); !errors.Is(err, gss.BadMIC) {
				t.Errorf("%v: a reflected MIC: %v", e, err)
			}
		}
		// The same key without the flag of an acceptor's subkey, both ways; another key.
		plain := newContext(contextParams{key: fixedKey(t, e, 1), partial: fixedKey(t, e, 2), initiator: true, info: i.info})
		other := newContext(contextParams{key: fixedKey(t, e, 3), partial: fixedKey(t, e, 2), initiator: true, acceptorSubkey: true, info: i.info})
		for _, c := range []*secContext{plain, other} {
			for _, l := range levels {
				if _, _, err := a.Unwrap(nil, must[[]byte](t)(c.Wrap(nil, msg, l))); !errors.Is(err, gss.BadMIC) {
					t.Errorf("%v: a token under another key: %v", e, err)
				}
				if _, _, err := c.Unwrap(nil, must[[]byte](t)(a.Wrap(nil, msg, l))); !errors.Is(err, gss.BadMIC) {
					t.Errorf("%v: a token under another key: %v", e, err)
				}
			}
			if err := a.VerifyMIC(msg, must[[]byte](t)(c.MIC(nil, msg))); !errors.Is(err, gss.BadMIC) {
				t.Errorf("%v: a MIC under another key: %v", e, err)
			}
		}
		// A MIC is no Wrap token and the other way round, nor is either a token of RFC 1964.
		mic := must[[]byte](t)(i.MIC(nil, nil))
		tok := must[[]byte](t)(i.Wrap(nil, nil, gss.IntegrityOnly))
		if _, _, err := a.Unwrap(nil, mic); !errors.Is(err, gss.DefectiveToken) {
			t.Error(err)
		}
		if err := a.VerifyMIC(nil, tok); !errors.Is(err, gss.DefectiveToken) {
			t.Error(err)
		}
		legacy := gss.AppendToken(nil, oid.Krb5, append([]byte("\x02\x01\x11\x00\xff\xff\xff\xff"), make([]byte, 40)...))
		if _, _, err := a.Unwrap(nil, legacy); !errors.Is(err, gss.DefectiveToken) {
			t.Error(err)
		}
		if err := a.VerifyMIC(nil, legacy); !errors.Is(err, gss.DefectiveToken) {
			t.Error(err)
		}
	}
}

// gokrb5 makes and checks MICs, and Wrap tokens that are not sealed.
func TestGokrb5(t *testing.T) {
	for _, e := range allETypes {
		key := fixedKey(t, e, 1)
		theirs := types.EncryptionKey{KeyType: int32(e), KeyValue: key.Bytes()}
		for _, msg := range []string{"", "message", string(make([]byte, 1000))} {
			i, a := contextPair(t, e, unsequenced)
			m := gssapi.MICToken{Flags: flagAcceptorSubkey, SndSeqNum: 77, Payload: []byte(msg)}
			if err := m.SetChecksum(theirs, usageInitiatorSign); err != nil {
				t.Fatal(err)
			}
			if err := a.VerifyMIC([]byte(msg), must[[]byte](t)(m.Marshal())); err != nil {
				t.Errorf("%v: gokrb5's MIC: %v", e, err)
			}
			m = gssapi.MICToken{}
			if err := m.Unmarshal(must[[]byte](t)(i.MIC(nil, []byte(msg))), false); err != nil {
				t.Fatal(err)
			}
			m.Payload = []byte(msg)
			if ok, err := m.Verify(theirs, usageInitiatorSign); !ok || m.SndSeqNum != 1000 {
				t.Errorf("%v: gokrb5 refuses a MIC: %v", e, err)
			}

			w := gssapi.WrapToken{Flags: flagAcceptorSubkey, EC: uint16(e.ChecksumLen()), SndSeqNum: 77, Payload: []byte(msg)}
			if err := w.SetCheckSum(theirs, usageInitiatorSeal); err != nil {
				t.Fatal(err)
			}
			got, l, err := a.Unwrap(nil, must[[]byte](t)(w.Marshal()))
			if err != nil || string(got) != msg || l != gss.IntegrityOnly {
				t.Errorf("%v: gokrb5's Wrap token: %v", e, err)
			}
			w = gssapi.WrapToken{}
			if err := w.Unmarshal(must[[]byte](t)(i.Wrap(nil, []byte(msg), gss.IntegrityOnly)), false); err != nil {
				t.Fatal(err)
			}
			if ok, err := w.Verify(theirs, usageInitiatorSeal); !ok || string(w.Payload) != msg {
				t.Errorf("%v: gokrb5 refuses a Wrap token: %v", e, err)
			}
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	for n, e := range allETypes {
		i, _ := contextPair(f, e, unsequenced)
		for _, l := range levels {
			tok := must[[]byte](f)(i.Wrap(nil, []byte("message"), l))
			f.Add(byte(n), tok)
			f.Add(byte(n), rotate(tok, 28))
		}
	}
	f.Fuzz(func(t *testing.T, n byte, tok []byte) {
		_, a := contextPair(t, allETypes[n%4], unsequenced)
		got, _, err := a.Unwrap([]byte("before"), tok)
		switch {
		case err == nil && bytes.HasPrefix(got, []byte("before")) && len(got)-6 <= len(tok)-headerLen:
		case (errors.Is(err, gss.BadMIC) || errors.Is(err, gss.DefectiveToken)) && string(got) == "before":
		default:
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func FuzzVerifyMIC(f *testing.F) {
	for n, e := range allETypes {
		i, _ := contextPair(f, e, unsequenced)
		f.Add(byte(n), []byte("message"), must[[]byte](f)(i.MIC(nil, []byte("message"))))
	}
	f.Fuzz(func(t *testing.T, n byte, msg, mic []byte) {
		_, a := contextPair(t, allETypes[n%4], unsequenced)
		err := a.VerifyMIC(msg, mic)
		if err != nil && !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) {
			t.Fatal(err)
		}
	})
}
