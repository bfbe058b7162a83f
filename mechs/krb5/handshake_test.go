package krb5_test

import (
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/krb5"
)

// handshake runs a handshake to its end and closes both contexts with the test.
func handshake(t *testing.T, im, am *krb5.Mech, target gss.Name, cred, service *krb5.Credential, io *gss.InitOptions, ao *gss.AcceptOptions) (i, a gss.Context) {
	t.Helper()
	i, a, ierr, aerr := try(t, im, am, target, cred, service, io, ao)
	if ierr != nil || aerr != nil {
		t.Fatalf("initiator: %v; acceptor: %v", ierr, aerr)
	}
	return i, a
}

// try is handshake for one that may fail.
func try(t *testing.T, im, am *krb5.Mech, target gss.Name, cred, service *krb5.Credential, io *gss.InitOptions, ao *gss.AcceptOptions) (i, a gss.Context, ierr, aerr error) {
	t.Helper()
	iopt, aopt := io.Resolved(), ao.Resolved()
	iopt.Credentials, aopt.Credentials = []gss.Credential{cred}, []gss.Credential{service}
	ih, err := im.Initiate(target, &iopt)
	if err != nil {
		return nil, nil, err, nil
	}
	defer ih.Close()
	ah, err := am.Accept(&aopt)
	if err != nil {
		return nil, nil, nil, err
	}
	defer ah.Close()
	tok, i, ierr := ih.Step(t.Context(), nil)
	if ierr != nil {
		return nil, nil, ierr, nil
	}
	if i != nil {
		t.Cleanup(func() { i.Close() })
	}
	tok, a, aerr = ah.Step(t.Context(), tok)
	if a != nil {
		t.Cleanup(func() { a.Close() })
	}
	if len(tok) > 0 {
		i, ierr = second(t, ih, tok)
	}
	return i, a, ierr, aerr
}

func second(t *testing.T, h gss.Handshake, tok []byte) (gss.Context, error) {
	out, sc, err := h.Step(t.Context(), tok)
	if len(out) > 0 {
		t.Errorf("the initiator sends a second token")
	}
	if sc != nil {
		t.Cleanup(func() { sc.Close() })
	}
	return sc, err
}
