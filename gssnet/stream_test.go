package gssnet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/gsseal/gss"
)

func TestStreamFrames(t *testing.T) {
	var b bytes.Buffer
	s := Stream(&b, 300)
	for _, n := range []int{0, 1, 255, 256, 300} {
		if err := s.Send(t.Context(), bytes.Repeat([]byte{7}, n)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.HasPrefix(b.Bytes(), []byte{0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 0, 255, 7}) || b.Len() != 5*4+0+1+255+256+300 {
		t.Errorf("%d octets: % x", b.Len(), b.Bytes()[:16])
	}
	if err := s.Send(t.Context(), make([]byte, 301)); !errors.Is(err, gss.Failure) {
		t.Error("too long to send:", err)
	}
	b.WriteString("what follows is not ours")
	for _, n := range []int{0, 1, 255, 256, 300} {
		if tok, err := s.Receive(t.Context()); err != nil || len(tok) != n || bytes.Count(tok, []byte{7}) != n {
			t.Errorf("%d octets: %x, %v", n, tok, err)
		}
	}
	if got := b.String(); got != "what follows is not ours" {
		t.Errorf("read on: %q is left", got)
	}
}

func TestStreamRefuses(t *testing.T) {
	frame := func(n uint32, body int) string {
		return string(binary.BigEndian.AppendUint32(nil, n)) + strings.Repeat("x", body)
	}
	type rw struct {
		io.Reader
		io.Writer
	}
	for name, tt := range map[string]struct {
		in   string
		max  int
		want error
	}{
		"nothing":             {"", 0, io.EOF},
		"a piece of a length": {"\x00\x00", 0, io.ErrUnexpectedEOF},
		"no body":             {frame(5, 0), 0, io.ErrUnexpectedEOF},
		"a piece of a body":   {frame(9000, 8999), 0, io.ErrUnexpectedEOF},
		"one over":            {frame(MaxToken+1, MaxToken+1), 0, gss.DefectiveToken},
		"4 GiB":               {frame(1<<32-1, 10), 0, gss.DefectiveToken},
		"the most":            {frame(MaxToken, MaxToken), 0, nil},
		"one over 10":         {frame(11, 11), 10, gss.DefectiveToken},
	} {
		tok, err := Stream(rw{strings.NewReader(tt.in), io.Discard}, tt.max).Receive(t.Context())
		if !errors.Is(err, tt.want) || tt.want == nil && len(tok)+4 != len(tt.in) || tt.want != nil && tok != nil {
			t.Errorf("%s: %d octets, %v", name, len(tok), err)
		}
	}
}

// TestStreamMemory: a length is not worth its octets.
func TestStreamMemory(t *testing.T) {
	type rw struct {
		io.Reader
		io.Writer
	}
	in := string(binary.BigEndian.AppendUint32(nil, 1<<30)) + strings.Repeat("x", 10_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Stream(rw{strings.NewReader(in), io.Discard}, 1<<30).Receive(t.Context())
	runtime.ReadMemStats(&after)
	if err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d octets of memory for %d received", n, len(in))
	}
}

// TestStreamPremature: what a peer said before it was asked is refused, whether it
// came with its token or before the handshake.
func TestStreamPremature(t *testing.T) {
	type rw struct {
		*bufio.Reader
		io.Writer
	}
	for name, in := range map[string]string{"with its token": "\x00\x00\x00\x01xEHLO", "two tokens": "\x00\x00\x00\x01x\x00\x00\x00\x01x"} {
		s := Stream(rw{bufio.NewReader(strings.NewReader(in)), io.Discard}, 0)
		if _, err := s.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), []byte("reply")); !errors.Is(err, gss.DefectiveToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := bufio.NewReader(strings.NewReader("injected in clear"))
	r.Peek(1)
	if err := Stream(rw{r, io.Discard}, 0).Send(t.Context(), []byte("first")); !errors.Is(err, gss.DefectiveToken) {
		t.Error("before the handshake:", err)
	}
}

// TestStreamPlain: without deadlines, ctx is looked at between reads.
func TestStreamPlain(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	s := Stream(new(bytes.Buffer), 0)
	if err := s.Send(ctx, nil); !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := s.Receive(ctx); !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
