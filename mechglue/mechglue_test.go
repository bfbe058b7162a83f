package mechglue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/oid"
)

var svc = gss.Service("host", "files.example.org")

func client() mechglue.Mechanisms {
	p := toy.NewParty("alice")
	return mechglue.Mechanisms{&toy.Krb{Party: p}, &toy.PK{Party: p}, &toy.Uni{Party: p}}
}

func server() mechglue.Mechanisms {
	p := toy.NewParty("files")
	in := []gss.Mechanism{&toy.Krb{Party: p}, &toy.PK{Party: p}, &toy.Uni{Party: p}}
	return append(mechglue.Mechanisms{&toy.Nego{Mechs: in[:2]}}, in...)
}

// renamed is a mechanism under another OID.
type renamed struct {
	gss.Mechanism
	oid oid.OID
}

func (r renamed) OID() oid.OID { return r.oid }

func TestLookup(t *testing.T) {
	k, p := renamed{client()[0], oid.Krb5}, client()[1]
	ms := mechglue.Mechanisms{k, p, renamed{p, oid.Krb5}}
	for mech, want := range map[oid.OID]gss.Mechanism{"": k, oid.Krb5: k, oid.MSKrb5: k, toy.PKOID: p, oid.NTLM: nil, oid.SPNEGO: nil} {
		if got := ms.Lookup(mech); got != want {
			t.Errorf("%v: %v", mech, got)
		}
	}
	own := renamed{p, oid.MSKrb5}
	if got := append(ms, own).Lookup(oid.MSKrb5); got != own {
		t.Error("a mechanism with the OID itself comes first:", got)
	}
	if (mechglue.Mechanisms{p}).Lookup(oid.MSKrb5) != nil || mechglue.Mechanisms(nil).Lookup("") != nil {
		t.Error("found in vain")
	}
	if got := ms.OIDs(); !slices.Equal(got, []oid.OID{oid.Krb5, toy.PKOID}) {
		t.Error(got)
	}
}

