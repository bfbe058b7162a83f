package krb5

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
