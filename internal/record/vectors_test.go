package record

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"os"
	"path/filepath"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

type octets []byte

func (o *octets) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	d, err := hex.DecodeString(s)
	*o = d
	return err
}

// vector is a file of testdata, computed by testdata/vectors.py.
type vector struct {
	Hash, AEAD      string
	OneWay          bool
	MS, NA, Partial octets
	Tokens          []struct {
		Acceptor       bool
		Type           byte
		Seq            uint64
		Msg, AD, Token octets
	}
	PRF []struct {
		Key     gss.PRFKey
		In, Out octets
	}
}

func loadVectors(t testing.TB) map[string]vector {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors", err)
	}
	vs := make(map[string]vector)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(f, err)
		}
		if len(v.Tokens) == 0 || len(v.PRF) == 0 {
			t.Fatal(f, "is empty")
		}
		vs[filepath.Base(f)] = v
	}
	return vs
}

const testFlags = gss.DefaultFlags | gss.ProtReady

func (v *vector) context(t testing.TB, initiator bool) *Context {
	p := Params{
		Info: gss.Info{Mech: oid.PKIX, Initiator: initiator, Flags: testFlags},
		MS:   v.MS, PartialKey: v.Partial, OneWay: v.OneWay,
		Hash: map[string]func() hash.Hash{"sha256": sha256.New, "sha384": sha512.New384}[v.Hash],
		AEAD: map[string]AEAD{"AES-256-GCM": AES256GCM, "ChaCha20-Poly1305": ChaCha20Poly1305}[v.AEAD],
	}
	c, err := newContext(p, string(v.NA))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVectors(t *testing.T) {
	for name, v := range loadVectors(t) {
		t.Run(name, func(t *testing.T) {
			ctx := map[bool]*Context{false: v.context(t, true), true: v.context(t, false)} // by whether acceptor
			for i, tt := range v.Tokens {
				from, to := ctx[tt.Acceptor], ctx[!tt.Acceptor]
				level := gss.Level(tt.Type - 1)
				if tt.Type == typeMIC {
					got, err := from.MIC(nil, tt.Msg)
					if err != nil || !bytes.Equal(got, tt.Token) {
						t.Errorf("%d: MIC = %x, %v\nwant %x", i, got, err, tt.Token)
					}
					if err := to.VerifyMIC(tt.Msg, tt.Token); err != nil {
						t.Errorf("%d: VerifyMIC: %v", i, err)
					}
					continue
				}
				got, err := from.WrapAEAD(nil, tt.Msg, tt.AD, level)
				if err != nil || !bytes.Equal(got, tt.Token) {
					t.Errorf("%d: Wrap = %x, %v\nwant %x", i, got, err, tt.Token)
				}
				if len(got) != len(tt.Msg)+from.Info().Overhead {
					t.Errorf("%d: %d octets for %d, overhead %d", i, len(got), len(tt.Msg), from.Info().Overhead)
				}
				msg, l, err := to.UnwrapAEAD(nil, tt.Token, tt.AD)
				if err != nil || l != level || !bytes.Equal(msg, tt.Msg) {
					t.Errorf("%d: Unwrap = %x, %v, %v", i, msg, l, err)
				}
			}
			for i, tt := range v.PRF {
				for _, c := range ctx {
					got, err := c.PRF(tt.Key, tt.In, len(tt.Out))
					if err != nil || !bytes.Equal(got, tt.Out) {
						t.Errorf("PRF %d = %x, %v", i, got, err)
					}
				}
			}
			if len(v.Partial) == 0 {
				if _, err := ctx[true].PRF(gss.PRFPartial, nil, 1); gss.MajorOf(err) != gss.Unavailable {
					t.Errorf("PARTIAL without a key: %v", err)
				}
			}
		})
	}
}
