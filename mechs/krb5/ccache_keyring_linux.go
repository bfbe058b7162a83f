package krb5

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const haveKeyrings = true

// keyctl(2): keyrings that have no serial number of their own, and operations.
const (
	ringProcess     = -2
	ringSession     = -3
	ringUser        = -4
	ringUserSession = -5

	keyctlGetKeyringID  = 0
	keyctlDescribe      = 6
	keyctlLink          = 8
	keyctlUnlink        = 9
	keyctlSearch        = 10
	keyctlRead          = 11
	keyctlSetTimeout    = 15
	keyctlGetPersistent = 22
)

const maxRingKeys = 4096 // in a cache or a collection

// onThread runs f on one thread of the system. What a thread may do with a key
// depends on whether it possesses it, through its own process keyring among others.
func onThread(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := f()
	if errors.Is(err, syscall.ENOKEY) || errors.Is(err, syscall.EKEYEXPIRED) || errors.Is(err, syscall.EKEYREVOKED) {
		return errNoCache
	}
	return err
}

func keyctl(op int, a, b, c, d uintptr) (int32, error) {
	r, _, errno := syscall.Syscall6(syscall.SYS_KEYCTL, uintptr(op), a, b, c, d, 0)
	if errno != 0 {
		return 0, os.NewSyscallError("keyctl", errno)
	}
	return int32(r), nil
}

func ring(id int32) uintptr { return uintptr(id) }

// searchKey finds a key in a keyring and, if dest is not 0, links it there.
func searchKey(in int32, kind, description string, dest int32) (int32, error) {
	t, err := syscall.BytePtrFromString(kind)
	if err != nil {
		return 0, err
	}
	d, err := syscall.BytePtrFromString(description)
	if err != nil {
		return 0, err
	}
	return keyctl(keyctlSearch, ring(in), uintptr(unsafe.Pointer(t)), uintptr(unsafe.Pointer(d)), ring(dest))
}

// addKey adds a key to a keyring, in place of one of that type and description.
func addKey(kind, description string, payload []byte, to int32) (int32, error) {
	t, err := syscall.BytePtrFromString(kind)
	if err != nil {
		return 0, err
	}
	d, err := syscall.BytePtrFromString(description)
	if err != nil {
		return 0, err
	}
	r, _, errno := syscall.Syscall6(syscall.SYS_ADD_KEY, uintptr(unsafe.Pointer(t)), uintptr(unsafe.Pointer(d)),
		uintptr(unsafe.Pointer(unsafe.SliceData(payload))), uintptr(len(payload)), ring(to), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("add_key", errno)
	}
	return int32(r), nil
}

// readKey returns a key's payload, or its description.
func readKey(op int, id int32) ([]byte, error) {
	b := make([]byte, 4096)
	for {
		n, err := keyctl(op, ring(id), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0)
		if err != nil {
			return nil, err
		}
		if int(n) <= len(b) {
			return b[:n], nil
		}
		if n > maxCCacheSize {
			return nil, errKeyring
		}
		clear(b)
		b = make([]byte, n)
	}
}

func readNamedKey(in int32, description string) ([]byte, error) {
	id, err := searchKey(in, "user", description, 0)
	if err != nil {
		return nil, err
	}
	return readKey(keyctlRead, id)
}

// describeKey returns a key's type and description: "type;uid;gid;permissions;description".
func describeKey(id int32) (kind, description string, err error) {
	b, err := readKey(keyctlDescribe, id)
	if err != nil {
		return "", "", err
	}
	parts := strings.SplitN(strings.TrimSuffix(string(b), "\x00"), ";", 5)
	if len(parts) != 5 {
		return "", "", errKeyring
	}
	return parts[0], parts[4], nil
}

