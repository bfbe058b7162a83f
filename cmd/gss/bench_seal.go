package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/seal/boltstate"
)

// benchSeal measures package seal over contexts that are a PRF and two names: all
// that it uses of one.
func benchSeal(ctx context.Context, b *benchFlags, note func(string)) (*benchReport, error) {
	r := newBenchReport()
	for _, part := range []func(context.Context, *benchFlags, *benchReport, func(string)) error{
		benchBesideHPKE, benchBesideGCM, benchAllocations, benchDurable, benchAmong,
	} {
		if err := part(ctx, b, r, note); err != nil {
			return nil, err
		}
	}
	r.LeftOut = append(r.LeftOut, "strikes in Redis, whose client is a module of its own that this program does not link: cd strike/redisstore && go test -run xxx -bench .")
	return r, nil
}

// A benchEnd is one end of a context.
type benchEnd struct {
	info gss.Info
	key  []byte
}

func (e *benchEnd) Info() gss.Info { return e.info }

func (e *benchEnd) PRF(_ gss.PRFKey, in []byte, n int) ([]byte, error) {
	return hkdf.Expand(sha256.New, e.key, string(in), n)
}

// Claim says that no other end was made of this context, which is true here.
func (e *benchEnd) Claim(string) bool { return true }

// benchPair makes a context between originator i and the recipient.
func benchPair(i int) (from, to *benchEnd) {
	key := make([]byte, 32)
	rand.Read(key)
	a := gss.Name{Mech: oid.Krb5, Text: fmt.Sprintf("user%07d@EXAMPLE.ORG", i)}
	b := gss.Name{Mech: oid.Krb5, Text: "post/host.example.org@EXAMPLE.ORG"}
	end := time.Now().Add(10 * time.Hour)
	return &benchEnd{gss.Info{Mech: oid.Krb5, Local: a, Peer: b, Initiator: true, Flags: gss.Mutual, Expiry: end}, key},
		&benchEnd{gss.Info{Mech: oid.Krb5, Local: b, Peer: a, Flags: gss.Mutual, Expiry: end}, key}
}

// A link is a Sender, and a Recipient of what it seals.
type benchLink struct {
	s *seal.Sender
	r *seal.Recipient
}

func newBenchLink() (*benchLink, error) {
	from, to := benchPair(0)
	s, err := seal.NewSender(from)
	if err != nil {
		return nil, err
	}
	l := &benchLink{s, seal.NewRecipient(nil)}
	if _, err := l.r.Add(to); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *benchLink) close() {
	l.s.Close()
	l.r.Close()
}

// there seals n octets and unseals them.
func (l *benchLink) there(ctx context.Context, n int) func() error {
	body := make([]byte, n)
	sealed, opened := make([]byte, 0, seal.Size(n)), make([]byte, 0, seal.Size(n))
	return func() error {
		m, err := l.s.Seal(sealed, body, nil)
		if err == nil {
			_, err = l.r.Unseal(ctx, opened, m, nil)
		}
		return err
	}
}

func benchBesideHPKE(ctx context.Context, b *benchFlags, r *benchReport, note func(string)) error {
	note("1 KiB, and HPKE")
	l, err := newBenchLink()
	if err != nil {
		return err
	}
	defer l.close()
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return err
	}
	body := make([]byte, 1<<10)
	d, err := fight(ctx, b.rounds, b.round, timed(l.there(ctx, len(body))), timed(func() error {
		m, err := hpke.Seal(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, body)
		if err == nil {
			_, err = hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, m)
		}
		return err
	}))
	if err != nil {
		return err
	}
	r.faster("seal and unseal, 1 KiB", d, "HPKE (X25519) seal and open", 20)
	return nil
}

func benchBesideGCM(ctx context.Context, b *benchFlags, r *benchReport, note func(string)) error {
	note("1 MiB, and bare AES-256-GCM")
	l, err := newBenchLink()
	if err != nil {
		return err
	}
	defer l.close()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	body, nonce := make([]byte, 1<<20), make([]byte, 12)
	sealed, opened := make([]byte, 0, len(body)+16), make([]byte, 0, len(body))
	d, err := fight(ctx, b.rounds, b.round, timed(l.there(ctx, len(body))), timed(func() error {
		binary.BigEndian.PutUint64(nonce, binary.BigEndian.Uint64(nonce)+1)
		_, err := aead.Open(opened, nonce, aead.Seal(sealed, nonce, body, nil), nil)
		return err
	}))
	if err != nil {
		return err
	}
	r.faster("seal and unseal, 1 MiB", d, "AES-256-GCM seal and open", 0.8)
	return nil
}

