package rpcsecgss

import (
	"net"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
)

// NFS version 4 (RFC 7530, RFC 8881): program, procedures, and what is used of them.
const (
	nfsProgram    = 100003
	nfsCompound   = 1
	opGetAttr     = 9  // RFC 7530 §16.7
	opPutRootFH   = 24 // RFC 7530 §16.22
	opExchangeID  = 42 // RFC 8881 §18.35
	nfsDirectory  = 2  // NF4DIR
	attrType      = 1
	attrLeaseTime = 10
)

// The NFS server in user space, which is neither MIT's RPC nor libtirpc's: NULL, and a
// COMPOUND of each minor version, with every service.
func TestGanesha(t *testing.T) {
	r := peers.MITRealm(t, peers.Options{Services: []string{"nfs/localhost"}})
	addr := peers.Ganesha(t, r)
	mech := krb(t, r, r.Kinit(t, "user"))
	for _, service := range []Service{None, Integrity, Privacy} {
		t.Run(service.String(), func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(conn, nfsProgram, 4, ClientOptions{Mech: mech, Target: gss.Service("nfs", "localhost"), Service: service})
			defer c.Close()
			if out, err := c.Call(t.Context(), 0, nil); err != nil || len(out) != 0 {
				t.Fatalf("NULL: %x, %v", out, err)
			}

			var e Encoder
			e.String("root")
			e.Uint32(0) // minor version
			e.Uint32(2)
			e.Uint32(opPutRootFH)
			e.Uint32(opGetAttr)
			e.Uint32(1)
			e.Uint32(1<<attrType | 1<<attrLeaseTime)
			out, err := c.Call(t.Context(), nfsCompound, e.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			d := NewDecoder(out)
			status, tag, n := d.Uint32(), d.String(64), d.Uint32()
			put, putStatus, get, getStatus := d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32()
			if d.Err() != nil || status != 0 || tag != "root" || n != 2 || put != opPutRootFH || putStatus != 0 || get != opGetAttr || getStatus != 0 {
				t.Fatalf("PUTROOTFH, GETATTR: %x", out)
			}
			var mask []uint32
			for range d.Len(4) {
				mask = append(mask, d.Uint32())
			}
			attrs := NewDecoder(d.Opaque(64))
			kind, lease := attrs.Uint32(), attrs.Uint32()
			if d.Done() != nil || attrs.Done() != nil || len(mask) == 0 || mask[0] != 1<<attrType|1<<attrLeaseTime || kind != nfsDirectory || lease == 0 {
				t.Errorf("the root is of type %d, leases last %d s: %x", kind, lease, out)
			}

			e = Encoder{}
			e.String("")
			e.Uint32(1)
			e.Uint32(1)
			e.Uint32(opExchangeID)
			e.Fixed([]byte("verifier"))
			e.String("owner " + service.String())
			e.Uint32(0) // flags
			e.Uint32(0) // SP4_NONE
			e.Uint32(0) // no implementation id
			if out, err = c.Call(t.Context(), nfsCompound, e.Bytes()); err != nil {
				t.Fatal(err)
			}
			d = NewDecoder(out)
			status, _, n = d.Uint32(), d.String(64), d.Uint32()
			op, opStatus, clientID := d.Uint32(), d.Uint32(), d.Uint64()
			if d.Err() != nil || status != 0 || n != 1 || op != opExchangeID || opStatus != 0 || clientID == 0 {
				t.Errorf("EXCHANGE_ID: %x", out)
			}
		})
	}
}
