package seal

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/gsseal/gss"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestZZBig(t *testing.T) {
	if os.Getenv("BIG") == "" {
		t.Skip()
	}
	fmt.Println("sizes: Source", unsafe.Sizeof(Source{}), "link", unsafe.Sizeof(link{}), "lane", unsafe.Sizeof(lane{}), "node", unsafe.Sizeof(node{}), "hot", unsafe.Sizeof(hot{}))
	for _, exp := range []time.Duration{0, 10 * time.Hour} {
		for _, n := range []int{1e3, 1e6} {
			r := mustRecipient(t, &RecipientOptions{ScanRate: math.MaxInt})
			h0 := heap()
			t0 := time.Now()
			var in time.Duration
			nodes := 0
			for i := range n {
				_, sc := pair(fmt.Sprint(i), "bob")
				if exp != 0 {
					sc.info.Expiry = time.Now().Add(exp)
				}
				a := time.Now()
				s, err := r.Add(sc)
				in += time.Since(a)
				if err != nil {
					t.Fatal(err)
				}
				nodes = len(s.keys.tree.nodes)
			}
			_ = t0
			h1 := heap()
			fmt.Printf("exp %v n %d: add %v each, %d octets each, %d nodes, index %d entries %.0f octets per ctx\n", exp, n, in/time.Duration(n), (h1-h0)/uint64(n), nodes, r.index.used, float64(16*len(r.index.entries))/float64(n))
			alice, bob := pair("alice", "bob")
			if _, err := r.Add(bob); err != nil {
				t.Fatal(err)
			}
			s := mustSender(t, alice)
			var sealed, opened [2048]byte
			body := make([]byte, 1024)
			best := time.Duration(1 << 60)
			var sum time.Duration
			const rounds = 20000
			for k := 0; k < 5; k++ {
				sum = 0
				for range rounds {
					m, err := s.Seal(sealed[:0], body, nil)
					if err != nil {
						t.Fatal(err)
					}
					a := time.Now()
					if _, err := r.Unseal(context.Background(), opened[:0], m, nil); err != nil {
						t.Fatal(err)
					}
					sum += time.Since(a)
				}
				best = min(best, sum/rounds)
			}
			fmt.Printf("   unseal expected %v\n", best)
			// spread: 2000 different contexts, first message each (cold)
			garbage := make([]byte, 336)
			a := time.Now()
			for range 3 {
				garbage[0]++
				r.Unseal(context.Background(), nil, garbage, nil)
			}
			fmt.Printf("   scan %v\n", time.Since(a)/3)
			a = time.Now()
			for range 3 {
				garbage[0]++
				r.Unseal(context.Background(), nil, garbage, &UnsealOptions{From: mn("alice")})
			}
			fmt.Printf("   garbage with From %v\n", time.Since(a)/3)
			r.Close()
		}
	}
	_ = gss.Name{}
}
