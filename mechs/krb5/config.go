package krb5

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A Config says which realms there are, where their KDCs are, and to which realm
// a host belongs: what a krb5.conf says. The zero Config knows none: a mechanism
// with it initiates with the tickets that a credential cache already has, and
// accepts. It is not changed once a mechanism has it.
type Config struct {
	// DefaultRealm is the realm of a name without one.
	DefaultRealm string

	// KDCs are a realm's, in the order in which they are asked:
	// "host", "host:port", "[address]:port", with "tcp/" or "udp/" before it to
	// insist on one.
	KDCs map[string][]string

	// PasswordServers change the passwords of a realm's users (RFC 3244): "host",
	// "host:port"; without any, port 464 of the KDCs.
	PasswordServers map[string][]string

	// LookupKDC finds the KDCs of a realm that KDCs lacks by DNS SRV records
	// (RFC 4120 §7.2.3.2).
	LookupKDC bool

	// Domains gives a host's realm: by its name, by ".example.org" for every host
	// in a domain, and by "example.org" for both.
	Domains map[string]string

	// EncTypes are the encryption types (RFC 3961 §8) asked for, best first, and
	// the only ones accepted; nil: 20, 18, 19, 17. Others are never asked for; those
	// that Options.AllowWeak lets in are accepted if they are listed, or if this is nil.
	EncTypes []int32

	// Skew is how far clocks may be apart; 0: 5 minutes.
	Skew time.Duration

	// Lifetime is how long tickets are asked for; 0: 24 hours.
	Lifetime time.Duration

	// RenewLifetime is for how long tickets are asked for that can be renewed; 0:
	// for such as cannot be.
	RenewLifetime time.Duration

	// Forwardable asks for tickets that may be forwarded.
	Forwardable bool

	// CAPaths gives the realms between a client's and a server's, in order, by the
	// one and then the other; none, or ".": they trust each other directly.
	CAPaths map[string]map[string][]string

	// CacheName, Keytab, ClientKeytab and KCMSocket are what the configuration calls
	// default_ccache_name, default_keytab_name, default_client_keytab_name and
	// kcm_socket, as they stand there. This package does not look at them: package
	// mechs does.
	CacheName, Keytab, ClientKeytab, KCMSocket string

	apps        *profile          // [appdefaults]; nil: none
	authToLocal []string          // of the default realm
	localNames  map[string]string // of the default realm

	allowWeak bool // Options.AllowWeak
}

const (
	defaultSkew     = 5 * time.Minute
	defaultLifetime = 24 * time.Hour
)

// defaultEncTypes: 256 bits first, then the newer ones.
var defaultEncTypes = []ikrb5.EType{ikrb5.AES256SHA2, ikrb5.AES256SHA1, ikrb5.AES128SHA2, ikrb5.AES128SHA1}

// ParseConfig reads the text of a krb5.conf. It does no I/O, so that include is
// an error; LoadConfig obeys it. Error: ErrConfig.
//
// What it reads: of [libdefaults] default_realm, dns_lookup_kdc, clockskew,
// ticket_lifetime, renew_lifetime, forwardable, permitted_enctypes, kcm_socket and
// the names of default credentials; of [realms] kdc, kpasswd_server, and the default realm's
// auth_to_local and auth_to_local_names; [domain_realm]; [capaths]; [appdefaults].
// The enctypes of permitted_enctypes alone count, as the default_tkt_enctypes of old
// configurations mostly name what was broken since.
func ParseConfig(text string) (*Config, error) {
	r := profileReader{local: true}
	if err := r.parse("krb5.conf", text, 0); err != nil {
		return nil, err
	}
	return newConfig(&r.root)
}

// LoadConfig reads a krb5.conf, or several as one, of which the first has
// precedence. Files that do not exist are passed over, unless none does. Error:
// ErrConfig.
func LoadConfig(paths ...string) (*Config, error) {
	var all profile
	var r profileReader // whose bounds are for all of them together
	found := false
	err := fmt.Errorf("%w: no file", ErrConfig)
	for _, path := range paths {
		if _, stat := os.Stat(path); errors.Is(stat, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrConfig, stat)
			continue
		}
		r.root = profile{}
		if err := r.load(path, 0); err != nil {
			return nil, err
		}
		all.merge(&r.root)
		found = true
	}
	if !found {
		return nil, err
	}
	return newConfig(&all)
}

