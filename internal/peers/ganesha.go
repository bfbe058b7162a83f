package peers

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Ganesha starts an NFS server in user space (version 4 over TCP, nothing else), which
// keeps /mem in memory and wants RPCSEC_GSS with a service key for nfs/localhost in r.Keytab.
// It needs neither the port mapper nor D-Bus, and says so in its log.
func Ganesha(t testing.TB, r *Realm) (addr string) {
	t.Helper()
	root := Unpacked(t, "ganesha")
	if m, _ := filepath.Glob("/usr/lib/*/libnfsidmap/nsswitch.so"); len(m) == 0 {
		Need(t, "libnfsidmap1") // its plug-ins have a fixed place
	}
	dir := t.TempDir()
	for _, d := range []string{"cc", "recovery"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	idmap := filepath.Join(dir, "idmapd.conf")
	if err := os.WriteFile(idmap, []byte("[General]\nDomain = localhost\n[Translation]\nMethod = nsswitch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plugins, _ := filepath.Glob(filepath.Join(root, "usr/lib/*/ganesha"))
	if len(plugins) != 1 {
		t.Fatalf("ganesha's plug-ins: %q", plugins)
	}
	for try := 1; ; try++ {
		port := strconv.Itoa(freePort(t))
		addr = net.JoinHostPort("127.0.0.1", port)
		config := filepath.Join(dir, "ganesha.conf")
		if err := os.WriteFile(config, fmt.Appendf(nil, `NFS_CORE_PARAM {
  Protocols = 4; NFS_Port = %[1]s; Bind_addr = 127.0.0.1;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
  Plugins_Dir = "%[2]s";
}
NFS_KRB5 {
  Active_krb5 = true; PrincipalName = "nfs@localhost";
  KeytabPath = "%[3]s"; CCacheDir = "%[4]s/cc";
}
NFSv4 {
  Grace_Period = 1; Lease_Lifetime = 1; Only_Numeric_Owners = true;
  IdmapConf = "%[4]s/idmapd.conf"; RecoveryBackend = fs; RecoveryRoot = "%[4]s/recovery";
}
EXPORT {
  Export_Id = 1; Path = /mem; Pseudo = /mem; Access_Type = RW; Squash = None;
  Protocols = 4; Transports = TCP; SecType = krb5, krb5i, krb5p;
  FSAL { Name = MEM; }
}
LOG { Default_Log_Level = EVENT; }
`, port, plugins[0], r.Keytab, dir), 0o600); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(dir, "log")
		env := r.Env("LD_LIBRARY_PATH=" + libraries(root))
		exited, out := start(t, env, filepath.Join(root, "usr/bin/ganesha.nfsd"), "-F", "-f", config, "-p", filepath.Join(dir, "pid"), "-L", log, "-N", "EVENT")
		err := awaitTCP(addr, exited, out)
		if err == nil {
			return addr
		}
		if try == 3 {
			b, _ := os.ReadFile(log)
			t.Fatalf("ganesha: %v\n%s", err, b)
		}
	}
}
