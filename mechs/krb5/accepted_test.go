package krb5

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// aPAC is one for f's client, whose SID ends in 1000.
func (f *forger) aPAC(t *testing.T, part *ikrb5.EncTicketPart) *ikrb5.PACBuilder {
	t.Helper()
	domain, err := ikrb5.ParseSID("S-1-5-21-1-2-3")
	if err != nil {
		t.Fatal(err)
	}
	l := ikrb5.LogonInfo{
		Name: "alice", UserID: 1000, PrimaryGroup: 513, DomainName: "TEST", Domain: domain,
		Groups: []ikrb5.GroupMembership{{ID: 513, Attributes: 7}, {ID: 514, Attributes: 7 | groupDenyOnly}, {ID: 515}},
	}
	b := new(ikrb5.PACBuilder)
	b.Add(ikrb5.PACLogonInfo, l.Append(nil))
	b.Add(ikrb5.PACClientInfoType, (&ikrb5.PACClientInfo{AuthTime: part.AuthTime, Name: "alice"}).Append(nil))
	b.Add(ikrb5.PACUPNInfoType, (&ikrb5.UPNInfo{UPN: "alice@test.gss", DNSDomain: testRealm, Account: "alice", SID: l.User()}).Append(nil))
	return b
}

// TestPeerAttributes: what a PAC says is heard if the KDC signed it for this service about
// this client, and not otherwise. The client is who the ticket says in any case.
func TestPeerAttributes(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	kdc, _ := ikrb5.RandomKey(ikrb5.AES256SHA1)
	sign := func(t *testing.T, b *ikrb5.PACBuilder, part *ikrb5.EncTicketPart, server *ikrb5.Key) {
		t.Helper()
		list, err := b.Sign(part, server, kdc, true)
		if err != nil {
			t.Fatal(err)
		}
		part.AuthData = list
	}
	mallory := func(part *ikrb5.EncTicketPart) []byte {
		return (&ikrb5.PACClientInfo{AuthTime: part.AuthTime, Name: "mallory"}).Append(nil)
	}
	for name, tt := range map[string]struct {
		pac  func(t *testing.T, part *ikrb5.EncTicketPart)
		good bool
	}{
		"as it should be": {func(t *testing.T, part *ikrb5.EncTicketPart) { sign(t, f.aPAC(t, part), part, f.key) }, true},
		"none":            {func(t *testing.T, part *ikrb5.EncTicketPart) {}, false},
		"for another key": {func(t *testing.T, part *ikrb5.EncTicketPart) { sign(t, f.aPAC(t, part), part, kdc) }, false},
		"the session key": {func(t *testing.T, part *ikrb5.EncTicketPart) { sign(t, f.aPAC(t, part), part, f.session) }, false},
		"another's ticket": {func(t *testing.T, part *ikrb5.EncTicketPart) {
			sign(t, f.aPAC(t, &ikrb5.EncTicketPart{AuthTime: part.AuthTime.Add(-time.Second)}), part, f.key)
		}, false},
		"another client's": {func(t *testing.T, part *ikrb5.EncTicketPart) {
			b := f.aPAC(t, part).Without(ikrb5.PACClientInfoType)
			b.Add(ikrb5.PACClientInfoType, mallory(part))
			sign(t, b, part, f.key)
		}, false},
		"about two people": {func(t *testing.T, part *ikrb5.EncTicketPart) {
			b, other := f.aPAC(t, part), ikrb5.SID{}
			other, _ = ikrb5.ParseSID("S-1-5-21-1-2-3-500")
			b.Add(ikrb5.PACRequestor, other.Append(nil))
			sign(t, b, part, f.key)
		}, false},
		"about nobody": {func(t *testing.T, part *ikrb5.EncTicketPart) {
			sign(t, f.aPAC(t, part).Without(ikrb5.PACClientInfoType), part, f.key)
		}, false},
		"two": {func(t *testing.T, part *ikrb5.EncTicketPart) {
			sign(t, f.aPAC(t, part), part, f.key)
			part.AuthData = append(part.AuthData, part.AuthData...)
		}, false},
		"a bit turned": {func(t *testing.T, part *ikrb5.EncTicketPart) {
			sign(t, f.aPAC(t, part), part, f.key)
			inner, err := ikrb5.ParseAuthData(part.AuthData[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			inner[0].Data[8+16*6+200] ^= 1
			part.AuthData[0].Data = ikrb5.AppendAuthData(nil, inner)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			part := f.ticketPart()
			tt.pac(t, part)
			h, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			_, sc, err := h.Step(t.Context(), f.token(part, f.authenticator(allFlags, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer sc.Close()
			if sc.Info().Peer.Text != "alice@"+testRealm {
				t.Errorf("%v", sc.Info().Peer)
			}
			a, ok := sc.(gss.Attributed)
			if ok != tt.good {
				t.Fatalf("attributes: %v", ok)
			}
			if !ok {
				return
			}
			got := map[string][]string{}
			for name, v := range a.PeerAttributes() {
				if !v.Authenticated {
					t.Errorf("%s is not authenticated", name)
				}
				got[name] = append(got[name], v.Display)
			}
			for name, want := range map[string][]string{
				attrUser: {"S-1-5-21-1-2-3-1000"}, attrGroup: {"S-1-5-21-1-2-3-513"}, attrAccount: {`TEST\alice`}, attrUPN: {"alice@test.gss"},
				"urn:mspac:logon-info": {""}, "urn:mspac:client-info": {""}, "urn:mspac:upn-dns-info": {""},
				"urn:mspac:server-checksum": {""}, "urn:mspac:privsvr-checksum": {""},
			} {
				if !slices.Equal(got[name], want) {
					t.Errorf("%s: %q, want %q", name, got[name], want)
				}
				delete(got, name)
			}
			if len(got) > 0 {
				t.Errorf("more: %v", slices.Collect(maps.Keys(got)))
			}
			for range a.PeerAttributes() { // may be left early
				break
			}
			sc.Close()
			for name := range a.PeerAttributes() {
				t.Errorf("%s after Close", name)
			}
		})
	}
}

// TestTicketData: what else is in a ticket is what somebody says, and no PAC is among it
// that is not good.
func TestTicketData(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	bad := ikrb5.AuthDataEntry{Type: ikrb5.ADWin2kPAC, Data: []byte("no PAC")}
	relevant := func(list ...ikrb5.AuthDataEntry) ikrb5.AuthDataEntry {
		return ikrb5.AuthDataEntry{Type: ikrb5.ADIfRelevant, Data: ikrb5.AppendAuthData(nil, list)}
	}
	part := f.ticketPart()
	part.AuthData = []ikrb5.AuthDataEntry{
		relevant(ikrb5.AuthDataEntry{Type: 97, Data: []byte("a")}, bad, ikrb5.AuthDataEntry{Type: -17, Data: []byte{}}),
		{Type: ikrb5.ADIfRelevant, Data: []byte("rubbish")},
		{Type: adKDCIssued, Data: []byte("b")},
		relevant(ikrb5.AuthDataEntry{Type: 97, Data: []byte("c")}),
		relevant(bad),
	}
	accept := func(part *ikrb5.EncTicketPart) gss.Context {
		h, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		_, sc, err := h.Step(t.Context(), f.token(part, f.authenticator(allFlags, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return sc
	}
	sc := accept(part)
	defer sc.Close()
	var got []string
	for name, a := range sc.(gss.Attributed).PeerAttributes() {
		if a.Authenticated || a.Display != "" {
			t.Errorf("%s: %+v", name, a)
		}
		got = append(got, name+"="+string(a.Value))
		clear(a.Value) // the caller's
	}
	want := []string{"krb5:authdata:97=a", "krb5:authdata:-17=", "krb5:authdata:4=b", "krb5:authdata:97=c"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name, a := range sc.(gss.Attributed).PeerAttributes() {
		if string(a.Value) != "a" {
			t.Errorf("%s: again %q", name, a.Value)
		}
		break
	}
	if _, err := sc.(gss.Delegator).Delegated(); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("Delegated: %v", err)
	}
	sc.Close()
	for name := range sc.(gss.Attributed).PeerAttributes() {
		t.Errorf("%s after Close", name)
	}
	part.AuthData = []ikrb5.AuthDataEntry{relevant(bad)}
	sc = accept(part)
	defer sc.Close()
	if a, ok := sc.(gss.Attributed); ok {
		t.Errorf("of a bad PAC: %v", a)
	}
}

// TestSubkeyType: RFC 4537, as a peer may abuse it. Whatever it lists, the acceptor's
// subkey is of a type that Config permits.
func TestSubkeyType(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	list := func(e ...ikrb5.EType) []byte { return ikrb5.AppendETypeList(nil, e) }
	many := func(n int, last ...ikrb5.EType) []byte {
		return list(append(slices.Repeat([]ikrb5.EType{99}, n), last...)...)
	}
	all := []int32{20, 18, 19, 17}
	for name, tt := range map[string]struct {
		permitted []int32
		lists     [][]byte
		want      ikrb5.EType
	}{
		"none":                         {all, nil, 18},
		"better":                       {all, [][]byte{list(20, 18)}, 20},
		"its first, not ours":          {all, [][]byte{list(19, 20, 18)}, 19},
		"not permitted":                {[]int32{18, 20}, [][]byte{list(17, 19)}, 18},
		"not permitted, then one":      {[]int32{18, 20}, [][]byte{list(17, 19, 20)}, 20},
		"CVE-2022-33679: RC4":          {all, [][]byte{list(23, 1, 3, 16)}, 18},
		"empty":                        {all, [][]byte{list()}, 18},
		"unknown":                      {all, [][]byte{list(99, -1, -1<<31, 1<<31-1, 0)}, 18},
		"unknown, then one":            {all, [][]byte{list(99, -1, 0, 20)}, 20},
		"64":                           {all, [][]byte{many(63, 20)}, 20},
		"too many":                     {all, [][]byte{many(64, 20)}, 18},
		"10,000":                       {all, [][]byte{many(10_000, 20)}, 18},
		"number of 5 octets":           {all, [][]byte{{0x30, 7, 2, 5, 1, 0, 0, 0, 20}}, 18},
		"no list":                      {all, [][]byte{{2, 1, 20}}, 18},
		"cut":                          {all, [][]byte{list(20, 18)[:4]}, 18},
		"nothing":                      {all, [][]byte{nil}, 18},
		"twice, the first that is one": {all, [][]byte{{1}, list(20), list(17)}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(Options{Config: &Config{DefaultRealm: testRealm, EncTypes: tt.permitted}, Replay: vouching{}})
			auth := f.authenticator(allFlags, nil)
			var inner []ikrb5.AuthDataEntry
			for _, l := range tt.lists {
				inner = append(inner, ikrb5.AuthDataEntry{Type: ikrb5.ADETypeNegotiation, Data: l})
			}
			if inner != nil {
				auth.AuthData = []ikrb5.AuthDataEntry{{Type: ikrb5.ADIfRelevant, Data: ikrb5.AppendAuthData(nil, inner)}}
			}
			h, err := m.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			_, sc, err := h.Step(t.Context(), f.token(f.ticketPart(), auth))
			if err != nil {
				t.Fatal(err)
			}
			defer sc.Close()
			if got := sc.(*secContext).key.EType(); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	t.Run("an acceptor's weaker one", func(t *testing.T) {
		// One that the initiator does not permit, although it is there in this package.
		g := f.in(t)
		g.mech = New(Options{Config: &Config{DefaultRealm: testRealm, EncTypes: []int32{18, 20}}, Replay: vouching{}})
		h, _ := g.initiate(g.credential(), nil)
		i := h.(*initiator)
		rep, err := sealAPRep(f.session, &ikrb5.EncAPRepPart{CTime: i.ctime.Truncate(time.Second), CUsec: i.ctime.Nanosecond() / 1000,
			Subkey: &ikrb5.EncryptionKey{EType: 17, Value: make([]byte, 16)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, sc, err := h.Step(t.Context(), frame(tokAPRep, rep)); sc != nil || gss.MajorOf(err) != gss.Unavailable {
			t.Errorf("%v, %v", sc, err)
		}
	})
}

// TestAPOptions: KERB_AP_OPTIONS, which says that the initiator knows of bindings and has
// none. What is no such thing says nothing.
func TestAPOptions(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	word := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	for name, tt := range map[string]struct {
		list  []ikrb5.AuthDataEntry
		major gss.Major
	}{
		"nothing":              {nil, 0},
		"the bit":              {[]ikrb5.AuthDataEntry{{Type: 143, Data: word(0x4000)}}, gss.BadBindings},
		"with others":          {[]ikrb5.AuthDataEntry{{Type: 143, Data: word(0xffffffff)}}, gss.BadBindings},
		"others only":          {[]ikrb5.AuthDataEntry{{Type: 143, Data: word(^uint32(0x4000))}}, 0},
		"in the second":        {[]ikrb5.AuthDataEntry{{Type: 143, Data: word(0)}, {Type: 143, Data: word(0x4000)}}, gss.BadBindings},
		"big-endian":           {[]ikrb5.AuthDataEntry{{Type: 143, Data: []byte{0, 0, 0x40, 0}}}, 0},
		"3 octets":             {[]ikrb5.AuthDataEntry{{Type: 143, Data: []byte{0, 0x40, 0}}}, 0},
		"5 octets":             {[]ikrb5.AuthDataEntry{{Type: 143, Data: []byte{0, 0x40, 0, 0, 0}}}, 0},
		"no octets":            {[]ikrb5.AuthDataEntry{{Type: 143}}, 0},
		"of another type, 142": {[]ikrb5.AuthDataEntry{{Type: 142, Data: word(0x4000)}}, 0},
	} {
		auth := f.authenticator(allFlags, nil)
		if tt.list != nil {
			auth.AuthData = []ikrb5.AuthDataEntry{{Type: ikrb5.ADIfRelevant, Data: ikrb5.AppendAuthData(nil, tt.list)}}
		}
		_, _, err := f.accept(f.token(f.ticketPart(), auth), &gss.AcceptOptions{Bindings: []byte("x"), BindingsOptional: true})
		if gss.MajorOf(err) != tt.major {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFlagsAgree: both sides say the same of a context, and it does that and no more.
func TestFlagsAgree(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential()
	for _, flags := range []gss.Flags{
		0, gss.Mutual, gss.DefaultFlags, gss.DefaultFlags &^ gss.Mutual, gss.Integ, gss.Conf, gss.Mutual | gss.Integ, gss.Mutual | gss.Conf | gss.Integ,
		gss.DefaultFlags | gss.Identify, gss.Identify, gss.DefaultFlags | gss.DCEStyle, gss.DCEStyle, gss.Replay, gss.Sequence | gss.Mutual,
	} {
		t.Run(flags.String(), func(t *testing.T) {
			require := flags
			o := &gss.InitOptions{Credentials: []gss.Credential{cred}, Require: require, Request: flags}
			if flags == 0 { // which would be the default
				o.Require, o.Request = gss.ProtReady, 0
			}
			h, err := f.mech.Initiate(gss.Service("host", "h.test"), o)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			a, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}, Require: gss.ProtReady})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			var ic, ac gss.Context
			var tok []byte
			for range 2 {
				if ic == nil {
					if tok, ic, err = h.Step(t.Context(), tok); err != nil {
						t.Fatal(err)
					}
				}
				if ac == nil {
					if tok, ac, err = a.Step(t.Context(), tok); err != nil {
						t.Fatal(err)
					}
				}
			}
			defer ic.Close()
			defer ac.Close()
			want := flags | always
			if flags.Has(gss.DCEStyle) {
				want |= gss.Mutual
			}
			if i, a := ic.Info(), ac.Info(); i.Flags != want || a.Flags != want || i.Local != a.Peer || i.Peer != a.Local || !i.Expiry.Equal(a.Expiry) {
				t.Errorf("want %v:\n%+v\n%+v", want, i, a)
			}
			for _, c := range [][2]gss.Context{{ic, ac}, {ac, ic}} {
				tok, err := c[0].Wrap(nil, []byte("m"), gss.Confidential)
				if flags.Has(gss.Conf) != (err == nil) || err != nil && gss.MajorOf(err) != gss.Unavailable {
					t.Errorf("sealed: %v", err)
				}
				if err == nil {
					if _, _, err := c[1].Unwrap(nil, tok); err != nil {
						t.Error(err)
					}
				}
				// Without Integ, too, they can be protected: the flag is what was promised.
				if tok, err = c[0].Wrap(nil, []byte("m"), gss.IntegrityOnly); err != nil {
					t.Error(err)
				} else if _, l, err := c[1].Unwrap(nil, tok); err != nil || l != gss.IntegrityOnly {
					t.Error(l, err)
				}
			}
		})
	}
}

// TestHandshakeErased: Close at any time leaves no key.
func TestHandshakeErased(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential()
	for _, style := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags | gss.DCEStyle} {
		before := cred.shared.refs
		h, err := f.mech.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}, Require: style})
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
		if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.NoContext {
			t.Errorf("Step after Close: %v", err)
		}
		h, tok := f.initiate(cred, &gss.InitOptions{Require: style})
		subkey := h.(*initiator).subkey
		h.Close()
		h.Close()
		erased(t, "initiator's subkey", subkey)
		if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.NoContext {
			t.Errorf("Step after Close: %v", err)
		}
		if cred.shared.refs != before {
			t.Errorf("%d handles, %d before", cred.shared.refs, before)
		}
		services := f.service.shared.refs
		a, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
		if err != nil {
			t.Fatal(err)
		}
		_, sc, err := a.Step(t.Context(), tok)
		if err != nil {
			t.Fatal(err)
		}
		if wait := a.(*acceptor).wait; style.Has(gss.DCEStyle) {
			sc = wait.sc
			c := sc.(*secContext)
			a.Close()
			erased(t, "session key", wait.session)
			erased(t, "acceptor's subkey", c.key)
			erased(t, "initiator's subkey", c.partial)
		} else {
			a.Close()
			if _, err := sc.MIC(nil, nil); err != nil {
				t.Errorf("the context went with its handshake: %v", err)
			}
			c := sc.(*secContext)
			sc.Close()
			erased(t, "acceptor's subkey", c.key)
			erased(t, "initiator's subkey", c.partial)
		}
		if f.service.shared.refs != services {
			t.Errorf("%d handles of the service's, %d before", f.service.shared.refs, services)
		}
	}
}

// TestAliases: which of two principals with one key is meant nothing proves. A list of
// services holds for what the ticket says, and a realm is not guessed.
func TestAliases(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	web := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"HTTP", "h.test"}}, Realm: testRealm}
	far := ikrb5.Principal{Name: f.server.Name, Realm: "O"}
	other, _ := ikrb5.RandomKey(ikrb5.AES128SHA2)
	now := time.Now()
	for name, tt := range map[string]struct {
		keys     []testKey
		services []string
		server   ikrb5.Principal // as the ticket says in clear
		want     string          // "": refused
	}{
		"alias":                    {[]testKey{{f.server, f.key, 1, now}, {web, f.key, 1, now}}, nil, web, web.String()},
		"alias, not served":        {[]testKey{{f.server, f.key, 1, now}, {web, f.key, 1, now}}, []string{f.server.String()}, web, ""},
		"alias, served":            {[]testKey{{f.server, f.key, 1, now}, {web, f.key, 1, now}}, []string{web.String()}, web, web.String()},
		"no realm, one":            {[]testKey{{f.server, f.key, 1, now}}, nil, ikrb5.Principal{Name: f.server.Name}, f.server.String()},
		"no realm, other key":      {[]testKey{{far, other, 1, now}, {f.server, f.key, 1, now}}, nil, ikrb5.Principal{Name: f.server.Name}, f.server.String()},
		"no realm, one key":        {[]testKey{{far, f.key, 1, now}, {f.server, f.key, 1, now}}, nil, ikrb5.Principal{Name: f.server.Name}, ""},
		"no realm, one key, named": {[]testKey{{far, f.key, 1, now}, {f.server, f.key, 1, now}}, []string{f.server.String()}, ikrb5.Principal{Name: f.server.Name}, f.server.String()},
		"no realm, several keys":   {[]testKey{{f.server, f.key, 1, now}, {f.server, other, 2, now}}, nil, ikrb5.Principal{Name: f.server.Name}, f.server.String()},
		"no realm, other service":  {[]testKey{{f.server, f.key, 1, now}}, nil, ikrb5.Principal{Name: web.Name}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := FromKeytab(testKeytab(tt.keys...), "")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			g := f.in(t)
			g.mech = New(Options{Config: &f.mech.config, Replay: vouching{}, Services: tt.services})
			g.server = tt.server
			out, info, err := g.accept(g.token(g.ticketPart(), g.authenticator(allFlags, nil)), &gss.AcceptOptions{Credentials: []gss.Credential{c}})
			if tt.want == "" {
				refused(t, out, err, gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US)
			} else if err != nil || info.Local.Text != tt.want {
				t.Errorf("%v, %v", info.Local, err)
			}
		})
	}
}
