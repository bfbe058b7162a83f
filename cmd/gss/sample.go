package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// The protocol of the gss-sample programs that come with MIT krb5: everything is
// a frame,
//
//	u8 flags | u32 length, big endian | token
//
// The client sends an empty frame Noop|ContextNext, then its context tokens
// (Context), each answered by the server's; or an empty Noop, and no context
// follows. Each message is a Data frame, which the server answers with its MIC of
// the message (MIC) or with an empty Noop. Another Noop from the client ends it.
type sampleFlags uint8

const (
	sampleNoop        sampleFlags = 0x01
	sampleContext     sampleFlags = 0x02
	sampleData        sampleFlags = 0x04
	sampleMIC         sampleFlags = 0x08
	sampleContextNext sampleFlags = 0x10 // context tokens follow
	sampleWrapped     sampleFlags = 0x20
	sampleEncrypted   sampleFlags = 0x40 // of a Wrapped frame; MIT sets it on others too
	sampleSendMIC     sampleFlags = 0x80 // answer with a MIC
)

// The most octets of a token that either side reads.
const (
	maxContextToken = 256 << 10 // a Kerberos ticket with a large PAC has 64 KiB
	maxMessage      = 16 << 20
)

// writeFrame writes one frame, in one Write.
func writeFrame(w io.Writer, f sampleFlags, token []byte) error {
	b := make([]byte, 0, 5+len(token))
	b = append(b, byte(f))
	b = binary.BigEndian.AppendUint32(b, uint32(len(token)))
	_, err := w.Write(append(b, token...))
	return err
}

// readFrame reads one frame with at most limit octets of token. Memory grows with
// what arrives, not with what the length promises. io.EOF is an end between
// frames, io.ErrUnexpectedEOF one inside.
func readFrame(r io.Reader, limit int) (sampleFlags, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	f, n := sampleFlags(head[0]), binary.BigEndian.Uint32(head[1:])
	if f == 0 { // version 1 had no flags: this is the first octet of its length
		return 0, nil, fmt.Errorf("a frame without flags: the peer speaks version 1 of the sample protocol (-v1), which is not served")
	}
	if limit == 0 && n > 0 {
		return 0, nil, fmt.Errorf("a first frame that is not empty: this is not a gss-sample client")
	}
	if int64(n) > int64(limit) {
		return 0, nil, fmt.Errorf("a frame of %d octets; at most %d are read", n, limit)
	}
	var token bytes.Buffer
	if _, err := io.CopyN(&token, r, int64(n)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return f, token.Bytes(), nil
}

// contextTokens is a gssnet.Transport: the frames of context establishment.
type contextTokens struct{ rw io.ReadWriter }

func (t contextTokens) Send(_ context.Context, token []byte) error {
	return writeFrame(t.rw, sampleContext, token)
}

func (t contextTokens) Receive(context.Context) ([]byte, error) {
	f, token, err := readFrame(t.rw, maxContextToken)
	if err == nil && f&sampleContext == 0 {
		err = fmt.Errorf("a context token was due, but a frame with flags %#02x came", uint8(f))
	}
	return token, err
}
