package krb5

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/oid"
)

var update = flag.Bool("update-tokens", false, "write testdata/mit-tokens.json from the MIT krb5 that is installed")

const vectorFile = "testdata/mit-tokens.json"

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(t []byte) (err error) {
	*h, err = hex.DecodeString(string(t))
	return err
}

// A mitEnd is one end of a context of MIT krb5, and what it and ours have in common.
type mitEnd struct {
	EType               ikrb5.EType
	Initiator           bool
	AcceptorSubkey      bool
	DCE                 bool
	Key, Partial        hexBytes
	SendSeq, RecvSeq    uint64
	Tokens              []mitToken
	PRFFull, PRFPartial hexBytes `json:",omitempty"`
}

// A mitToken is what it sent, in order: "wrap" (gss_wrap), "iov" (gss_wrap_iov
// without a trailer, which makes an RRC) or "mic".
type mitToken struct {
	Kind   string
	Sealed bool
	Msg    hexBytes
	Token  hexBytes
}

// peer returns our context at the other end of m.
func (m *mitEnd) peer(t testing.TB) *secContext {
	flags := gss.DefaultFlags
	if m.DCE {
		flags |= gss.DCEStyle
	}
	return newContext(contextParams{
		info:      gss.Info{Mech: oid.Krb5, Flags: flags},
		initiator: !m.Initiator, acceptorSubkey: m.AcceptorSubkey,
		key: makeKey(t, m.EType, m.Key), partial: makeKey(t, m.EType, m.Partial),
		sendSeq: m.RecvSeq, recvSeq: m.SendSeq,
	})
}

// twin returns our context in m's own place.
func (m *mitEnd) twin(t testing.TB) *secContext {
	n := *m
	n.Initiator, n.SendSeq, n.RecvSeq = !m.Initiator, m.RecvSeq, m.SendSeq
	return n.peer(t)
}

// check reads what m sent, and makes it again where nothing is random.
func (m *mitEnd) check(t *testing.T) {
	t.Helper()
	peer, twin := m.peer(t), m.twin(t)
	for n, tok := range m.Tokens {
		var made []byte
		var err error
		l := gss.IntegrityOnly
		if tok.Sealed {
			l = gss.Confidential
		}
		if tok.Kind == "mic" {
			err = peer.VerifyMIC(tok.Msg, tok.Token)
			made, _ = twin.MIC(nil, tok.Msg)
		} else {
			var got []byte
			var gotLevel gss.Level
			got, gotLevel, err = peer.Unwrap(nil, tok.Token)
			if err == nil && (!bytes.Equal(got, tok.Msg) || gotLevel != l) {
				t.Errorf("%v, token %d: %q, %v", m.EType, n, got, gotLevel)
			}
			made, _ = twin.Wrap(nil, tok.Msg, l)
		}
		if err != nil {
			t.Errorf("%v, token %d (%s, sealed %v, %d octets): %v", m.EType, n, tok.Kind, tok.Sealed, len(tok.Msg), err)
		}
		if tok.Kind == "iov" {
			if bytes.Equal(tok.Token[atRRC:8], []byte{0, 0}) {
				t.Errorf("%v, token %d is not rotated", m.EType, n)
			}
			continue
		}
		if len(made) != len(tok.Token) || !bytes.Equal(made[:headerLen], tok.Token[:headerLen]) || !tok.Sealed && !bytes.Equal(made, tok.Token) {
			t.Errorf("%v, token %d (%s, sealed %v): made %x, MIT %x", m.EType, n, tok.Kind, tok.Sealed, made, tok.Token)
		}
	}
	for key, want := range map[gss.PRFKey][]byte{gss.PRFFull: m.PRFFull, gss.PRFPartial: m.PRFPartial} {
		if got, err := peer.PRF(key, []byte("prf input"), len(want)); err != nil || len(want) == 0 || !bytes.Equal(got, want) {
			t.Errorf("%v, PRF %v: %x, %v, want %x", m.EType, key, got, err, want)
		}
	}
}

// Tokens that MIT krb5 1.20.1 made; see TestMITTokens.
func TestMITVectors(t *testing.T) {
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var ends []mitEnd
	if err := json.Unmarshal(b, &ends); err != nil {
		t.Fatal(err)
	}
	if len(ends) != 24 {
		t.Fatal(len(ends), "contexts")
	}
	for _, m := range ends {
		if len(m.Tokens) < 8 {
			t.Fatal(len(m.Tokens), "tokens")
		}
		m.check(t)
	}
}

// A mitProcess is a running testdata/mitpeer.c.
type mitProcess struct {
	t    testing.TB
	in   io.Writer
	out  *bufio.Reader
	ends [2]mitEnd // initiator, acceptor
}

func buildMITPeer(t testing.TB) string {
	peers.Need(t, "cc", "krb5kdc")
	exe := filepath.Join(t.TempDir(), "mitpeer")
	if out, err := exec.Command("cc", "-O1", "-o", exe, "testdata/mitpeer.c", "-lgssapi_krb5").CombinedOutput(); err != nil {
		if os.Getenv(peers.RequireEnv) == "1" {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Skipf("the peer does not compile (Debian: apt-get install libkrb5-dev): %v\n%s", err, out)
	}
	return exe
}

func startMITPeer(t testing.TB, exe string, r *peers.Realm, ccache string, flags gss.Flags) *mitProcess {
	t.Helper()
	cmd := exec.Command(exe, "host@localhost", fmt.Sprint(uint32(flags)))
	cmd.Env = r.Env("KRB5CCNAME=FILE:" + ccache)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, stderr.String())
		}
	})
	p := &mitProcess{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	for i := range p.ends {
		line, err := p.out.ReadString('\n')
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		f := strings.Fields(line)
		var initiator, subkey int
		m := &p.ends[i]
		if _, err := fmt.Sscanf(line, "context %d %d %d %d %d", &initiator, &m.SendSeq, &m.RecvSeq, &subkey, &m.EType); err != nil || initiator != 1-i {
			t.Fatal(line, err)
		}
		m.Initiator, m.AcceptorSubkey = initiator == 1, subkey == 1
		m.Partial = p.hex(f[6])
		m.Key = m.Partial
		if m.AcceptorSubkey {
			m.Key = p.hex(f[8])
		}
	}
	return p
}

