package seal

import (
	"context"
	"errors"
	"io"

	"github.com/gsseal/gss"
)

// UnsealStream reads the beginning of a stream, which Sender.SealStream or
// Held.Present made, from rd: 336 octets, and a proof of 96 if it has the claim
// RelayByKey. All claims are checked, and it is struck, as Unseal does, before this
// returns; the Message has no Body. Then the StreamReader reads the rest, up to the
// end of rd, which has to be the stream's.
//
// ctx bounds the store and the search, not rd: let rd have deadlines. Errors are
// Unseal's, and Failure with what rd says as its cause. BadMIC with cause ErrTruncated:
// rd ended too early.
func (r *Recipient) UnsealStream(ctx context.Context, rd io.Reader, o *UnsealOptions) (*StreamReader, Message, error) {
	if o == nil {
		o = &anyone
	}
	u := unsealing{r: r, o: o, stream: true}
	s, err := u.beginStream(ctx, rd)
	clear(u.h.key[:])
	if err != nil {
		return nil, Message{}, err
	}
	return s, u.message(nil), nil
}

func (u *unsealing) beginStream(ctx context.Context, rd io.Reader) (*StreamReader, error) {
	var in [streamHead + streamProof]byte
	if _, err := io.ReadFull(rd, in[:streamHead]); err != nil {
		return nil, u.failRead(err)
	}
	u.now = u.r.now().UnixMilli()
	p, err := u.open(ctx, nil, in[:streamHead])
	if err != nil {
		return nil, err
	}
	defer clear(p)
	if err := u.check(); err != nil {
		return nil, err
	}
	body := p[headerSize:][:streamBody]
	if body[0] != streamVersion {
		return nil, u.fail(gss.DefectiveToken, errHeader)
	}
	if u.h.claims.Has(RelayByKey) {
		u.proof = in[streamHead:]
		if _, err := io.ReadFull(rd, u.proof); err != nil {
			return nil, u.failRead(err)
		}
		u.now = u.r.now().UnixMilli() // it may have taken its time
		if err := u.check(); err != nil {
			return nil, err
		}
	}
	if err := u.checkRelay(); err != nil {
		return nil, err
	}
	a, err := streamCipher(u.sealed, body)
	if err != nil {
		return nil, u.fail(gss.Failure, err)
	}
	if err := u.strike(ctx); err != nil {
		return nil, err
	}
	return &StreamReader{chunker: chunker{mech: u.s.keys.mech, aead: a}, rd: rd, s: u.s, buf: u.r.buffers.get()}, nil
}

// failRead returns the error for one of the reader's.
func (u *unsealing) failRead(err error) error {
	if atEnd(err) {
		return u.fail(gss.BadMIC, ErrTruncated)
	}
	return u.fail(gss.Failure, err)
}

func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// A StreamReader gives the data of a stream, chunk by authenticated chunk. What Read
// returns was sealed by the originator and stands at this place of the stream. But
// only io.EOF says that this was all: act on the data no sooner, or act only on what
// makes sense whatever follows. A stream whose rest never comes was struck all the same.
//
// It is not safe for concurrent use. It keeps 64 KiB, and allocates nothing per chunk.
type StreamReader struct {
	chunker
	rd    io.Reader
	s     *Source
	buf   *chunkBuffer // nil: after an error
	ahead bool         // buf's last octet is the first of the next chunk
	data  []byte       // in buf, not read yet

	used  int64 // plaintext up to the end of the data
	ended bool  // no more data
}

// Read returns up to the rest of a chunk. It reads one octet beyond a chunk before
// it returns what is in it: that tells the last from the others. Errors:
//
//   - io.EOF: the stream is whole, and rd ended where it does.
//   - BadMIC: a chunk is damaged, or not the one that comes next in this stream;
//     with cause ErrTruncated it was the last of rd.
//   - DefectiveToken: authentic, and not padded as it should be.
//   - NoContext: the Source was removed.
//   - Failure, with what rd says as its cause.
//
// After an error there is nothing but the same error.
func (s *StreamReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.fill(); err != nil {
		return 0, err
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

// WriteTo writes what is left to w, chunk by chunk, as io.Copy does, which calls it.
// Its errors are those of Read but io.EOF, and w's as they are.
func (s *StreamReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if err := s.fill(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		m, err := w.Write(s.data)
		if err == nil && m < len(s.data) {
			err = io.ErrShortWrite
		}
		n, s.data = n+int64(m), s.data[m:]
		if err != nil {
			return n, err
		}
	}
}

// fill opens chunks until there is data.
func (s *StreamReader) fill() error {
	for len(s.data) == 0 {
		if s.err != nil {
			if s.buf != nil {
				s.s.r.buffers.put(s.buf)
				s.buf = nil
			}
			return s.err
		}
		s.err = s.open()
	}
	return nil
}

// open reads the next chunk. It returns io.EOF with the last: s.data is to be read
// before.
func (s *StreamReader) open() error {
	refuse := func(m gss.Major, cause error) error { return fail("Unseal", s.mech, m, cause) }
	if s.s.removed.Load() {
		return refuse(gss.NoContext, errRemoved)
	}
	have := 0
	if s.ahead {
		have = copy(s.buf[:], s.buf[chunkWire:])
	}
	n, err := io.ReadFull(s.rd, s.buf[have:])
	if err != nil && !atEnd(err) {
		return refuse(gss.Failure, err)
	}
	in, last := s.buf[:have+n], err != nil
	var cause error
	if last {
		cause = ErrTruncated
	} else {
		in, s.ahead = in[:chunkWire], true
	}
	if len(in) < chunkHeader+gcmTag || s.i == maxChunks {
		return refuse(gss.BadMIC, cause)
	}
	p, err := s.aead.Open(in[:0], s.next(last), in, nil)
	if err != nil {
		return refuse(gss.BadMIC, cause)
	}
	if !s.parse(p, last) {
		return refuse(gss.DefectiveToken, errHeader)
	}
	if last {
		return io.EOF
	}
	return nil
}

// parse checks a chunk's length and padding, and sets s.data.
func (s *StreamReader) parse(p []byte, last bool) bool {
	n := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
	if n > len(p)-chunkHeader || n > 0 && s.ended || !isZero(p[chunkHeader+n:]) {
		return false
	}
	before := (s.i - 1) * chunkSize
	if n > 0 || before == 0 {
		s.used = before + chunkHeader + int64(n)
	}
	s.ended = n < chunkData
	total, all := before+int64(len(p)), int64(padme(max(minPadded, uint64(s.used))))
	if last && total != all || !last && s.ended && total >= all {
		return false
	}
	s.data = p[chunkHeader : chunkHeader+n]
	return true
}
