package krb5

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// MemoryCaches are caches of type MEMORY: a process of another implementation has
// one set of them, this one has as many as it makes. The zero value is empty. Its
// primary is the one that was last made so.
type MemoryCaches struct {
	mu     sync.Mutex
	caches map[string][]byte // as files
	first  string
}

type memoryCache struct {
	in   *MemoryCaches
	name string
}

func (m *memoryCache) String() string { return "MEMORY:" + m.name }

func (m *memoryCache) read(context.Context) (*ccache, error) {
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	b, ok := m.in.caches[m.name]
	if !ok || b == nil {
		return nil, errNoCache
	}
	return parseCCache(b)
}

func (m *memoryCache) replace(_ context.Context, c *ccache) error {
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	m.in.set(m.name, c.append(nil))
	return nil
}

func (m *MemoryCaches) set(name string, b []byte) {
	if m.caches == nil {
		m.caches = make(map[string][]byte)
	}
	clear(m.caches[name])
	m.caches[name] = b
}

func (m *memoryCache) add(_ context.Context, client ikrb5.Principal, cred *ccacheCred) error {
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	c, err := parseCCache(m.in.caches[m.name])
	if err != nil {
		return errNoCache
	}
	defer c.erase()
	if !c.client.Equal(client) {
		return errOtherClient
	}
	if !c.has(cred) {
		old := m.in.caches[m.name]
		m.in.set(m.name, cred.append(slices.Clone(old), c.version))
	}
	return nil
}

func (m *memoryCache) destroy(context.Context) error {
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	clear(m.in.caches[m.name])
	delete(m.in.caches, m.name)
	return nil
}

// String implements cacheCollection.
func (m *MemoryCaches) String() string { return "MEMORY:" }

func (m *MemoryCaches) primary(context.Context) (cacheStore, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memoryCache{m, m.first}, nil
}

func (m *MemoryCaches) members(context.Context) ([]cacheStore, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []cacheStore
	if m.caches[m.first] != nil {
		out = append(out, &memoryCache{m, m.first})
	}
	for _, name := range slices.Sorted(maps.Keys(m.caches)) {
		if name != m.first && m.caches[name] != nil {
			out = append(out, &memoryCache{m, name})
		}
	}
	return out, nil
}

func (m *MemoryCaches) create(context.Context) (cacheStore, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := rand.Text()
	m.set(name, nil) // there is none of that name, and it is not there yet
	return &memoryCache{m, name}, nil
}

func (m *MemoryCaches) setPrimary(_ context.Context, s cacheStore) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.first = s.(*memoryCache).name
	return nil
}