func TestInitiate(t *testing.T) {
	ms := client()
	pk := &toy.Cred{OID: toy.PKOID, User: "bob"}
	for name, tt := range map[string]struct {
		ms    mechglue.Mechanisms
		mech  oid.OID
		o     *gss.InitOptions
		first oid.OID // of the first token
		want  gss.Major
	}{
		"by OID":              {ms, toy.PKOID, nil, toy.PKOID, 0},
		"the first":           {ms, "", nil, toy.KrbOID, 0},
		"the first that can":  {ms, "", &gss.InitOptions{Credentials: []gss.Credential{pk}}, toy.PKOID, 0},
		"not this one":        {ms, toy.KrbOID, &gss.InitOptions{Credentials: []gss.Credential{pk}}, "", gss.NoCred},
		"needs too much":      {ms, toy.UniOID, nil, "", gss.Unavailable},
		"unknown":             {ms, oid.NTLM, nil, "", gss.BadMech},
		"none":                {nil, "", nil, "", gss.BadMech},
		"none can":            {ms, "", &gss.InitOptions{Require: 1 << 30}, "", gss.Unavailable},
		"second of that name": {append(mechglue.Mechanisms{&toy.PK{Party: toy.NewParty("")}}, ms...), toy.PKOID, nil, toy.PKOID, 0},
	} {
		h, err := tt.ms.Initiate(tt.mech, svc, tt.o)
		if gss.MajorOf(err) != tt.want || (h == nil) != (err != nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if err != nil {
			if e, ok := errors.AsType[*gss.Error](err); !ok || tt.want == gss.BadMech && e.Mech != tt.mech {
				t.Errorf("%s: %#v", name, err)
			}
			continue
		}
		out, _, _ := h.Step(t.Context(), nil)
		if got, _, err := gss.ParseToken(out); got != tt.first {
			t.Errorf("%s: began with %v, %v", name, got, err)
		}
		h.Close()
	}
	_, err := ms.Initiate("", svc, &gss.InitOptions{Credentials: []gss.Credential{&toy.Cred{OID: oid.NTLM}}, Require: gss.Integ})
	if n := len(err.(*gss.Error).Err.(interface{ Unwrap() []error }).Unwrap()); !errors.Is(err, gss.NoCred) || n != len(ms) {
		t.Error("all mechanisms' errors are the cause:", err)
	}
}

// late is a mechanism that finds out in its first Step what it lacks.
type late struct {
	gss.Mechanism
	err error
	out []byte
}

type lateHandshake struct {
	gss.Handshake
	late
}

func (l late) Initiate(t gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	h, err := l.Mechanism.Initiate(t, o)
	return lateHandshake{h, l}, err
}

func (l lateHandshake) Step(context.Context, []byte) ([]byte, gss.Context, error) {
	return l.out, nil, l.err
}

// A mechanism that has no credential when it comes to it is passed over before
// anything is sent; nothing else is.
func TestPassOn(t *testing.T) {
	noCred := &gss.Error{Op: "Acquire_cred", Major: gss.NoCred}
	expired := &gss.Error{Op: "Acquire_cred", Major: gss.CredentialsExpired}
	failure := &gss.Error{Op: "Init_sec_context", Major: gss.Failure}
	krb, pk := client()[0], client()[1]
	for name, tt := range map[string]struct {
		ms   mechglue.Mechanisms
		mech oid.OID
		want gss.Major
	}{
		"no credential":      {mechglue.Mechanisms{late{krb, noCred, nil}, pk}, "", 0},
		"expired":            {mechglue.Mechanisms{late{krb, expired, nil}, pk}, "", 0},
		"two":                {mechglue.Mechanisms{late{krb, noCred, nil}, late{krb, expired, nil}, pk}, "", 0},
		"same name":          {mechglue.Mechanisms{late{pk, noCred, nil}, pk}, toy.PKOID, 0},
		"asked for":          {mechglue.Mechanisms{late{krb, noCred, nil}, pk}, toy.KrbOID, gss.NoCred},
		"all":                {mechglue.Mechanisms{late{krb, expired, nil}, late{pk, noCred, nil}}, "", gss.CredentialsExpired},
		"another failure":    {mechglue.Mechanisms{late{krb, failure, nil}, pk}, "", gss.Failure},
		"something was sent": {mechglue.Mechanisms{late{krb, noCred, []byte("x")}, pk}, "", gss.NoCred},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := tt.ms.Initiate(tt.mech, svc, nil)
			if err != nil {
				t.Fatal(err)
			}
			tr := conformance.Pump(t.Context(), h, server().Accept(nil))
			defer tr.Close()
			if gss.MajorOf(tr.InitErr) != tt.want {
				t.Errorf("got %v, want %v", tr.InitErr, tt.want)
			}
			if tt.want == 0 && (tr.Err() != nil || tr.Initiator.Info().Mech != toy.PKOID) {
				t.Error(tr.Err())
			}
		})
	}
}

// glued is a mechanism whose acceptor is the glue.
type glued struct {
	*toy.Krb
	ms mechglue.Mechanisms
}

func (g glued) Accept(o *gss.AcceptOptions) (gss.Handshake, error) { return g.ms.Accept(o), nil }

func TestConformance(t *testing.T) {
	k := &toy.Krb{Party: toy.NewParty("alice")}
	for name, flags := range map[string]gss.Flags{"framed": 0, "bare": gss.DefaultFlags | gss.DCEStyle} {
		t.Run(name, func(t *testing.T) {
			ms := server()
			conformance.Run(t, conformance.Setup{
				Initiator: glued{k, client()}, Acceptor: glued{ms[1].(*toy.Krb), ms}, Target: svc,
				InitOptions: gss.InitOptions{Require: flags},
			})
		})
	}
}

