package mls

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrComponentOrder reports a component list that is not strictly ascending
// (draft-ietf-mls-extensions-09, sections "Attaching Application Data to MLS
// Messages" and "Safe Additional Authenticated Data").
var ErrComponentOrder = errors.New("mls: components are not in ascending order")

// ComponentID names an application component (draft-ietf-mls-extensions-09,
// section "Component IDs").
type ComponentID uint16

// The components that the extensions draft defines itself.
const (
	ComponentAppComponents        ComponentID = 0x0001
	ComponentSafeAAD              ComponentID = 0x0002
	ComponentContentMediaTypes    ComponentID = 0x0003
	ComponentLastResortKeyPackage ComponentID = 0x0004
	ComponentAppAck               ComponentID = 0x0005
)

// A ComponentData is the data of one component.
//
//	struct {
//	    ComponentID component_id;
//	    opaque data<V>;
//	} ComponentData;
type ComponentData struct {
	ID   ComponentID
	Data []byte
}

// Wire codes the structure.
func (d *ComponentData) Wire(c *wire.Codec) {
	wire.Uint16(c, &d.ID)
	wire.Opaque(c, &d.Data)
}

// ascending fails unless the ids are strictly ascending.
func ascending(c *wire.Codec, l []ComponentData) {
	for i := 1; i < len(l); i++ {
		if l[i-1].ID >= l[i].ID {
			c.Fail(fmt.Errorf("%w: 0x%04x before 0x%04x", ErrComponentOrder, uint16(l[i-1].ID), uint16(l[i].ID)))
			return
		}
	}
}

// AppDataDictionary is the content of the app_data_dictionary extension,
// ascending by component with at most one entry each.
//
//	struct {
//	    ComponentData component_data<V>;
//	} AppDataDictionary;
type AppDataDictionary []ComponentData

// Wire codes the structure and refuses another order.
func (d *AppDataDictionary) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]ComponentData)(d), wire.Struct)
	ascending(c, *d)
}

// find is the position of id, or where it belongs.
func (d AppDataDictionary) find(id ComponentID) (int, bool) {
	return slices.BinarySearchFunc(d, id, func(e ComponentData, id ComponentID) int { return int(e.ID) - int(id) })
}

// Get returns the data of a component.
func (d AppDataDictionary) Get(id ComponentID) (data []byte, ok bool) {
	if i, ok := d.find(id); ok {
		return d[i].Data, true
	}
	return nil, false
}

// decode decodes the data of a component into m, if there is any.
func (d AppDataDictionary) decode(id ComponentID, m wire.Message) (ok bool, err error) {
	data, ok := d.Get(id)
	if !ok {
		return false, nil
	}
	if err := wire.Unmarshal(data, m); err != nil {
		return true, fmt.Errorf("component 0x%04x: %w", uint16(id), err)
	}
	return true, nil
}

// With returns a copy of d in which the component has this data.
func (d AppDataDictionary) With(id ComponentID, data []byte) AppDataDictionary {
	i, ok := d.find(id)
	out := slices.Clone(d)
	if !ok {
		return slices.Insert(out, i, ComponentData{id, data})
	}
	out[i].Data = data
	return out
}

// Without returns a copy of d without the component.
func (d AppDataDictionary) Without(id ComponentID) AppDataDictionary {
	return slices.DeleteFunc(slices.Clone(d), func(e ComponentData) bool { return e.ID == id })
}

// Extension returns d as an extension.
func (d AppDataDictionary) Extension() (Extension, error) {
	data, err := wire.Marshal(&d)
	return Extension{ExtensionAppDataDictionary, data}, err
}

// AppDataDictionary returns the app_data_dictionary extension; without one it is
// empty.
func (l Extensions) AppDataDictionary() (AppDataDictionary, error) {
	var d AppDataDictionary
	_, err := decodeExtension(l, ExtensionAppDataDictionary, &d)
	return d, err
}

// Component returns the data of a component in the app_data_dictionary
// extension of l.
func (l Extensions) Component(id ComponentID) (data []byte, ok bool, err error) {
	d, err := l.AppDataDictionary()
	if err != nil {
		return nil, false, err
	}
	data, ok = d.Get(id)
	return data, ok, nil
}

// WithComponents returns a copy of l whose app_data_dictionary extension has
// these entries beside those it had.
func (l Extensions) WithComponents(entries ...ComponentData) (Extensions, error) {
	d, err := l.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		d = d.With(e.ID, e.Data)
	}
	e, err := d.Extension()
	if err != nil {
		return nil, err
	}
	return l.With(e.Type, e.Data), nil
}

// ComponentsList is the data of the app_components and safe_aad components:
// what a leaf supports, or what a group requires
// (draft-ietf-mls-extensions-09, section "Negotiating Extensions and
// Components").
//
//	struct {
//	    ComponentID component_ids<V>;
//	} ComponentsList;
type ComponentsList []ComponentID

// Wire codes the structure.
func (l *ComponentsList) Wire(c *wire.Codec) { wire.Vector(c, (*[]ComponentID)(l), wire.Uint16) }

// Component returns l as the data of component id.
func (l ComponentsList) Component(id ComponentID) (ComponentData, error) {
	data, err := wire.Marshal(&l)
	return ComponentData{id, data}, err
}

// ComponentsList returns the list that component id holds, and whether there is
// one: an empty list is not the same as none.
func (l Extensions) ComponentsList(id ComponentID) (list ComponentsList, ok bool, err error) {
	d, err := l.AppDataDictionary()
	if err != nil {
		return nil, false, err
	}
	if ok, err = d.decode(id, &list); err != nil {
		return nil, false, err
	}
	return list, ok, nil
}
