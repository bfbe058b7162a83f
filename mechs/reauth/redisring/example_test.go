package redisring_test

import (
	"context"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/mechs/reauth/redisring"
)

func ExampleOpen() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "redis.example.org:6379",
		ContextTimeoutEnabled: true, // what takes too long ends
	})
	defer client.Close()
	ring, err := redisring.Open(context.Background(), client, redisring.Options{Prefix: "files:"})
	if err != nil {
		log.Fatal(err)
	}
	var inner gss.Mechanism // Kerberos or certificates, say
	server := reauth.New(inner, reauth.Options{Ring: ring})
	_ = server
}
