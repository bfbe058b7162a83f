module github.com/gsseal/gss/mechs/reauth/redisring

go 1.26.0

replace github.com/gsseal/gss => ../../..

require (
	github.com/gsseal/gss v0.0.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
