package mls

import (
	"bytes"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A heldKey is an own private key. One that was loaded is only imported when it is
// used: a gateway that is in a room a thousand times mostly needs a few of them.
type heldKey[K interface{ Public() []byte }] struct {
	public []byte // of the node or leaf that the key is for
	key    K
	stored suite.Secret // of a key that is not imported yet
	load   func(suite.Secret) (K, error)
}

func hold[K interface{ Public() []byte }](key K) *heldKey[K] {
	return &heldKey[K]{public: key.Public(), key: key}
}

// get returns the key. It fails with [ErrState] if what was stored is not the key
// of its node or leaf.
func (h *heldKey[K]) get() (K, error) {
	if h.load == nil {
		return h.key, nil
	}
	key, err := h.load(h.stored)
	// unmutated: an absent key is not that of its place
	if err != nil {
		return h.key, fmt.Errorf("%w: %w", ErrState, err)
	}
	if !bytes.Equal(key.Public(), h.public) {
		return h.key, fmt.Errorf("%w: a private key is not that of its place in the tree", ErrState)
	}
	h.key, h.load, h.stored = key, nil, suite.Secret{}
	return key, nil
}
