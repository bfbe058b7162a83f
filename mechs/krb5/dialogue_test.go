package krb5

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/oid"
)

var updateExchanges = flag.Bool("update-exchanges", false, "write testdata/exchanges.json from the MIT krb5 and the Heimdal that are installed")

const exchangeFile = "testdata/exchanges.json"

// A dialogue is an exchange with another library: what that sent, and what it takes to read it again.
type dialogue struct {
	Library string
	EType   int32
	Realm   string
	Keytab  []byte
	Time    time.Time

	// As an initiator: AP-REQs with mutual authentication, without, and of DCE style,
	// with the third leg to a second one of number ThirdSeq; one with a credential; and
	// messages to follow OneWay.
	Mutual, OneWay, Bare, Third, Deleg []byte
	ThirdSeq                           uint32
	Messages                           []recordedMessage

	// As an acceptor: the AP-REP to an authenticator of ours, a KRB-ERROR, and messages to
	// follow the AP-REP.
	Session, Subkey []byte
	CTime           time.Time
	Seq             uint32
	Reply, Error    []byte
	Replies         []recordedMessage
}

type recordedMessage struct {
	MIC   bool
	Level gss.Level // otherwise
	Msg   []byte
	Token []byte
}

func (r *dialogue) config() *Config {
	return &Config{DefaultRealm: r.Realm, EncTypes: []int32{r.EType}}
}

