package kdctest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// frame is a message as it travels over TCP.
func frame(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func readFrame(c net.Conn) ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:])&0xffff)
	_, err := io.ReadFull(c, b)
	return b, err
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// request is an AS-REQ without preauthentication, which gets an error.
func (f *fixture) request() []byte {
	return (&krb5.KDCReq{Body: krb5.KDCReqBody{
		CName: name("alice"), Realm: f.o.Realm, SName: f.tgsName(), Till: f.now.Add(time.Hour), ETypes: allETypes,
	}}).Append(nil)
}

func wantError(t *testing.T, b []byte, want krb5.ErrorCode) {
	t.Helper()
	if e, err := krb5.ParseKRBError(b); err != nil || e.Code != want {
		t.Errorf("%x: %v, %v, want %v", b, e, err, want)
	}
}

func TestTCP(t *testing.T) {
	f := newFixture(t)
	t.Run("two requests, in pieces", func(t *testing.T) {
		c := dial(t, "tcp", f.Addr())
		for range 2 {
			b := frame(f.request())
			for _, piece := range [][]byte{b[:2], b[2:5], b[5:]} {
				c.Write(piece)
			}
			reply, err := readFrame(c)
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, reply, krb5.KDC_ERR_PREAUTH_REQUIRED)
		}
	})
	for _, n := range []uint32{maxRequest + 1, 1 << 31, 1<<32 - 1} {
		t.Run(fmt.Sprintf("length %#x", n), func(t *testing.T) {
			c := dial(t, "tcp", f.Addr())
			c.Write(binary.BigEndian.AppendUint32(nil, n))
			reply, err := readFrame(c)
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, reply, krb5.KRB_ERR_FIELD_TOOLONG)
			if _, err := readFrame(c); err != io.EOF {
				t.Errorf("not closed: %v", err)
			}
		})
	}
	for what, b := range map[string][]byte{"nothing": {}, "no request": []byte("GET / HTTP/1.1"), "a KRB-ERROR": (&krb5.KRBError{STime: f.now, Realm: "X"}).Append(nil)} {
		t.Run(what, func(t *testing.T) {
			c := dial(t, "tcp", f.Addr())
			c.Write(frame(b))
			if reply, err := readFrame(c); err != io.EOF {
				t.Errorf("answered %x, %v", reply, err)
			}
		})
	}
	t.Run("malformed", func(t *testing.T) {
		c := dial(t, "tcp", f.Addr())
		b := f.request()
		c.Write(frame(b[:len(b)-1]))
		reply, err := readFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, reply, krb5.KRB_ERR_GENERIC)
	})
}

func TestUDP(t *testing.T) {
	f := newFixture(t, Options{MaxUDPReply: 400})
	c := dial(t, "udp", f.Addr())
	ask := func(b []byte) []byte {
		t.Helper()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	wantError(t, ask(f.request()), krb5.KDC_ERR_PREAUTH_REQUIRED)

	// A ticket does not fit; over TCP it comes.
	tgt, part := f.login(0)
	req := f.tgsRequest(tgt, part).build(f)
	wantError(t, ask(req), krb5.KRB_ERR_RESPONSE_TOO_BIG)
	tcp := dial(t, "tcp", f.Addr())
	tcp.Write(frame(req))
	reply, err := readFrame(tcp)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := krb5.ParseKDCRep(reply); err != nil {
		t.Error(err)
	}

	// What is no request gets no answer; the next request does.
	c.Write([]byte("hello"))
	c.Write((&krb5.KRBError{STime: f.now, Realm: "X"}).Append(nil))
	wantError(t, ask(f.request()), krb5.KDC_ERR_PREAUTH_REQUIRED)
}

// After Close there are no goroutines, connections or ports of the realm.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	r, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range 2 * maxConnections { // idle ones, and ones that wait for a slot
		conns = append(conns, dial(t, "tcp", r.Addr()))
	}
	conns[0].Write([]byte{0, 0, 1, 0, 'x'}) // half a request
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(r.Close)
	}
	wg.Wait()
	if _, err := conns[0].Read(make([]byte, 1)); err == nil {
		t.Error("a connection is still open")
	}
	for range 100 { // the runtime counts those that are about to end
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
	l, err := net.Listen("tcp4", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// Everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	r := New(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			user := fmt.Sprintf("user%d", i)
			errs := []error{
				r.AddUser(user, ""), r.AddService("host/" + user), r.Rekey("host/" + user), r.Rekey(user),
			}
			_, err := r.Keytab(user)
			_, err2 := r.ccache(user, []string{"host/" + user})
			if err := errors.Join(append(errs, err, err2)...); err != nil {
				t.Error(err)
			}
			c, err := net.Dial("tcp", r.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.Write(frame((&krb5.KDCReq{Body: krb5.KDCReqBody{
				CName: name(user), Realm: r.Realm(), SName: tgsName(r.o.Realm), Till: time.Now().Add(time.Hour), ETypes: allETypes,
			}}).Append(nil)))
			reply, err := readFrame(c)
			if err != nil {
				t.Error(err)
				return
			}
			wantError(t, reply, krb5.KDC_ERR_PREAUTH_REQUIRED)
		})
	}
	wg.Wait()
}

