package main

import (
	"testing"
	"time"

	"github.com/gsseal/gss/internal/peers"
)

// Every command of bench_mit.c, in every realm, and our own side there.
func TestMITRival(t *testing.T) {
	peers.Need(t, "cc", "krb5-config")
	dir := t.TempDir()
	exe, err := compileMIT(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for etype := range etypeNames {
		b, err := newKrb5Bench(dir, etype)
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		rival, err := startMIT(t.Context(), exe, b)
		if err != nil {
			t.Fatal(err)
		}
		defer rival.close()
		for _, what := range []string{"establish file", "establish memory", "wrap 64", "wrap 1048576", "mic 64", "prf 32"} {
			if d, err := rival.contender(what)(3); err != nil || d <= 0 {
				t.Errorf("%d, %s: %v, %v", etype, what, d, err)
			}
		}
		if _, err := rival.contender("sing 1")(1); err == nil {
			t.Errorf("%d: it sings", etype)
		}
		i, a, err := b.establish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i.Close()
		a.Close()
	}
}

// Every row, whatever the numbers are.
func TestBenchKrb5(t *testing.T) {
	peers.Need(t, "cc", "krb5-config")
	r, err := benchKrb5(t.Context(), &benchFlags{rounds: 1, round: 10 * time.Microsecond}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4*11 || len(r.LeftOut) != 0 {
		t.Errorf("%d rows, left out: %v", len(r.Rows), r.LeftOut)
	}
	for _, row := range r.Rows {
		if row.Ours < 0 || row.Rival != nil && (*row.Rival <= 0 || *row.Ratio <= 0) || row.Rival == nil && row.Ours > 4096 {
			t.Errorf("%+v", row)
		}
	}
}
