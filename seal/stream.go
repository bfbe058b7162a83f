package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A stream is a message for a body that is not all there at once, or too large for
// memory: a message with the claim Stream, which is of 336 octets, so that nothing in
// clear has to say where it ends; with RelayByKey a proof of 96 octets; and then
// chunks until the end:
//
//	body    = u8 1 | secret(32 random)
//	Kc      = Expand(secret, "gss seal stream 1" | SHA-256(message), 32)
//	chunk i = AES-256-GCM(Kc, u88 i | u8 1 if it is the last else 0, "", u24 n | data(n) | zeros)
//
// All chunks but the last have 65536 octets of plaintext. All but the last that has
// data are full of it. The plaintexts together have
//
//	PADMÉ(max(256, those up to the end of the data))
//
// octets, so that chunks of nothing but zeros may come at the end: the padding does
// not need the length in front. The last has what remains.
//
// The chunks are those of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, "Online
// Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015). That
// a message begins a stream is said by a flag in its encrypted header, and not by
// Options.Data, which is the caller's: no choice of it makes one of the other.
// AES-256-GCM is not committing, but nobody tries several keys on a chunk: the
// message commits to the one key that it gives.
const (
	labelStream = "gss seal stream 1"

	streamVersion = 1
	streamBody    = 1 + 32
	streamHead    = overhead + minPadded           // octets of the message
	streamProof   = proofNonce + minProof + gcmTag // of a proof
	chunkHeader   = 3                              // u24
	chunkSize     = 1 << 16                        // of plaintext
	chunkData     = chunkSize - chunkHeader        // at most
	chunkWire     = chunkSize + gcmTag             // sealed
	maxChunks     = 1 << 24                        // 2^36 blocks under one key
	maxStream     = int64(maxChunks) * chunkData   // octets of data
)

// MaxStreamPayload is how many octets of payload Held.Present may add to a stream:
// as many as leave its proof as short as it gets.
const MaxStreamPayload = minProof - proofHeader

// StreamSize returns how many octets SealStream makes of n octets, without the 96 of
// a proof; 0 if n is too long.
func StreamSize(n int64) int64 {
	if n < 0 || n > maxStream {
		return 0
	}
	full := max(n-1, 0) / chunkData // before the one with the last of the data
	p := int64(padme(max(minPadded, uint64(full*chunkSize+chunkHeader+n-full*chunkData))))
	return streamHead + p + (p+chunkSize-1)/chunkSize*gcmTag
}

// SealStream begins a stream and writes its first 336 octets to w. What is written to
// the result is sealed in chunks of 65533 octets, each with one Write to w; Close
// writes the last, and after it as many more as pad the stream: StreamSize octets in
// all. It does not close w. A stream that is not closed, or after an error of w, is
// never taken for a whole one. The result is not safe for concurrent use, but a Sender
// may have many streams, which go on when it is closed. It keeps 64 KiB.
//
// Up to a tebioctet fits a stream. Its age, MaxLifetime and all else is that of its
// beginning. When chunks leave tells an observer when there was something to send.
//
// Errors: those of Seal; of the result Failure, with cause ErrTooLong or that of w.
func (s *Sender) SealStream(w io.Writer, o *Options) (io.WriteCloser, error) {
	if o == nil {
		o = new(Options)
	}
	body := newStreamBody()
	defer clear(body)
	m, _, err := s.seal(nil, body, o, Stream, relaySecret{})
	if err != nil {
		return nil, err
	}
	return s.beginStream(w, m, body, m)
}

// GrantStream begins a stream that nobody can hand over without its relay key: it
// appends to dst a grant, as Grant does, of the stream's first 336 octets, and writes
// nothing to w yet. The relay hands over what Held.Present makes, with no more than
// MaxStreamPayload octets of payload, followed by what was written to w, unchanged.
// Errors: those of Grant and SealStream. On an error dst comes back as it was.
func (s *Sender) GrantStream(dst []byte, w io.Writer, via *Sender, o *Options) (grant []byte, chunks io.WriteCloser, err error) {
	body := newStreamBody()
	defer clear(body)
	g, err := s.grant(dst, body, via, o, Stream)
	if err != nil {
		return dst, nil, err
	}
	if chunks, err = s.beginStream(w, g[len(g)-streamHead:], body, nil); err != nil {
		return dst, nil, err
	}
	return g, chunks, nil
}