// faster adds a row about time: the ratio is that of the rates.
func (r *benchReport) faster(what string, d duel, rival string, aim float64) {
	ratio, theirs := 1/d.ratio, d.rival*1e6
	r.Rows = append(r.Rows, benchRow{
		What: what, Ours: d.ours * 1e6, Rival: &theirs, RivalIs: rival, Unit: "µs",
		Ratio: &ratio, Aim: fmt.Sprintf("≥ %g ×", aim), OK: ratio >= aim,
	})
}

// atMost adds a row about a number.
func (r *benchReport) atMost(what string, x float64, unit string, aim float64) {
	r.Rows = append(r.Rows, benchRow{What: what, Ours: x, Unit: unit, Aim: fmt.Sprintf("≤ %g %s", aim, unit), OK: x <= aim})
}

func benchAllocations(ctx context.Context, b *benchFlags, r *benchReport, note func(string)) error {
	note("allocations")
	l, err := newBenchLink()
	if err != nil {
		return err
	}
	defer l.close()
	const n = 1000
	body, opened := make([]byte, 1<<10), make([]byte, 0, 2<<10)
	var sealed [n][]byte
	for i := range sealed {
		sealed[i] = make([]byte, 0, 2<<10)
	}
	i := 0
	once := func() error {
		sealed[i], err = l.s.Seal(sealed[i], body, nil)
		i++
		return err
	}
	perSeal, err := allocations(n, once)
	if err != nil {
		return err
	}
	i = 0
	perUnseal, err := allocations(n, func() error {
		_, err := l.r.Unseal(ctx, opened, sealed[i], nil)
		i++
		return err
	})
	if err != nil {
		return err
	}
	r.atMost("a message sealed, 1 KiB", perSeal, "allocations", 2)
	r.atMost("a message unsealed, 1 KiB", perUnseal, "allocations", 2)
	return nil
}

// allocations returns how many do makes, rounded down: others allocate meanwhile.
func allocations(n int, do func() error) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		if err := do(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return math.Floor(float64(after.Mallocs-before.Mallocs) / float64(n)), nil
}

// benchDurable unseals one-time messages whose strikes are on the disk, by 16
// callers at once, and beside it syncs a page of another file.
func benchDurable(ctx context.Context, b *benchFlags, r *benchReport, note func(string)) error {
	note("one-time messages, durable")
	dir, err := os.MkdirTemp(b.dir, "gss-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f, err := boltstate.Open(filepath.Join(dir, "state"), &boltstate.Options{Recipient: seal.RecipientOptions{Quota: math.MaxInt32}})
	if err != nil {
		return err
	}
	defer f.Close()
	from, to := benchPair(0)
	if _, err := f.Add(ctx, to); err != nil {
		return err
	}
	s, err := seal.NewSender(from)
	if err != nil {
		return err
	}
	defer s.Close()
	page, err := os.Create(filepath.Join(dir, "page"))
	if err != nil {
		return err
	}
	defer page.Close()

	const callers = 16
	d, err := fight(ctx, max(b.rounds/10, 1), 50*b.round, func(n int) (time.Duration, error) {
		sealed := make([][]byte, n)
		for i := range sealed {
			if sealed[i], err = s.Seal(nil, []byte("once"), &seal.Options{OneTime: true}); err != nil {
				return 0, err
			}
		}
		var next atomic.Int64
		var wg sync.WaitGroup
		errs := make([]error, callers)
		start := time.Now()
		for c := range callers {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < int64(n) && errs[c] == nil; i = next.Add(1) - 1 {
					_, errs[c] = f.Recipient().Unseal(ctx, nil, sealed[i], nil)
				}
			})
		}
		wg.Wait()
		return time.Since(start), errors.Join(errs...)
	}, timed(func() error {
		if _, err := page.WriteAt(make([]byte, 4096), 0); err != nil {
			return err
		}
		return page.Sync()
	}))
	if err != nil {
		return err
	}
	const aim = 5000
	ratio, syncs := 1/d.ratio, 1/d.rival
	r.Rows = append(r.Rows, benchRow{
		What: "one-time messages unsealed, durable, 16 callers", Ours: 1 / d.ours, Rival: &syncs, RivalIs: "syncs of a page", Unit: "/s",
		Ratio: &ratio, Aim: fmt.Sprintf("≥ %d /s", aim), OK: 1/d.ours >= aim,
	})
	return nil
}

