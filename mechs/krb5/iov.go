package krb5

import (
	"encoding/binary"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A message in pieces, as gss_wrap_iov of MIT krb5 and of Windows has it: the token of
// Wrap is cut into a header, which goes where the caller wants it, the data, and a
// trailer. Data is encrypted in place; sign-only buffers are authenticated where they
// stand among the data, and not changed.
//
//	with a trailer     header  = 16 octets of header | confounder
//	                   trailer = encrypted EC octets of filler and header | MAC
//	without            header  = 16 octets of header | what the trailer would be | confounder
//
// and without encryption header and checksum. Without a trailer it is as if the token
// had been rotated by the trailer's length, which is what its RRC says; in DCE style
// less EC, because Windows rotates by the sum of both ([MS-KILE] §3.4.5.4.1). There EC
// is a block, else 0.

// iovShape is how a list of buffers is made up.
type iovShape struct {
	header, trailer *gss.Buffer // trailer: nil if there is none
	padding         *gss.Buffer
	pieces          []ikrb5.Piece // data and sign-only, in their order; room for one more
}

// shapeOf sorts buffers. It needs a header, and takes one trailer and one padding at
// most.
func shapeOf(iov []gss.Buffer) (s iovShape, ok bool) {
	s.pieces = make([]ikrb5.Piece, 0, len(iov)+1)
	for i := range iov {
		var one **gss.Buffer
		switch b := &iov[i]; b.Kind {
		case gss.BufferData, gss.BufferSignOnly:
			s.pieces = append(s.pieces, ikrb5.Piece{Data: b.Data, SignOnly: b.Kind == gss.BufferSignOnly})
			continue
		case gss.BufferHeader:
			one = &s.header
		case gss.BufferTrailer:
			one = &s.trailer
		case gss.BufferPadding:
			one = &s.padding
		default:
			return s, false
		}
		if *one != nil {
			return s, false
		}
		*one = &iov[i]
	}
	return s, s.header != nil
}

// lengths returns those of header and trailer for ec octets of filler.
func (c *secContext) lengths(l gss.Level, ec int, trailer bool) (head, tail int) {
	head, tail = headerLen, c.sumLen
	if l == gss.Confidential {
		head, tail = headerLen+ikrb5.ConfounderLen, ec+headerLen+c.sumLen
	}
	if !trailer {
		return head + tail, 0
	}
	return head, tail
}

// canWrap is what WrapIOV and IOVLengths begin with.
func (c *secContext) canWrap(op string, l gss.Level, iov []gss.Buffer) (s iovShape, err error) {
	if err := c.usable(op); err != nil {
		return s, err
	}
	switch {
	case l != gss.Confidential && l != gss.IntegrityOnly:
		return s, c.fail(op, gss.BadQOP)
	case c.old || l == gss.Confidential && !c.info.Flags.Has(gss.Conf):
		return s, c.fail(op, gss.Unavailable)
	}
	s, ok := shapeOf(iov)
	if !ok {
		return s, c.fail(op, gss.Failure)
	}
	return s, nil
}

// IOVLengths gives header, padding and trailer the lengths that WrapIOV needs, in new
// memory where Data has no room for it. The length of the data does not matter. Errors:
// Unavailable, BadQOP; Failure for a list without a header, or with two of a kind.
func (c *secContext) IOVLengths(l gss.Level, iov []gss.Buffer) error {
	s, err := c.canWrap("Wrap_iov_length", l, iov)
	if err != nil {
		return err
	}
	head, tail := c.lengths(l, c.filler(), s.trailer != nil)
	resize(s.header, head)
	resize(s.trailer, tail)
	resize(s.padding, 0)
	return nil
}

func resize(b *gss.Buffer, n int) {
	switch {
	case b == nil:
	case n <= cap(b.Data):
		b.Data = b.Data[:n]
	default:
		b.Data = make([]byte, n)
	}
}

// WrapIOV seals the data in place and fills in header and trailer, which have to be as
// long as IOVLengths says, or longer, and are cut. Padding becomes empty. Without
// sign-only buffers header, data and trailer, one after the other, are a token of Wrap.
// Errors: as IOVLengths; Failure also for a header or trailer too short. Then nothing is
// changed.
func (c *secContext) WrapIOV(l gss.Level, iov []gss.Buffer) error {
	const op = "Wrap_iov"
	s, err := c.canWrap(op, l, iov)
	if err != nil {
		return err
	}
	ec := c.filler()
	head, tail := c.lengths(l, ec, s.trailer != nil)
	if len(s.header.Data) < head || s.trailer != nil && len(s.trailer.Data) < tail {
		return c.fail(op, gss.Failure)
	}
	h := s.header.Data[:head]
	front, back := h[headerLen:], h[headerLen:] // front: the confounder or nothing; back: what a trailer has
	if s.trailer != nil {
		back = s.trailer.Data[:tail]
	}
	flags := c.sendFlags
	if l == gss.Confidential {
		flags |= flagSealed
	}
	appendWrapHeader(h[:0], flags, c.sendSeq.Add(1)-1)
	rrc := 0
	if l == gss.Confidential {
		if s.trailer == nil {
			back, front = back[:len(back)-ikrb5.ConfounderLen], back[len(back)-ikrb5.ConfounderLen:]
			rrc = len(back) - ec
			if !c.info.Flags.Has(gss.DCEStyle) {
				rrc = len(back)
			}
		}
		binary.BigEndian.PutUint16(h[atEC:], uint16(ec))
		n := copy(back, fillers[:ec])
		n += copy(back[n:], h[:headerLen])
		err = c.key.SealPieces(c.sendSeal, front, append(s.pieces, ikrb5.Piece{Data: back[:n]}), back[n:])
	} else {
		if s.trailer == nil {
			rrc = len(back)
		}
		_, err = c.key.ChecksumParts(back[:0], c.sendSeal, signed(s.pieces, h)...)
		binary.BigEndian.PutUint16(h[atEC:], uint16(c.sumLen))
	}
	if err != nil {
		return c.keyError(op)
	}
	binary.BigEndian.PutUint16(h[atRRC:], uint16(rrc))
	s.header.Data = h
	if s.trailer != nil {
		s.trailer.Data = back
	}
	if s.padding != nil {
		s.padding.Data = s.padding.Data[:0]
	}
	return nil
}

// signed returns what the checksum of a message that is not sealed is of.
func signed(pieces []ikrb5.Piece, header []byte) [][]byte {
	parts := make([][]byte, 0, len(pieces)+1)
	for _, p := range pieces {
		parts = append(parts, p.Data)
	}
	return append(parts, header[:headerLen])
}

// UnwrapIOV checks what WrapIOV made and opens the data in place. The list is the
// sender's: its kinds, order and lengths. Header and trailer are used up. On an error
// the data is as it was, or zero. A token that came in one piece is for Unwrap or
// UnwrapAEAD, which know every rotation.
func (c *secContext) UnwrapIOV(iov []gss.Buffer) (gss.Level, error) {
	const op = "Unwrap_iov"
	if err := c.usable(op); err != nil {
		return 0, err
	}
	s, ok := shapeOf(iov)
	switch {
	case c.old:
		return 0, c.fail(op, gss.Unavailable)
	case !ok:
		return 0, c.fail(op, gss.Failure)
	}
	h := s.header.Data
	if len(h) < headerLen || binary.BigEndian.Uint16(h) != tokWrap || h[3] != 0xff || s.padding != nil && len(s.padding.Data) > 0 {
		return 0, c.fail(op, gss.DefectiveToken)
	}
	if !c.received(h[2]) {
		return 0, c.fail(op, gss.BadMIC)
	}
	ec, rrc := int(binary.BigEndian.Uint16(h[atEC:])), int(binary.BigEndian.Uint16(h[atRRC:]))
	l := gss.IntegrityOnly
	if h[2]&flagSealed != 0 {
		l = gss.Confidential
	}
	head, tail := c.lengths(l, ec, s.trailer != nil)
	back, want := h[headerLen:], 0
	if s.trailer != nil {
		back = s.trailer.Data
	} else if want = head - headerLen; l == gss.Confidential {
		if want -= ikrb5.ConfounderLen; c.info.Flags.Has(gss.DCEStyle) {
			want -= ec
		}
	}
	if len(h) != head || s.trailer != nil && len(back) != tail || rrc != want {
		return 0, c.fail(op, gss.DefectiveToken)
	}
	var err error
	if l == gss.Confidential {
		err = c.openPieces(op, s, ec, back)
	} else {
		err = c.verifyPieces(op, s, ec, back)
	}
	if err != nil {
		return 0, err
	}
	if err := c.commit(op, binary.BigEndian.Uint64(h[8:])); err != nil {
		s.erase()
		return 0, err
	}
	return l, nil
}

func (c *secContext) openPieces(op string, s iovShape, ec int, back []byte) error {
	h := s.header.Data
	confounder := h[len(h)-ikrb5.ConfounderLen:]
	n := ec + headerLen
	pieces := append(s.pieces, ikrb5.Piece{Data: back[:n]})
	switch err := c.key.OpenPieces(c.recvSeal, confounder, pieces, back[n:n+c.sumLen]); {
	case err == ikrb5.ErrIntegrity:
		return c.fail(op, gss.BadMIC)
	case err != nil:
		return c.keyError(op)
	}
	if !sameHeader(back[ec:n], h) {
		s.erase()
		return c.fail(op, gss.BadMIC)
	}
	return nil
}

func (c *secContext) verifyPieces(op string, s iovShape, ec int, back []byte) error {
	if ec != c.sumLen {
		return c.fail(op, gss.DefectiveToken)
	}
	var h [headerLen]byte
	copy(h[:], s.header.Data)
	clear(h[atEC:8])
	switch err := c.key.VerifyParts(back, c.recvSeal, signed(s.pieces, h[:])...); {
	case err == ikrb5.ErrIntegrity:
		return c.fail(op, gss.BadMIC)
	case err != nil:
		return c.keyError(op)
	}
	return nil
}

// erase withholds what was opened.
func (s *iovShape) erase() {
	for _, p := range s.pieces {
		if !p.SignOnly {
			clear(p.Data)
		}
	}
}
