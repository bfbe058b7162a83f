package krb5

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
)

// Whom FuzzRecorded gives something to.
const (
	toAcceptor = iota
	toThird
	toInitiator
	toAccepted
	toInitiated
)

// FuzzRecorded begins with what MIT krb5 and Heimdal sent (see TestRecorded), and gives it
// to who has the keys: an acceptor, the third leg of DCE style, an initiator, or a context.
// It is the time of the recording.
func FuzzRecorded(f *testing.F) {
	all := exchanges(f)
	for n, r := range all {
		for _, tok := range [][]byte{r.Mutual, r.OneWay, r.Bare, r.Deleg} {
			f.Add(byte(n), byte(toAcceptor), tok)
		}
		f.Add(byte(n), byte(toThird), r.Third)
		f.Add(byte(n), byte(toInitiator), r.Reply)
		f.Add(byte(n), byte(toInitiator), r.Error)
		for _, m := range r.Messages {
			f.Add(byte(n), byte(toAccepted), m.Token)
		}
		for _, m := range r.Replies {
			f.Add(byte(n), byte(toInitiated), m.Token)
		}
	}
	f.Fuzz(func(t *testing.T, n, to byte, in []byte) {
		r := all[int(n)%len(all)]
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(r.Time))
			r.fuzz(t, to, in)
		})
	})
}

func (r *dialogue) fuzz(t *testing.T, to byte, in []byte) {
	cred, err := FromKeytab(r.Keytab, "")
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	m := New(Options{Config: r.config(), Replay: vouching{}})
	var sc gss.Context
	switch to {
	case toAcceptor:
		var info gss.Info
		info, sc, err = r.accept(t, m, cred, in)
		if err == nil && (info.Peer.Text != "user@"+r.Realm || info.Local.Text != "host/localhost@"+r.Realm) {
			t.Errorf("%+v", info)
		}
	case toThird:
		sc, err = r.third(t).step(in)
	case toInitiator:
		_, sc, err = r.initiator(t, m).Step(t.Context(), in)
	case toAccepted:
		_, sc, err = r.accept(t, m, cred, r.OneWay)
	case toInitiated:
		_, sc, err = r.initiator(t, m).Step(t.Context(), r.Reply)
	default:
		return
	}
	if err != nil {
		if !errors.As(err, new(*gss.Error)) || sc != nil || to >= toAccepted {
			t.Errorf("%v, %v", sc, err)
		}
		return
	}
	defer sc.Close()
	_, _, wrapErr := sc.Unwrap(nil, in)
	for _, err := range []error{wrapErr, sc.VerifyMIC([]byte("message"), in)} {
		if err != nil && !errors.As(err, new(*gss.Error)) {
			t.Error(err)
		}
	}
}