// benchAmong unseals what some originators of many sealed, and beside it what the
// same number of few did.
func benchAmong(ctx context.Context, b *benchFlags, r *benchReport, note func(string)) error {
	few, err := newCrowd(ctx, min(1000, b.contexts), note)
	if err != nil {
		return err
	}
	defer few.close()
	many, err := newCrowd(ctx, b.contexts, note)
	if err != nil {
		return err
	}
	defer many.close()
	note("unsealing among them")
	d, err := fight(ctx, b.rounds, b.round, many.unseal(ctx), few.unseal(ctx))
	if err != nil {
		return err
	}
	const aim = 2
	theirs := d.rival * 1e6
	r.Rows = append(r.Rows, benchRow{
		What: fmt.Sprintf("unseal, 1 KiB, among %d contexts", b.contexts), Ours: d.ours * 1e6,
		Rival: &theirs, RivalIs: fmt.Sprintf("among %d", few.r.Len()), Unit: "µs",
		Ratio: &d.ratio, Aim: fmt.Sprintf("≤ %d ×", aim), OK: d.ratio <= aim,
	})
	r.atMost(fmt.Sprintf("memory for each of %d contexts", b.contexts), many.memory, "octets", 1024)
	return nil
}

// A crowd is a Recipient with many contexts, and those originators who seal.
type crowd struct {
	r       *seal.Recipient
	senders []*seal.Sender
	memory  float64 // octets for each context
}

const crowdSenders = 1000

func newCrowd(ctx context.Context, n int, note func(string)) (_ *crowd, err error) {
	c := &crowd{r: seal.NewRecipient(nil)}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	before := heap()
	step := max(n/crowdSenders, 1)
	var active []*benchEnd
	for first := 0; first < n; first += 1000 {
		if n > 1000 {
			note(fmt.Sprintf("%d contexts: %s", n, bar(float64(first)/float64(n), 24)))
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// As many at once as there are processors.
		last := min(first+1000, n)
		workers := runtime.GOMAXPROCS(0)
		errs, ends := make([]error, workers), make([][]*benchEnd, workers)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := first + w; i < last && errs[w] == nil; i += workers {
					from, to := benchPair(i)
					_, errs[w] = c.r.Add(to)
					if i%step == 0 {
						ends[w] = append(ends[w], from)
					}
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		for _, e := range ends {
			active = append(active, e...)
		}
	}
	c.memory = (heap() - before) / float64(n)
	for _, e := range active {
		s, err := seal.NewSender(e)
		if err != nil {
			return nil, err
		}
		c.senders = append(c.senders, s)
	}
	_, err = c.unseal(ctx)(len(c.senders)) // whoever seals now and then is remembered
	return c, err
}

func (c *crowd) close() {
	c.r.Close()
	for _, s := range c.senders {
		s.Close()
	}
}

// unseal takes messages of all senders in turn, which were sealed before.
func (c *crowd) unseal(ctx context.Context) contender {
	next, body := 0, make([]byte, 1<<10)
	opened := make([]byte, 0, seal.Size(len(body)))
	var sealed [][]byte
	return func(n int) (time.Duration, error) {
		for len(sealed) < n {
			sealed = append(sealed, make([]byte, 0, seal.Size(len(body))))
		}
		for i := range n {
			var err error
			if sealed[i], err = c.senders[next%len(c.senders)].Seal(sealed[i][:0], body, nil); err != nil {
				return 0, err
			}
			next++
		}
		start := time.Now()
		for _, m := range sealed[:n] {
			if _, err := c.r.Unseal(ctx, opened, m, nil); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	}
}

// heap returns the octets in use.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