// A fakeTB records what New and its realm make of errors.
type fakeTB struct {
	fatal    []string
	cleanups []func()
}

func (f *fakeTB) Helper()                {}
func (f *fakeTB) Fatal(args ...any)      { f.fatal = append(f.fatal, fmt.Sprint(args...)) }
func (f *fakeTB) Cleanup(cleanup func()) { f.cleanups = append(f.cleanups, cleanup) }

func TestNewFails(t *testing.T) {
	fake := &fakeTB{}
	r := New(fake)
	if len(fake.fatal) != 0 || len(fake.cleanups) != 1 {
		t.Fatalf("%+v", fake)
	}
	defer fake.cleanups[0]()
	r.AddUser("alice", "")
	for i, f := range []func() error{
		func() error { return r.AddUser("alice", "again") },
		func() error { return r.AddUser("", "x") },
		func() error { return r.AddUser("bob@OTHER", "x") },
		func() error { return r.AddUser("krbtgt/GSS.TEST", "x") },
		func() error { return r.AddService("host/a", ServiceOptions{Enctypes: []int32{23}}) },
		func() error { return r.AddService("host/a", ServiceOptions{SessionEnctypes: []int32{17, 17}}) },
		func() error { return r.AddService("host/a", ServiceOptions{}, ServiceOptions{}) },
		func() error { return r.Rekey("host/a") },
		func() error { _, err := r.Keytab("host/a"); return err },
		func() error { return r.WriteKeytab(t.TempDir()+"/no/such/folder", "alice") },
		func() error { return r.WriteConf(t.TempDir() + "/no/such/folder") },
		func() error { return r.WriteCCache(t.TempDir()+"/cc", "host/a") },
		func() error { return r.WriteCCache(t.TempDir()+"/cc", "alice", "alice") },
	} {
		if err := f(); err == nil || len(fake.fatal) != i+1 || !strings.Contains(fake.fatal[i], err.Error()) {
			t.Errorf("case %d: %v, %q", i, err, fake.fatal)
			fake.fatal = append(fake.fatal, "")[:i+1]
		}
	}
	for _, o := range []Options{{Enctypes: []int32{3}}, {Enctypes: []int32{18, 18}}, {Realm: "A\x00B"}} {
		if r, err := Start(o); err == nil {
			r.Close()
			t.Errorf("started with %+v", o)
		}
	}
}

// Realm names are quoted where they are a component.
func TestOddRealm(t *testing.T) {
	f := newFixture(t, Options{Realm: "C=DE/O=Test"})
	tgt, part := f.login(0)
	if _, _, err := f.tgs(tgt, part, unchanged); err != nil {
		t.Error(err)
	}
	if b, err := f.ccache("alice", []string{"host/localhost"}); err != nil || !bytes.Contains(b, []byte("C=DE/O=Test")) {
		t.Error(err)
	}
}
