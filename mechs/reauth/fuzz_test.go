package reauth

import (
	"bytes"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

// FuzzParse: what a parser accepts is written back the same.
func FuzzParse(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add([]byte(v.Resume))
		f.Add([]byte(v.Resumed))
		f.Add(appendLast(v.Confirm, v.Issue))
		body, _ := v.mech().o.Ring.open(v.Ticket, time.UnixMilli(v.Now), defaultLife)
		b, _ := body.marshal()
		f.Add(b)
		f.Add((&authenticator{bind: newBinding(v.Bindings), target: v.Acceptor}).marshal())
		f.Add((&answered{bind: newBinding(v.Bindings), ticket: v.Ticket2}).marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(what string, out []byte) {
			if !bytes.Equal(out, b) {
				t.Errorf("%s is written otherwise", what)
			}
		}
		if r, ok := parseResume(b); ok {
			same("RESUME", appendVec16(r.appendHead(nil), r.auth))
		}
		if r, ok := parseResumed(b); ok {
			same("RESUMED", appendVec16(r.appendHead(nil), r.reply))
		}
		if in, issue, ok := parseLast(b); ok {
			same("last", appendLast(in, issue))
		}
		if a, ok := parseAuthenticator(b); ok {
			same("A", a.marshal())
		}
		if a, ok := parseAnswered(b); ok {
			same("reply", a.marshal())
		}
		if k, ok := parseTicket(b); ok {
			out, ok := k.marshal()
			if !ok {
				t.Error("a ticket that fits no more")
			}
			same("ticket", out)
		}
		if end, tf, tk, ok := parseIssue(b); ok {
			same("issue", appendIssue(end, tf, tk))
		}
		r := NewRing()
		if r.parse(b) {
			same("ring", r.marshal())
		}
		c := NewCache(CacheOptions{})
		if c.parse(b); c.order.Len() > 0 {
			same("tickets", c.marshal())
		}
	})
}

// FuzzAccept: no first token does more than fail, or start something.
func FuzzAccept(f *testing.F) {
	vs := loadVectors(f)
	v := vs["symmetric.json"]
	m := v.mech()
	for _, v := range vs {
		f.Add(gss.AppendToken(nil, m.oid, v.Resume))
	}
	f.Add(gss.AppendToken(nil, m.oid, []byte{tokFirst, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := m.Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		out, sc, err := h.Step(t.Context(), b)
		if sc != nil || err == nil && len(out) == 0 {
			t.Errorf("%x, %v", out, err)
		}
	})
}

// FuzzAnswer: an initiator that sent RESUME takes only the answer to it.
func FuzzAnswer(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add([]byte(v.Resumed))
		f.Add([]byte(v.BadCB))
	}
	f.Add([]byte{tokRefused})
	w := krbWorld(f, Options{}, Options{})
	w.must(w.shake(nil), false)
	client := w.client.take(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := New(&toy.Krb{Party: toy.NewParty("alice")}, Options{})
		m.o.Cache.put(client.clone(), nil)
		h, err := m.Initiate(files, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if _, _, err = h.Step(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		out, sc, err := h.Step(t.Context(), b)
		if sc != nil || err == nil && !bytes.Equal(b, []byte{tokRefused}) || err == nil && out[0] != tokFirst {
			t.Errorf("%x, %v", out, err)
		}
	})
}
