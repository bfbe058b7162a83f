package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"runtime"
	"strings"
	"testing"
)

// What MIT 1.20.1's gss-client puts around its tokens.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		wire  string
		flags sampleFlags
		token string
	}{
		{"1100000000", sampleNoop | sampleContextNext, ""},
		{"0200000003616263", sampleContext, "abc"},
		{"e40000000161", sampleData | sampleWrapped | sampleEncrypted | sampleSendMIC, "a"},
		{"a40000000161", sampleData | sampleWrapped | sampleSendMIC, "a"},
		{"440000000161", sampleData | sampleEncrypted, "a"},
		{"080000000161", sampleMIC, "a"},
		{"0100000000", sampleNoop, ""},
	} {
		wire, _ := hex.DecodeString(c.wire)
		f, tok, err := readFrame(bytes.NewReader(wire), 3)
		if err != nil || f != c.flags || string(tok) != c.token {
			t.Errorf("%s: %#x %q %v", c.wire, f, tok, err)
		}
		var out bytes.Buffer
		if err := writeFrame(&out, c.flags, []byte(c.token)); err != nil || !bytes.Equal(out.Bytes(), wire) {
			t.Errorf("%s: written as %x, %v", c.wire, out.Bytes(), err)
		}
		for i := range wire {
			want := io.ErrUnexpectedEOF
			if i == 0 {
				want = io.EOF
			}
			if _, _, err := readFrame(bytes.NewReader(wire[:i]), 3); err != want {
				t.Errorf("%s cut at %d: %v", c.wire, i, err)
			}
		}
	}
	if _, _, err := readFrame(strings.NewReader("\x02\x00\x00\x00\x04abcd"), 3); err == nil {
		t.Error("a longer token than allowed was read")
	}
	if _, _, err := readFrame(strings.NewReader("\x00\x00\x00\x04abcd"), 8); err == nil || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("version 1: %v", err)
	}
}

// A length that is only promised costs nothing.
func TestFrameMemory(t *testing.T) {
	wire := append([]byte{byte(sampleData)}, binary.BigEndian.AppendUint32(nil, maxMessage)...)
	wire = append(wire, "and that is all"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := readFrame(bytes.NewReader(wire), maxMessage); err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
		t.Errorf("%d octets allocated for %d received", n, len(wire))
	}
}
