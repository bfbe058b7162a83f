package krb5

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// Operations of the Kerberos Cache Manager that Heimdal invented and sssd has too.
// Both directions are a u32 length and that many octets, but that an answer has
// another u32, the transport's status, between the two:
//
//	request = u8 2 | u8 0 | u16 operation | parameters
//	answer  = u32 status | results
//
// Integers are big-endian, names end with NUL, principals and credentials are as in
// a ccache of version 4, identifiers have 16 octets, and a list of them ends with
// the answer.
const (
	kcmGenNew           = 3  // () → name
	kcmInitialize       = 4  // name, principal → ()
	kcmDestroy          = 5  // name → ()
	kcmStore            = 6  // name, credential → ()
	kcmGetPrincipal     = 8  // name → principal
	kcmGetCredUUIDList  = 9  // name → identifiers
	kcmGetCredByUUID    = 10 // name, identifier → credential
	kcmGetCacheUUIDList = 18 // () → identifiers
	kcmGetCacheByUUID   = 19 // identifier → name
	kcmGetDefaultCache  = 20 // () → name
	kcmSetDefaultCache  = 21 // name → ()
)

const (
	kcmTimeout  = 10 * time.Second // of all requests of one call together
	maxKCMReply = 10 << 20         // octets
	maxKCMCreds = 4096             // of a cache, and caches of a collection
	uuidLen     = 16
)

// Statuses: com_err codes of the library "krb5".
const (
	kcmEnd      = -1765328242 // KRB5_CC_END
	kcmNotFound = -1765328243 // KRB5_CC_NOTFOUND
	kcmNoFile   = -1765328189 // KRB5_FCC_NOFILE
)

var errKCM = errors.New("krb5: malformed answer of the credential cache daemon")

// A kcmStatus is what a daemon refuses with.
type kcmStatus int32

func (s kcmStatus) Error() string {
	return fmt.Sprintf("krb5: the credential cache daemon reports status %d", int32(s))
}

func (s kcmStatus) Is(target error) bool {
	return target == fs.ErrNotExist && (s == kcmEnd || s == kcmNotFound || s == kcmNoFile)
}

// A kcmConn is a connection to a daemon.
type kcmConn struct {
	ctx  context.Context // that c's deadline is of
	c    net.Conn
	stop func() bool
}

func dialKCM(ctx context.Context, socket string) (*kcmConn, error) {
	d := net.Dialer{Timeout: kcmTimeout}
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(kcmTimeout))
	return &kcmConn{ctx, c, context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })}, nil
}

func (k *kcmConn) close() {
	k.stop()
	k.c.Close()
}

// call makes one request, of parameters that follow one another, and returns the
// results.
func (k *kcmConn) call(op uint16, parameters ...[]byte) ([]byte, error) {
	n := 4
	for _, p := range parameters {
		n += len(p)
	}
	req := make([]byte, 0, 4+n)
	req = binary.BigEndian.AppendUint32(req, uint32(n))
	req = append(req, 2, 0, byte(op>>8), byte(op))
	for _, p := range parameters {
		req = append(req, p...)
	}
	defer clear(req)
	if _, err := k.c.Write(req); err != nil {
		return nil, ioError(k.ctx, err)
	}
	b, err := readKCMReply(k.c)
	if _, refused := errors.AsType[kcmStatus](err); err != nil && !refused {
		err = ioError(k.ctx, err)
	}
	return b, err
}

// readKCMReply reads an answer. It allocates no more than comes.
func readKCMReply(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxKCMReply {
		return nil, errKCM
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, err
	}
	if status := kcmStatus(binary.BigEndian.Uint32(head[4:])); status != 0 {
		return nil, status
	}
	if n < 4 {
		return nil, errKCM
	}
	if status := kcmStatus(binary.BigEndian.Uint32(b.Next(4))); status != 0 {
		return nil, status
	}
	return b.Bytes(), nil
}

// kcmName is a name as a parameter; it has no NUL.
func kcmName(name string) []byte { return append([]byte(name), 0) }

func parseKCMName(b []byte) (string, error) {
	name, ok := strings.CutSuffix(string(b), "\x00")
	if !ok || name == "" || len(name) > maxCacheName || strings.Contains(name, "\x00") {
		return "", errKCM
	}
	return name, nil
}

func parseKCMList(b []byte) ([][]byte, error) {
	if len(b)%uuidLen != 0 || len(b)/uuidLen > maxKCMCreds {
		return nil, errKCM
	}
	var out [][]byte
	for ; len(b) > 0; b = b[uuidLen:] {
		out = append(out, b[:uuidLen:uuidLen])
	}
	return out, nil
}

// A kcmDaemon is the collection of a user's caches that a daemon keeps.
type kcmDaemon struct{ socket string }

