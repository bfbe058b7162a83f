package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"

	"github.com/gsseal/gss/seal"
)

var grantCommand = command{
	name:  "grant",
	args:  "--state FILE --to NAME --via NAME -o OUT [FLAGS] FILE | -",
	short: "seal a file that only a relay of your choice can hand over",
	long: `
Seals FILE as gss seal does, so that nobody can hand it over without a key that
the relay has: --to is who shall read it, --via who shall carry it. You have a
context with each of them in the state file.

    gss grant --state alice.state --to svc:bob@b.test --via svc:carol@c.test \
              -o grant letter.txt

OUT is for the relay: the message, and what he needs to derive the key from his
own context with you, sealed to him. So it can travel as any sealed message can,
and the key never does. He turns it into what Bob unseals with gss present.

--relay NAME demands besides that the recipient knows whoever hands it over by
that name; see gss help seal.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		var f sealFlags
		f.declare(fs)
		fs.StringVar(&f.to, "to", "", "`NAME`: the peer who shall read it")
		fs.StringVar(&f.via, "via", "", "`NAME`: the peer who shall carry it, and gets a key for that")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) != 1 || f.to == "" || f.via == "" {
				return usagef("--to NAME, --via NAME and one FILE are due, or \"-\" for FILE")
			}
			return f.run(ctx, sh, args[0], f.grant)
		}
	},
}

// A grant as a file is sealed to the relay, with these data, so that it is not
// taken for a message to him:
//
//	u32 length | grant | chunks of the message, if it is a stream
const grantData = "gss command grant 1"

// maxGrant bounds the length of a grant: the message in it is no stream, or short.
const maxGrant = 64 << 20

func (f *sealFlags) grant(ctx context.Context, j *sealJob) error {
	s, err := j.sender(ctx, "--to", f.to)
	if err != nil {
		return err
	}
	defer s.Close()
	via, err := j.sender(ctx, "--via", f.via)
	if err != nil {
		return err
	}
	defer via.Close()
	if s.Recipient() == via.Recipient() {
		return fmt.Errorf("%s cannot carry a message to himself: --to and --via are the same", via.Recipient())
	}
	j.report.From, j.report.To, j.report.Via = partyOf(s.Originator()), partyOf(s.Recipient()), partyOf(via.Recipient())
	j.state.Close()

	outer := &seal.Options{Lifetime: f.lifetime, Data: []byte(grantData)}
	if !j.report.Stream {
		g, err := s.Grant(make([]byte, 4), j.body, via, &j.options)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(g, uint32(len(g)-4))
		m, err := via.Seal(nil, g, outer)
		if err != nil {
			return err
		}
		_, err = j.count.Write(m)
		return err
	}
	w, err := via.SealStream(&j.count, outer)
	if err != nil {
		return err
	}
	g, chunks, err := s.GrantStream(make([]byte, 4), w, via, &j.options)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(g, uint32(len(g)-4))
	if _, err := w.Write(g); err != nil {
		return err
	}
	if _, err := io.Copy(chunks, j.in); err != nil {
		return err
	}
	if err := chunks.Close(); err != nil {
		return err
	}
	return w.Close()
}
