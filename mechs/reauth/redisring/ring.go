package redisring

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/gsseal/gss/mechs/reauth"
)

var (
	// ErrEviction: Redis may throw keys away (maxmemory-policy is not noeviction).
	ErrEviction = errors.New("redisring: maxmemory-policy is not noeviction")
	// ErrReplica: the client speaks to a replica.
	ErrReplica = errors.New("redisring: not a master")
)

// Options tune Open. The zero value is useful.
type Options struct {
	// Prefix goes before "ring", the name of the key: a ring is for one service. "":
	// "gss:".
	Prefix string
}

// Open returns the ring in the client's Redis, which it makes if there is none. The
// client stays the caller's, who closes it when the ring is not used any more.
//
// Errors: ErrEviction, ErrReplica; the client's; ctx's.
func Open(ctx context.Context, client *redis.Client, o Options) (*reauth.Ring, error) {
	if o.Prefix == "" {
		o.Prefix = "gss:"
	}
	return reauth.ShareRing(ctx, &keeper{client, o.Prefix + "ring"})
}

// A keeper is a reauth.Keeper.
type keeper struct {
	client *redis.Client
	name   string
}

//go:embed ring.lua
var script string

var scriptHash = func() string {
	h := sha1.Sum([]byte(script))
	return hex.EncodeToString(h[:])
}()

var errAnswer = errors.New("redisring: an answer that is none")

// Update implements reauth.Keeper: it reads, and replaces what it read, or begins again
// with what somebody else put in its place.
func (k *keeper) Update(ctx context.Context, change func(old []byte) []byte) error {
	answer, err := k.call(ctx, "", nil)
	for err == nil {
		old := []byte(answer[2])
		b := change(old)
		clear(old)
		if b == nil {
			return nil
		}
		answer, err = k.call(ctx, answer[1], b)
		clear(b)
		if err == nil && answer[0] == "written" {
			return nil
		}
	}
	return err
}

// call runs the script, and returns when Redis has answered or ctx is done. Then the
// command in flight ends as the client's timeouts say.
func (k *keeper) call(ctx context.Context, version string, b []byte) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type result struct {
		answer []string
		err    error
	}
	done, octets := make(chan result, 1), string(b)
	go func() {
		answer, err := k.run(ctx, version, octets)
		done <- result{answer, err}
	}()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// once is a command that is not sent again if its answer does not come.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

func (k *keeper) run(ctx context.Context, version, octets string) ([]string, error) {
	send := func(command, script string) (*redis.Cmd, error) {
		cmd := redis.NewCmd(ctx, command, script, 1, k.name, version, octets)
		return cmd, k.client.Process(ctx, once{cmd})
	}
	cmd, err := send("EVALSHA", scriptHash)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		cmd, err = send("EVAL", script)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("redisring: %w", err)
	}
	answer, err := cmd.StringSlice()
	switch {
	case err != nil || len(answer) == 0:
		return nil, errAnswer
	case answer[0] == "replica":
		return nil, ErrReplica
	case answer[0] == "policy":
		return nil, ErrEviction
	case answer[0] == "read" && len(answer) == 3 || answer[0] == "written" && version != "":
		return answer, nil
	}
	return nil, errAnswer
}