func newStreamBody() []byte {
	b := make([]byte, streamBody)
	b[0] = streamVersion
	rand.Read(b[1:])
	return b
}

// streamCipher returns AES-256-GCM under Kc of a stream with that message and body.
func streamCipher(message, body []byte) (cipher.AEAD, error) {
	secret := [32]byte(body[1:])
	defer clear(secret[:])
	digest := sha256.Sum256(message)
	key := expand32(&secret, []byte(labelStream), digest[:])
	defer clear(key[:])
	return newGCM(key[:])
}

// A chunkPool has buffers of streams that are over, overwritten.
type chunkPool struct{ pool sync.Pool }

// A chunkBuffer has room for a chunk and the octet after it.
type chunkBuffer [chunkWire + 1]byte

func (p *chunkPool) get() *chunkBuffer {
	if b, ok := p.pool.Get().(*chunkBuffer); ok {
		return b
	}
	return new(chunkBuffer)
}

func (p *chunkPool) put(b *chunkBuffer) {
	clear(b[:])
	p.pool.Put(b)
}

// A chunker is one side's place in a stream: the next chunk is number i.
type chunker struct {
	mech  oid.OID
	aead  cipher.AEAD
	i     int64
	nonce [12]byte
	err   error // to all that comes
}

// next returns the nonce of the next chunk.
func (c *chunker) next(last bool) []byte {
	binary.BigEndian.PutUint64(c.nonce[3:], uint64(c.i))
	c.nonce[11] = 0
	if last {
		c.nonce[11] = 1
	}
	c.i++
	return c.nonce[:]
}

type streamWriter struct {
	chunker
	w       io.Writer
	buffers *chunkPool
	buf     *chunkBuffer // nil: closed
	n       int          // octets of data in buf
}

// beginStream writes begin to w.
func (s *Sender) beginStream(w io.Writer, message, body, begin []byte) (io.WriteCloser, error) {
	a, err := streamCipher(message, body)
	if err != nil {
		return nil, fail("Seal", s.mech, gss.Failure, err)
	}
	sw := &streamWriter{chunker: chunker{mech: s.mech, aead: a}, w: w, buffers: &s.buffers}
	if sw.put(begin); sw.err != nil {
		return nil, sw.err
	}
	sw.buf = s.buffers.get()
	return sw, nil
}

func (s *streamWriter) Write(p []byte) (n int, err error) {
	if s.buf == nil && s.err == nil {
		return 0, fail("Seal", s.mech, gss.Failure, io.ErrClosedPipe)
	}
	for s.err == nil && n < len(p) {
		if s.n == chunkData {
			if s.i == maxChunks-1 {
				s.err = fail("Seal", s.mech, gss.Failure, ErrTooLong)
				break
			}
			s.seal(chunkSize, false)
			continue
		}
		c := copy(s.buf[chunkHeader+s.n:chunkSize], p[n:])
		s.n, n = s.n+c, n+c
	}
	return n, s.err
}

func (s *streamWriter) Close() error {
	if s.buf == nil {
		return s.err
	}
	left := int64(padme(max(minPadded, uint64(s.i*chunkSize+chunkHeader+int64(s.n))))) - s.i*chunkSize
	for ; left > chunkSize && s.err == nil; left -= chunkSize {
		s.seal(chunkSize, false)
	}
	if s.err == nil {
		s.seal(int(left), true)
	}
	s.buffers.put(s.buf)
	s.buf = nil
	return s.err
}

// seal writes a chunk of size octets with the data that is there.
func (s *streamWriter) seal(size int, last bool) {
	s.buf[0], s.buf[1], s.buf[2] = byte(s.n>>16), byte(s.n>>8), byte(s.n)
	clear(s.buf[chunkHeader+s.n : size])
	s.n = 0
	s.put(s.aead.Seal(s.buf[:0], s.next(last), s.buf[:size], nil))
}

// put writes b to w.
func (s *streamWriter) put(b []byte) {
	if len(b) == 0 {
		return
	}
	n, err := s.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.err = fail("Seal", s.mech, gss.Failure, err)
	}
}