type kcmCache struct {
	in   *kcmDaemon
	name string
}

// openKCM reads what follows "KCM:".
func openKCM(socket, name string) (cacheStore, cacheCollection) {
	d := &kcmDaemon{socket}
	if name == "" {
		return nil, d
	}
	return &kcmCache{d, name}, d
}

func (d *kcmDaemon) String() string { return "KCM:" }
func (k *kcmCache) String() string  { return "KCM:" + k.name }

// one makes one request on a connection of its own.
func (d *kcmDaemon) one(ctx context.Context, op uint16, parameters ...[]byte) ([]byte, error) {
	c, err := dialKCM(ctx, d.socket)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.call(op, parameters...)
}

func (c *kcmConn) principal(name string) (ikrb5.Principal, error) {
	b, err := c.call(kcmGetPrincipal, kcmName(name))
	if err != nil {
		return ikrb5.Principal{}, err
	}
	if len(b) == 0 { // Heimdal's way to say that there is none
		return ikrb5.Principal{}, errNoCache
	}
	return parseCCachePrincipal(b)
}

func (k *kcmCache) read(ctx context.Context) (*ccache, error) {
	conn, err := dialKCM(ctx, k.in.socket)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	c := &ccache{version: 4}
	if c.client, err = conn.principal(k.name); err != nil {
		return nil, err
	}
	b, err := conn.call(kcmGetCredUUIDList, kcmName(k.name))
	if err != nil {
		return nil, err
	}
	ids, err := parseKCMList(b)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, id := range ids {
		b, err := conn.call(kcmGetCredByUUID, kcmName(k.name), id)
		if errors.Is(err, fs.ErrNotExist) { // somebody has just removed it
			continue
		}
		var cred ccacheCred
		if err == nil {
			cred, err = parseCCacheCred(b)
			clear(b)
		}
		if total += len(b); total > maxCCacheSize && err == nil {
			err = errKCM
		}
		if err != nil {
			c.erase()
			return nil, err
		}
		c.creds = append(c.creds, cred)
	}
	return c, nil
}

// replace is not atomic: the protocol has nothing for that.
func (k *kcmCache) replace(ctx context.Context, c *ccache) error {
	conn, err := dialKCM(ctx, k.in.socket)
	if err != nil {
		return err
	}
	defer conn.close()
	if _, err := conn.call(kcmInitialize, kcmName(k.name), appendCCachePrincipal(nil, c.client)); err != nil {
		return err
	}
	for i := range c.creds {
		if err := conn.store(k.name, &c.creds[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *kcmConn) store(name string, cred *ccacheCred) error {
	b := cred.append(nil, 4)
	defer clear(b)
	_, err := c.call(kcmStore, kcmName(name), b)
	return err
}

func (k *kcmCache) add(ctx context.Context, client ikrb5.Principal, cred *ccacheCred) error {
	conn, err := dialKCM(ctx, k.in.socket)
	if err != nil {
		return err
	}
	defer conn.close()
	if p, err := conn.principal(k.name); err != nil {
		return err
	} else if !p.Equal(client) {
		return errOtherClient
	}
	return conn.store(k.name, cred)
}

func (k *kcmCache) destroy(ctx context.Context) error {
	_, err := k.in.one(ctx, kcmDestroy, kcmName(k.name))
	return err
}

func (d *kcmDaemon) primary(ctx context.Context) (cacheStore, error) {
	return d.named(d.one(ctx, kcmGetDefaultCache))
}

func (d *kcmDaemon) create(ctx context.Context) (cacheStore, error) {
	return d.named(d.one(ctx, kcmGenNew))
}

func (d *kcmDaemon) named(b []byte, err error) (cacheStore, error) {
	if err != nil {
		return nil, err
	}
	name, err := parseKCMName(b)
	if err != nil {
		return nil, err
	}
	return &kcmCache{d, name}, nil
}

func (d *kcmDaemon) setPrimary(ctx context.Context, s cacheStore) error {
	_, err := d.one(ctx, kcmSetDefaultCache, kcmName(s.(*kcmCache).name))
	return err
}

func (d *kcmDaemon) members(ctx context.Context) ([]cacheStore, error) {
	first, err := d.primary(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := dialKCM(ctx, d.socket)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	b, err := conn.call(kcmGetCacheUUIDList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := parseKCMList(b)
	if err != nil {
		return nil, err
	}
	var out []cacheStore
	for _, id := range ids {
		s, err := d.named(conn.call(kcmGetCacheByUUID, id))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.String() == first.String() {
			out = append([]cacheStore{s}, out...)
		} else {
			out = append(out, s)
		}
	}
	return out, nil
}
