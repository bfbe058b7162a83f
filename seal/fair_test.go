package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
)

// addMany gives r contexts with n others.
func addMany(t *testing.T, r *Recipient, n int) {
	t.Helper()
	for i := range n {
		_, sc := pair(fmt.Sprint(i), "bob")
		if _, err := r.Add(sc); err != nil {
			t.Fatal(err)
		}
	}
}

// A search by name finds what it shall, and looking for the name among many contexts
// is paid for, too.
func TestSearchByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := pair("alice", "bob")
		_, fromCarol := pair("carol", "bob")
		r := mustRecipient(t, &RecipientOptions{ScanRate: 6 * share})
		addMany(t, r, 4*skipping)
		if _, err := r.Add(bob); err != nil {
			t.Fatal(err)
		}
		for _, o := range []*UnsealOptions{{From: mn("alice")}, {From: mn("alice"), Relay: fromCarol}} {
			m := mustSeal(t, mustSender(t, alice.imported()), "x", nil)
			if _, err := r.Unseal(t.Context(), nil, m, o); err != nil { // 4, and 1 inversion
				t.Errorf("a new lane: %v", err)
			}
		}
		// 1 was left of 6: enough to begin with.
		m := mustSeal(t, mustSender(t, alice.imported()), "x", nil)
		for _, name := range []string{"0", "nobody"} {
			_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{From: mn(name)})
			wantMajor(t, "alice's as "+name+"'s", err, gss.BadMIC, nil)
			_, err = r.Unseal(t.Context(), nil, m, &UnsealOptions{From: mn(name)})
			wantMajor(t, "too often", err, gss.Unavailable, ErrBusy)
			time.Sleep(time.Second)
		}

		// Contexts that took the place of others have their names.
		time.Sleep(time.Minute)
		r.sources[1].Remove()
		dave, fromDave := pair("dave", "bob")
		if _, err := r.Add(fromDave); err != nil {
			t.Fatal(err)
		}
		m = mustSeal(t, mustSender(t, dave.imported()), "x", nil)
		if got, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{From: mn("dave")}); err != nil || got.Originator != mn("dave") {
			t.Errorf("in another's place: %v", err)
		}
		_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{From: gss.User("dave")})
		wantMajor(t, "from what is no name of a mechanism", err, gss.BadMIC, nil)
	})
}

// Whatever those do who are not authenticated, relays can search; and however small
// the rate is, there is some.
func TestGarbageAndRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []int{1, share - 1, 100} {
			r := mustRecipient(t, &RecipientOptions{ScanRate: rate})
			addMany(t, r, 1000)
			garbage := bytes.Repeat([]byte{byte(rate)}, 336)
			_, err := r.Unseal(t.Context(), nil, garbage, nil)
			wantMajor(t, "garbage", err, gss.BadMIC, nil)
			_, err = r.Unseal(t.Context(), nil, garbage, &UnsealOptions{RelayNames: []gss.Name{mn("carol")}})
			wantMajor(t, "carol's, after it", err, gss.BadMIC, nil)
			_, err = r.Unseal(t.Context(), nil, garbage, &UnsealOptions{RelayNames: []gss.Name{mn("dave")}})
			wantMajor(t, "dave's, after carol's", err, gss.Unavailable, ErrBusy)
			time.Sleep(1001 * time.Second)
			_, err = r.Unseal(t.Context(), nil, garbage, nil)
			wantMajor(t, "more of it", err, gss.BadMIC, nil)
		}
	})
}

// A relay that hands a message over again and again does not use up what its
// originator may send by others; nor do calls that were cancelled.
func TestQuotaOfProofs(t *testing.T) {
	x := newTrio(t)
	x.bob.o.Quota = 2
	often, once := x.grant(t, nil), x.grant(t, &Options{OneTime: true})
	o := &UnsealOptions{Relay: x.onBob}
	ch := Channel{Context: x.toBob}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		_, err := x.bob.Unseal(cancelled, nil, x.present(t, once, ch), o)
		wantMajor(t, "cancelled", err, gss.Failure, context.Canceled)
	}
	for range 2 {
		if _, err := x.bob.Unseal(t.Context(), nil, x.present(t, often, ch), o); err != nil {
			t.Error(err)
		}
	}
	_, err := x.bob.Unseal(t.Context(), nil, x.present(t, often, ch), o)
	wantMajor(t, "one proof more", err, gss.Unavailable, ErrQuota)
	for range 2 {
		if _, err := x.bob.Unseal(t.Context(), nil, mustSeal(t, x.alice, "x", &Options{OneTime: true}), nil); err != nil {
			t.Errorf("by others: %v", err)
		}
	}
	_, err = x.bob.Unseal(t.Context(), nil, mustSeal(t, x.alice, "x", &Options{OneTime: true}), nil)
	wantMajor(t, "one message more", err, gss.Unavailable, ErrQuota)
}

// An age that nothing can have is no age at all.
func TestNegativeMaxAge(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	m := mustSeal(t, s, "x", nil)
	for _, age := range []time.Duration{-Skew - time.Second, -1 << 63} {
		_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{MaxAge: age})
		wantMajor(t, age.String(), err, gss.OldToken, ErrExpired)
	}
}

// An initiator without mutual authentication does not know who its peer is.
func TestRelayWithoutMutual(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	m := mustSeal(t, s, "x", &Options{Relay: mn("carol")})
	for _, initiator := range []bool{true, false} {
		_, c := pair("carol", "bob")
		if initiator {
			c, _ = pair("bob", "carol")
		}
		c.info.Flags &^= gss.Mutual
		_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: c})
		if refused := errors.Is(err, ErrRelay); refused != initiator || err != nil && !refused {
			t.Errorf("initiator %v: %v", initiator, err)
		}
	}
}

func TestIntroduceData(t *testing.T) {
	x := newTrio(t)
	_, err := x.alice.Introduce(nil, nil, x.grants, &Options{Relay: mn("carol"), Data: []byte("data")})
	wantMajor(t, "with data", err, gss.Failure, errData)
}

// A clock that was fast when a context was added does not make strikes look later than
// they were: a store that lost them afterwards would vouch for what it does not know.
func TestStrikeAfterClockStep(t *testing.T) {
	at := time.Unix(497490*3600, 0)
	c := &clock{t: at.Add(time.Hour)}
	alice, bob := pair("alice", "bob")
	store := new(recordingStore)
	r := newRecipient(&RecipientOptions{Store: store}, c.now)
	defer r.Close()
	if _, err := r.Add(bob); err != nil {
		t.Fatal(err)
	}
	s, err := newSender(alice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	strike := func(want time.Time) {
		t.Helper()
		if _, err := r.Unseal(t.Context(), nil, mustSeal(t, s, "x", &Options{OneTime: true}), nil); err != nil {
			t.Fatal(err)
		}
		if got := store.from[len(store.from)-1]; !got.Equal(want) {
			t.Errorf("from %v, want %v", got, want)
		}
	}
	strike(c.t) // the context's start
	c.add(-time.Minute)
	strike(c.t.Add(time.Minute - Skew))
	c.add(time.Minute)
	strike(c.t.Add(-Skew))
}
