package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
)

var serverCommand = command{
	name:  "server",
	args:  "[FLAGS] SERVICE",
	short: "serve sample clients (MIT's gss-client, or gss client)",
	long: `
Accepts clients that speak the protocol of the gss-sample programs, prints who
they are and what they send, and answers with a MIC. SERVICE is a host-based
name, "host@server.example.org", for which it has a key or a certificate;
"host" alone means host@ and this machine's name.

    gss server host@localhost

Kerberos takes its keys from KRB5_KTNAME (default /etc/krb5.keytab).
Certificates come from --cert, --key and --ca. It serves until it is
interrupted. To have something to try it with: gss help kdc, gss help cert.

For ten minutes after its start it refuses Kerberos clients that do not ask it
to prove itself (gss-client -nomutual): they could be replays of earlier ones.
--replay remembers in FILE, which is made if need be, who was there: from ten
minutes after that on it refuses replays only, whenever it is started again.
Servers of one service on one host share a FILE.

--ring gives clients tickets, by which they come back in one round trip and
without their credentials (gss client --tickets). The keys of tickets are in
FILE, which is made if need be: a server that is started again, and others that
have the file, know them. Keep it secret.

--seal-state adds to FILE, which is made if need be, what gss seal and unseal
need of each client's context; the client has to do that, too. Keep FILE secret.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		s := sampleServer{}
		var creds credentialFlags
		creds.declare(fs)
		port := fs.Int("port", 4444, "`N`: listen on this port; 0 chooses one")
		listen := fs.String("listen", "127.0.0.1", "`ADDR`: listen on this address; 0.0.0.0 is all")
		fs.BoolVar(&s.once, "once", false, "end after one connection; the exit code says how it went")
		replay := fs.String("replay", "", "`FILE`: remember Kerberos clients' first tokens there")
		ring := fs.String("ring", "", "`FILE`: give out tickets; their keys are there")
		fs.StringVar(&s.sealState, "seal-state", "", "`FILE`: what sealing needs of clients' contexts goes there")
		mech := fs.String("mech", "", "`NAME`: accept only this mechanism, or OID (default: all)")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) != 1 {
				return usagef("SERVICE is due")
			}
			if *port < 0 || *port > 65535 {
				return usagef("--port is from 0 to 65535")
			}
			ms, err := creds.mechanisms(sh)
			if err != nil {
				return err
			}
			if ms, err = only(ms, *mech, *ring != ""); err != nil {
				return err
			}
			if ms, err = acceptors(sh, ms); err != nil {
				return advise(err, acceptorAdvice)
			}
			if *replay != "" {
				store, err := boltstore.Open(*replay, boltstore.Options{Shared: true})
				if err != nil {
					return err
				}
				defer store.Close()
				remember(ms, store)
			}
			if *ring != "" {
				keys, err := reauth.OpenRing(*ring)
				if err != nil {
					return err
				}
				ms = mechs.WithTickets(ms, reauth.Options{Ring: keys})
				if i := len(ms) - 1; called(ms[i].OID(), *mech) { // and not without tickets
					ms = ms[i:]
				}
			}
			if err := s.prepare(ctx, ms, args[0]); err != nil {
				return err
			}
			var lc net.ListenConfig
			l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(*listen, strconv.Itoa(*port)))
			if err != nil {
				return err
			}
			s.out = sh.stdout
			return s.serve(ctx, l)
		}
	},
}

// remember gives Kerberos among ms a store of what was accepted.
func remember(ms mechglue.Mechanisms, store strike.Store) {
	for i, m := range ms {
		if k, ok := m.(*krb5.Mech); ok {
			ms[i] = k.WithReplay(store)
		}
	}
}

type sampleServer struct {
	once  bool
	ms    mechglue.Mechanisms
	names map[gss.Name]bool // the service's, in each mechanism

	sealState string
	keep      sync.Mutex // of that file

	mu  sync.Mutex // of out
	out io.Writer
}

// prepare finds out what the mechanisms call the service.
func (s *sampleServer) prepare(ctx context.Context, ms mechglue.Mechanisms, service string) error {
	if !strings.Contains(service, "@") {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		service += "@" + host
	}
	s.names = map[gss.Name]bool{}
	var errs []error
	for _, m := range ms {
		name, err := ms.Canonicalize(ctx, m.OID(), gss.Name{Type: oid.NTHostService, Text: service})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.ms = append(s.ms, m)
		s.names[name] = true
	}
	if len(s.ms) == 0 {
		return errors.Join(errs...)
	}
	return nil
}

const (
	maxClients       = 64               // at once; more wait to be accepted
	clientPatience   = 2 * time.Minute  // for each Read and Write
	strangerPatience = 30 * time.Second // in all, until we know who it is
)

// serve accepts clients until ctx ends. It closes l.
func (s *sampleServer) serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	for _, m := range s.ms {
		for n := range s.names {
			if n.Mech == m.OID() {
				s.printf("Serving %s by %s\n", n, mechName(m.OID()))
			}
		}
	}
	s.printf("Listening on %s\n", l.Addr())
	var clients sync.WaitGroup
	defer clients.Wait()
	slots := make(chan struct{}, maxClients)
	for n := 1; ; n++ {
		slots <- struct{}{}
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil { // such as too many open files: others will end
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			s.printf("accept: %v\n", err)
			time.Sleep(100 * time.Millisecond)
			<-slots
			continue
		}
		serve := func() bool {
			defer func() { <-slots }()
			return s.client(ctx, n, conn)
		}
		if s.once {
			if !serve() {
				return errShown
			}
			return nil
		}
		clients.Go(func() { serve() })
	}
}

func (s *sampleServer) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format, args...)
}

// client serves one connection, whatever it sends.
func (s *sampleServer) client(ctx context.Context, n int, conn net.Conn) (served bool) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s.printf("%d: connection from %s\n", n, conn.RemoteAddr())
	switch err := s.session(ctx, n, conn); {
	case err == nil, errors.Is(err, io.EOF):
		s.printf("%d: end\n", n)
		return true
	case ctx.Err() != nil:
		s.printf("%d: interrupted\n", n)
	default:
		s.printf("%d: refused: %v\n", n, err)
	}
	return false
}

// patient gives each Read and Write clientPatience.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	p.SetReadDeadline(time.Now().Add(clientPatience))
	return p.Conn.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(clientPatience))
	return p.Conn.Write(b)
}

func (s *sampleServer) session(ctx context.Context, n int, conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(strangerPatience))
	f, _, err := readFrame(conn, 0)
	if err != nil {
		return err
	}
	if f&sampleNoop == 0 {
		return fmt.Errorf("the first frame has flags %#02x; is this a gss-sample client?", uint8(f))
	}
	var sc gss.Context
	if f&sampleContextNext == 0 {
		s.printf("%d: unauthenticated\n", n)
	} else {
		if sc, err = gssnet.Accept(ctx, contextTokens{conn}, s.ms.Accept(nil)); err != nil {
			return err
		}
		defer sc.Close()
		i := sc.Info()
		if !s.names[i.Local] {
			return fmt.Errorf("%s asked for %s, which is served elsewhere", party(i.Peer), party(i.Local))
		}
		s.printf("%d: %s to %s, by %s, flags %s\n", n, party(i.Peer), party(i.Local), mechName(i.Mech), i.Flags)
		conn.SetDeadline(time.Time{})
		conn = patient{conn}
		if err := s.keepState(ctx, n, sc); err != nil {
			return err
		}
	}
	for {
		f, token, err := readFrame(conn, maxMessage)
		if err != nil || f&sampleNoop != 0 {
			return err
		}
		if err := s.message(n, conn, sc, f, token); err != nil {
			return err
		}
	}
}

// keepState adds sc to the file of --seal-state.
func (s *sampleServer) keepState(ctx context.Context, n int, sc gss.Context) error {
	if s.sealState == "" {
		return nil
	}
	s.keep.Lock()
	defer s.keep.Unlock()
	if err := keepState(ctx, s.sealState, sc); err != nil {
		return err
	}
	s.printf("%d: kept for sealing in %s\n", n, s.sealState)
	return nil
}

// message takes one Data frame and answers it.
func (s *sampleServer) message(n int, conn net.Conn, sc gss.Context, f sampleFlags, token []byte) error {
	if f&sampleData == 0 {
		return fmt.Errorf("a frame with flags %#02x came instead of a message", uint8(f))
	}
	if sc == nil && f&(sampleWrapped|sampleEncrypted|sampleSendMIC) != 0 {
		return errors.New("an unauthenticated client asked for authenticated services")
	}
	msg, how := token, "in clear"
	if f&sampleWrapped != 0 {
		var level gss.Level
		var err error
		if msg, level, err = sc.Unwrap(nil, token); err != nil {
			return err
		}
		how = level.String()
		if level != gss.Confidential && f&sampleEncrypted != 0 {
			how += ", although announced as encrypted"
		}
	}
	s.printf("%d: message, %s, %s: %s\n", n, octets(len(msg)), how, printable(msg))
	if f&sampleSendMIC == 0 {
		return writeFrame(conn, sampleNoop, nil)
	}
	mic, err := sc.MIC(nil, msg)
	if err != nil {
		return err
	}
	return writeFrame(conn, sampleMIC, mic)
}
