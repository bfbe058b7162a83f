package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// hexOctets are octets in JSON.
type hexOctets []byte

func (h *hexOctets) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// A vector is what testdata/vectors.py writes.
type vector struct {
	Root, OID             hexOctets
	Direction             string
	Originator, Recipient hexOctets
	N                     uint64
	SealedAt, Lifetime    int64
	Flags                 Claims
	Salt, Body, Data      hexOctets
	Relay                 hexOctets
	Sealed                hexOctets

	RelayRoot, RelayOID hexOctets // if the relay key is derived
	RelayDirection      string
	RelayKey            hexOctets // if there is one
	Grant               hexOctets
	Binding             string
	BindingValue        hexOctets
	Payload, Proof      hexOctets
}

// fixedContext has the PRF outputs that it is given.
type fixedContext struct {
	info gss.Info
	prf  map[string][]byte
}

func (c *fixedContext) Info() gss.Info { return c.info }

func (c *fixedContext) PRF(_ gss.PRFKey, in []byte, n int) ([]byte, error) {
	if out, ok := c.prf[string(in)]; ok && len(out) == n {
		return bytes.Clone(out), nil
	}
	return nil, gss.Unavailable
}

func readOID(t *testing.T, der []byte) (o oid.OID) {
	t.Helper()
	s := cryptobyte.String(der)
	if !oid.Read(&s, &o) || !s.Empty() {
		t.Fatal("OID")
	}
	return o
}

func readName(t *testing.T, b []byte) gss.Name {
	t.Helper()
	n, err := gss.ParseName(b)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Messages, grants and presentations of an implementation in another language.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			var v vector
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			v.run(t)
		})
	}
}

func (v *vector) run(t *testing.T) {
	c := &clock{t: time.UnixMilli(v.SealedAt)}
	end := func(root, der hexOctets, local, peer gss.Name, initiator bool) *fixedContext {
		return &fixedContext{
			gss.Info{Mech: readOID(t, der), Local: local, Peer: peer, Initiator: initiator},
			map[string][]byte{"gss seal 1": root},
		}
	}
	from, to := readName(t, v.Originator), readName(t, v.Recipient)
	s, err := newSender(end(v.Root, v.OID, from, to, v.Direction == "i2a"), c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.lane, s.count = uint32(v.N>>32), v.N&0xffffffff
	s.fixedSalt = (*[saltSize]byte)(v.Salt)
	o := &Options{Lifetime: time.Duration(v.Lifetime) * time.Millisecond, OneTime: v.Flags.Has(OneTime), Data: v.Data}
	u := &UnsealOptions{Data: v.Data, Require: v.Flags}
	if v.Flags.Has(RelayByName) {
		o.Relay = readName(t, v.Relay)
		u.RelayNames = []gss.Name{o.Relay}
	}

	in := v.Sealed
	switch {
	case !v.Flags.Has(RelayByKey):
		got, err := s.Seal(nil, v.Body, o)
		if err != nil || !bytes.Equal(got, v.Sealed) {
			t.Errorf("Seal: %v\n%x, want\n%x", err, got, []byte(v.Sealed))
		}
	default:
		alice, carol := gss.Name{Mech: oid.PKIX, Text: "mail:alice"}, gss.Name{Mech: oid.PKIX, Text: "mail:carol"}
		var via *Sender
		toAlice := end(make([]byte, 64), v.OID, carol, alice, false) // if the key is carried: no matter
		toAlice.prf["gss seal 1"][0] = 1
		if v.RelayRoot != nil {
			if via, err = newSender(end(v.RelayRoot, v.RelayOID, alice, carol, v.RelayDirection == "i2a"), c.now); err != nil {
				t.Fatal(err)
			}
			defer via.Close()
			toAlice = end(v.RelayRoot, v.RelayOID, carol, alice, v.RelayDirection != "i2a")
			got, err := s.Grant(nil, v.Body, via, o)
			if err != nil || !bytes.Equal(got, v.Grant) {
				t.Errorf("Grant: %v\n%x, want\n%x", err, got, []byte(v.Grant))
			}
		}
		r, err := newRelay(toAlice, c.now)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		h, err := r.Accept(v.Grant)
		if err != nil || !bytes.Equal(h.key[:], v.RelayKey) || !bytes.Equal(h.sealed, v.Sealed) || h.from != from || h.to != to {
			t.Fatalf("Accept: %v", err)
		}
		defer h.Close()
		in = append(bytes.Clone(v.Sealed), v.Proof...)
		switch v.Binding {
		case "context":
			u.Relay = &fixedContext{gss.Info{Peer: carol}, map[string][]byte{"gss seal present 1": v.BindingValue}}
		case "bindings":
			u.Bindings = v.BindingValue
		case "unbound":
			u.Unbound = true
		default:
			t.Fatal(v.Binding)
		}
	}

	r := newRecipient(&RecipientOptions{Store: new(recordingStore)}, c.now)
	defer r.Close()
	if _, err := r.Add(end(v.Root, v.OID, to, from, v.Direction != "i2a")); err != nil {
		t.Fatal(err)
	}
	m, err := r.Unseal(t.Context(), nil, in, u)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Body, v.Body) || !bytes.Equal(m.Payload, v.Payload) || m.Claims != v.Flags || m.N != v.N || m.Originator != from ||
		m.Recipient != to || m.SealedAt.UnixMilli() != v.SealedAt || m.Until.UnixMilli() != v.SealedAt+v.Lifetime {
		t.Errorf("Unseal: %+v", m)
	}
}
