package krb5

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
)

func data(s string) gss.Buffer { return gss.Buffer{Kind: gss.BufferData, Data: []byte(s)} }
func sign(s string) gss.Buffer { return gss.Buffer{Kind: gss.BufferSignOnly, Data: []byte(s)} }

var (
	header  = gss.Buffer{Kind: gss.BufferHeader}
	trailer = gss.Buffer{Kind: gss.BufferTrailer}
	padding = gss.Buffer{Kind: gss.BufferPadding}
)

// iovLists are lists of buffers; the header may come anywhere.
func iovLists() map[string][]gss.Buffer {
	return map[string][]gss.Buffer{
		"one piece":              {header, data("message of some octets"), padding, trailer},
		"without a trailer":      {header, data("message of some octets")},
		"several":                {header, data("a"), data(strings.Repeat("b", 33)), data(""), data("the rest"), trailer},
		"nothing":                {header, trailer},
		"nothing, no trailer":    {header},
		"associated":             {header, sign("first"), data("message"), padding, trailer},
		"as DCE has it":          {sign("head of a PDU"), data(strings.Repeat("stub data", 20)), sign("security trailer"), header},
		"in between":             {header, sign("one"), data("sixteen octets.."), sign("two"), data("more"), sign(""), trailer},
		"sign-only alone":        {header, sign("nothing is encrypted"), trailer},
		"large":                  {header, data(strings.Repeat("x", 70_000)), trailer},
		"large and a short tail": {header, data(strings.Repeat("x", 5000)), sign("s"), data("yz")},
	}
}

func clone(iov []gss.Buffer) []gss.Buffer {
	out := slices.Clone(iov)
	for i := range out {
		out[i].Data = bytes.Clone(out[i].Data)
	}
	return out
}

// content is what is not header, padding and trailer.
func content(iov []gss.Buffer) string {
	var s string
	for _, b := range iov {
		if b.Kind == gss.BufferData || b.Kind == gss.BufferSignOnly {
			s += fmt.Sprintf("%d %d %s ", b.Kind, len(b.Data), b.Data)
		}
	}
	return s
}