// listKeys returns what is in a keyring.
func listKeys(id int32) ([]int32, error) {
	b, err := readKey(keyctlRead, id)
	if err != nil {
		return nil, err
	}
	if len(b)/4 > maxRingKeys {
		return nil, errKeyring
	}
	var out []int32
	for ; len(b) >= 4; b = b[4:] {
		out = append(out, int32(binary.NativeEndian.Uint32(b)))
	}
	return out, nil
}

// gone reports that a key went away, or out of reach, since it was listed.
func gone(err error) bool {
	return errors.Is(err, syscall.ENOKEY) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EKEYEXPIRED) || errors.Is(err, syscall.EKEYREVOKED)
}

// readKeyringCache returns the keys of a cache.
func readKeyringCache(id int32) ([]keyringPayload, error) {
	ids, err := listKeys(id)
	if err != nil {
		return nil, err
	}
	var out []keyringPayload
	total := 0
	for _, id := range ids {
		_, description, err := describeKey(id)
		var payload []byte
		if err == nil {
			payload, err = readKey(keyctlRead, id)
		}
		if gone(err) {
			continue
		}
		out = append(out, keyringPayload{description, payload})
		if total += len(payload); err == nil && total > maxCCacheSize {
			err = errKeyring
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// sessionRing is the session's keyring. Without one, some kernels would make one
// for a thread that writes to it, in place of the user's, which all then read.
func sessionRing() int32 {
	s, err := keyctl(keyctlGetKeyringID, ring(ringSession), 0, 0, 0)
	u, uerr := keyctl(keyctlGetKeyringID, ring(ringUserSession), 0, 0, 0)
	if err == nil && uerr == nil && s == u {
		return ringUserSession
	}
	return ringSession
}

// anchorRing returns where the collection is, what it is called there, and where to
// link it to in order to possess it; 0: nowhere.
func (c *keyringCollection) anchorRing() (anchor int32, name string, possess int32, err error) {
	switch c.anchor {
	case "user":
		return ringUser, keyringPrefix + c.name, ringProcess, nil
	case "persistent":
		uid := os.Geteuid()
		if c.name != "" {
			n, err := strconv.ParseUint(c.name, 10, 31)
			if err != nil {
				return 0, "", 0, errors.New("krb5: a persistent keyring is a user's, by number")
			}
			uid = int(n)
		}
		id, err := keyctl(keyctlGetPersistent, uintptr(uid), ring(ringProcess), 0, 0)
		if errors.Is(err, syscall.EOPNOTSUPP) && uid == os.Geteuid() {
			id, err = ringUser, nil
		}
		return id, keyringPersistent, ringProcess, err
	}
	return sessionRing(), keyringPrefix + c.name, 0, nil
}

// find returns the collection's keyring, made if need be.
func (c *keyringCollection) find(make bool) (int32, error) {
	anchor, name, possess, err := c.anchorRing()
	if err != nil {
		return 0, err
	}
	id, err := searchKey(anchor, "keyring", name, possess)
	if err == nil || !make || !errors.Is(err, syscall.ENOKEY) {
		return id, err
	}
	if possess == 0 {
		id, err = addKey("keyring", name, nil, anchor)
	} else if id, err = addKey("keyring", name, nil, possess); err == nil {
		_, err = keyctl(keyctlLink, ring(id), ring(anchor), 0, 0)
	}
	if err != nil {
		return 0, err
	}
	_, err = addKey("user", keyringPrimary, appendKeyringPrimary(nil, c.firstName()), id)
	return id, err
}

func (c *keyringCollection) primaryName() (string, error) {
	id, err := c.find(false)
	var b []byte
	if err == nil {
		b, err = readNamedKey(id, keyringPrimary)
	}
	if errors.Is(err, syscall.ENOKEY) {
		return c.firstName(), nil
	}
	if err != nil {
		return "", err
	}
	return parseKeyringPrimary(b)
}

func (c *keyringCollection) setPrimaryName(name string) error {
	id, err := c.find(true)
	if err == nil {
		_, err = addKey("user", keyringPrimary, appendKeyringPrimary(nil, name), id)
	}
	return err
}

// names returns the names of the caches, the primary's first.
func (c *keyringCollection) names() ([]string, error) {
	first, err := c.primaryName()
	if err != nil {
		return nil, err
	}
	id, err := c.find(false)
	if errors.Is(err, syscall.ENOKEY) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := listKeys(id)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range ids {
		kind, description, err := describeKey(id)
		if err != nil && !gone(err) {
			return nil, err
		}
		if err != nil || kind != "keyring" {
			continue
		}
		if description == first {
			out = slices.Insert(out, 0, description)
		} else {
			out = append(out, description)
		}
	}
	return out, nil
}

// find returns the cache's keyring.
func (k *keyringCache) find() (int32, error) {
	in, err := k.in.find(false)
	if err == nil {
		var id int32
		if id, err = searchKey(in, "keyring", k.name, 0); err == nil {
			return id, nil
		}
	}
	if k.legacy() && errors.Is(err, syscall.ENOKEY) {
		return searchKey(ringSession, "keyring", k.name, 0)
	}
	return 0, err
}

// write makes a new keyring and, when it is complete, links it in place of the old
// one of the same name.
func (k *keyringCache) write(c *ccache) error {
	in, err := k.in.find(true)
	if err != nil {
		return err
	}
	id, err := addKey("keyring", k.name, nil, ringProcess)
	if err != nil {
		return err
	}
	defer keyctl(keyctlUnlink, ring(id), ring(ringProcess), 0, 0)
	if _, err := addKey("user", keyringPrincipal, appendCCachePrincipal(nil, c.client), id); err != nil {
		return err
	}
	var end uint32
	for i := range c.creds {
		if err := k.put(id, &c.creds[i], false); err != nil {
			return err
		}
		end = max(end, c.creds[i].end)
	}
	if end != 0 {
		expireKey(id, end)
	}
	if _, err := keyctl(keyctlLink, ring(id), ring(in), 0, 0); err != nil {
		return err
	}
	if k.legacy() {
		keyctl(keyctlLink, ring(id), ring(sessionRing()), 0, 0)
	}
	return nil
}

// put adds a credential to the cache's keyring; longer, if that may have to last
// longer then.
func (k *keyringCache) put(id int32, cred *ccacheCred, longer bool) error {
	b := cred.append(nil, 4)
	defer clear(b)
	kind := "big_key"
	if k.in.anchor == "legacy" { // whose readers know "user" only
		kind = "user"
	}
	key, err := addKey(kind, cred.server.String(), b, id)
	if kind == "big_key" && (errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENODEV)) { // the kernel lacks it
		key, err = addKey("user", cred.server.String(), b, id)
	}
	if err != nil {
		return err
	}
	if cred.end != 0 {
		expireKey(key, cred.end)
	}
	if !longer {
		return nil
	}
	keys, err := readKeyringCache(id)
	var end uint32
	for _, k := range keys {
		if c, err := parseCCacheCred(k.payload); err == nil && k.description != keyringPrincipal {
			end = max(end, c.end)
			c.erase()
		}
		clear(k.payload)
	}
	if err == nil && end != 0 {
		expireKey(id, end)
	}
	return err
}

// expireKey makes the kernel drop a key at a time. What is past already lasts a
// second more: no time would mean for ever.
func expireKey(id int32, at uint32) {
	seconds := max(1, int64(at)-time.Now().Unix())
	keyctl(keyctlSetTimeout, ring(id), uintptr(seconds), 0, 0)
}

func (k *keyringCache) unlink() error {
	id, err := k.find()
	if err != nil {
		return err
	}
	in, err := k.in.find(false)
	if err == nil {
		_, err = keyctl(keyctlUnlink, ring(id), ring(in), 0, 0)
	}
	if k.legacy() {
		if _, legacy := keyctl(keyctlUnlink, ring(id), ring(sessionRing()), 0, 0); legacy == nil {
			return nil
		}
	}
	return err
}
