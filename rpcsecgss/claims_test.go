package rpcsecgss

import (
	"encoding/binary"
	"math"
	"runtime"
	"testing"
)

// Lengths and counts that claim up to 4 GiB, wherever a call has one, also behind a header and
// in a body that verify: what is allocated goes by what has come.
func TestClaims(t *testing.T) {
	pairs := map[uint32]*pair{}
	for _, version := range []uint32{version1, version3} {
		m := mechanisms()["krb"]
		s := serve(t, "tcp", ServerOptions{Accept: acceptor(m), MinService: None})
		c := s.client(t, ClientOptions{Mech: m, Target: service, MinVersion: version, MaxVersion: version})
		if _, err := c.Establish(within(t)); err != nil {
			t.Fatal(err)
		}
		pairs[version] = &pair{s, present(c), t, &peer{addr: s.addr, host: "127.0.0.1"}}
	}
	u32 := func(vs ...uint32) (b []byte) {
		for _, v := range vs {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return b
	}
	// sealed is a call whose arguments are args, as the service protects them.
	sealed := func(version, proc uint32, sv Service, args []byte) []byte {
		p := pairs[version]
		p.seq++
		msg, _, err := p.sealRequest(p.header(p.seq, nullProc), p.seq, request{nullProc, proc, sv, fixed(args)})
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	// open has b where the service's protection would be.
	open := func(sv Service, b []byte) []byte {
		msg := sealed(version1, procData, sv, nil)
		c, _, err := parseCall(msg)
		if err != nil {
			t.Fatal(err)
		}
		return append(msg[:len(msg)-len(c.body):len(msg)-len(c.body)], b...)
	}
	start := u32(7, msgCall, rpcVersion, testProg, testVers, nullProc, flavorGSS)
	for _, size := range []int{0, 1000, 100_000} {
		for _, claim := range []uint32{maxAuth + 1, 1 << 20, 1<<31 - 1, 1 << 31, math.MaxUint32 - 3, math.MaxUint32} {
			claims := func(before ...uint32) []byte { return append(u32(append(before, claim)...), make([]byte, size)...) }
			for what, x := range map[string]struct {
				version uint32
				msg     []byte
				want    error
			}{
				"credential": {version1, append(start[:len(start):len(start)], claims()...), AuthBadCred},
				"handle":     {version1, append(append(start[:len(start):len(start)], claims(20, version1, procData, 1, uint32(Privacy))...), u32(flavorNone, 0)...), AuthBadCred},
				"verifier":   {version1, append(start[:len(start):len(start)], claims(20, version1, procInit, 0, uint32(Privacy), 0, flavorNone)...), AuthBadVerf},
				"token":      {version1, append(start[:len(start):len(start)], claims(20, version1, procInit, 0, uint32(Privacy), 0, flavorNone, 0)...), GarbageArgs},
				"integrity":  {version1, open(Integrity, claims()), GarbageArgs},
				"its MIC":    {version1, open(Integrity, claims(4, 0)), GarbageArgs},
				"privacy":    {version1, open(Privacy, claims()), GarbageArgs},
				"assertions": {version3, sealed(version3, procCreate, Integrity, claims(0, 0)), GarbageArgs},
				"label":      {version3, sealed(version3, procCreate, Integrity, claims(0, 0, 1, 0, 0, 0)), GarbageArgs},
				"privilege":  {version3, sealed(version3, procCreate, Integrity, claims(0, 0, 1, 1, 1)), GarbageArgs},
				"host":       {version3, sealed(version3, procCreate, Integrity, claims(1)), GarbageArgs},
				"channel":    {version3, sealed(version3, procCreate, Integrity, claims(0, 1)), GarbageArgs},
				"kinds":      {version3, sealed(version3, procList, Integrity, claims()), GarbageArgs},
			} {
				if claim <= uint32(size) { // then it is none
					continue
				}
				p := pairs[x.version]
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				reply := p.deliver(p.from, x.msg) // which makes a copy
				runtime.ReadMemStats(&after)
				if err := why(reply); err != x.want {
					t.Errorf("%s, %d of %d octets: %v, want %v", what, size, claim, err, x.want)
				}
				if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(x.msg)*5/4+16<<10) {
					t.Errorf("%s, %d of %d octets: %d octets are allocated for %d", what, size, claim, n, len(x.msg))
				}
			}
		}
	}
}
