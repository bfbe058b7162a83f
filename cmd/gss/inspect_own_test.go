package main

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
)

// Every token of pkix is understood throughout.
func TestInspectPKIX(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := gssRun(t, "", "cert", dir); code != exitOK {
		t.Fatal(stderr)
	}
	flags := func(who string) []string {
		return []string{"--mech", "pkix", "--cert", filepath.Join(dir, who+".pem"), "--key", filepath.Join(dir, who+".key"), "--ca", filepath.Join(dir, "ca.pem")}
	}
	server, port := startServer(t, peers.Env(), append(flags("localhost"), "host@localhost")...)
	for _, c := range []struct {
		args  []string
		kinds []string
	}{
		{nil, []string{"pkix M1, the initiator's first", "pkix M2, the acceptor's answer", "pkix M3, the initiator's proof",
			"Wrap token of pkix or reauth, confidential", "MIC token of pkix or reauth"}},
		{[]string{"--no-encrypt"}, []string{"pkix M1, the initiator's first", "pkix M2, the acceptor's answer", "pkix M3, the initiator's proof",
			"Wrap token of pkix or reauth, integrity only", "MIC token of pkix or reauth"}},
	} {
		near, tokens := eavesdrop(t, port)
		args := slices.Concat([]string{"client", "--port", strconv.Itoa(near)}, flags("user@example.org"), c.args, []string{"localhost", "host", "hello"})
		if out, err := gssExec(t, peers.Env(), args...); err != nil {
			t.Fatalf("%v\n%s%s", err, out, server.output())
		}
		var kinds []string
		for _, tok := range tokens() {
			rep := inspectToken(tok)
			kinds = append(kinds, rep.Kind)
			if !rep.OK {
				t.Errorf("%+v\n%x", rep, tok)
			}
			if strings.HasPrefix(rep.Kind, "pkix M1") {
				i := slices.IndexFunc(rep.Fields, func(f field) bool { return f.Name == "target" })
				if i < 0 || len(rep.Fields[i].Fields) != 2 || rep.Fields[i].Fields[1].Value != "svc:host@localhost" {
					t.Errorf("M1: %+v", rep.Fields)
				}
			}
		}
		if !slices.Equal(kinds, c.kinds) {
			t.Errorf("%q", kinds)
		}
	}
	// Anybody may ask, but not for somebody else: the acceptor's ME.
	near, tokens := eavesdrop(t, port)
	if out, err := gssExec(t, peers.Env(), slices.Concat([]string{"client", "--port", strconv.Itoa(near)}, flags("user@example.org"), []string{"localhost", "host@other.test", "x"})...); err == nil {
		t.Errorf("another host's service: %s", out)
	}
	if got := tokens(); len(got) != 2 || inspectToken(got[1]).Kind != "pkix ME, the acceptor refuses (unauthenticated)" || !inspectToken(got[1]).OK {
		t.Errorf("%x", got)
	}
}

// A grant and what is in it. A sealed message, though, is nothing to the eye.
func TestInspectSeal(t *testing.T) {
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	alice, bob := newOriginator(w.person("alice"), []byte("hello")), newRecipient(w.person("bob"))
	defer alice.close()
	defer bob.close()
	if err := bob.listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.meet(t.Context(), oid.PKIX, bob); err != nil {
		t.Fatal(err)
	}
	grant, err := alice.toBob.Grant(nil, []byte("hello"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	rep := inspectToken(grant)
	if !rep.OK || rep.Kind != "grant of a sealed message" || len(rep.Fields) != 6 ||
		rep.Fields[3].Fields[1].Value != "mail:alice@demo.test" || rep.Fields[4].Fields[1].Value != "svc:post@bob.demo.test" ||
		rep.Fields[5].Value != octets(seal.Size(5)) {
		t.Errorf("%+v", rep)
	}
	until, err := time.Parse(time.RFC3339, rep.Fields[1].Value)
	if d := time.Until(until); err != nil || d < 50*time.Minute || d > time.Hour {
		t.Errorf("good until %s", rep.Fields[1].Value)
	}
	if key := string(grant[14:46]); strings.Contains(rep.Fields[2].Value, key) || !strings.Contains(rep.Fields[2].Value, "secret") {
		t.Errorf("relay key: %s", rep.Fields[2].Value)
	}
	for i := range grant {
		if rep := inspectToken(grant[:i]); rep.OK && rep.Kind == "grant of a sealed message" {
			t.Errorf("cut at %d it is still a grant", i)
		}
	}
	sealed, err := alice.toBob.Seal(nil, []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	// It is uniform, so that one in some thousands begins like something else.
	if rep := inspectToken(sealed); rep.OK && len(rep.Fields) > 3 {
		t.Errorf("%+v", rep)
	}
}

// reauth's tokens, as its layouts have them.
func TestInspectReauth(t *testing.T) {
	v16 := func(n int) string {
		return string(binary.BigEndian.AppendUint16(nil, uint16(n))) + strings.Repeat("x", n)
	}
	n32 := strings.Repeat("n", 32)
	inner := string(gss.AppendToken(nil, oid.Krb5, []byte{2, 0, 0x6f, 0}))
	framed := func(s string) string { return string(gss.AppendToken(nil, oid.Join(oid.Reauth, oid.Krb5), []byte(s))) }
	for _, c := range []struct {
		token, kind string
		ok          bool
	}{
		{framed("\x11\x01\x01" + n32 + v16(560) + v16(32) + v16(200)), "reauth RESUME, the initiator comes back", true},
		{framed("\x11\x02\x02" + n32 + v16(600) + v16(1216) + v16(200)), "reauth RESUME, the initiator comes back", true},
		{framed("\x11\x03\x01" + n32 + v16(560) + v16(32) + v16(200)), "reauth RESUME, the initiator comes back", false},
		{framed("\x11\x01\x09" + n32 + v16(560) + v16(32) + v16(200)), "reauth RESUME, the initiator comes back", false},
		{framed("\x11\x01\x01" + n32 + v16(560) + v16(32) + v16(200) + "x"), "reauth RESUME, the initiator comes back", false},
		{"\x12\x01" + n32 + v16(32) + v16(700), "reauth RESUMED, the acceptor's answer", true},
		{"\x12\x01" + n32 + v16(32) + v16(700)[:600], "reauth RESUMED, the acceptor's answer", false},
		{"\x13" + n32, "reauth CONFIRM, the initiator is no replay", true},
		{"\x14", "reauth REFUSED: the mechanism inside takes over", true},
		{"\x15" + n32, "reauth BADCB, other channel bindings", true},
		{framed("\x01" + inner), "reauth, a token of the mechanism inside", false}, // the AP-REP is cut short
		{"\x03\x00\x00\x00" + v16(600), "reauth, the acceptor's last, with a ticket", true},
	} {
		if rep := inspectToken([]byte(c.token)); rep.Kind != c.kind || rep.OK != c.ok {
			t.Errorf("%x…: %+v", c.token[:1], rep)
		}
	}
}