func TestAccept(t *testing.T) {
	type state struct {
		mech oid.OID
		want gss.Major
	}
	for name, tt := range map[string]struct {
		first []byte
		state
	}{
		"empty":                          {nil, state{"", gss.DefectiveToken}},
		"unknown":                        {gss.AppendToken(nil, oid.NTLM, []byte("x")), state{oid.NTLM, gss.BadMech}},
		"not DER":                        {[]byte{0x60, 0x84, 0, 0, 0, 1, 6}, state{"", gss.DefectiveToken}},
		"nothing we sniff":               {[]byte("NTLMSSP\x00"), state{"", gss.DefectiveToken}},
		"sniffed":                        {[]byte{0x6e, 1}, state{toy.KrbOID, gss.DefectiveToken}},
		"framed garbage":                 {gss.AppendToken(nil, toy.PKOID, []byte("x")), state{toy.PKOID, gss.DefectiveToken}},
		"framed, though a sniffer would": {gss.AppendToken(nil, toy.PKOID, []byte{0x6e}), state{toy.PKOID, gss.DefectiveToken}},
		"a megabyte":                     {make([]byte, 1<<20), state{"", gss.DefectiveToken}},
	} {
		h := server().Accept(nil)
		for n := range 2 {
			out, sc, err := h.Step(t.Context(), tt.first)
			if sc != nil || len(out) > 0 {
				t.Errorf("%s: out %x", name, out)
			}
			e, ok := errors.AsType[*gss.Error](err)
			want := tt.state
			if n == 1 {
				want.want = gss.NoContext
			}
			if !ok || e.Major != want.want || (n == 0 || want.mech != oid.NTLM) && e.Mech != want.mech {
				t.Errorf("%s: step %d: %v", name, n, err)
			}
		}
		h.Close()
		if err := h.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
	}
}

// TestOptionsNotKept: the options are the caller's again after Accept.
func TestOptionsNotKept(t *testing.T) {
	o := gss.AcceptOptions{Bindings: []byte("x:1")}
	a := server().Accept(&o)
	o.Bindings[2] = '2'
	o.Require = 1 << 30
	i, err := client().Initiate("", svc, &gss.InitOptions{Bindings: []byte("x:1")})
	if err != nil {
		t.Fatal(err)
	}
	tr := conformance.Pump(t.Context(), i, a)
	defer tr.Close()
	if tr.Err() != nil || !tr.Acceptor.Info().Flags.Has(gss.Bound) {
		t.Error(tr.Err())
	}
}

// early is a mechanism whose handshake is always ready, and portable.
type early struct{ gss.Mechanism }

type earlyHandshake struct{ gss.Handshake }

type fakeContext struct{ gss.Context }

func (earlyHandshake) Early() gss.Context               { return fakeContext{} }
func (earlyHandshake) ExportHandshake() ([]byte, error) { return []byte("half"), nil }

func (e early) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	h, err := e.Mechanism.Accept(o)
	return earlyHandshake{h}, err
}

func (e early) ImportHandshake(state []byte, o *gss.AcceptOptions) (gss.Handshake, error) {
	if string(state) != "half" {
		return nil, &gss.Error{Op: "Import_sec_context", Mech: e.OID(), Major: gss.DefectiveToken}
	}
	return e.Accept(o)
}

