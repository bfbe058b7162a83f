package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/strike"
)

func mustState(t testing.TB, sc Secret) *State {
	t.Helper()
	s, err := NewState(sc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reload turns s into octets and back.
func reload(t testing.TB, s *State) *State {
	t.Helper()
	n, err := parseState(s.Append(nil), s.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func stateSender(t testing.TB, s *State) *Sender {
	t.Helper()
	n, err := s.NewSender()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func stateRecipient(t testing.TB, o *RecipientOptions, s *State) *Recipient {
	t.Helper()
	r := newRecipient(o, s.now)
	t.Cleanup(func() { r.Close() })
	if _, err := r.AddState(s); err != nil {
		t.Fatal(err)
	}
	return r
}

// Each role works with what comes of the octets, after the contexts are gone.
func TestStateRoles(t *testing.T) {
	aliceBob, bobAlice := pair("alice", "bob")
	carolAlice, aliceCarol := pair("carol", "alice")
	states := map[string]*State{}
	store := strike.NewMemory(strike.MemoryOptions{})
	for who, sc := range map[string]*testContext{"AliceBob": aliceBob, "BobAlice": bobAlice, "AliceCarol": aliceCarol, "CarolAlice": carolAlice} {
		s := mustState(t, sc)
		if s.Local() != sc.info.Local || s.Peer() != sc.info.Peer || s.Mech() != sc.info.Mech || !s.End().Equal(time.UnixMilli(s.Established().Add(MaxContext).UnixMilli())) {
			t.Errorf("%s: %v to %v until %v", who, s.Local(), s.Peer(), s.End())
		}
		sc.prfErr = gss.NoContext // it is closed
		states[who] = reload(t, s)
		if !bytes.Equal(states[who].Append([]byte("x"))[1:], s.Append(nil)) {
			t.Errorf("%s: comes back otherwise", who)
		}
		if n := len(s.Append(nil)); n > 2048 {
			t.Errorf("%d octets", n)
		}
	}
	alice, bob := stateSender(t, states["AliceBob"]), stateRecipient(t, &RecipientOptions{Store: store}, states["BobAlice"])
	back, aliceAsRecipient := stateSender(t, states["BobAlice"]), stateRecipient(t, &RecipientOptions{Store: store}, states["AliceBob"])
	for _, x := range []struct {
		s *Sender
		r *Recipient
	}{{alice, bob}, {back, aliceAsRecipient}} {
		m := mustSeal(t, x.s, "body", &Options{OneTime: true})
		got, err := x.r.Unseal(t.Context(), nil, m, nil)
		if err != nil || string(got.Body) != "body" || got.Originator != x.s.Originator() {
			t.Errorf("%+v, %v", got, err)
		}
		_, err = x.r.Unseal(t.Context(), nil, m, nil)
		wantMajor(t, "again", err, gss.DuplicateToken, strike.ErrSeen)
	}

	grant, err := alice.Grant(nil, []byte("body"), stateSender(t, states["AliceCarol"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	carol, err := states["CarolAlice"].NewRelay()
	if err != nil {
		t.Fatal(err)
	}
	defer carol.Close()
	held, err := carol.Accept(grant)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	m, err := held.Present(nil, nil, Channel{Unbound: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Unseal(t.Context(), nil, m, &UnsealOptions{Unbound: true, Require: RelayByKey}); err != nil {
		t.Error(err)
	}
}

// Whatever was lost, restored, copied or loaded twice, no two Senders have a lane in
// common, and none has that of the context.
func TestStateLanes(t *testing.T) {
	alice, _ := pair("alice", "bob")
	first := mustSender(t, alice)
	octets := mustState(t, alice).Append(nil)
	lanes := map[uint32]bool{first.lane: true}
	tags := map[string]bool{string(mustSeal(t, first, "", nil)[:16]): true}
	for range 100 {
		s, err := ParseState(octets)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			x := stateSender(t, s)
			m := mustSeal(t, x, "", nil)
			if lanes[x.lane] || tags[string(m[:16])] {
				t.Fatal("a number comes again")
			}
			lanes[x.lane], tags[string(m[:16])] = true, true
		}
		s.Close()
	}
	if first.lane != 0 || len(lanes) != 201 {
		t.Errorf("first lane %d, %d in all", first.lane, len(lanes))
	}
}

// Octets of an implementation in another language.
func TestStateVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/state/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			var v struct {
				Root, OID, Local, Peer, State hexOctets
				Initiator, First              bool
				Established, Expiry           int64
				Erase, Lifetime               int64
				Lanes                         [][2]uint32
			}
			b, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(b, &v)
			}
			if err != nil {
				t.Fatal(err)
			}
			c := &clock{t: time.Unix(0, v.Established)}
			sc := &fixedContext{
				info: gss.Info{Mech: readOID(t, v.OID), Initiator: v.Initiator, Local: readName(t, v.Local), Peer: readName(t, v.Peer)},
				prf:  map[string][]byte{"gss seal 1": v.Root},
			}
			if v.Expiry != 0 {
				sc.info.Expiry = time.UnixMilli(v.Expiry)
			}
			s, err := newState(sc, c.now)
			if err != nil {
				t.Fatal(err)
			}
			s.first = v.First
			if v.Erase != 0 {
				c.t = time.UnixMilli(v.Erase)
				if !s.Erase(time.Duration(v.Lifetime) * time.Millisecond) {
					t.Error("nothing erased")
				}
			}
			for _, l := range v.Lanes {
				s.lanes = append(s.lanes, laneMark{l[0], l[1]})
			}
			if got := s.Append(nil); !bytes.Equal(got, v.State) {
				t.Errorf("\n got %x\nwant %x", got, v.State)
			}
			p, err := parseState(v.State, c.now)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.Append(nil), v.State) || p.Over() != s.Over() || p.out.end != s.out.end || p.in.hFrom != s.in.hFrom ||
				!slices.Equal(p.out.tree.nodes, s.out.tree.nodes) || !slices.Equal(p.in.tree.nodes, s.in.tree.nodes) {
				t.Error("read otherwise than written")
			}
		})
	}
}

// sign gives octets, whose checksum is wrong, the right one.
func sign(b []byte) []byte {
	b = b[:len(b)-32]
	sum := sha256.Sum256(b)
	return append(slices.Clip(b), sum[:]...)
}

func TestStateMalformed(t *testing.T) {
	alice, _ := pair("alice", "bob")
	s := mustState(t, alice)
	s.lanes = []laneMark{{3, 4}, {5, 6}}
	good := s.Append(nil)
	refused := func(what string, b []byte) {
		t.Helper()
		_, err := ParseState(b)
		wantMajor(t, what, err, gss.DefectiveToken, ErrState)
	}
	for i := range good {
		refused("prefix", good[:i])
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			refused("bit flip", b)
		}
	}
	refused("octet behind it", append(bytes.Clone(good), 0))
	refused("nothing", nil)

	// Under a right checksum: what can be told is told.
	name, err := s.Local().Export()
	if err != nil {
		t.Fatal(err)
	}
	names := stateFixed + 11
	keys := names + 2*(2+len(name)) - len("alice") + len("bob")
	lanes := len(good) - 32 - 17
	low := keys + 64
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return sign(b)
	}
	insert := func(at int, with ...byte) []byte { return sign(slices.Insert(bytes.Clone(good), at, with...)) }
	if b := change(0); !bytes.Equal(b, good) {
		t.Fatal("sign")
	}
	if !bytes.Equal(good[keys:keys+32], s.out.tag[:]) || good[lanes] != 2 {
		t.Fatal("the test does not know where things are")
	}
	for i := range lanes + 17 {
		refused("signed prefix", sign(append(bytes.Clone(good[:i]), make([]byte, 32)...)))
	}
	l := uint32(good[low])<<16 | uint32(good[low+1])<<8 | uint32(good[low+2])
	u24 := func(v uint32) []byte { return []byte{byte(v >> 16), byte(v >> 8), byte(v)} }
	// The next low that takes another number of keys; which it is depends on the hour.
	count := func(low uint32) int { return len(newTree(new([32]byte), low, s.out.tree.high).nodes) }
	other := l + 1
	for count(other) == count(l) {
		other++
	}
	for what, b := range map[string][]byte{
		"magic":                      change(0, 'G'),
		"version 0":                  change(len(stateMagic), 0),
		"version 2":                  change(len(stateMagic), 2),
		"unknown flag":               change(len(stateMagic)+1, 3),
		"nanoseconds":                change(len(stateMagic)+10, 0x3b, 0x9a, 0xca, 0x00),
		"made in the year 73e9":      change(len(stateMagic)+2, 0x20),
		"made in 1970":               change(len(stateMagic)+2, 0, 0, 0, 0, 0, 0, 0, 10),
		"negative expiry":            change(len(stateMagic)+14, 0x80),
		"expired when made":          change(len(stateMagic)+14, 0, 0, 0, 0, 0, 0, 0, 1),
		"OID with indefinite length": change(stateFixed, 6, 0x80),
		"no MN":                      change(names+2, 4, 2),
		"low before it was made":     change(low, u24(l-1)...),
		"low with too few keys":      change(low, u24(other)...),
		"low after high":             change(low, 0xff, 0xff, 0xff),
		"a node too many":            insert(low+3, make([]byte, 32)...),
		"three lanes of two":         change(lanes, 3),
		"one lane of two":            change(lanes, 1),
		"five lanes":                 sign(append(append(append(bytes.Clone(good[:lanes]), 5), seqLanes(5)...), make([]byte, 32)...)),
		"lane twice":                 change(lanes+9, 0, 0, 0, 3),
		"lanes in disorder":          change(lanes+9, 0, 0, 0, 2),
		"octet before the sum":       insert(lanes+17, 0),
	} {
		refused(what, b)
	}
	if _, err := ParseState(sign(append(append(append(bytes.Clone(good[:lanes]), 4), seqLanes(4)...), make([]byte, 32)...))); err != nil {
		t.Error("four lanes:", err)
	}
}

// Octets that fit together, of a State that no context gives.
func TestStateImpossible(t *testing.T) {
	half := time.Unix(497490*3600, 0).Add(30 * time.Minute)
	for what, c := range map[string]struct {
		at     time.Time
		spoil  func(*State)
		patch  func(b []byte)
		sounds bool
	}{
		"nothing wrong":     {at: half, sounds: true},
		"expired when made": {at: half, spoil: func(s *State) { s.out.expiry = half.UnixMilli() - 1 }},
		"made in 1970":      {at: time.Unix(400, 0), spoil: func(s *State) { s.out.established = time.Unix(200, 0) }},
		"keys from before":  {at: half, spoil: func(s *State) { s.out.tree = newTree(&[32]byte{1}, 497489, 497490) }},
		"the same, to open": {at: half, spoil: func(s *State) { s.in.tree = newTree(&[32]byte{1}, 497489, 497490) }},
		"erased beyond": {
			at:    half,
			spoil: func(s *State) { s.out.tree.raise(lastEpoch); s.in.tree.raise(lastEpoch) },
			patch: func(b []byte) { b[len(b)-32-2]++ },
		},
	} {
		sc, _ := pair("alice", "bob")
		sc.info.Expiry = c.at.Add(time.Millisecond)
		s, err := newState(sc, func() time.Time { return c.at })
		if err != nil {
			t.Fatal(err)
		}
		if c.spoil != nil {
			c.spoil(s)
		}
		b := s.Append(nil)
		if c.patch != nil {
			if _, err := ParseState(b); err != nil {
				t.Errorf("%s, before: %v", what, err)
			}
			c.patch(b)
			b = sign(b)
		}
		_, err = ParseState(b)
		if c.sounds && err != nil || !c.sounds && !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func seqLanes(n int) (b []byte) {
	for i := range n {
		b = append(b, 0, 0, 0, byte(i), 0, 0, 0, 9)
	}
	return b
}

func FuzzParseState(f *testing.F) {
	files, _ := filepath.Glob("testdata/state/*.json")
	for _, file := range files {
		b, err := os.ReadFile(file)
		var v struct{ State hexOctets }
		if err == nil {
			err = json.Unmarshal(b, &v)
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(v.State[:len(v.State)-32]), true)
		f.Add([]byte(v.State), false)
	}
	at := time.UnixMilli(1790964000123)
	f.Fuzz(func(t *testing.T, b []byte, signed bool) {
		if signed {
			sum := sha256.Sum256(b)
			b = append(slices.Clip(b), sum[:]...)
		}
		s, err := parseState(b, func() time.Time { return at })
		if err != nil {
			wantMajor(t, "refused", err, gss.DefectiveToken, ErrState)
			return
		}
		if !bytes.Equal(s.Append(nil), b) {
			t.Fatal("read otherwise than written")
		}
		if x, err := s.NewSender(); err == nil {
			x.Close()
		}
		r := newRecipient(nil, s.now)
		if _, err := r.AddState(s); err == nil {
			r.Unseal(t.Context(), nil, make([]byte, 400), nil)
		}
		r.Close()
		s.Erase(0)
		if _, err := parseState(s.Append(nil), s.now); err != nil {
			t.Fatal("erased: ", err)
		}
		s.Close()
	})
}

// Octets that were made after a message's time do not open it, whatever the clock
// says then; those made before do.
func TestStateErased(t *testing.T) {
	alice, bob := pair("alice", "bob")
	c := &clock{t: time.Unix(497490*3600, 0).Add(50 * time.Minute)}
	from, err := newState(alice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	to, err := newState(bob, c.now)
	if err != nil {
		t.Fatal(err)
	}
	m := mustSeal(t, stateSender(t, from), "body", &Options{Lifetime: time.Hour})
	old := to.Append(nil)
	leaf, ok := to.in.tree.leaf(497490)
	if !ok {
		t.Fatal("no leaf")
	}

	opens := func(octets []byte) error {
		t.Helper()
		back := &clock{t: time.Unix(497490*3600, 0).Add(51 * time.Minute)} // the clock lies
		s, err := parseState(octets, back.now)
		if err != nil {
			t.Fatal(err)
		}
		r := newRecipient(nil, back.now)
		defer r.Close()
		if _, err = r.AddState(s); err == nil {
			_, err = r.Unseal(t.Context(), nil, m, nil)
		}
		return err
	}
	const life = time.Hour
	for _, step := range []time.Duration{0, 9 * time.Minute, 54 * time.Minute} { // up to 14:53: it opens until 14:50 + Skew
		c.add(step)
		to.Erase(life)
		if err := opens(to.Append(nil)); err != nil {
			t.Fatalf("%v: %v", c.now(), err)
		}
	}
	c.add(2 * time.Hour)
	if !to.Erase(life) || to.Erase(life) {
		t.Error("not erased, or twice")
	}
	now := to.Append(nil)
	wantMajor(t, "after its time", opens(now), gss.OldToken, ErrErased)
	if err := opens(old); err != nil {
		t.Error("a copy made before:", err)
	}
	if bytes.Contains(now, leaf[:]) || len(to.in.tree.nodes) == 0 {
		t.Error("the key is still there, or all are gone")
	}
	s := reload(t, to)
	for e := uint32(497400); e < 497490+24*40; e++ {
		_, was := mustParse(t, old, c).in.tree.leaf(e)
		if got, is := s.in.tree.leaf(e); is && (!was || e < s.in.tree.low || got == leaf) {
			t.Fatalf("epoch %d: erased and there", e)
		}
	}
	c.add(60 * 24 * time.Hour)
	s.Erase(life)
	if !s.Over() || s.Erase(life) {
		t.Error("not over")
	}
	_, err = newRecipient(nil, c.now).AddState(s)
	wantMajor(t, "nothing left", err, gss.ContextExpired, nil)
	_, err = s.NewRelay()
	wantMajor(t, "nothing left", err, gss.ContextExpired, nil)
	_, err = s.NewSender()
	wantMajor(t, "nothing left", err, gss.ContextExpired, nil)
}

func mustParse(t *testing.T, b []byte, c *clock) *State {
	t.Helper()
	s, err := parseState(b, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The clock falls back: nothing comes back, and nothing is sealed.
func TestStateClockBack(t *testing.T) {
	alice, _ := pair("alice", "bob")
	start := time.Unix(497490*3600, 0)
	c := &clock{t: start}
	s, err := newState(alice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	c.add(10*time.Hour + time.Minute)
	s.Erase(0)
	octets := s.Append(nil)
	for back, cause := range map[time.Duration]error{0: nil, 5 * time.Minute: nil, 6*time.Minute + 1e6: ErrClock, 2 * time.Hour: ErrClock, 11 * time.Hour: ErrClock} {
		c.t = start.Add(10*time.Hour + time.Minute - back)
		s := mustParse(t, octets, c)
		if s.Erase(0) || !bytes.Equal(s.Append(nil), octets) {
			t.Errorf("back %v: the state changed", back)
		}
		x := stateSender(t, s)
		m, err := x.Seal(nil, nil, nil)
		if cause != nil {
			wantMajor(t, back.String(), err, gss.Failure, cause)
		} else if err != nil {
			t.Errorf("back %v: %v", back, err)
		}
		if x.tree.low < 497500 || (m == nil) != (cause != nil) {
			t.Errorf("back %v: sealed with an erased key", back)
		}
	}
}

// Any jump of the clock costs at most 48 HMACs: 24 steps down the tree, each of
// which makes one HMAC state and computes both children. They are counted by what
// they allocate.
func TestTreeJumps(t *testing.T) {
	cost := func(nodes []node, high, low uint32) float64 {
		return testing.AllocsPerRun(4, func() {
			x := tree{high: high, nodes: slices.Clone(nodes)}
			x.raise(low)
		})
	}
	none := cost([]node{{first: 0}, {first: 1}}, 1, 1)
	step := cost([]node{{first: 0, height: 1}}, 1, 1) - none
	most := 0.0
	for _, low := range []uint32{1, 2, 1 << 23, 1<<23 + 1, 0x555555, 0xaaaaaa, lastEpoch - 1, lastEpoch} {
		whole := []node{{height: treeHeight}}
		most = max(most, cost(whole, lastEpoch, low)-none)
		x := tree{high: lastEpoch, nodes: slices.Clone(whole)}
		x.raise(low)
		for _, then := range []uint32{1, 1000, 1 << 22, lastEpoch} {
			most = max(most, cost(x.nodes, lastEpoch, min(low+then, lastEpoch))-none)
		}
	}
	if step < 1 || most != 24*step {
		t.Errorf("at most %v allocations, want those of 24 steps, %v each", most, step)
	}
}

// One-time messages of a State of a new context open at once where the store is
// older, and otherwise not before the store can tell.
func TestStateSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := pair("alice", "bob")
		before := strike.NewMemory(strike.MemoryOptions{})
		time.Sleep(time.Nanosecond)
		s := reload(t, mustState(t, bob))
		x := mustSender(t, alice)
		m := mustSeal(t, x, "", &Options{OneTime: true})
		time.Sleep(time.Second)
		_, err := stateRecipient(t, nil, s).Unseal(t.Context(), nil, m, nil)
		wantMajor(t, "a store made since", err, gss.Unavailable, strike.ErrUnsure)
		for _, sc := range []Secret{bob, bob.imported()} {
			_, err := stateRecipient(t, &RecipientOptions{Store: before}, reload(t, mustState(t, sc))).Unseal(t.Context(), nil, m, nil)
			wantMajor(t, "not the first", err, gss.Unavailable, strike.ErrUnsure)
			_, err = mustRecipient(t, &RecipientOptions{Store: before}, sc).Unseal(t.Context(), nil, m, nil)
			wantMajor(t, "added besides", err, gss.Unavailable, strike.ErrUnsure)
		}
		if _, err := stateRecipient(t, &RecipientOptions{Store: before}, s).Unseal(t.Context(), nil, m, nil); err != nil {
			t.Error(err)
		}
	})
}

// A clock that stepped back behind the making of the keys: first strikes can have
// been before it, and this is not forgotten.
func TestStateSinceClockBack(t *testing.T) {
	alice, bob := pair("alice", "bob")
	c := &clock{t: time.Now().Truncate(time.Hour).Add(30 * time.Minute)}
	s, err := newState(bob, c.now)
	if err != nil {
		t.Fatal(err)
	}
	x, err := newSender(alice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	firsts := func() (back, then bool) {
		t.Helper()
		r := newRecipient(nil, c.now)
		defer r.Close()
		src, err := r.AddState(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.Unseal(t.Context(), nil, mustSeal(t, x, "", nil), &UnsealOptions{Strike: true}); err != nil && !errors.Is(err, strike.ErrUnsure) {
			t.Fatal(err)
		}
		s.Follow(src)
		return src.first, s.first
	}
	if a, b := firsts(); !a || !b {
		t.Error("a new context is not first")
	}
	later := newRecipient(nil, c.now)
	defer later.Close()
	src, err := later.AddState(s)
	if err != nil {
		t.Fatal(err)
	}
	c.add(-time.Minute)
	if a, b := firsts(); a || b {
		t.Error("first, though the clock stepped back before")
	}
	s.first = true
	later.Unseal(t.Context(), nil, mustSeal(t, x, "", nil), &UnsealOptions{Strike: true})
	if !s.Follow(src) || s.first || s.Follow(src) || reload(t, s).first {
		t.Error("first, though the clock stepped back since")
	}
}

// After a restart, what is next in each lane is found without a search.
func TestStateFollow(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s := mustState(t, bob)
	r := newRecipient(nil, s.now)
	defer r.Close()
	src, err := r.AddState(s)
	if err != nil {
		t.Fatal(err)
	}
	if s.Follow(src) {
		t.Error("news of nothing")
	}
	var senders []*Sender
	for range 6 { // more than there is room for
		senders = append(senders, mustSender(t, alice))
	}
	for i := range 20 {
		for _, x := range senders[2:] {
			if _, err := r.Unseal(t.Context(), nil, mustSeal(t, x, "", nil), nil); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	if !s.Follow(src) || s.Follow(src) {
		t.Error("no news, or twice")
	}
	s2 := reload(t, s)
	poor := newRecipient(&RecipientOptions{ScanRate: 1}, s.now)
	defer poor.Close()
	src2, err := poor.AddState(s2)
	if err != nil {
		t.Fatal(err)
	}
	poor.budget.nobody.tokens = -1e6 // spent for long
	for _, x := range senders[2:] {
		for range wIdle - 1 {
			mustSeal(t, x, "", nil) // lost
		}
		if _, err := poor.Unseal(t.Context(), nil, mustSeal(t, x, "", nil), nil); err != nil {
			t.Error(err)
		}
	}
	_, err = poor.Unseal(t.Context(), nil, mustSeal(t, senders[1], "", nil), nil)
	wantMajor(t, "another lane", err, gss.Unavailable, ErrBusy)
	if s.Follow(src) || !s2.Follow(src2) {
		t.Error("news of the wrong one")
	}

	carol, _ := pair("carol", "bob")
	if other := mustState(t, carol); other.Follow(src2) || other.lanes != nil {
		t.Error("followed a stranger")
	}
	src2.Remove()
	if s2.Follow(src2) {
		t.Error("followed what is gone")
	}
}

// A Sender of a State has no keys of the past, and there is none after the end.
func TestStateSenderTime(t *testing.T) {
	alice, _ := pair("alice", "bob")
	c := &clock{t: time.Unix(497490*3600, 0)}
	alice.info.Expiry = c.t.Add(2*time.Hour + 30*time.Minute)
	s, err := newState(alice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	c.add(2*time.Hour + 30*time.Minute)
	if x := stateSender(t, s); x.tree.low != 497492 {
		t.Errorf("a Sender with keys of hour %d", x.tree.low)
	}
	c.add(time.Millisecond)
	_, err = s.NewSender()
	wantMajor(t, "after the end", err, gss.ContextExpired, nil)
}

func TestStateErrors(t *testing.T) {
	alice, _ := pair("alice", "bob")
	anon := alice.imported()
	anon.info.Flags |= gss.Anon
	_, err := NewState(anon)
	wantMajor(t, "anonymous", err, gss.Unauthorized, nil)
	broken := alice.imported()
	broken.prfErr = gss.NoContext
	_, err = NewState(broken)
	wantMajor(t, "closed context", err, gss.NoContext, nil)
	expired := alice.imported()
	expired.info.Expiry = time.Now().Add(-time.Minute)
	_, err = NewState(expired)
	wantMajor(t, "expired", err, gss.ContextExpired, nil)

	s := mustState(t, alice)
	r := NewRecipient(nil)
	r.Close()
	_, err = r.AddState(s)
	wantMajor(t, "closed recipient", err, gss.NoContext, nil)
	x := stateSender(t, s)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	mustSeal(t, x, "a Sender outlives its State", nil)
	if b := s.Append(nil); b != nil {
		t.Error("a closed state has octets")
	}
	if s.out.tag != [32]byte{} || s.in.hdr != [32]byte{} || s.out.tree.nodes != nil {
		t.Error("keys left")
	}
	_, err = s.NewSender()
	wantMajor(t, "closed", err, gss.NoContext, nil)
	_, err = s.NewRelay()
	wantMajor(t, "closed", err, gss.NoContext, nil)
	_, err = mustRecipient(t, nil).AddState(s)
	wantMajor(t, "closed", err, gss.NoContext, nil)
}