func wrapIOV(t testing.TB, c *secContext, l gss.Level, iov []gss.Buffer) []gss.Buffer {
	t.Helper()
	out := clone(iov)
	if err := c.IOVLengths(l, out); err != nil {
		t.Fatal(err)
	}
	if err := c.WrapIOV(l, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestIOV(t *testing.T) {
	for _, e := range allETypes {
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags | gss.DCEStyle} {
			i, a := contextPair(t, e, flags)
			for _, c := range [][2]*secContext{{i, a}, {a, i}} {
				for name, iov := range iovLists() {
					for _, l := range levels {
						sealed := wrapIOV(t, c[0], l, iov)
						if same := content(sealed) == content(iov); same != (l == gss.IntegrityOnly || strings.HasPrefix(name, "nothing") || name == "sign-only alone") {
							t.Errorf("%v, %s, %v: in clear: %v", e, name, l, same)
						}
						opened := clone(sealed)
						if got, err := c[1].UnwrapIOV(opened); err != nil || got != l || content(opened) != content(iov) {
							t.Fatalf("%v, %s, %v: %v, %v, %s", e, name, l, got, err, content(opened))
						}
						opened = clone(sealed)
						if _, err := c[1].UnwrapIOV(opened); !errors.Is(err, gss.DuplicateToken) || l == gss.Confidential && strings.Contains(content(opened), "message") {
							t.Errorf("%v, %s, %v: again: %v, %s", e, name, l, err, content(opened))
						}
					}
				}
			}
		}
	}
}

// In one piece it is a token of Wrap, and of WrapAEAD with one sign-only buffer in front.
func TestIOVIsAToken(t *testing.T) {
	for _, e := range allETypes {
		for _, flags := range []gss.Flags{unsequenced, unsequenced | gss.DCEStyle} {
			i, a := contextPair(t, e, flags)
			for _, l := range levels {
				for _, iov := range [][]gss.Buffer{
					{header, data("message"), trailer}, {header, data("message")},
					{sign("with it"), header, data("message"), trailer}, {sign("with it"), header, data("message")},
				} {
					var tok, ad []byte
					for _, b := range wrapIOV(t, i, l, iov) {
						if b.Kind == gss.BufferSignOnly {
							ad = b.Data
							continue
						}
						tok = append(tok, b.Data...)
					}
					if got, gotLevel, err := a.UnwrapAEAD(nil, tok, ad); err != nil || string(got) != "message" || gotLevel != l {
						t.Errorf("%v, %v, %v: %q, %v", e, flags, l, got, err)
					}
					if got, _, err := a.Unwrap(nil, tok); (err == nil) != (ad == nil) || err != nil && !errors.Is(err, gss.BadMIC) {
						t.Errorf("%v, %v, %v, without the data: %q, %v", e, flags, l, got, err)
					}
				}
				tok := must[[]byte](t)(i.WrapAEAD(nil, []byte("message"), []byte("with it"), l))
				if len(tok) > len("message")+i.Info().Overhead {
					t.Errorf("%v: Overhead is too small", e)
				}
				n := headerLen
				if l == gss.Confidential {
					n += 16
				}
				iov := []gss.Buffer{{Kind: gss.BufferHeader, Data: tok[:n]}, sign("with it"), {Data: tok[n : n+7]}, {Kind: gss.BufferTrailer, Data: tok[n+7:]}}
				if got, err := a.UnwrapIOV(iov); err != nil || got != l || string(iov[2].Data) != "message" {
					t.Errorf("%v, %v: %v", e, l, err)
				}
			}
		}
	}
}

// Every bit, every octet more or less, and every two pieces changed with one another.
func TestIOVTampering(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		for _, l := range levels {
			for _, iov := range [][]gss.Buffer{
				{header, sign("signed"), data("message one"), sign("here"), data("and two"), trailer},
				{sign("signed"), data("message one"), sign("here"), data("and two"), header},
			} {
				sealed := wrapIOV(t, i, l, iov)
				refuse := func(what string, iov []gss.Buffer) {
					t.Helper()
					_, err := a.UnwrapIOV(iov)
					if !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) {
						t.Fatalf("%v, %v, %s: %v", e, l, what, err)
					}
					if l == gss.Confidential && strings.Contains(content(iov), "message") {
						t.Fatalf("%v, %v, %s: %s", e, l, what, content(iov))
					}
				}
				for n := range sealed {
					for bit := range 8 * len(sealed[n].Data) {
						bad := clone(sealed)
						bad[n].Data[bit/8] ^= 1 << (bit % 8)
						refuse(fmt.Sprintf("bit %d of %d", bit, n), bad)
					}
					for j := range sealed[n].Data {
						bad := clone(sealed)
						bad[n].Data = bad[n].Data[:j]
						refuse(fmt.Sprintf("%d octets of %d", j, n), bad)
					}
					bad := clone(sealed)
					bad[n].Data = append(bad[n].Data, 0)
					refuse(fmt.Sprintf("one more of %d", n), bad)
					for m := range n {
						if sealed[n].Kind == sealed[m].Kind {
							bad := clone(sealed)
							bad[n], bad[m] = bad[m], bad[n]
							refuse(fmt.Sprintf("%d and %d", n, m), bad)
						}
					}
				}
				// It opens all the same.
				if _, err := a.UnwrapIOV(clone(sealed)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestIOVErrors(t *testing.T) {
	i, a := contextPair(t, allETypes[0], unsequenced)
	for name, iov := range map[string][]gss.Buffer{
		"empty": {}, "no header": {data("x"), trailer}, "two headers": {header, header}, "two trailers": {header, trailer, trailer},
		"two paddings": {header, padding, padding}, "unknown": {header, {Kind: 99}},
	} {
		for op, err := range map[string]error{"IOVLengths": i.IOVLengths(gss.Confidential, iov), "WrapIOV": i.WrapIOV(gss.Confidential, iov)} {
			if !errors.Is(err, gss.Failure) {
				t.Errorf("%s, %s: %v", name, op, err)
			}
		}
		if _, err := a.UnwrapIOV(iov); !errors.Is(err, gss.Failure) {
			t.Errorf("%s: %v", name, err)
		}
	}
	iov := []gss.Buffer{header, data("message"), trailer}
	if err := i.WrapIOV(gss.Confidential, iov); !errors.Is(err, gss.Failure) || string(iov[1].Data) != "message" {
		t.Error("without room:", err)
	}
	if err := i.WrapIOV(7, iov); !errors.Is(err, gss.BadQOP) {
		t.Error(err)
	}
	plain, _ := contextPair(t, allETypes[0], gss.Mutual|gss.Integ)
	if err := plain.IOVLengths(gss.Confidential, iov); !errors.Is(err, gss.Unavailable) {
		t.Error(err)
	}
	// What is there in excess is cut, and existing memory is used.
	room := make([]byte, 100)
	iov = []gss.Buffer{{Kind: gss.BufferHeader, Data: room}, data("message"), {Kind: gss.BufferPadding, Data: room[90:]}}
	if err := i.WrapIOV(gss.Confidential, iov); err != nil || &iov[0].Data[0] != &room[0] || len(iov[2].Data) != 0 {
		t.Error(err)
	}
	if _, err := a.UnwrapIOV(iov); err != nil || string(iov[1].Data) != "message" {
		t.Error(err)
	}
	i.Close()
	if err := i.WrapIOV(gss.Confidential, iov); !errors.Is(err, gss.NoContext) {
		t.Error(err)
	}
	if _, err := i.UnwrapIOV(iov); !errors.Is(err, gss.NoContext) {
		t.Error(err)
	}
}

// MIT krb5 opens our buffers, we open its, and each other's gss_wrap_aead.
func TestMITIOV(t *testing.T) {
	exe := buildMITPeer(t)
	for _, e := range peers.Enctypes {
		r := peers.MITRealm(t, peers.Options{Enctype: e.Name})
		ccache := r.Kinit(t, "user")
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags &^ gss.Mutual, gss.DefaultFlags | gss.DCEStyle} {
			p := startMITPeer(t, exe, r, ccache, flags)
			for n := range p.ends {
				m := &p.ends[n]
				m.DCE = flags.Has(gss.DCEStyle)
				ours := m.peer(t)
				for name, iov := range iovLists() {
					for conf, l := range []gss.Level{gss.IntegrityOnly, gss.Confidential} {
						p.iovThere(m, ours, name, conf, iov)
						p.iovBack(m, ours, name, l, iov)
					}
				}
				for _, ad := range []string{"", "associated data"} {
					for conf, l := range []gss.Level{gss.IntegrityOnly, gss.Confidential} {
						tok := p.must(m, "aead", conf, []byte(ad), []byte("message"))
						if got, gotLevel, err := ours.UnwrapAEAD(nil, tok, []byte(ad)); err != nil || string(got) != "message" || gotLevel != l {
							t.Errorf("%s: MIT's aead, %q: %q, %v, %v", e.Name, ad, got, gotLevel, err)
						}
						tok = must[[]byte](t)(ours.WrapAEAD(nil, []byte("message"), []byte(ad), l))
						// In DCE style MIT krb5 1.20 cannot read its own.
						if !m.DCE {
							if got := p.must(m, "unaead", []byte(ad), tok); string(got) != "message" {
								t.Errorf("%s: MIT reads our aead, %q, as %q", e.Name, ad, got)
							}
						}
						got, err := ours.WrapSizeLimit(l, 1000)
						if want := p.do(m, "limit", conf, 1000); err != nil || fmt.Sprint("ok ", got) != strings.Join(want, " ") {
							t.Errorf("%s, %v: WrapSizeLimit %d, %v, MIT's %v", e.Name, l, got, err, want)
						}
					}
				}
				if etype, key, err := ours.SessionKey(); err != nil || int(etype) != e.ID || !bytes.Equal(key, p.must(m, "key")) {
					t.Errorf("%s: not MIT's session key: %d, %v", e.Name, etype, err)
				}
			}
		}
	}
}

// sealedPart returns the buffers of iov that are data, or those that are not.
func sealedPart(iov []gss.Buffer, isData bool) []gss.Buffer {
	return slices.DeleteFunc(slices.Clone(iov), func(b gss.Buffer) bool { return (b.Kind == gss.BufferData) != isData })
}

// words are the buffers of iov as a command has them.
func words(iov []gss.Buffer) (args []any, trailers int) {
	for _, b := range iov {
		switch b.Kind {
		case gss.BufferData:
			args = append(args, "d", b.Data)
		case gss.BufferSignOnly:
			args = append(args, "s", b.Data)
		case gss.BufferTrailer:
			trailers++
		}
	}
	return args, trailers
}

// iovThere has MIT seal iov, and opens it.
func (p *mitProcess) iovThere(m *mitEnd, ours *secContext, name string, conf int, iov []gss.Buffer) {
	args, trailers := words(iov)
	answer := p.do(m, append([]any{"seal", conf, trailers}, args...)...)
	if answer[0] != "ok" {
		p.t.Fatalf("%v, %s: MIT answers %v", m.EType, name, answer)
	}
	got := clone(iov)
	at := 3
	for n := range got {
		switch got[n].Kind {
		case gss.BufferHeader:
			got[n].Data = p.hex(answer[1])
		case gss.BufferTrailer:
			got[n].Data = p.hex(answer[2])
		case gss.BufferData:
			got[n].Data = p.hex(answer[at])
			at++
		}
	}
	if conf == 1 && content(iov) == content(sealedPart(iov, false)) {
		conf = 0 // MIT krb5 encrypts only if there is data
	}
	if l, err := ours.UnwrapIOV(got); err != nil || (l == gss.Confidential) != (conf == 1) || content(got) != content(iov) {
		p.t.Errorf("%v, %s, conf %d: %v, %v, %s", m.EType, name, conf, l, err, content(got))
	}
}

// iovBack is the reverse.
func (p *mitProcess) iovBack(m *mitEnd, ours *secContext, name string, l gss.Level, iov []gss.Buffer) {
	sealed := wrapIOV(p.t, ours, l, iov)
	var head, tail []byte
	for _, b := range sealed {
		switch b.Kind {
		case gss.BufferHeader:
			head = b.Data
		case gss.BufferTrailer:
			tail = b.Data
		}
	}
	args, _ := words(sealed)
	answer := p.do(m, append([]any{"open", head, tail}, args...)...)
	if answer[0] != "ok" {
		p.t.Errorf("%v, %s, %v: MIT answers %v", m.EType, name, l, answer)
		return
	}
	got := clone(iov)
	at := 2
	for n := range got {
		if got[n].Kind == gss.BufferData {
			got[n].Data = p.hex(answer[at])
			at++
		}
	}
	if (answer[1] == "1") != (l == gss.Confidential) || content(got) != content(iov) {
		p.t.Errorf("%v, %s, %v: MIT reads %s %s", m.EType, name, l, answer[1], content(got))
	}
}

func FuzzUnwrapIOV(f *testing.F) {
	for n, e := range allETypes {
		i, _ := contextPair(f, e, unsequenced)
		for _, l := range levels {
			iov := wrapIOV(f, i, l, []gss.Buffer{header, sign("signed"), data("message"), trailer})
			f.Add(byte(n), iov[0].Data, iov[1].Data, iov[2].Data, iov[3].Data)
			iov = wrapIOV(f, i, l, []gss.Buffer{header, sign("signed"), data("message")})
			f.Add(byte(n), iov[0].Data, iov[1].Data, iov[2].Data, []byte{})
		}
	}
	f.Fuzz(func(t *testing.T, n byte, head, ad, msg, tail []byte) {
		_, a := contextPair(t, allETypes[n%4], unsequenced)
		for _, iov := range [][]gss.Buffer{
			{{Kind: gss.BufferHeader, Data: head}, {Kind: gss.BufferSignOnly, Data: ad}, {Data: msg}, {Kind: gss.BufferTrailer, Data: tail}},
			{{Kind: gss.BufferHeader, Data: head}, {Data: msg}, {Kind: gss.BufferSignOnly, Data: ad}},
		} {
			_, err := a.UnwrapIOV(clone(iov))
			if err != nil && !errors.Is(err, gss.BadMIC) && !errors.Is(err, gss.DefectiveToken) {
				t.Fatal(err)
			}
		}
	})
}