func TestHandshakeOptional(t *testing.T) {
	first := func(ms mechglue.Mechanisms, mech oid.OID) (h gss.Handshake) {
		i, err := client().Initiate(mech, svc, nil)
		if err != nil {
			t.Fatal(err)
		}
		tok, _, _ := i.Step(t.Context(), nil)
		h = ms.Accept(nil)
		if _, _, err := h.Step(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
		return h
	}
	plain := first(client(), toy.PKOID)
	if plain.(gss.EarlyHandshake).Early() != nil {
		t.Error("early of a mechanism that is not")
	}
	if _, err := plain.(gss.HandshakeExporter).ExportHandshake(); !errors.Is(err, gss.Unavailable) {
		t.Error(err)
	}
	ms := mechglue.Mechanisms{early{client()[1]}}
	if h := ms.Accept(nil); h.(gss.EarlyHandshake).Early() != nil {
		t.Error("early before the first token")
	} else if _, err := h.(gss.HandshakeExporter).ExportHandshake(); !errors.Is(err, gss.Unavailable) {
		t.Error(err)
	}
	h := first(ms, toy.PKOID)
	if h.(gss.EarlyHandshake).Early() == nil {
		t.Error("Early was lost")
	}
	half, err := h.(gss.HandshakeExporter).ExportHandshake()
	if err != nil || string(half) != string(toy.PKOID.AppendDER(nil))+"half" {
		t.Fatalf("%q, %v", half, err)
	}
	again, err := mechglue.Mechanisms{&toy.Nego{Mechs: ms}}.ImportHandshake(half, nil)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := again.(gss.HandshakeExporter).ExportHandshake(); err != nil || string(twice) != string(half) {
		t.Errorf("exported again: %q, %v", twice, err)
	}
	again.Close()
	if _, err := again.(gss.HandshakeExporter).ExportHandshake(); !errors.Is(err, gss.NoContext) {
		t.Error(err)
	}
	for tok, want := range map[string]gss.Major{"": gss.DefectiveToken, string(half[:5]): gss.DefectiveToken,
		string(half) + "x": gss.DefectiveToken, string(oid.NTLM.AppendDER(nil)): gss.BadMech} {
		if _, err := ms.ImportHandshake([]byte(tok), nil); gss.MajorOf(err) != want {
			t.Errorf("%q: %v", tok, err)
		}
	}
}

func TestExport(t *testing.T) {
	ms := server()
	only := mechglue.Mechanisms{&toy.Nego{Mechs: []gss.Mechanism{&toy.Nego{Mechs: ms[1:2]}}}} // krb inside, twice
	i, err := client().Initiate(toy.KrbOID, svc, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := conformance.Pump(t.Context(), i, ms.Accept(nil))
	defer tr.Close()
	if tr.Err() != nil {
		t.Fatal(tr.Err())
	}
	tok, err := mechglue.Export(tr.Acceptor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mechglue.Export(tr.Acceptor); !errors.Is(err, gss.NoContext) {
		t.Error("twice:", err)
	}
	for n := range tok {
		if _, err := ms.Import(tok[:n]); gss.MajorOf(err) != gss.DefectiveToken {
			t.Fatalf("%d octets: %v", n, err)
		}
	}
	if _, err := ms.Import(append(oid.NTLM.AppendDER(nil), "state"...)); !errors.Is(err, gss.BadMech) || err.(*gss.Error).Mech != oid.NTLM {
		t.Error(err)
	}
	if _, err := ms.Import(toy.PKOID.AppendDER(nil)); !errors.Is(err, gss.BadMech) {
		t.Error("a mechanism that cannot import:", err)
	}
	sc, err := only.Import(tok)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	w, _ := tr.Initiator.Wrap(nil, []byte("hello"), gss.Confidential)
	if got, _, err := sc.Unwrap(nil, w); err != nil || string(got) != "hello" {
		t.Error(err)
	}
	// A context that cannot: nothing is closed.
	j, _ := client().Initiate(toy.PKOID, svc, nil)
	tp := conformance.Pump(t.Context(), j, ms.Accept(nil))
	defer tp.Close()
	if _, err := mechglue.Export(tp.Acceptor); !errors.Is(err, gss.Unavailable) {
		t.Error(err)
	}
	if _, err := tp.Acceptor.MIC(nil, nil); err != nil {
		t.Error(err)
	}
}

// loop is a stack that is inside itself.
type loop struct{ gss.Mechanism }

func (l loop) Inner() []gss.Mechanism { return []gss.Mechanism{l, l} }

func TestStackCycle(t *testing.T) {
	if _, err := (mechglue.Mechanisms{loop{client()[1]}}).Import(oid.NTLM.AppendDER(nil)); !errors.Is(err, gss.BadMech) {
		t.Error(err)
	}
}

func TestCanonicalize(t *testing.T) {
	ms := client()
	n, err := ms.Canonicalize(context.Background(), toy.KrbOID, svc)
	if err != nil || !n.IsMN() {
		t.Error(n, err)
	}
	for mech, want := range map[oid.OID]gss.Major{toy.UniOID: gss.Unavailable, oid.NTLM: gss.BadMech} {
		if _, err := ms.Canonicalize(t.Context(), mech, svc); gss.MajorOf(err) != want || err.(*gss.Error).Mech != mech {
			t.Error(err)
		}
	}
	if _, err := ms.Canonicalize(t.Context(), toy.KrbOID, gss.Name{Type: oid.NTAnonymous}); !errors.Is(err, gss.BadNameType) {
		t.Error(err)
	}
}

func TestByAttributes(t *testing.T) {
	ms := append(server(), struct{ gss.Mechanism }{renamed{client()[0], oid.NTLM}}) // the last is not Described
	type oids = []oid.OID
	for name, tt := range map[string]struct{ desired, except, critical, want oids }{
		"all":               {nil, nil, nil, oids{toy.NegoOID, toy.KrbOID, toy.PKOID, toy.UniOID, oid.NTLM}},
		"mutual":            {oids{oid.MAAuthTarg}, nil, nil, oids{toy.KrbOID, toy.PKOID}},
		"mutual, delegates": {oids{oid.MAAuthTarg, oid.MADelegCred}, nil, nil, oids{toy.KrbOID}},
		"no negotiation":    {nil, oids{oid.MAMechNego, oid.MADelegCred}, nil, oids{toy.PKOID, toy.UniOID, oid.NTLM}},
		"knows about PFS":   {nil, nil, oids{oid.MAPFS}, oids{toy.NegoOID, toy.KrbOID, toy.PKOID, toy.UniOID}},
		"knows what nobody": {nil, nil, oids{oid.Arc}, nil},
		"contradiction":     {oids{oid.MAMIC}, oids{oid.MAMIC}, nil, nil},
		"together":          {oids{oid.MAMIC}, oids{oid.MAAuthTarg}, oids{oid.MACompress}, oids{toy.UniOID}},
	} {
		if got := ms.ByAttributes(tt.desired, tt.except, tt.critical).OIDs(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	has, knows, err := ms.InquireAttributes(toy.UniOID)
	if err != nil || !slices.Contains(has, oid.MAMIC) || slices.Contains(has, oid.MAPFS) || !slices.Contains(knows, oid.MAPFS) {
		t.Error(has, err)
	}
	for _, a := range knows {
		if _, ok := oid.Describe(a); !ok {
			t.Error("an attribute that cannot be displayed:", a)
		}
	}
	if has, knows, err := ms.InquireAttributes(oid.NTLM); err != nil || has != nil || knows != nil {
		t.Error(has, knows, err)
	}
	if _, _, err := ms.InquireAttributes(oid.SPNEGO); !errors.Is(err, gss.BadMech) {
		t.Error(err)
	}
}

func FuzzAccept(f *testing.F) {
	for _, mech := range []oid.OID{toy.KrbOID, toy.PKOID} {
		h, err := client().Initiate(mech, svc, nil)
		if err != nil {
			f.Fatal(err)
		}
		tok, _, _ := h.Step(f.Context(), nil)
		f.Add(tok)
	}
	ms := server()
	f.Fuzz(func(t *testing.T, tok []byte) {
		h := ms.Accept(nil)
		defer h.Close()
		_, sc, err := h.Step(t.Context(), tok)
		if _, ok := errors.AsType[*gss.Error](err); err != nil && !ok || err != nil && sc != nil {
			t.Fatal(err)
		}
		if sc != nil {
			sc.Close()
		}
	})
}

func Example() {
	// In a program: mechs.System(), or mechanisms that it makes itself.
	ms := mechglue.Mechanisms{&toy.Krb{Party: toy.NewParty("alice")}, &toy.PK{Party: toy.NewParty("alice")}}
	forward := ms.ByAttributes([]oid.OID{oid.MAAuthTarg, oid.MAConfProt}, []oid.OID{oid.MADelegCred}, nil)

	i, err := forward.Initiate("", gss.Service("host", "files.example.org"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	t := conformance.Pump(context.Background(), i, ms.Accept(nil)) // over a connection: package gssnet
	fmt.Println(len(t.Tokens), t.Acceptor.Info().Peer, t.Err())
	// Output: 3 user:alice <nil>
}
