package redisstore_test

import (
	"context"
	"crypto/sha256"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gsseal/gss/strike/redisstore"
)

func ExampleOpen() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "redis.example.org:6379",
		ContextTimeoutEnabled: true, // a caller's deadline ends the command, too
	})
	defer client.Close()
	store, err := redisstore.Open(context.Background(), client, redisstore.Options{Prefix: "orders:"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	key := sha256.Sum256([]byte("example order 1" + "order 4711"))
	now := time.Now()
	if err := store.Strike(context.Background(), key, now, now.Add(time.Hour)); err != nil {
		log.Fatal(err) // seen, or the store cannot vouch: either way, refuse
	}
}
