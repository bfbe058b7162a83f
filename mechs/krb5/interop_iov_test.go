package krb5

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
)

// TestHeimdalIOV: Heimdal opens our buffers, we open its and its gss_wrap_aead. Its
// gss_unwrap_aead (7.8) refuses every token with EINVAL. In DCE style it takes no trailer,
// neither to seal nor to open, and without one it seals only if that encrypts; its
// gss_wrap_aead does then, too.
func TestHeimdalIOV(t *testing.T) {
	l := libraries(t)[1]
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			k := kdcHeimdal(t, e.Name)
			m := k.ours(t, nil)
			for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags | gss.DCEStyle} {
				p, sc, err := k.from(t, m, l, flags, "", nil)
				if err != nil {
					t.Fatal(err)
				}
				defer sc.Close()
				complete(t, p)
				heimdalIOV(t, p, sc, flags)
				p, sc, err = k.to(t, m, l, "", &gss.InitOptions{Require: flags})
				if err != nil {
					t.Fatal(err)
				}
				defer sc.Close()
				complete(t, p)
				heimdalIOV(t, p, sc, flags)
			}
		})
	}
}

func heimdalIOV(t *testing.T, p *mitEndProcess, sc gss.Context, flags gss.Flags) {
	t.Helper()
	ours, dce := sc.(Context), flags.Has(gss.DCEStyle)
	for name, iov := range iovLists() {
		if dce && slices.ContainsFunc(iov, func(b gss.Buffer) bool { return b.Kind == gss.BufferTrailer }) {
			continue
		}
		for sealed, l := range []gss.Level{gss.IntegrityOnly, gss.Confidential} {
			what := fmt.Sprintf("DCE %t, %s, %v", dce, name, l)
			if args, trailers := words(iov); !dce || l == gss.Confidential {
				answer := p.ask("seal %d %d%s", sealed, trailers, hexWords(args))
				got, at := clone(iov), 2
				for n := range got {
					switch got[n].Kind {
					case gss.BufferHeader:
						got[n].Data = unhex(t, answer[0])
					case gss.BufferTrailer:
						got[n].Data = unhex(t, answer[1])
					case gss.BufferData:
						got[n].Data = unhex(t, answer[at])
						at++
					}
				}
				if level, err := ours.UnwrapIOV(got); err != nil || level != l || content(got) != content(iov) {
					t.Errorf("%s: from Heimdal: %v, %v", what, level, err)
				}
			}
			mine := clone(iov)
			if err := ours.IOVLengths(l, mine); err != nil {
				t.Fatal(err)
			}
			if err := ours.WrapIOV(l, mine); err != nil {
				t.Fatal(err)
			}
			var head, tail []byte
			for _, b := range mine {
				switch b.Kind {
				case gss.BufferHeader:
					head = b.Data
				case gss.BufferTrailer:
					tail = b.Data
				}
			}
			args, _ := words(mine)
			answer := p.ask("open %s %s%s", hexOf(head), hexOf(tail), hexWords(args))
			got, at := clone(iov), 1
			for n := range got {
				if got[n].Kind == gss.BufferData {
					got[n].Data = unhex(t, answer[at])
					at++
				}
			}
			if answer[0] != fmt.Sprint(sealed) || content(got) != content(iov) {
				t.Errorf("%s: Heimdal reads %s %.60s", what, answer[0], content(got))
			}
		}
	}
	for _, ad := range []string{"", "associated data"} {
		for sealed, l := range []gss.Level{gss.IntegrityOnly, gss.Confidential} {
			if dce && l == gss.IntegrityOnly {
				continue
			}
			tok := unhex(t, p.ask("aead %d %s %x", sealed, hexOf([]byte(ad)), "message")[0])
			if got, level, err := ours.UnwrapAEAD(nil, tok, []byte(ad)); err != nil || string(got) != "message" || level != l {
				t.Errorf("DCE %t, aead of %q, %v: %q, %v, %v", dce, ad, l, got, level, err)
			}
		}
	}
}

// hexWords are the words of a command, each with a space before it.
func hexWords(args []any) string {
	var s strings.Builder
	for _, a := range args {
		if b, ok := a.([]byte); ok {
			s.WriteString(" " + hexOf(b))
		} else {
			fmt.Fprint(&s, " ", a)
		}
	}
	return s.String()
}
