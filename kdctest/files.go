package kdctest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// Keytab returns a keytab (MIT's format 0x0502) with every key of every version of
// the principals; of all services but the KDC's own, if none is named.
func (r *Realm) Keytab(principals ...string) ([]byte, error) {
	b, err := r.keytab(principals)
	return b, r.check(err)
}

func (r *Realm) keytab(principals []string) ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(principals) == 0 {
		for id, p := range r.principals {
			if p.service && !isTGS(p.name) {
				principals = append(principals, id)
			}
		}
		slices.Sort(principals)
	}
	out := []byte{5, 2}
	for _, name := range principals {
		_, p, err := r.find(name)
		if err != nil {
			return nil, err
		}
		for _, k := range p.keys {
			key, err := k.get()
			if err != nil {
				return nil, err
			}
			entry := r.keytabEntry(p.name, k.kvno, key)
			out = binary.BigEndian.AppendUint32(out, uint32(len(entry)))
			out = append(out, entry...)
		}
	}
	return out, nil
}

// An entry: u16 number of components, realm and components as u16 lengths and
// octets, u32 name type, u32 time, u8 version, u16 etype, key as u16 length and
// octets, u32 version.
func (r *Realm) keytabEntry(name krb5.PrincipalName, kvno uint32, key *krb5.Key) []byte {
	u16 := binary.BigEndian.AppendUint16
	u32 := binary.BigEndian.AppendUint32
	b := u16(nil, uint16(len(name.Components)))
	for _, s := range append([]string{r.o.Realm}, name.Components...) {
		b = append(u16(b, uint16(len(s))), s...)
	}
	value := key.Bytes()
	b = u32(b, uint32(name.Type))
	b = u32(b, uint32(r.now().Unix()))
	b = append(b, byte(kvno))
	b = u16(b, uint16(key.EType()))
	b = append(u16(b, uint16(len(value))), value...)
	return u32(b, kvno)
}

// WriteKeytab writes what Keytab returns to a file that only its owner may read.
func (r *Realm) WriteKeytab(path string, principals ...string) error {
	b, err := r.keytab(principals)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	return r.check(err)
}

// Krb5Conf returns a krb5.conf with which MIT's libraries and gokrb5 find the realm, and
// those that have trust with it. The host "localhost" is of this one; hosts below a
// realm's name in lower case are of that, so that "h.gss.test" is of GSS.TEST. [capaths]
// has the paths between realms.
// libdefaults are further lines of its section [libdefaults], such as
// "forwardable = true"; "udp_preference_limit = 1" makes clients use TCP.
func (r *Realm) Krb5Conf(libdefaults ...string) string {
	var names []string
	for _, e := range r.etypes {
		names = append(names, e.String())
	}
	enctypes := strings.Join(names, " ")
	var b strings.Builder
	fmt.Fprintf(&b, `[libdefaults]
 default_realm = %[1]s
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 permitted_enctypes = %[2]s
 default_tkt_enctypes = %[2]s
 default_tgs_enctypes = %[2]s
`, r.o.Realm, enctypes)
	for _, line := range libdefaults {
		fmt.Fprintf(&b, " %s\n", line)
	}
	b.WriteString(`
[realms]
`)
	all := r.reachable()
	for _, o := range all {
		fmt.Fprintf(&b, " %s = {\n  kdc = %s\n }\n", o.o.Realm, o.Addr())
	}
	fmt.Fprintf(&b, "\n[domain_realm]\n localhost = %s\n", r.o.Realm)
	for _, o := range all {
		fmt.Fprintf(&b, " .%s = %s\n", lower(o.o.Realm), o.o.Realm)
	}
	b.WriteString("\n[capaths]\n")
	for _, from := range all {
		fmt.Fprintf(&b, " %s = {\n", from.o.Realm)
		for _, to := range all {
			for _, between := range from.path(to) {
				fmt.Fprintf(&b, "  %s = %s\n", to.o.Realm, between)
			}
		}
		b.WriteString(" }\n")
	}
	return b.String()
}

// WriteConf writes what Krb5Conf returns to a file.
func (r *Realm) WriteConf(path string, libdefaults ...string) error {
	return r.check(os.WriteFile(path, []byte(r.Krb5Conf(libdefaults...)), 0o644))
}

