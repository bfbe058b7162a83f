package peers

import (
	"strings"
	"testing"
)

// Heimdal's KDC serves Heimdal's clients and MIT's, with each enctype.
func TestHeimdalRealm(t *testing.T) {
	h := NeedHeimdal(t)
	Need(t, "kinit", "klist", "kvno")
	for _, e := range Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			r := HeimdalRealm(t, Options{Enctype: e.Name})
			ccache := r.Kinit(t, "user")
			env := r.Env("KRB5CCNAME=FILE:" + ccache)
			MustRun(t, env, "kvno", "host/localhost")
			if out := MustRun(t, env, "klist", "-e"); !strings.Contains(out, "host/localhost@HEIM.GSS") || !strings.Contains(out, e.Name) {
				t.Error(out)
			}
			cc := t.TempDir() + "/cc"
			env = h.Env("KRB5_CONFIG="+r.HeimdalConfig, "KRB5CCNAME=FILE:"+cc)
			MustRun(t, env, h.Program(t, "kinit"), "-k", "-t", r.ClientKeytab, "user@HEIM.GSS")
			MustRun(t, env, h.Program(t, "kgetcred"), "host/localhost@HEIM.GSS")
			if out := MustRun(t, env, h.Program(t, "heimtools"), "klist", "-v"); !strings.Contains(out, "host/localhost@HEIM.GSS") || !strings.Contains(out, e.Name) {
				t.Error(out)
			}
		})
	}
}

// A program against Heimdal's library knows Heimdal's mechanisms.
func TestHeimdalBuild(t *testing.T) {
	p := NeedHeimdal(t).Build(t, `
#include <gssapi/gssapi.h>
#include <stdio.h>
int main(void) {
	OM_uint32 minor;
	gss_OID_set set;
	OM_uint32 major = gss_indicate_mechs(&minor, &set);
	printf("%u %d\n", major, (int)set->count);
	return 0;
}`)
	if out := MustRun(t, Env(), p); !strings.HasPrefix(out, "0 ") {
		t.Error(out)
	}
}
