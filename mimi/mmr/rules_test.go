package mmr_test

import "github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"

const (
	alice = mmrtest.Alice
	bob   = mmrtest.Bob
	carol = mmrtest.Carol
	dave  = mmrtest.Dave
)
