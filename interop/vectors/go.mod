// This module has no code: it requires a module whose archive carries the
// official test vectors of MLS, so that the tests of mimi/mls find them in the
// module cache after "go mod download" in this folder.
module github.com/mimi-gateway/mimi-gateway/interop/vectors

go 1.26.0

require github.com/thomas-vilte/mls-go v1.6.0