// Env writes a krb5.conf and a keytab of all services into the folder dir and
// returns the environment of a process that uses them: KRB5_CONFIG, KRB5_KTNAME,
// KRB5CCNAME (a file in dir, not there yet) and KRB5RCACHEDIR. Add it to os.Environ.
func (r *Realm) Env(dir string, libdefaults ...string) ([]string, error) {
	conf, keytab := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "krb5.keytab")
	if err := r.WriteConf(conf, libdefaults...); err != nil {
		return nil, err
	}
	if err := r.WriteKeytab(keytab); err != nil {
		return nil, err
	}
	return []string{
		"KRB5_CONFIG=" + conf, "KRB5_KTNAME=FILE:" + keytab,
		"KRB5CCNAME=FILE:" + filepath.Join(dir, "ccache"), "KRB5RCACHEDIR=" + dir,
	}, nil
}

// WriteCCache writes a credential cache (a FILE ccache, version 4) with a forwardable,
// renewable TGT of user, as after kinit, and tickets for services. No client has to run.
func (r *Realm) WriteCCache(path, user string, services ...string) error {
	b, err := r.ccache(user, services)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	return r.check(err)
}

func (r *Realm) ccache(user string, services []string) ([]byte, error) {
	find := func(name string) (principal, error) {
		r.mu.RLock()
		defer r.mu.RUnlock()
		_, p, err := r.find(name)
		return p, err
	}
	client, err := find(user)
	if err != nil {
		return nil, err
	}
	now := r.now().Truncate(time.Second)
	// Version 4, then a header of one element: the KDC's clock is no seconds off.
	b := []byte{5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	b = r.ccachePrincipal(b, client.name)
	for i, name := range append([]string{"krbtgt/" + quoteRealm(r.o.Realm)}, services...) {
		server, err := find(name)
		if err != nil {
			return nil, err
		}
		if !server.service {
			return nil, fmt.Errorf("kdctest: %s is not a service", name)
		}
		t := &krb5.EncTicketPart{
			Flags:  krb5.TicketForwardable | krb5.TicketProxiable | krb5.TicketRenewable | krb5.TicketPreAuthent | server.flags(),
			CRealm: r.o.Realm, CName: client.name, TransitedType: krb5.TransitedX500,
			AuthTime: now, StartTime: now, EndTime: now.Add(r.o.Lifetime), RenewTill: now.Add(r.o.RenewLifetime),
		}
		if i == 0 {
			t.Flags |= krb5.TicketInitial
		}
		if t.Key, err = sessionKey(server.session[0]); err != nil {
			return nil, err
		}
		ticket, err := r.seal(server, t, nil)
		if err != nil {
			return nil, err
		}
		b = r.ccacheEntry(b, server.name, t, &ticket)
	}
	return b, nil
}

// A principal: u32 name type, u32 number of components, realm and components as u32
// lengths and octets.
func (r *Realm) ccachePrincipal(b []byte, name krb5.PrincipalName) []byte {
	u32 := binary.BigEndian.AppendUint32
	b = u32(b, uint32(name.Type))
	b = u32(b, uint32(len(name.Components)))
	for _, s := range append([]string{r.o.Realm}, name.Components...) {
		b = append(u32(b, uint32(len(s))), s...)
	}
	return b
}

// An entry: client, server, key as u16 etype, u32 length and octets, u32 times of
// authentication, start, end and renewal, u8 encrypted in a session key?, u32 flags,
// u32 number of addresses, u32 number of authorization data, ticket and second
// ticket as u32 lengths and octets.
func (r *Realm) ccacheEntry(b []byte, server krb5.PrincipalName, t *krb5.EncTicketPart, ticket *krb5.Ticket) []byte {
	u32 := binary.BigEndian.AppendUint32
	b = r.ccachePrincipal(b, t.CName)
	b = r.ccachePrincipal(b, server)
	b = binary.BigEndian.AppendUint16(b, uint16(t.Key.EType))
	b = append(u32(b, uint32(len(t.Key.Value))), t.Key.Value...)
	for _, when := range []time.Time{t.AuthTime, t.StartTime, t.EndTime, t.RenewTill} {
		b = u32(b, uint32(when.Unix()))
	}
	b = append(b, 0)
	b = u32(b, t.Flags)
	b = u32(u32(b, 0), 0)
	der := ticket.Append(nil)
	b = append(u32(b, uint32(len(der))), der...)
	return u32(b, 0)
}

// lower is a realm as a domain.
func lower(realm string) string { return strings.ToLower(realm) }

// firstLabel is what is before the first dot.
func firstLabel(realm string) string {
	label, _, _ := strings.Cut(realm, ".")
	return label
}
