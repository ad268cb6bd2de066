package mls

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrSafeAAD reports authenticated_data that does not start with a SafeAAD in a
// group that has the safe_aad component, or SafeAAD items for a group without.
var ErrSafeAAD = errors.New("mls: authenticated data has no valid SafeAAD")

// SafeAAD is authenticated data of several components, ascending by component
// (draft-ietf-mls-extensions-09, section "Safe Additional Authenticated Data").
//
//	struct {
//	    ComponentID component_id;
//	    opaque aad_item_data<V>;
//	} SafeAADItem;
//
//	struct {
//	    SafeAADItem aad_items<V>;
//	} SafeAAD;
type SafeAAD []SafeAADItem

// A SafeAADItem has the form of a [ComponentData].
type SafeAADItem = ComponentData

// Wire codes the structure and refuses another order.
func (a *SafeAAD) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]SafeAADItem)(a), wire.Struct)
	ascending(c, *a)
}

// Get returns the item of a component.
func (a SafeAAD) Get(id ComponentID) (data []byte, ok bool) { return AppDataDictionary(a).Get(id) }

// AuthenticatedData is the authenticated_data of a message. In a group with the
// safe_aad component it starts with a SafeAAD, even an empty one.
type AuthenticatedData struct {
	Safe SafeAAD // ascending; ignore items of unknown components
	Rest []byte  // what stands behind
}

// encode returns the octets for a group that has the safe_aad component, or not.
func (a *AuthenticatedData) encode(safe bool) ([]byte, error) {
	switch {
	case safe:
		b, err := wire.Marshal(&a.Safe)
		return append(b, a.Rest...), err
	case len(a.Safe) > 0:
		return nil, fmt.Errorf("%w: the group has no safe_aad component", ErrSafeAAD)
	}
	return a.Rest, nil
}

// ParseAuthenticatedData splits the authenticated_data of a message in a group
// whose GroupContext has these extensions. It fails with [ErrSafeAAD].
func ParseAuthenticatedData(group Extensions, data []byte) (AuthenticatedData, error) {
	_, safe, err := group.ComponentsList(ComponentSafeAAD)
	if err != nil {
		return AuthenticatedData{}, err
	}
	return parseAuthenticatedData(safe, data)
}

func parseAuthenticatedData(safe bool, data []byte) (AuthenticatedData, error) {
	var a AuthenticatedData
	if !safe {
		a.Rest = data
		return a, nil
	}
	var err error
	a.Rest, err = wire.UnmarshalPrefix(data, &a.Safe)
	if err != nil {
		return AuthenticatedData{}, fmt.Errorf("%w: %w", ErrSafeAAD, err)
	}
	return a, nil
}
