package mechs

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/oid"
)

// ccache returns the Source of the user's credential cache.
func ccache(getenv func(string) string, config *krb5.Config) (krb5.Source, error) {
	name, variable, err := getenv("KRB5CCNAME"), "KRB5CCNAME", error(nil)
	fallback := name == ""
	if fallback {
		variable = "default_ccache_name"
		if name, err = expand(config.CacheName, getenv); err != nil {
			return nil, broken(oid.Krb5, variable, err)
		}
	}
	if name == "" {
		name = "FILE:/tmp/krb5cc_" + strconv.Itoa(os.Getuid())
	}
	cache, err := krb5.OpenCache(name, &krb5.CacheOptions{
		StoreTickets: true, OwnFile: fallback, Memory: new(krb5.MemoryCaches), KCMSocket: config.KCMSocket,
	})
	if err != nil {
		return nil, &gss.Error{Op: "Indicate_mechs", Mech: oid.Krb5, Major: gss.MajorOf(err), Err: fmt.Errorf("%s: %w", variable, err)}
	}
	return cache.Source(), nil
}

// keytabFile returns the path of a keytab. Types other than files are refused:
// silently using another credential than the one named would be worse.
func keytabFile(getenv func(string) string, variable, setting, otherwise string) (string, error) {
	v := getenv(variable)
	if v == "" {
		var err error
		if v, err = expand(setting, getenv); err != nil {
			return "", broken(oid.Krb5, variable, err)
		}
	}
	if v == "" {
		return otherwise, nil
	}
	kind, path, typed := strings.Cut(v, ":")
	switch {
	case !typed || strings.HasPrefix(v, "/"):
		return v, nil
	case kind == "FILE" || kind == "WRFILE":
		return path, nil
	}
	return "", &gss.Error{Op: "Indicate_mechs", Mech: oid.Krb5, Major: gss.Unavailable,
		Err: fmt.Errorf("%s=%s: only files are supported, FILE:path", variable, v)}
}

// expand puts values in the place of the %{…} in a setting of krb5.conf.
func expand(setting string, getenv func(string) string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(setting, "%{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("no brace behind %q", after)
		}
		switch name {
		case "uid", "USERID":
			b.WriteString(strconv.Itoa(os.Getuid()))
		case "euid":
			b.WriteString(strconv.Itoa(os.Geteuid()))
		case "username":
			u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
			if err != nil {
				return "", err
			}
			b.WriteString(u.Username)
		case "TEMP":
			dir := getenv("TMPDIR")
			if dir == "" {
				dir = "/tmp"
			}
			b.WriteString(dir)
		case "null":
		default:
			return "", fmt.Errorf("%%{%s} has no value here", name)
		}
		setting = rest
	}
}
