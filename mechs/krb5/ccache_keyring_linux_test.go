package krb5

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/gsseal/gss"
)

// The kernel drops tickets that have ended, and a cache with the last of them.
func TestKeyringExpiry(t *testing.T) {
	c, err := OpenCache("KEYRING:session:gsstest"+rand.Text(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Principal(t.Context()); gss.MajorOf(err) != gss.NoCred {
		t.Skipf("no keyring: %v", err)
	}
	t.Cleanup(func() { RemoveCollection(c) })
	data, more := cached(t, 0)
	soon := uint32(time.Now().Unix()) + 2
	data.creds[0].end = soon
	in := c.all.(*keyringCollection)
	one, other := &keyringCache{in, "lasting"}, &keyringCache{in, "ending"}
	for _, k := range []*keyringCache{one, other} {
		if err := k.replace(t.Context(), data); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.add(t.Context(), data.client, &more); err != nil {
		t.Fatal(err)
	}
	if got, err := one.read(t.Context()); err != nil || len(got.creds) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	time.Sleep(time.Until(time.Unix(int64(soon)+1, 0)))
	if got, err := one.read(t.Context()); err != nil || len(got.creds) != 1 || !got.creds[0].server.Equal(more.server) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := other.read(t.Context()); err == nil {
		t.Errorf("it is still there: %v", got)
	}
}

// RemoveCollection takes the keyring of a test's collection away, which is there
// even without a cache, as MIT leaves it too.
func RemoveCollection(c *Cache) {
	k, ok := c.all.(*keyringCollection)
	if !ok {
		return
	}
	onThread(func() error {
		id, err := k.find(false)
		if err == nil {
			anchor, _, _, _ := k.anchorRing()
			keyctl(keyctlUnlink, ring(id), ring(anchor), 0, 0)
		}
		return err
	})
}