func newConfig(p *profile) (*Config, error) {
	c := &Config{KDCs: make(map[string][]string), Domains: make(map[string]string), LookupKDC: true}
	d := settings{p: p.section("libdefaults")}
	c.DefaultRealm, _ = d.p.get("default_realm")
	d.boolean("dns_lookup_kdc", &c.LookupKDC)
	d.boolean("forwardable", &c.Forwardable)
	d.duration("clockskew", &c.Skew)
	d.duration("ticket_lifetime", &c.Lifetime)
	d.duration("renew_lifetime", &c.RenewLifetime)
	if list, ok := d.p.get("permitted_enctypes"); ok {
		c.EncTypes = parseEncTypes(list)
	}
	if d.err != nil {
		return nil, d.err
	}
	for name, out := range map[string]*string{
		"default_ccache_name": &c.CacheName, "default_keytab_name": &c.Keytab, "default_client_keytab_name": &c.ClientKeytab, "kcm_socket": &c.KCMSocket,
	} {
		*out, _ = d.p.get(name)
	}
	for _, r := range p.section("realms").relations {
		if r.sub != nil {
			c.KDCs[r.name] = append(c.KDCs[r.name], r.sub.all("kdc")...)
			if list := r.sub.all("kpasswd_server"); len(list) > 0 {
				if c.PasswordServers == nil {
					c.PasswordServers = make(map[string][]string)
				}
				c.PasswordServers[r.name] = append(c.PasswordServers[r.name], list...)
			}
		}
	}
	for _, r := range p.section("domain_realm").relations {
		host := strings.ToLower(r.name)
		if _, ok := c.Domains[host]; !ok && r.sub == nil {
			c.Domains[host] = r.value
		}
	}
	c.capaths(p.section("capaths"))
	if apps := p.section("appdefaults"); len(apps.relations) > 0 {
		c.apps = apps
	}
	if c.DefaultRealm != "" {
		c.local(p.section("realms").section(c.DefaultRealm))
	}
	return c, nil
}

func (c *Config) capaths(p *profile) {
	for _, client := range p.relations {
		if client.sub == nil {
			continue
		}
		if c.CAPaths == nil {
			c.CAPaths = make(map[string]map[string][]string)
		}
		paths := make(map[string][]string)
		for _, server := range client.sub.relations {
			if server.sub == nil {
				paths[server.name] = append(paths[server.name], server.value)
			}
		}
		c.CAPaths[client.name] = paths
	}
}

func (c *Config) local(realm *profile) {
	c.authToLocal = realm.all("auth_to_local")
	for _, r := range realm.section("auth_to_local_names").relations {
		if c.localNames == nil {
			c.localNames = make(map[string]string)
		}
		if _, ok := c.localNames[r.name]; !ok && r.sub == nil {
			c.localNames[r.name] = r.value
		}
	}
}

// AppDefault returns a setting of an application in [appdefaults], as MIT's
// krb5_appdefault_string finds it: the one for that application and realm, for the
// application, for the realm, or for all.
func (c *Config) AppDefault(app, realm, name string) (string, bool) {
	if c.apps == nil {
		return "", false
	}
	for _, path := range [][]string{{app, realm}, {app}, {realm}, nil} {
		p := c.apps
		for _, section := range path {
			if p = p.find(section); p == nil {
				break
			}
		}
		if p != nil {
			if v, ok := p.get(name); ok {
				return v, true
			}
		}
	}
	return "", false
}

// settings reads typed values; its first error stays.
type settings struct {
	p   *profile
	err error
}

func (s *settings) boolean(name string, out *bool) {
	v, ok := s.p.get(name)
	if !ok {
		return
	}
	switch strings.ToLower(v) {
	case "y", "yes", "true", "t", "1", "on":
		*out = true
	case "n", "no", "false", "nil", "0", "off":
		*out = false
	default:
		s.fail(name, v)
	}
}

