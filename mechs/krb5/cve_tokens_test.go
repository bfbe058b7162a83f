package krb5

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// unwraps are the ways to read a Wrap token.
func unwraps(a *secContext) map[string]func(tok []byte) ([]byte, error) {
	return map[string]func(tok []byte) ([]byte, error){
		"Unwrap":     func(tok []byte) ([]byte, error) { got, _, err := a.Unwrap(nil, tok); return got, err },
		"UnwrapAEAD": func(tok []byte) ([]byte, error) { got, _, err := a.UnwrapAEAD(nil, tok, nil); return got, err },
	}
}

// TestCVE_2024_37370: EC in clear is not what was encrypted.
func TestCVE_2024_37370(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		tok := must[[]byte](t)(i.Wrap(nil, []byte("twenty octets of it."), gss.Confidential))
		for name, unwrap := range unwraps(a) {
			for ec := 1; ec <= 300; ec++ {
				bad := slices.Clone(tok)
				binary.BigEndian.PutUint16(bad[atEC:], uint16(ec))
				if got, err := unwrap(bad); got != nil || gss.MajorOf(err) != gss.BadMIC && gss.MajorOf(err) != gss.DefectiveToken {
					t.Fatalf("%v, %s: EC %d: %q, %v", e, name, ec, got, err)
				}
			}
			if got, err := unwrap(tok); err != nil || string(got) != "twenty octets of it." {
				t.Errorf("%v, %s: %q, %v", e, name, got, err)
			}
		}
	}
}

// TestCVE_2024_37371, and CVE-2026-89537, 89538, 89541, 89542, 89550: lengths that say more
// than there is.
func TestCVE_2024_37371(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		refused := func(what string, tok []byte) {
			t.Helper()
			for name, unwrap := range unwraps(a) {
				if got, err := unwrap(tok); got != nil || gss.MajorOf(err) != gss.BadMIC && gss.MajorOf(err) != gss.DefectiveToken {
					t.Errorf("%v, %s, %s: %d octets, %v", e, name, what, len(got), err)
				}
			}
		}
		for _, l := range levels {
			tok := must[[]byte](t)(i.Wrap(nil, []byte("message"), l))
			for n := range tok {
				refused(fmt.Sprint(l, " prefix ", n), tok[:n])
				for _, rrc := range []uint16{1, 28, 0xffff} {
					cut := slices.Clone(tok[:n])
					if n >= headerLen {
						binary.BigEndian.PutUint16(cut[atRRC:], rrc)
						refused(fmt.Sprint(l, " prefix ", n, " RRC ", rrc), cut)
					}
				}
			}
		}
		header := appendWrapHeader(nil, flagSealed|flagAcceptorSubkey, 7)
		for n := range headerLen { // an encrypted message shorter than the header that ends it
			refused(fmt.Sprint("plaintext of ", n), must[[]byte](t)(i.key.EncryptParts(slices.Clone(header), usageInitiatorSeal, header[:n])))
		}
		for _, ec := range []uint16{1, 16, 0x7fff, 0xffff} { // and one shorter than its filler
			h := slices.Clone(header)
			binary.BigEndian.PutUint16(h[atEC:], ec)
			refused(fmt.Sprint("EC ", ec), must[[]byte](t)(i.key.EncryptParts(slices.Clone(h), usageInitiatorSeal, h)))
		}
		// Fields at their largest, where there is nothing behind the header.
		for _, flags := range []byte{flagAcceptorSubkey, flagAcceptorSubkey | flagSealed} {
			h := appendWrapHeader(nil, flags, 1<<64-1)
			copy(h[atEC:], "\xff\xff\xff\xff")
			refused("nothing but a header", h)
			refused("and an octet", append(h, 0))
		}
	}
}

// TestCVE_2025_57736: a MIC is of all of its message, and of itself.
func TestCVE_2025_57736(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		for _, msg := range [][]byte{{}, {0}, []byte("a message of some octets"), make([]byte, 100)} {
			mic := must[[]byte](t)(i.MIC(nil, msg))
			alter(mic, func(what string, bad []byte) {
				if err := a.VerifyMIC(msg, bad); gss.MajorOf(err) != gss.BadMIC && gss.MajorOf(err) != gss.DefectiveToken {
					t.Errorf("%v, MIC, %s: %v", e, what, err)
				}
			})
			alter(msg, func(what string, bad []byte) {
				if err := a.VerifyMIC(bad, mic); gss.MajorOf(err) != gss.BadMIC {
					t.Errorf("%v, message, %s: %v", e, what, err)
				}
			})
			if err := a.VerifyMIC(msg, mic); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestCVE_2014_4341, 4342: a token of RFC 1964, framed or not, on a context of RFC 4121.
func TestCVE_2014_4341(t *testing.T) {
	i, a := contextPair(t, ikrb5.AES256SHA1, unsequenced)
	old := func(id uint16, n int) []byte {
		b := binary.BigEndian.AppendUint16(nil, id)
		return append(append(b, 0x11, 0, 0x10, 0, 0xff, 0xff), make([]byte, n)...)
	}
	for _, id := range []uint16{oldMIC, oldWrap} {
		for n := range 64 {
			for _, tok := range [][]byte{old(id, n), gss.AppendToken(nil, oid.Krb5, old(id, n)), old(id, n)[:min(n, 8)]} {
				for name, unwrap := range unwraps(a) {
					if got, err := unwrap(tok); got != nil || gss.MajorOf(err) != gss.DefectiveToken {
						t.Errorf("%s of %#x: %v", name, tok, err)
					}
				}
				if err := a.VerifyMIC(nil, tok); gss.MajorOf(err) != gss.DefectiveToken {
					t.Errorf("VerifyMIC of %#x: %v", tok, err)
				}
			}
		}
	}
	// And the other way round.
	for _, e := range []ikrb5.EType{ikrb5.RC4HMAC, ikrb5.DES3SHA1} {
		_, weak := weakPair(t, e, unsequenced)
		for _, l := range levels {
			tok := must[[]byte](t)(i.Wrap(nil, []byte("m"), l))
			for _, tok := range [][]byte{tok, gss.AppendToken(nil, oid.Krb5, tok)} {
				if got, _, err := weak.Unwrap(nil, tok); got != nil || gss.MajorOf(err) != gss.DefectiveToken {
					t.Errorf("%v: %v", e, err)
				}
			}
		}
	}
}
