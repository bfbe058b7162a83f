package krb5

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// sampleConfig has what real ones have: comments, quotes, lists in every style,
// sections that come twice, sub-sections that mean nothing here.
const sampleConfig = `# a comment
; another
[logging]
 default = FILE:/var/log/krb5libs.log

[libdefaults]
	default_realm = "EXAMPLE.ORG"
	dns_lookup_kdc = no
	clockskew=2m
	ticket_lifetime = 1d 12h
	permitted_enctypes = AES256-CTS-HMAC-SHA384-192, aes128-sha1 camellia256-cts arcfour-hmac
	forwardable = true
	default_ccache_name = KEYRING:persistent:%{uid}

[realms]
 EXAMPLE.ORG = {
  kdc = kdc1.example.org:88
  kdc = tcp/[2001:db8::1]
  admin_server = kdc1.example.org
  auth_to_local_names = {
   alice = al
  }
 }
 OTHER={
 	kdc=10.0.0.1
 }*

[domain_realm]
 .example.org = EXAMPLE.ORG
 example.org = EXAMPLE.ORG
 www.Example.Net = OTHER
 corp.test = CORP

[realms]
 EXAMPLE.ORG = {
  kdc = kdc2.example.org
 }

[libdefaults]
 default_realm = IGNORED
`

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig(sampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		DefaultRealm: "EXAMPLE.ORG",
		KDCs: map[string][]string{
			"EXAMPLE.ORG": {"kdc1.example.org:88", "tcp/[2001:db8::1]", "kdc2.example.org"},
			"OTHER":       {"10.0.0.1"},
		},
		Domains:     map[string]string{".example.org": "EXAMPLE.ORG", "example.org": "EXAMPLE.ORG", "www.example.net": "OTHER", "corp.test": "CORP"},
		EncTypes:    []int32{20, 17},
		Skew:        2 * time.Minute,
		Lifetime:    36 * time.Hour,
		Forwardable: true,
		CacheName:   "KEYRING:persistent:%{uid}",
		localNames:  map[string]string{"alice": "al"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v\nwant %+v", c, want)
	}
	if c, err := ParseConfig("\ufeff[libdefaults]\r\n default_realm = \"R\"\r\n"); err != nil || c.DefaultRealm != "R" {
		t.Errorf("byte order mark, carriage returns: %+v, %v", c, err)
	}
	if c, err := ParseConfig(""); err != nil || !c.LookupKDC || len(c.encTypes()) != 4 || c.skew() != 5*time.Minute {
		t.Errorf("empty: %+v, %v", c, err)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, text := range []string{
		"[libdefaults", "[]", "[a] b", "x = y", "[a]\nx", "[a]\n= y", "[a]\nx y = z", "[a]\nx = {", "[a]\nx = {\n[b]\n}", "[a]\n}", "[a]\nx = {\n} y",
		"[a]\nx = \"y", "[a]\nx = \"y\" z", "[a]\nx = \"y\\", "include /etc/passwd", "includedir /etc", "module /lib/x.so:y",
		"[libdefaults]\nclockskew = soon", "[libdefaults]\nclockskew = -1", "[libdefaults]\nticket_lifetime = 99999999999", "[libdefaults]\nticket_lifetime = 1x",
		"[libdefaults]\nforwardable = maybe", "[a]\n" + fmt.Sprintf("%s%s", strings.Repeat("x = {\n", 9), strings.Repeat("}\n", 9)),
	} {
		if c, err := ParseConfig(text); !errors.Is(err, ErrConfig) || c != nil {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	// Comments cost little, sections are bounded: there are no minutes in a mebibyte.
	var sections strings.Builder
	for i := range maxConfigLines {
		fmt.Fprintf(&sections, "# section\n[%x]\n", i)
	}
	if _, err := ParseConfig(sections.String()); err != nil {
		t.Error(err)
	}
	if _, err := ParseConfig(sections.String() + "[one more]"); !errors.Is(err, ErrConfig) {
		t.Errorf("one section too many: %v", err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "300": 300 * time.Second, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "1d 2h 3m 4s": 26*time.Hour + 3*time.Minute + 4*time.Second,
		"10:00": 10 * time.Hour, "1:02:03": time.Hour + 2*time.Minute + 3*time.Second, "2d5": 48*time.Hour + 5*time.Second,
	} {
		if got, ok := parseDuration(text); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", " ", "m", "1:2:3:4", "1:", "5x", "-5", "1e9", "20000d", "99999999999999999999", "20000d20000d", "49711d", "1193047h", "1193047:00"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("d/b.conf", "[realms]\n B = {\n kdc = b\n }\n")
	write("d/a_file", "[realms]\n A = {\n kdc = a\n }\n")
	write("d/skipped~", "rubbish")
	write("d/.hidden.conf", "rubbish")
	one := write("one", "[libdefaults]\n default_realm = ONE\n")
	main := write("krb5.conf", "includedir "+dir+"/d\ninclude "+one+"\n[libdefaults]\n default_realm = MAIN\n")
	second := write("second", "[libdefaults]\n default_realm = SECOND\n clockskew = 1\n")
	none := filepath.Join(dir, "none")

	c, err := LoadConfig(none, main, second)
	if err != nil {
		t.Fatal(err)
	}
	if c.DefaultRealm != "ONE" || c.Skew != time.Second || !reflect.DeepEqual(c.KDCs, map[string][]string{"A": {"a"}, "B": {"b"}}) {
		t.Errorf("%+v", c)
	}
	loop := filepath.Join(dir, "loop")
	for name, paths := range map[string][]string{
		"none at all":        {},
		"none there":         {none, none},
		"includes itself":    {write("loop", "include "+loop+"\ninclude "+loop+"\n")},
		"includes nothing":   {write("nothing", "include "+none+"\n")},
		"folder not there":   {write("nodir", "includedir "+none+"\n")},
		"relative":           {write("relative", "include krb5.conf\n")},
		"a module":           {write("module", "module "+one+":x\n")},
		"a folder as a file": {dir},
		"too large":          {write("large", strings.Repeat("# "+strings.Repeat("x", 1022)+"\n", 1025))},
	} {
		if c, err := LoadConfig(paths...); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestRealmOf(t *testing.T) {
	c, err := ParseConfig(sampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"a.example.org": "EXAMPLE.ORG", "a.b.example.org": "EXAMPLE.ORG", "example.org": "EXAMPLE.ORG", "notexample.org": "",
		"www.example.net": "OTHER", "x.www.example.net": "OTHER", "example.net": "", "h.corp.test": "CORP", "corp.test": "CORP", "": "", ".": "", "..": "",
	} {
		if got := c.realmOf(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

func TestCanonicalize(t *testing.T) {
	c, err := ParseConfig(sampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	m, bare := New(Options{Config: c}), New(Options{})
	long := strings.Repeat("x", 1<<16)
	user := func(s string) gss.Name { return gss.Name{Type: oid.NTKrb5, Text: s} }
	mn := func(s string) gss.Name { return gss.Name{Mech: oid.Krb5, Text: s} }
	exported := func(n gss.Name) gss.Name {
		b, err := n.Export()
		if err != nil {
			t.Fatal(err)
		}
		return gss.Name{Type: oid.NTExport, Text: string(b)}
	}
	for _, tt := range []struct {
		m     *Mech
		n     gss.Name
		want  string
		major gss.Major
	}{
		{m, gss.Service("host", "Files.Example.ORG"), "host/files.example.org@EXAMPLE.ORG", 0},
		{m, gss.Service("HTTP", "www.example.net."), "HTTP/www.example.net@OTHER", 0},
		{m, gss.Service("host", "elsewhere"), "host/elsewhere@EXAMPLE.ORG", 0},
		{m, gss.Service("MSSQLSvc", "H.corp.test.:1433"), "MSSQLSvc/h.corp.test:1433@CORP", 0},
		{m, gss.Name{Type: oid.NTEnterprise, Text: "alice@a.org"}, `alice\@a.org@EXAMPLE.ORG`, 0},
		{m, gss.Name{Type: oid.NTEnterprise, Text: "alice@a.org@R"}, `alice\@a.org@R`, 0},
		{m, gss.Name{Type: oid.NTEnterprise, Text: "a/b"}, `a\/b@EXAMPLE.ORG`, 0},
		{bare, gss.Name{Type: oid.NTEnterprise, Text: "alice@a.org"}, "", gss.BadName},
		{m, gss.Name{Type: oid.NTEnterprise, Text: "a@b\x00"}, "", gss.BadName},
		{m, gss.Name{Type: oid.NTEnterprise, Text: "a@\xff"}, "", gss.BadName},
		{m, gss.Name{Type: oid.NTEnterprise, Text: long + "@b"}, "", gss.BadName},
		{m, gss.Name{Type: oid.NTEnterprise}, "", gss.BadName},
		{bare, gss.Name{Type: oid.NTAnonymous}, "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", 0},
		{bare, exported(mn(`a\/b\@c\n@R`)), `a\/b\@c\n@R`, 0},
		{m, exported(gss.Name{Mech: oid.PKIX, Text: "a@b"}), "", gss.BadNameType},
		{m, exported(mn("alice")), "", gss.BadName},
		{m, exported(mn(`\alice@R`)), "", gss.BadName},
		{m, exported(mn("a\x00@R")), "", gss.BadName},
		{m, exported(mn(long + "@R")), "", gss.BadName},
		{m, gss.Name{Type: oid.NTExport, Text: exported(mn("a@R")).Text + "x"}, "", gss.BadName},
		{m, gss.Name{Type: oid.NTExport}, "", gss.BadName},
		{m, gss.User("alice"), "alice@EXAMPLE.ORG", 0},
		{m, gss.User("alice/admin@A/B"), "", gss.BadName},
		{m, user(`a\/b\@c@R\/S`), `a\/b\@c@R\/S`, 0},
		{m, user(`a\tb/c@R`), `a\tb/c@R`, 0},
		{m, user("a\tb@R"), `a\tb@R`, 0},
		{m, user(`\a\lice@R`), "alice@R", 0},
		{m, mn("alice@R"), "alice@R", 0},
		{m, gss.Name{}, "", gss.BadName},
		{m, mn("alice"), "", gss.BadName},
		{m, mn(`\alice@R`), "", gss.BadName},
		{m, mn("alice@R@S"), "", gss.BadName},
		{m, mn(""), "", gss.BadName},
		{m, gss.Name{Mech: oid.PKIX, Text: "x"}, "", gss.BadNameType},
		{m, gss.Name{Mech: oid.Krb5, Type: oid.NTUser, Text: "alice@R"}, "", gss.BadNameType},
		{m, gss.Name{Type: oid.NTMachineUID, Text: "1000"}, "", gss.BadNameType},
		{m, gss.Name{Text: "alice"}, "", gss.BadNameType},
		{m, gss.Name{Type: oid.NTHostService, Text: "host"}, "", gss.BadName},
		{m, gss.Service("", "h"), "", gss.BadName},
		{m, gss.Service("host", ""), "", gss.BadName},
		{m, gss.Service("host", "."), "", gss.BadName},
		{m, gss.Service("host", "h@evil"), "", gss.BadName},
		{m, gss.Service("host", "h/evil"), "", gss.BadName},
		{m, gss.Service("host/evil", "h"), "", gss.BadName},
		{m, gss.Service("host", "h:80/evil"), "", gss.BadName},
		{m, gss.Service("host", ":80"), "", gss.BadName},
		{m, gss.Service("host", "h\x00.evil"), "", gss.BadName},
		{m, gss.Service("host", "h\xff"), "", gss.BadName},
		{m, gss.Service("host", long), "", gss.BadName},
		{m, gss.User("a\x00b"), "", gss.BadName},
		{m, gss.User(`a\0b`), "", gss.BadName},
		{m, gss.User("\xff"), "", gss.BadName},
		{m, gss.User(long), "", gss.BadName},
		{m, gss.User(""), "", gss.BadName},
		{m, gss.User("alice@"), "", gss.BadName},
		{m, gss.User(`alice\`), "", gss.BadName},
		{bare, gss.User("alice"), "", gss.BadName},
		{bare, gss.Service("host", "h"), "", gss.BadName},
		{bare, gss.User("alice@R"), "alice@R", 0},
	} {
		got, err := tt.m.Canonicalize(t.Context(), tt.n)
		if gss.MajorOf(err) != tt.major || got.Text != tt.want || err == nil && (got.Mech != oid.Krb5 || got.Type != "") {
			t.Errorf("%.80q: %v, %v; want %q, %v", tt.n.Text, got, err, tt.want, tt.major)
		}
		if err == nil {
			if again, err := bare.Canonicalize(t.Context(), got); err != nil || again != got {
				t.Errorf("%v again: %v, %v", got, again, err)
			}
		}
	}
	if n, err := ParseName("alice@R"); err != nil || n != mn("alice@R") {
		t.Errorf("ParseName: %v, %v", n, err)
	}
	if _, err := ParseName("alice"); gss.MajorOf(err) != gss.BadName {
		t.Errorf("ParseName without a realm: %v", err)
	}
}

// MIT's export of p:a@b is a known answer.
func TestExport(t *testing.T) {
	n, err := ParseName("a@b")
	if err != nil {
		t.Fatal(err)
	}
	b, err := n.Export()
	if got := fmt.Sprintf("%X", b); err != nil || got != "0401000B06092A864886F71201020200000003614062" {
		t.Errorf("%s, %v", got, err)
	}
}

// The first time stamps of many goroutines are all different.
func TestStamp(t *testing.T) {
	m := New(Options{})
	ch := make(chan int64)
	for range 4 {
		go func() {
			for range 1000 {
				ch <- m.stamp().UnixMicro()
			}
		}()
	}
	seen := map[int64]bool{}
	for range 4000 {
		s := <-ch
		if seen[s] {
			t.Fatal("the same time stamp twice")
		}
		seen[s] = true
	}
}

// What Initiate and Accept can tell without asking anybody.
func TestRefusedAtOnce(t *testing.T) {
	f := newForger(t, 17)
	cred, other := f.credential(), foreign{}
	target := gss.Service("host", "h.test")
	m := f.mech
	for _, tt := range []struct {
		name   string
		target gss.Name
		o      *gss.InitOptions
		want   gss.Major
	}{
		{"no credential", target, nil, gss.NoCred},
		{"another mechanism's", target, &gss.InitOptions{Credentials: []gss.Credential{other}}, gss.NoCred},
		{"an acceptor's", target, &gss.InitOptions{Credentials: []gss.Credential{f.service}}, gss.NoCred},
		{"no target", gss.Name{}, &gss.InitOptions{Credentials: []gss.Credential{cred}}, gss.BadName},
		{"not a name of ours", gss.Name{Mech: oid.PKIX, Text: "x"}, &gss.InitOptions{Credentials: []gss.Credential{cred}}, gss.BadNameType},
		{"more errors", target, &gss.InitOptions{Credentials: []gss.Credential{cred}, Require: gss.ExtendedErr}, gss.Unavailable},
		{"bound", target, &gss.InitOptions{Credentials: []gss.Credential{cred}, Require: gss.Bound}, gss.Unavailable},
		{"anonymous", target, &gss.InitOptions{Credentials: []gss.Credential{cred}, Require: gss.Anon}, gss.Unavailable},
	} {
		if h, err := m.Initiate(tt.target, tt.o); gss.MajorOf(err) != tt.want || h != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// Who has given none is told where.
	if _, err := m.Initiate(target, nil); !errors.Is(err, errNoInitiator) || !strings.Contains(err.Error(), "Options.Initiator") {
		t.Error(err)
	}
	if _, err := m.Accept(nil); !errors.Is(err, errNoAcceptor) || !strings.Contains(err.Error(), "Options.Acceptor") {
		t.Error(err)
	}
	if _, err := m.Initiate(target, &gss.InitOptions{Credentials: []gss.Credential{f.service}}); !errors.Is(err, errAccepts) {
		t.Error(err)
	}
	for name, o := range map[string]*gss.AcceptOptions{
		"no credential":       nil,
		"another mechanism's": {Credentials: []gss.Credential{other}},
		"an initiator's":      {Credentials: []gss.Credential{cred}},
	} {
		if h, err := m.Accept(o); gss.MajorOf(err) != gss.NoCred || h != nil {
			t.Errorf("Accept, %s: %v", name, err)
		}
	}
	h, err := m.Initiate(target, &gss.InitOptions{Credentials: []gss.Credential{cred}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Step(t.Context(), []byte("x")); gss.MajorOf(err) != gss.DefectiveToken {
		t.Errorf("a token before the first: %v", err)
	}
	if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.NoContext {
		t.Errorf("after it: %v", err)
	}
}

type foreign struct{ gss.Credential }

func (foreign) Mech() oid.OID { return oid.PKIX }

func TestConfigSections(t *testing.T) {
	c, err := ParseConfig(`[libdefaults]
 default_realm = R
 renew_lifetime = 7d
 kcm_socket = /run/kcm
 default_keytab_name = FILE:/etc/k
 default_client_keytab_name = FILE:/var/%{euid}
[realms]
 R = {
  auth_to_local = RULE:[2:$1]
  auth_to_local = DEFAULT
  auth_to_local_names = {
   alice/admin = root
   mallory@OTHER = root
  }
 }
 OTHER = {
  auth_to_local = DEFAULT
 }
[capaths]
 A = {
  B = M
  B = N
  C = .
 }
[appdefaults]
 forwardable = all
 R = {
  forwardable = realm
  encrypt = realm
 }
 telnet = {
  forwardable = app
  R = {
   forwardable = both
  }
 }
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.RenewLifetime != 7*24*time.Hour || c.KCMSocket != "/run/kcm" || c.Keytab != "FILE:/etc/k" || c.ClientKeytab != "FILE:/var/%{euid}" {
		t.Errorf("%+v", c)
	}
	if want := map[string]map[string][]string{"A": {"B": {"M", "N"}, "C": {"."}}}; !reflect.DeepEqual(c.CAPaths, want) {
		t.Errorf("%v, want %v", c.CAPaths, want)
	}
	want := &LocalPolicy{Users: map[string]string{"alice/admin@R": "root"}, Realms: []string{"R"}, Rules: []string{"RULE:[2:$1]", "DEFAULT"}}
	if p := c.LocalPolicy(); !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, want %+v", p, want)
	}
	for _, tt := range [][4]string{
		{"telnet", "R", "forwardable", "both"}, {"telnet", "S", "forwardable", "app"}, {"ftp", "R", "forwardable", "realm"}, {"ftp", "S", "forwardable", "all"},
		{"telnet", "R", "encrypt", "realm"}, {"telnet", "S", "encrypt", ""}, {"ftp", "S", "encrypt", ""},
	} {
		if got, ok := c.AppDefault(tt[0], tt[1], tt[2]); got != tt[3] || ok != (tt[3] != "") {
			t.Errorf("%v: %q, %v", tt, got, ok)
		}
	}
	if _, ok := new(Config).AppDefault("x", "y", "z"); ok {
		t.Error("a setting of nothing")
	}
	if p := new(Config).LocalPolicy(); len(p.Realms) != 0 || len(p.Users) != 0 || len(p.Rules) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestWithPort(t *testing.T) {
	for addr, want := range map[string]string{
		"kdc.test": "kdc.test:88", "kdc.test:750": "kdc.test:750", "10.0.0.1": "10.0.0.1:88", "[::1]": "[::1]:88", "::1": "[::1]:88", "[::1]:750": "[::1]:750", "[2001:db8::1]": "[2001:db8::1]:88",
		"": "", "[": "", "[]": "", "a b": "", "1:2:3": "", ":88": "", ":": "",
	} {
		if got, err := withPort(addr); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", addr, got, err, want)
		}
	}
}