func (s *settings) duration(name string, out *time.Duration) {
	if v, ok := s.p.get(name); ok {
		d, ok := parseDuration(v)
		if !ok {
			s.fail(name, v)
		}
		*out = d
	}
}

func (s *settings) fail(name, value string) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: %s = %q", ErrConfig, name, value)
	}
}

// parseDuration reads seconds, "h:m", "h:m:s", and "1d 2h 3m 4s" with any of its
// parts. Ten years is more than enough.
func parseDuration(v string) (time.Duration, bool) {
	const most = 10 * 366 * 24 * 60 * 60
	total := int64(0)
	add := func(digits string, unit int64) bool {
		n, err := strconv.ParseUint(digits, 10, 31)
		total += int64(n) * unit
		return err == nil && n <= most && total <= most
	}
	if parts := strings.Split(v, ":"); len(parts) == 2 || len(parts) == 3 {
		for i, unit := range []int64{3600, 60, 1}[:len(parts)] {
			if !add(parts[i], unit) {
				return 0, false
			}
		}
		return time.Duration(total) * time.Second, true
	}
	rest := strings.ReplaceAll(v, " ", "")
	if rest == "" {
		return 0, false
	}
	for rest != "" {
		n := strings.IndexAny(rest, "dhms")
		if n < 0 { // seconds need no unit
			if !add(rest, 1) {
				return 0, false
			}
			break
		}
		if !add(rest[:n], map[byte]int64{'d': 86400, 'h': 3600, 'm': 60, 's': 1}[rest[n]]) {
			return 0, false
		}
		rest = rest[n+1:]
	}
	return time.Duration(total) * time.Second, true
}

// parseEncTypes reads a list of names, apart by spaces or commas; "-" in front of
// one takes it out, and one that is there already stays where it is. Names of what
// this package does not do are ignored. The result is never nil: a list without a
// usable name permits nothing.
func parseEncTypes(list string) []int32 {
	out := []int32{}
	for _, name := range strings.FieldsFunc(strings.ToLower(list), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		remove := name[0] == '-'
		for _, e := range namedEncTypes(strings.TrimLeft(name, "+-")) {
			if remove {
				out = slices.DeleteFunc(out, func(x int32) bool { return x == int32(e) })
			} else if !slices.Contains(out, int32(e)) {
				out = append(out, int32(e))
			}
		}
	}
	return out
}

func namedEncTypes(name string) []ikrb5.EType {
	if name == "aes" || name == "default" { // families
		return defaultEncTypes
	}
	e, err := ikrb5.ParseEType(name)
	if err != nil {
		return nil
	}
	return []ikrb5.EType{e}
}

// encTypes returns what c permits of what there is.
func (c *Config) encTypes() []ikrb5.EType {
	out := make([]ikrb5.EType, 0, len(defaultEncTypes))
	if c.EncTypes == nil {
		out = append(out, defaultEncTypes...)
	}
	for _, e := range c.EncTypes {
		if e := ikrb5.EType(e); !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return slices.DeleteFunc(out, func(e ikrb5.EType) bool { return !e.Supported() })
}

// permits reports whether e is among c.encTypes().
func (c *Config) permits(e ikrb5.EType) bool {
	return (e.Supported() || c.allowWeak && e.Legacy()) && (c.EncTypes == nil || slices.Contains(c.EncTypes, int32(e)))
}

func (c *Config) skew() time.Duration {
	if c.Skew <= 0 {
		return defaultSkew
	}
	return c.Skew
}

// realmOf returns the realm of a host, which is in lower case; "" if c does not say.
func (c *Config) realmOf(host string) string {
	if r, ok := c.Domains[host]; ok {
		return r
	}
	for {
		dot := strings.IndexByte(host, '.')
		if dot < 0 {
			return ""
		}
		if r, ok := c.Domains[host[dot:]]; ok {
			return r
		}
		host = host[dot+1:]
		if r, ok := c.Domains[host]; ok {
			return r
		}
	}
}