func (p *mitProcess) hex(s string) []byte {
	if s == "-" {
		return []byte{}
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// do has one end do something, and returns the words of its answer, "ok" or
// "error" first.
func (p *mitProcess) do(m *mitEnd, args ...any) []string {
	p.t.Helper()
	line := "a"
	if m.Initiator {
		line = "i"
	}
	for _, a := range args {
		if b, ok := a.([]byte); ok && len(b) == 0 {
			line += " -"
		} else if ok {
			line += fmt.Sprintf(" %x", b)
		} else {
			line += fmt.Sprint(" ", a)
		}
	}
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Fields(answer)
}

// must is do, for what has to succeed; it returns the last word's octets.
func (p *mitProcess) must(m *mitEnd, args ...any) []byte {
	p.t.Helper()
	f := p.do(m, args...)
	if f[0] != "ok" {
		p.t.Fatalf("%v: MIT answers %v to %v", m.EType, f, args)
	}
	if len(f) == 1 {
		return nil
	}
	return p.hex(f[len(f)-1])
}

var mitMessages = []string{"", "a", "sixteen octets..", strings.Repeat("long ", 10)}

// TestMITTokens has both ends of contexts of a real MIT krb5 speak with ours: with
// and without an acceptor's subkey, and DCE style, whose tokens by gss_wrap_iov
// have both an EC and an RRC.
func TestMITTokens(t *testing.T) {
	exe := buildMITPeer(t)
	var vectors []mitEnd
	for _, e := range peers.Enctypes {
		r := peers.MITRealm(t, peers.Options{Enctype: e.Name})
		ccache := r.Kinit(t, "user")
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags &^ gss.Mutual, gss.DefaultFlags | gss.DCEStyle} {
			p := startMITPeer(t, exe, r, ccache, flags)
			for i := range p.ends {
				m := &p.ends[i]
				if int(m.EType) != e.ID || m.AcceptorSubkey != flags.Has(gss.Mutual) {
					t.Fatalf("%v, acceptor subkey %v", m.EType, m.AcceptorSubkey)
				}
				m.DCE = flags.Has(gss.DCEStyle)
				p.exchange(m)
				if m.DCE && m.Tokens[1].Token[atEC+1] != 16 {
					t.Errorf("%v: no EC: %x", m.EType, m.Tokens[1].Token)
				}
				vectors = append(vectors, *m)
			}
		}
	}
	if *update && !t.Failed() {
		b, err := json.MarshalIndent(vectors, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// exchange takes tokens of m, and gives it ours.
func (p *mitProcess) exchange(m *mitEnd) {
	t := p.t.(*testing.T)
	for _, msg := range mitMessages {
		msg := []byte(msg)
		for _, conf := range []int{1, 0} {
			for _, kind := range []string{"wrap", "iov"} {
				m.Tokens = append(m.Tokens, mitToken{kind, conf == 1, msg, p.must(m, kind, conf, msg)})
			}
		}
		m.Tokens = append(m.Tokens, mitToken{"mic", false, msg, p.must(m, "mic", msg)})
	}
	m.PRFFull = p.must(m, "prf", 0, []byte("prf input"), 100)
	m.PRFPartial = p.must(m, "prf", 1, []byte("prf input"), 100)
	m.check(t)

	ours := m.peer(t)
	for _, msg := range mitMessages {
		msg := []byte(msg)
		for _, l := range levels {
			tok := must[[]byte](t)(ours.Wrap(nil, msg, l))
			f := p.do(m, "unwrap", tok)
			if len(f) != 3 || f[0] != "ok" || (f[1] == "1") != (l == gss.Confidential) || !bytes.Equal(p.hex(f[2]), msg) {
				t.Errorf("%v: MIT answers %v to a token, %v, of %d octets", m.EType, f, l, len(msg))
			}
			// The same judgment of the same token again, and of one that was changed.
			if f := p.do(m, "unwrap", tok); f[0] != "error" || !strings.HasSuffix(f[1], "2") {
				t.Errorf("%v: MIT answers %v to a replayed token", m.EType, f)
			}
			tok = rotate(must[[]byte](t)(ours.Wrap(nil, msg, l)), 77)
			if got := p.must(m, "unwrap", tok); !bytes.Equal(got, msg) {
				t.Errorf("%v: MIT reads a rotated token as %q", m.EType, got)
			}
		}
		p.must(m, "verify", msg, must[[]byte](t)(ours.MIC(nil, msg)))
		bad := must[[]byte](t)(ours.MIC(nil, msg))
		bad[len(bad)-1] ^= 1
		if f := p.do(m, "verify", msg, bad); f[0] != "error" || f[1] != fmt.Sprintf("%x", uint32(gss.BadMIC)) {
			t.Errorf("%v: MIT answers %v to a bad MIC", m.EType, f)
		}
		// The bad one left a gap, which MIT reports and means no failure by.
		if f := p.do(m, "verify", msg, must[[]byte](t)(ours.MIC(nil, msg))); f[0] != "error" || f[1] != fmt.Sprintf("%x", uint32(gss.GapToken)) {
			t.Errorf("%v: MIT answers %v to a gap", m.EType, f)
		}
	}
}
