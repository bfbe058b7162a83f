package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/seal/boltstate"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
)

// A sealedFile is one that was opened on trial: all of its claims were checked, but
// it was not struck. What it says must not leave before it is opened again, by the
// state file's own Recipient.
type sealedFile struct {
	seal.Message
	data   io.Reader // the body; of a stream, still to be verified up to io.EOF
	stream bool
	begin  []byte // what is to be seen again
}

// openSealed opens what is sealed in in, message or stream: nothing in clear says
// which it is, so it is first taken for a stream. r is of trial.
func openSealed(ctx context.Context, r *seal.Recipient, in io.Reader, o *seal.UnsealOptions) (*sealedFile, error) {
	f := new(sealedFile)
	rec := &recorder{r: in}
	s, m, err := r.UnsealStream(ctx, rec, o)
	if err == nil {
		rec.done = true
		f.Message, f.data, f.stream, f.begin = m, s, true, rec.b.Bytes()
		return f, nil
	}
	if errors.Is(err, seal.ErrTruncated) || gss.MajorOf(err) != gss.BadMIC && !errors.Is(err, seal.ErrStream) {
		return nil, err
	}
	all, e := io.ReadAll(io.LimitReader(io.MultiReader(&rec.b, in), maxGrant+1))
	if e != nil {
		return nil, e
	}
	if len(all) > maxGrant { // whatever it is, it was not made here
		return nil, err
	}
	if f.Message, err = r.Unseal(ctx, nil, all, o); err != nil {
		return nil, err
	}
	f.data, f.begin = bytes.NewReader(f.Body), all
	return f, nil
}

// again opens it once more, as far as to strike it.
func (f *sealedFile) again(ctx context.Context, r *seal.Recipient, o *seal.UnsealOptions) (err error) {
	if f.stream {
		_, _, err = r.UnsealStream(ctx, bytes.NewReader(f.begin), o)
	} else {
		_, err = r.Unseal(ctx, nil, f.begin, o)
	}
	return err
}

// trial makes a Recipient with some contexts of the file that strikes nothing, for
// the caller to close.
func (s *state) trial(ctx context.Context, cs ...boltstate.Context) (*seal.Recipient, error) {
	r := seal.NewRecipient(&seal.RecipientOptions{Store: onTrial{}, ScanRate: math.MaxInt})
	for _, c := range cs {
		k, err := s.State(ctx, c.ID)
		if err == nil {
			_, err = r.AddState(k)
			k.Close()
		}
		if err != nil && !errors.Is(err, gss.ContextExpired) && !errors.Is(err, boltstate.ErrNotFound) {
			r.Close()
			return nil, adviseState(s.path, err)
		}
	}
	return r, nil
}

// onTrial is the store of a trial: whether the message was struck is seen later.
type onTrial struct{}

func (onTrial) Strike(context.Context, [32]byte, time.Time, time.Time) error { return nil }

// A recorder keeps what was read until it is done.
type recorder struct {
	r    io.Reader
	b    bytes.Buffer
	done bool
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if !r.done {
		r.b.Write(p[:n])
	}
	return n, err
}

// adviseSealed adds to an error of unsealing what it may mean and what to do.
func adviseSealed(path string, err error) error {
	var how string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, seal.ErrTruncated):
		how = "It is cut off, or was changed on its way: fetch it again."
	case errors.Is(err, seal.ErrExpired):
		how = `Too late: its originator said until when it opens, --max-age may say less, and what
gss present makes is good for five minutes. Or a clock is wrong.`
	case errors.Is(err, seal.ErrNotYet):
		how = "It was made in the future: compare the clocks."
	case errors.Is(err, seal.ErrErased):
		how = "It is so old that its key was erased. Or a clock is wrong."
	case errors.Is(err, seal.ErrRelay):
		how = `Its originator named who has to hand it over, and that is not whom you say: if you
know who did, say so by --relay NAME.`
	case errors.Is(err, seal.ErrProof):
		how = `It needs its relay's proof, for just this hand-over: gss present makes that, with
--bind TEXT or --unbound, and here the same has to be given.`
	case errors.Is(err, seal.ErrClaim):
		how = "It is genuine, but does not claim all that --require asks for."
	case errors.Is(err, seal.ErrIntroduction):
		how = "It is an introduction: a credential, and no message."
	case errors.Is(err, strike.ErrSeen):
		how = "It was unsealed before, and opens once. Or its relay's proof was: let it be presented again."
	case errors.Is(err, strike.ErrUnsure):
		how = path + ` cannot tell whether it was unsealed before: it is younger than the message, or
was restored or damaged since. Ask for a new one.`
	case errors.Is(err, strike.ErrFull), errors.Is(err, seal.ErrQuota):
		how = "Too many messages that open once were unsealed; it goes on as those expire."
	case errors.Is(err, boltstore.ErrLocked):
		how = path + " is in use by another process."
	case gss.MajorOf(err) == gss.BadMIC:
		how = `It was changed on its way, or was not sealed under a context in ` + path + `,
or is no sealed message. If its relay made it with gss present, give --bind TEXT or
--unbound as he did; a grant is for gss present.`
	default:
		return err
	}
	return fmt.Errorf("%w\n%s", err, how)
}
