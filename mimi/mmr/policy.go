package mmr

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// checkPolicyChange fails unless the profile's policy may change in this way
// (docs/mmr-profile.md, section 6).
func checkPolicyChange(before, after []byte) error {
	var prev, next identity.MinimalMetadataPolicy
	if err := wire.Unmarshal(before, &prev); err != nil {
		return fmt.Errorf("component minimal_metadata_policy: %w", err)
	}
	if err := wire.Unmarshal(after, &next); err != nil {
		return fmt.Errorf("component minimal_metadata_policy: %w", err)
	}
	return prev.CheckChange(&next)
}
