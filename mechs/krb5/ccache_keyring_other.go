//go:build !linux

package krb5

const haveKeyrings = false

func onThread(func() error) error { return errNoKeyring }

func (k *keyringCache) find() (int32, error)               { return 0, errNoKeyring }
func (k *keyringCache) write(*ccache) error                { return errNoKeyring }
func (k *keyringCache) put(int32, *ccacheCred, bool) error { return errNoKeyring }
func (k *keyringCache) unlink() error                      { return errNoKeyring }
func (c *keyringCollection) primaryName() (string, error)  { return "", errNoKeyring }
func (c *keyringCollection) names() ([]string, error)      { return nil, errNoKeyring }
func (c *keyringCollection) setPrimaryName(string) error   { return errNoKeyring }
func readKeyringCache(int32) ([]keyringPayload, error)     { return nil, errNoKeyring }
func readNamedKey(int32, string) ([]byte, error)           { return nil, errNoKeyring }