// TestRecordExchanges records, if it is asked to.
func TestRecordExchanges(t *testing.T) {
	if !*updateExchanges {
		t.Skip("-update-exchanges was not given")
	}
	var all []*dialogue
	for _, l := range libraries(t)[:2] {
		for _, e := range peers.Enctypes {
			start := kdcMIT
			if l.name == "Heimdal" {
				start = kdcHeimdal
			}
			all = append(all, record(t, l, start(t, e.Name), int32(e.ID)))
		}
	}
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exchangeFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T, l library, k *kdc, etype int32) *dialogue {
	t.Helper()
	keytab, err := os.ReadFile(k.keytab)
	if err != nil {
		t.Fatal(err)
	}
	r := &dialogue{Library: l.name, EType: etype, Realm: k.realm, Keytab: keytab}
	messages := func(p *mitEndProcess) (out []recordedMessage) {
		for _, msg := range [][]byte{{}, []byte("seventeen octets.")} {
			for sealed, level := range []gss.Level{gss.IntegrityOnly, gss.Confidential} {
				out = append(out, recordedMessage{false, level, msg, unhex(t, p.ask("wrap %d %s", sealed, hexOf(msg))[0])})
			}
			out = append(out, recordedMessage{true, 0, msg, unhex(t, p.ask("mic %s", hexOf(msg))[0])})
		}
		return out
	}
	begin := func(flags gss.Flags) (*mitEndProcess, []byte) {
		args := append(l.command[1:len(l.command):len(l.command)], "host@localhost", fmt.Sprint(uint32(flags)), "-")
		p := startMITEnd(t, l.command[0], k.env(l), args...)
		return p, p.step(nil)
	}
	_, r.Mutual = begin(gss.DefaultFlags)
	_, r.Deleg = begin(gss.DefaultFlags | gss.Deleg)
	p, tok := begin(gss.DefaultFlags &^ gss.Mutual)
	r.OneWay = tok
	complete(t, p)
	r.Messages = messages(p)

	m := k.ours(t, nil)
	p, r.Bare = begin(gss.DefaultFlags | gss.DCEStyle)
	h, err := m.Accept(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	rep, _, err := h.Step(t.Context(), r.Bare)
	if err != nil {
		t.Fatal(err)
	}
	r.ThirdSeq = h.(*acceptor).wait.seq
	r.Third = p.step(rep)

	accepts := func() *mitEndProcess {
		return startMITEnd(t, l.command[0], k.env(l), append(l.command[1:len(l.command):len(l.command)], "-", "0", "-")...)
	}
	ih, err := m.Initiate(gss.Service("host", "localhost"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ih.Close()
	if tok, _, err = ih.Step(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	i := ih.(*initiator)
	r.Session, r.Subkey, r.CTime, r.Seq = i.ticket.key.Bytes(), i.subkey.Bytes(), i.ctime, i.seq
	p = accepts()
	r.Reply = p.step(tok)
	complete(t, p)
	r.Replies = messages(p)

	// Of a client whose clock is an hour behind, which both answer with a token.
	f := newForger(t, ikrb5.EType(etype))
	f.client, f.session = i.cred.shared.principal, i.ticket.key
	auth := f.authenticator(allFlags, nil)
	auth.CTime = auth.CTime.Add(-time.Hour)
	req := ikrb5.APReq{Options: ikrb5.APMutualRequired, RawTicket: i.ticket.raw, Authenticator: f.encrypt(auth, f.session, ikrb5.UsageAPReqAuth)}
	r.Error = accepts().step(frame(tokAPReq, req.Append(nil)))
	r.Time = time.Now().UTC().Truncate(time.Second)
	return r
}

// accept reads an AP-REQ as if it were the time of the recording; messages read are m, if
// there is one, whose token is tok.
func (r *dialogue) accept(t *testing.T, mech *Mech, cred *Credential, in []byte) (gss.Info, gss.Context, error) {
	t.Helper()
	h, err := mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{cred}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, sc, err := h.Step(t.Context(), in)
	if w := h.(*acceptor).wait; w != nil {
		sc, w.sc = w.sc, nil
	}
	if (sc == nil) == (err == nil) {
		t.Fatalf("%v and %v", sc, err)
	}
	if err != nil {
		return gss.Info{}, nil, err
	}
	return sc.Info(), sc, nil
}

// initiator is one of ours that waits for the AP-REP.
func (r *dialogue) initiator(t *testing.T, mech *Mech) *initiator {
	t.Helper()
	key := func(b []byte) *ikrb5.Key {
		k, err := ikrb5.NewKey(ikrb5.EType(r.EType), b)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	return &initiator{
		m: mech, ticket: &ticket{key: key(r.Session)}, subkey: key(r.Subkey), ctime: r.CTime, seq: r.Seq,
		info: gss.Info{Mech: oid.Krb5, Initiator: true, Flags: gss.DefaultFlags | gss.ProtReady, Expiry: r.Time.Add(time.Hour)},
	}
}

// alter calls try with tok, every prefix of it, and it with each bit turned and with an
// octet more.
func alter(tok []byte, try func(what string, tok []byte)) {
	step := 1
	if raceEnabled { // there it takes ten times as long
		step = 3
	}
	for i := range tok {
		try(fmt.Sprintf("%d of %d octets", i, len(tok)), tok[:i:i])
		for bit := 0; bit < 8; bit += step {
			bad := slices.Clone(tok)
			bad[i] ^= 1 << bit
			try(fmt.Sprintf("octet %d (%#02x), bit %d", i, tok[i], bit), bad)
		}
	}
	try("an octet more", append(slices.Clone(tok), 0))
}

// typed checks that a refusal is one that a caller can tell apart from others.
func typed(t *testing.T, what string, err error, majors ...gss.Major) {
	t.Helper()
	e, ok := errors.AsType[*gss.Error](err)
	if !ok || !slices.Contains(majors, e.Major) {
		t.Errorf("%s: %v", what, err)
	}
}

// unprotected is an AP-REQ with what no key protects as it is in another: the options, but
// for use-session-key, the type of the ticket's sname, and what the authenticator's
// EncryptedData says of a key version, as session keys have none.
func unprotected(req, as *ikrb5.APReq) []byte {
	if (req.Options^as.Options)&ikrb5.APUseSessionKey == 0 {
		req.Options = as.Options
	}
	req.Ticket.SName.Type = as.Ticket.SName.Type
	req.Authenticator.KVNO = as.Authenticator.KVNO
	return req.Append(nil)
}

// exchanges are those that were recorded.
func exchanges(t testing.TB) (all []*dialogue) {
	t.Helper()
	b, err := os.ReadFile(exchangeFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRecorded: exchanges with other libraries, at the time when they were recorded. Every
// token with any bit turned, cut off anywhere, or longer, is refused, or differs in what the
// protocol does not protect, and then means the same.
func TestRecorded(t *testing.T) {
	for _, r := range exchanges(t) {
		if raceEnabled && r.EType != 19 {
			continue
		}
		t.Run(fmt.Sprintf("%s/%v", r.Library, ikrb5.EType(r.EType)), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, r.replay)
		})
	}
}

func (r *dialogue) replay(t *testing.T) {
	time.Sleep(time.Until(r.Time))
	cred, err := FromKeytab(r.Keytab, "")
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	m := New(Options{Config: r.config(), Replay: vouching{}})
	for _, tok := range [][]byte{r.Mutual, r.OneWay, r.Bare, r.Deleg} {
		bare := m.Sniff(tok)
		want, sc, err := r.accept(t, m, cred, tok)
		if err != nil {
			t.Fatal(err)
		}
		sc.Close()
		if want.Peer.Text != "user@"+r.Realm || want.Local.Text != "host/localhost@"+r.Realm {
			t.Errorf("%+v", want)
		}
		_, msg, _ := unframeUnless(bare, tok)
		orig, err := ikrb5.ParseAPReq(msg)
		if err != nil {
			t.Fatal(err)
		}
		turned := 0
		alter(tok, func(what string, bad []byte) {
			got, sc, err := r.accept(t, m, cred, bad)
			if err != nil {
				// NoCred: for somebody else, or a key of another version; Unavailable: of a
				// type that is not there.
				typed(t, what, err, gss.DefectiveToken, gss.BadMIC, gss.NoCred, gss.Unavailable)
				return
			}
			sc.Close()
			turned++
			_, badMsg, _ := unframeUnless(bare, bad)
			req, err := ikrb5.ParseAPReq(badMsg)
			if err != nil || !bytes.Equal(unprotected(req, orig), msg) || got != want {
				t.Errorf("%s: accepted, %+v, %v", what, got, err)
			}
		})
		if turned < 31 && !raceEnabled {
			t.Errorf("%d bits mean nothing; those of the options alone are 31", turned)
		}
	}
	r.alterCred(t, m, cred)
	// The third leg of DCE style.
	alter(r.Third, func(what string, bad []byte) {
		_, err := r.third(t).step(bad)
		typed(t, "third leg, "+what, err, gss.DefectiveToken, gss.BadMIC)
	})
	if sc, err := r.third(t).step(r.Third); err != nil || sc == nil {
		t.Errorf("third leg: %v", err)
	}
	// The AP-REP, and the KRB-ERROR in its place.
	step := func(in []byte) (gss.Context, error) {
		_, sc, err := r.initiator(t, m).Step(t.Context(), in)
		return sc, err
	}
	alter(r.Reply, func(what string, bad []byte) {
		sc, err := step(bad)
		if sc != nil {
			t.Errorf("AP-REP, %s: accepted", what)
			return
		}
		typed(t, "AP-REP, "+what, err, gss.DefectiveToken, gss.BadMIC, gss.Unavailable)
	})
	alter(r.Error, func(what string, bad []byte) {
		sc, err := step(bad)
		if sc != nil {
			t.Errorf("KRB-ERROR, %s: accepted", what)
			return
		}
		typed(t, "KRB-ERROR, "+what, err, gss.DefectiveToken, gss.Failure, gss.DuplicateToken, gss.CredentialsExpired, gss.BadMIC, gss.BadBindings, gss.NoCred)
	})
	if _, err := step(r.Error); !errors.As(err, new(*gss.Error)) || !err.(*gss.Error).Remote {
		t.Errorf("KRB-ERROR: %v", err)
	}
	// Messages, to both ends.
	accepted := func() gss.Context {
		_, sc, err := r.accept(t, m, cred, r.OneWay)
		if err != nil {
			t.Fatal(err)
		}
		return sc
	}
	initiated := func() gss.Context {
		sc, err := step(r.Reply)
		if err != nil {
			t.Fatal(err)
		}
		return sc
	}
	r.messages(t, "to an acceptor", accepted, r.Messages)
	r.messages(t, "to an initiator", initiated, r.Replies)
}

// delegated opens r.Deleg.
func (r *dialogue) delegated(t testing.TB) (*ikrb5.APReq, *ikrb5.Key, *ikrb5.Authenticator, gssChecksum) {
	t.Helper()
	keys, err := parseKeytab(r.Keytab)
	if err != nil {
		t.Fatal(err)
	}
	_, msg, _ := unframeUnless(false, r.Deleg)
	req, err := ikrb5.ParseAPReq(msg)
	if err != nil {
		t.Fatal(err)
	}
	candidates := keys.candidates(keys.entries[0].principal, &req.Ticket.EncPart)
	if len(candidates) != 1 {
		t.Fatalf("%d keys", len(candidates))
	}
	plain, err := candidates[0].key.Decrypt(nil, req.Ticket.EncPart.Cipher, ikrb5.UsageTicket)
	if err != nil {
		t.Fatal(err)
	}
	part, err := ikrb5.ParseEncTicketPart(plain)
	if err != nil {
		t.Fatal(err)
	}
	session, err := part.Key.Key()
	if err != nil {
		t.Fatal(err)
	}
	if plain, err = session.Decrypt(nil, req.Authenticator.Cipher, ikrb5.UsageAPReqAuth); err != nil {
		t.Fatal(err)
	}
	auth, err := ikrb5.ParseAuthenticator(plain)
	if err != nil {
		t.Fatal(err)
	}
	sum, ok := parseGSSChecksum(auth.Cksum.Sum)
	if !ok || !sum.flags.Has(gss.Deleg) {
		t.Fatalf("%x", auth.Cksum.Sum)
	}
	return req, session, auth, sum
}

// alterCred alters the KRB-CRED inside the authenticator, as only somebody can who has the
// session key. What its names' types are, its key's version, and what only the
// ticket-granting service can read, nobody checks here. For the rest, MIT's is encrypted
// once more; Heimdal's is in clear, and says what it then says.
func (r *dialogue) alterCred(t *testing.T, m *Mech, cred *Credential) {
	req, session, auth, sum := r.delegated(t)
	sealed := sum.cred
	orig, err := ikrb5.ParseCred(sealed)
	if err != nil {
		t.Fatal(err)
	}
	inClear := orig.EncPart.EType == 0
	if inClear != (r.Library == "Heimdal") {
		t.Fatalf("in clear: %v", inClear)
	}
	// octets are what c says in clear.
	octets := func(c *ikrb5.Cred) []byte {
		part, err := ikrb5.ParseEncCredPart(c.EncPart.Cipher)
		if err != nil {
			t.Error(err)
			return nil
		}
		return part.Append(nil)
	}
	read := func(msg []byte) (gss.Info, error) {
		sum.cred = msg
		auth.Cksum.Sum = sum.append(nil)
		if req.Authenticator.Cipher, err = session.Encrypt(nil, auth.Append(nil), ikrb5.UsageAPReqAuth); err != nil {
			t.Fatal(err)
		}
		info, sc, err := r.accept(t, m, cred, frame(tokAPReq, req.Append(nil)))
		if err != nil {
			return info, err
		}
		defer sc.Close()
		got, err := sc.(gss.Delegator).Delegated()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if got.Name() != info.Peer {
			t.Errorf("%v delegated %v", info.Peer, got.Name())
		}
		return info, nil
	}
	want, err := read(sealed)
	if err != nil || !want.Flags.Has(gss.Deleg) {
		t.Fatal(want, err)
	}
	refused := 0
	alter(sealed, func(what string, bad []byte) {
		got, err := read(bad)
		if err != nil {
			refused++
			typed(t, "KRB-CRED, "+what, err, gss.DefectiveToken)
			return
		}
		c, err := ikrb5.ParseCred(bad)
		if err != nil || len(c.Tickets) != 1 || got != want {
			t.Errorf("KRB-CRED, %s: accepted, %+v, %v", what, got, err)
			return
		}
		c.Tickets[0].EncPart, c.Tickets[0].SName.Type = orig.Tickets[0].EncPart, orig.Tickets[0].SName.Type
		c.EncPart.KVNO = orig.EncPart.KVNO
		if bytes.Equal(c.Append(nil), sealed) {
			return
		}
		if !inClear || c.EncPart.EType != 0 || differ(octets(c), octets(orig)) != 1 {
			t.Errorf("KRB-CRED, %s: accepted", what)
		}
	})
	if refused <= len(sealed) {
		t.Errorf("KRB-CRED: %d alterations of %d octets refused", refused, len(sealed))
	}
}

// differ counts the bits in which a and b differ; -1: their lengths do.
func differ(a, b []byte) (n int) {
	if len(a) != len(b) {
		return -1
	}
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

func (r *dialogue) third(t *testing.T) *third {
	t.Helper()
	// The session key of that exchange is in the ticket.
	cred, err := FromKeytab(r.Keytab, "")
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	x := exchange{m: New(Options{Config: r.config()}), keys: cred.shared.keys, opts: new(gss.AcceptOptions), bare: true}
	if refused := x.read(r.Bare); refused != nil {
		t.Fatal(refused)
	}
	return &third{session: x.session, seq: r.ThirdSeq, sc: newSubkeyContext(x.info, nil, x.subkey, 0, 0)}
}

// messages reads a peer's messages in their order, and each altered.
func (r *dialogue) messages(t *testing.T, where string, establish func() gss.Context, list []recordedMessage) {
	t.Helper()
	read := func(sc gss.Context, m recordedMessage, tok []byte) error {
		if m.MIC {
			return sc.VerifyMIC(m.Msg, tok)
		}
		got, level, err := sc.Unwrap(nil, tok)
		if err == nil && (level != m.Level || !bytes.Equal(got, m.Msg)) {
			t.Errorf("%s: %v %q, want %v %q", where, level, got, m.Level, m.Msg)
		}
		return err
	}
	sc := establish()
	for n, m := range list {
		if err := read(sc, m, m.Token); err != nil {
			t.Errorf("%s, message %d: %v", where, n, err)
		}
	}
	sc.Close()
	for n, m := range list {
		sc := establish()
		for _, before := range list[:n] {
			read(sc, before, before.Token)
		}
		alter(m.Token, func(what string, bad []byte) {
			err := read(sc, m, bad)
			if err != nil {
				typed(t, fmt.Sprintf("%s, message %d, %s", where, n, what), err, gss.DefectiveToken, gss.BadMIC)
				return
			}
			// RFC 4121 §4.2.5: the rotation is in clear, and one by a multiple of what is
			// rotated is none.
			if len(bad) != len(m.Token) || !bytes.Equal(bad[:6], m.Token[:6]) || !bytes.Equal(bad[8:], m.Token[8:]) || m.MIC {
				t.Errorf("%s, message %d, %s: accepted", where, n, what)
			}
			sc.Close() // the number is used up
			sc = establish()
			for _, before := range list[:n] {
				read(sc, before, before.Token)
			}
		})
		if err := read(sc, m, m.Token); err != nil {
			t.Errorf("%s, message %d after all that: %v", where, n, err)
		}
		sc.Close()
	}
}
