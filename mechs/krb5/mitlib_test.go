package krb5

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/oid"
)

// buildMITLib compiles testdata/mitlib.c.
func buildMITLib(t *testing.T) (program string) {
	t.Helper()
	peers.Need(t, "cc", "krb5-config")
	program = filepath.Join(t.TempDir(), "mitlib")
	if out, err := exec.Command("cc", "-O1", "-o", program, "testdata/mitlib.c", "-lkrb5").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return program
}

// mitLib starts it with configurations; the result asks it, and reports whether the
// answer was "ok".
func mitLib(t *testing.T, program string, configs ...string) func(command string) (string, bool) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = peers.Env("KRB5_CONFIG=" + strings.Join(configs, ":"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	lines := bufio.NewReader(out)
	return func(command string) (string, bool) {
		t.Helper()
		if _, err := io.WriteString(in, command+"\n"); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		answer, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "ok")
		return strings.TrimPrefix(answer, " "), ok
	}
}

func writeTest(t *testing.T, text string) (path string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "*.conf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// The same files read by MIT's library: which values there are, in which order, and
// which files are refused. (Two things are not the same: MIT takes all that stands
// before the first line that begins with a bracket for a comment, a section behind a
// byte order mark too.)
func TestConfigAsMIT(t *testing.T) {
	program := buildMITLib(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "b.conf"), []byte("[realms]\n R = {\n  kdc = included-b\n }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("[realms]\n R = {\n  kdc = included-a\n }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.rpmsave"), []byte("[realms]\n R = {\n  kdc = no\n }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const later = "[libdefaults]\n default_realm = LATER\n x = later\n[realms]\n R = {\n  kdc = later\n }\n[capaths]\n R = {\n  S = later\n }\n"
	for name, texts := range map[string][]string{
		"sub-sections":                 {"[realms]\n R = {\n  kdc = k\n  auth_to_local_names = {\n   a = b\n  }\n  kdc = l\n }\n"},
		"a brace on the next line":     {"[realms]\n R =\n {\n  kdc = k\n }\n"},
		"all on one line is a value":   {"[realms]\n R = { kdc = k }\n"},
		"a section twice":              {"[realms]\n R = {\n  kdc = 1\n }\n[libdefaults]\n x = y\n[realms]\n R = {\n  kdc = 2\n }\n S = {\n  kdc = s\n }\n"},
		"two files":                    {"[realms]\n R = {\n  kdc = 1\n }\n", later},
		"a final section":              {"[libdefaults]*\n default_realm = A\n[realms]\n R = {\n  kdc = 1\n }\n", later},
		"a final sub-section":          {"[realms]\n R* = {\n  kdc = 1\n }\n", later},
		"a final brace":                {"[realms]\n R = {\n  kdc = 1\n }*\n[capaths]\n R = {\n }\n", later},
		"a star that means nothing":    {"[libdefaults]\n x* = 1\n x = 2\n", later},
		"quotes":                       {"[libdefaults]\n x = \"a b\\tc\\\"d\\\\ \"\n default_realm = \"A\"\n"},
		"empty quotes":                 {"[libdefaults]\n x = \"\"\n"},
		"spaces and comments":          {"# c\n; d\n\n[libdefaults]\n\tx=1  \n  ; e\n   # f\n x   =   2 # no comment\n"},
		"carriage returns":             {"[libdefaults]\r\n x = 1\r\n[realms]\r\n R = {\r\n  kdc = k\r\n }\r\n"},
		"includedir":                   {"includedir " + dir + "\n[realms]\n R = {\n  kdc = own\n }\n"},
		"include by a tab":             {"include\t" + filepath.Join(dir, "a") + "\n"},
		"include in a section":         {"[realms]\n R = {\n  kdc = own\n }\ninclude " + filepath.Join(dir, "a") + "\n S = {\n  kdc = s\n }\n"},
		"a port and an address":        {"[realms]\n R = {\n  kdc = [::1]:88\n  kdc = [::1]\n  kdc = ::1\n  kdc = h:750\n }\n"},
		"no brace":                     {"[realms]\n R =\n kdc = k\n"},
		"no equals sign":               {"[libdefaults]\n x\n"},
		"a space in a name":            {"[libdefaults]\n x y = 1\n"},
		"a brace too many":             {"[realms]\n }\n"},
		"a section in a sub-section":   {"[realms]\n R = {\n[libdefaults]\n"},
		"something behind a section":   {"[realms] x\n"},
		"include of what is not there": {"include " + filepath.Join(dir, "none") + "\n"},
		"includedir of no folder":      {"includedir " + filepath.Join(dir, "none") + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for _, text := range texts {
				paths = append(paths, writeTest(t, text))
			}
			mit := mitLib(t, program, paths...)
			var all profile
			var r profileReader
			var err error
			for _, p := range paths {
				r.root = profile{}
				if err = r.load(p, 0); err != nil {
					break
				}
				all.merge(&r.root)
			}
			_, works := mit("enctypes")
			if works != (err == nil) {
				t.Fatalf("ours: %v; MIT's works: %v", err, works)
			}
			if err != nil {
				return
			}
			for _, path := range []string{
				"libdefaults default_realm", "libdefaults x", "realms R", "realms R kdc", "realms S kdc", "realms R auth_to_local_names a", "capaths R S",
			} {
				parts := strings.Fields(path)
				p := &all
				for _, section := range parts[:len(parts)-1] {
					if p = p.find(section); p == nil {
						p = new(profile)
					}
				}
				ours := strings.Join(p.all(parts[len(parts)-1]), " ")
				if theirs, _ := mit("get " + path); ours != theirs && !strings.HasPrefix(theirs, "error") || strings.HasPrefix(theirs, "error") && ours != "" {
					t.Errorf("%s: %q, MIT has %q", path, ours, theirs)
				}
			}
		})
	}
}

// Lists of encryption types, of which MIT knows more.
func TestEncTypesAsMIT(t *testing.T) {
	program := buildMITLib(t)
	for _, list := range []string{
		"aes256-cts", "aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha256-128", "AES128-CTS,aes256-sha2", "aes128-sha1 aes256-sha1 aes128-sha1", "aes128-cts,, aes256-cts",
		"aes256-sha2\taes128-sha2", "aes128-cts -aes128-cts aes256-cts", "+aes256-cts -rc4 aes128-sha2", "rc4 aes256-sha2 des3-cbc-sha1 nonsense aes128-sha1", "aes256-cts-hmac-sha384-192",
		"DEFAULT -rc4", "DEFAULT -aes256-cts", "aes", "aes -aes128-sha1", "aes128-cts aes", "DEFAULT -aes", "rc4 aes", "nonsense", "camellia256-cts",
	} {
		theirs, ok := mitLib(t, program, writeTest(t, "[libdefaults]\n permitted_enctypes = "+list+"\n"))("enctypes")
		var want []int32
		for _, f := range strings.Fields(theirs) {
			if n, err := strconv.Atoi(f); ok && err == nil && ikrb5.EType(n).Supported() {
				want = append(want, int32(n))
			}
		}
		got := parseEncTypes(list)
		if strings.Contains(strings.ToLower(list), "default") || slices.Contains(strings.Fields(list), "aes") { // families have an order of ours
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, MIT has %v", list, got, want)
		}
	}
}

// Principals as text, read by both: what both take is the same, and what we refuse
// and MIT takes is on the list.
func TestNamesAsMIT(t *testing.T) {
	mit := mitLib(t, buildMITLib(t), writeTest(t, "[libdefaults]\n default_realm = D\n"))
	stricter := map[string]bool{"": true, "@": true, "@R": true, "a@": true, `a\0b@R`: true, "a@R/S": true, "\xff@R": true, "a\\": true}
	for _, name := range []string{
		"a@R", "a", "a/b", "a/b@R", "a/b/c@R", `a\/b@R`, `a\@b@R`, `a\@b`, `a\\b@R`, `a\tb\nc\bd@R`, "a\tb@R", "/@R", "a/@R", "/a@R", "//@R", "krbtgt/R@R", "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS",
		"a b@R S", "é@É", `a@R\/S`, `a@R\@S`, `\a@R`, "a:b@R:S", "host/h.test@R", `"a"@R`, "a%b@R",
		"", "@", "@R", "a@", "a@R@S", "a@R/S", `a\`, `a@R\`, `a\0b@R`, "\xff@R", strings.Repeat("x", 5000) + "@R",
	} {
		theirs, ok := mit("parse " + name)
		p, err := ikrb5.ParsePrincipal(name, "D")
		switch {
		case err != nil && ok && !stricter[name] && len(name) < 1000:
			t.Errorf("%q: %v; MIT has %q", name, err, theirs)
		case err == nil && !ok:
			t.Errorf("%q: %v; MIT refuses it", name, p)
		case err == nil && !strings.HasSuffix(theirs, " "+p.String()):
			t.Errorf("%q: %v; MIT has %q", name, p, theirs)
		}
	}
}

// The same of aliases.
func TestEnterpriseNamesAsMIT(t *testing.T) {
	mit := mitLib(t, buildMITLib(t), writeTest(t, "[libdefaults]\n default_realm = D\n"))
	for _, name := range []string{
		"a@b", "a@b@R", "a", "a@b.c@R.S", `a\@b@R`, `a\@b@c@R`, "a/b@c", "a/b@c@R", `a\/b@c`, `a\\b@c`, "@b", "a@b@R@S", `a@b\@R`, "é@b",
		"krbtgt/R@R", "WELLKNOWN/ANONYMOUS@R",
	} {
		theirs, ok := mit("enterprise " + name)
		p, err := ikrb5.ParseEnterprise(name, "D")
		if ok != (err == nil) || ok && theirs != fmt.Sprintf("%d %s", p.Name.Type, p) {
			t.Errorf("%q: %d %v, %v; MIT has %q, %v", name, p.Name.Type, p, err, theirs, ok)
		}
	}
}

// Services on hosts, where DNS is not to be asked.
func TestServiceNamesAsMIT(t *testing.T) {
	const conf = `[libdefaults]
 default_realm = D
 dns_canonicalize_hostname = false
 rdns = false
 qualify_shortname = ""
[domain_realm]
 .corp.test = CORP
 h.other.test = OTHER
`
	mit := mitLib(t, buildMITLib(t), writeTest(t, conf))
	c, err := ParseConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range [][2]string{
		{"host", "H.Corp.Test"}, {"host", "h.corp.test."}, {"HTTP", "a.b.corp.test"}, {"host", "h.other.test"}, {"MSSQLSvc", "db.corp.test:1433"}, {"MSSQLSvc", "DB.corp.test:Inst"}, {"host", "h.other.test:"},
		{"host", "::1"}, {"host", "elsewhere"}, {"host", "x.h.other.test"}, {"host", "corp.test"}, {"host", "été.corp.test"},
	} {
		theirs, ok := mit("service " + tt[0] + " " + tt[1])
		p, err := c.principal(gss.Service(tt[0], tt[1]), "")
		if !ok || err != nil {
			t.Errorf("%v: %v; MIT has %q", tt, err, theirs)
			continue
		}
		ours := p.String()
		if strings.HasSuffix(theirs, "@") { // MIT asks the KDC for the realm, and takes its own without an answer
			ours = strings.TrimSuffix(ours, "D")
		}
		if ours != theirs {
			t.Errorf("%v: %s, MIT has %s", tt, ours, theirs)
		}
	}
}

// Rules for local users, where MIT's are as strict.
func TestLocalUserAsMIT(t *testing.T) {
	program := buildMITLib(t)
	names := []string{"alice@D", "alice@OTHER", "alice/admin@D", "alice/admin@OTHER", "bob@D", "host/h.test@D", "aab@D", "a.b.c@D", "root/x@D", "Alice@D", "d@D"}
	for _, rules := range [][]string{
		{"DEFAULT"},
		{`RULE:[1:$1@$0](.*@OTHER)s/@.*/-o/`, "DEFAULT"},
		{`RULE:[2:$1/$2@$0]([a-z]*/admin@D)s/\/admin@D//`},
		{`RULE:[2:$1;$2@$0](^.*;admin@.*$)s/;admin@.*$/-adm/`, `RULE:[1:$1@$0](^[a-z]+@D$)s/@D//`},
		{`RULE:[1:$1@$0]s/@.*//s/a/x/g`},
		{`RULE:[1:$1@$0]s/@.*//s/^a/x/g`},
		{`RULE:[1:$1@$0]s/@.*//s/a/x/`},
		{`RULE:[1:$1@$0]s/@.*//s/\./-/g`, "DEFAULT"},
		{`RULE:[1:$1@$0](alice@D|bob@D)s/@.*//`},
		{`RULE:[1:$1@$0](al)s/@.*//`, `RULE:[2:svc-$1$0](svc-host.*)s/D$//`},
		{`RULE:[1:$1@$0](.*@D)s/@.*/ /`},
	} {
		text := "[libdefaults]\n default_realm = D\n[realms]\n D = {\n"
		for _, r := range rules {
			text += "  auth_to_local = " + r + "\n"
		}
		text += " }\n"
		c, err := ParseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		mit := mitLib(t, program, writeTest(t, text))
		policy := c.LocalPolicy()
		for _, name := range names {
			theirs, ok := mit("local " + name)
			ours, err := LocalUser(gss.Name{Mech: oid.Krb5, Text: name}, policy)
			if !userName(theirs) {
				theirs, ok = "", false // MIT leaves it to others to refuse it
			}
			if ok != (err == nil) || ok && ours != theirs {
				t.Errorf("%s by %q: %q, %v; MIT has %q, %v", name, rules, ours, err, theirs, ok)
			}
		}
	}
}
