package reauth

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// The tests, models, queries and files that the specification names are there, each threat has a
// test, and its known answer is what this package computes.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/reauth.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	there := map[string]bool{}
	queries := map[string]bool{}
	for glob, re := range map[string]string{
		"*_test.go":           `(?m)^func ((?:Test|Fuzz|Benchmark)\w*)\(`,
		"../../formal/*.pv":   `(?m)^\(\*\? ([\w-]+): `,
		"redisring/*_test.go": `(?m)^func ((?:Test|Fuzz|Benchmark)\w*)\(`,
	} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatal("no files ", glob, err)
		}
		for _, f := range files {
			code, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(re).FindAllSubmatch(code, -1) {
				if strings.HasSuffix(glob, ".pv") {
					queries[string(m[1])] = true
				} else {
					there[string(m[1])] = true
				}
			}
		}
	}
	_, table, ok := strings.Cut(doc, "\n## Threats\n")
	table, _, ok2 := strings.Cut(table, "\n## ")
	if !ok || !ok2 {
		t.Fatal("no section Threats")
	}
	name := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`")
	rows := 0
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(line, "| ") {
			continue
		}
		if rows++; rows == 1 {
			continue
		}
		if !name.MatchString(cells[3]) {
			t.Errorf("no test in %q", line)
		}
		for word := range strings.FieldsFuncSeq(cells[4], func(r rune) bool { return strings.ContainsRune(" ,:", r) }) {
			if word == "and" || strings.Contains(word, ".") {
				continue
			}
			if !queries[word] {
				t.Errorf("no model has a query %s", word)
			}
		}
	}
	if rows < 25 {
		t.Errorf("a table of %d rows", rows)
	}
	for _, m := range name.FindAllStringSubmatch(doc, -1) {
		if !there[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\b(reauth\w*|strike)\.(pv|pml)\b`).FindAllString(doc, -1) {
		if _, err := os.Stat("../../formal/" + m); err != nil {
			t.Error(err)
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(doc, -1) {
		if _, err := os.Stat(filepath.Join("../../docs", m[1])); err != nil {
			t.Error(err)
		}
	}
	for _, m := range regexp.MustCompile("`([\\w-]+\\.json)`").FindAllStringSubmatch(doc, -1) {
		if _, err := os.Stat("testdata/" + m[1]); err != nil {
			t.Error(err)
		}
	}
	docAnswer(t, doc)
}

// docAnswer computes the known answer of the specification from the tokens of symmetric.json.
func docAnswer(t *testing.T, doc string) {
	t.Helper()
	v := loadVectors(t)["symmetric.json"]
	if v == nil {
		t.Fatal("no symmetric.json")
	}
	got := map[string][]byte{}
	prf := make([]byte, prfLen)
	for i := range prf {
		prf[i] = byte(i)
	}
	krb5 := oid.Krb5.AppendDER(nil)
	initiator, errI := gss.Name{Mech: oid.Krb5, Text: "alice@GSS.TEST"}.Export()
	acceptor, errA := gss.Name{Mech: oid.Krb5, Text: "host/files@GSS.TEST"}.Export()
	if errI != nil || errA != nil {
		t.Fatal(errI, errA)
	}
	got["oid"] = oid.Join(oid.Reauth, oid.Krb5).AppendDER(nil)
	psk, _ := firstKeys(prf, krb5, hash(initiator), hash(acceptor))
	got["psk"] = psk
	r, ok := parseResume(v.Resume)
	w, ok2 := parseResumed(v.Resumed)
	if !ok || !ok2 {
		t.Fatal("the tokens do not parse")
	}
	got["H(ticket)"], got["H(RESUME)"], got["H(RESUMED)"] = hash(r.cred), hash(v.Resume), hash(v.Resumed)
	s := newSchedule(r.kind, psk, got["oid"], r.head)
	got["ES"], got["TH0"] = bytes.Clone(s.es), bytes.Clone(s.th)
	s.authenticated(r.auth)
	got["TH1"] = bytes.Clone(s.th)
	s.agreed(nil, w.head)
	got["HS"], got["TH2"], got["psk'"] = bytes.Clone(s.hs), bytes.Clone(s.th), s.nextPSK()
	ms := s.master(w.reply)
	got["TH3"], got["MS"], got["mac"] = bytes.Clone(s.th), ms, s.confirmation(ms)
	m := v.mech()
	sc, err := (&handshake{m: m, ms: bytes.Clone(ms)}).resumed(gss.Info{Flags: v.Flags, Initiator: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got["PRF"], err = sc.PRF(gss.PRFFull, []byte("known answer"), 32); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, l := range regexp.MustCompile(`(?m)^    (\S+) +([0-9a-f]{62,})$`).FindAllStringSubmatch(doc, -1) {
		seen++
		if want := hex.EncodeToString(got[l[1]]); l[2] != want {
			t.Errorf("%s is %s, and the specification says %s", l[1], want, l[2])
		}
	}
	if seen != len(got) {
		t.Errorf("%d of %d values are in the specification", seen, len(got))
	}
}
