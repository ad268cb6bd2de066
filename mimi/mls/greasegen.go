package mls

import (
	"fmt"
	"io"
	"slices"
)

// The WithGREASE methods add random GREASE values where receivers ignore them
// (RFC 9420, section 13.5; draft-ietf-mls-extensions-09, section "GREASE").
// Nothing else in this package makes any: a room whose leaves have to look alike
// has none.

// What is reserved in the registries of RFC 9420, and in that of components:
// 0x0A0A, 0x1A1A and so on.
const (
	greaseValues          = 15
	greaseComponentValues = 8
)

// isGREASE reports whether id is reserved for showing that unknown components
// are ignored. From 0x8000 on there are private ones instead.
func (id ComponentID) isGREASE() bool { return isGREASE(id) && id < 0x8000 }

// checkComponentsSent checks the components of a GroupContext that is made here:
// GREASE values belong to single objects, not to what everyone has to support.
func (l Extensions) checkComponentsSent() error {
	d, err := l.AppDataDictionary()
	if err != nil {
		return err
	}
	var all []ComponentID
	for _, e := range d {
		all = append(all, e.ID)
	}
	for _, id := range []ComponentID{ComponentAppComponents, ComponentSafeAAD} {
		list, _, err := l.ComponentsList(id)
		if err != nil {
			return err
		}
		all = append(all, list...)
	}
	return checkNoGREASEComponent("of the GroupContext", all...)
}

func checkNoGREASEComponent(where string, ids ...ComponentID) error {
	for _, id := range ids {
		if id.isGREASE() {
			return fmt.Errorf("%w: component 0x%04x %s", ErrGREASE, uint16(id), where)
		}
	}
	return nil
}

// WithGREASE returns a copy of p with a random GREASE value in each list of the
// capabilities that may have one, and in the component lists of the leaf; and
// with an extension and, if the leaf has components, a component of such a type
// and random data.
func (p LeafParams) WithGREASE(random io.Reader) (LeafParams, error) {
	c := &p.Capabilities
	err := withGREASE(random, &c.CipherSuites)
	if err == nil {
		err = withGREASE(random, &c.Proposals)
	}
	if err == nil {
		err = withGREASE(random, &c.Credentials)
	}
	if err != nil {
		return p, err
	}
	if p.Extensions, err = p.Extensions.greaseLists(random); err != nil {
		return p, err
	}
	p.Extensions, err = p.Extensions.withGREASE(random, &c.Extensions)
	return p, err
}

// WithGREASE returns a copy of p with random GREASE values in the leaf and in the
// extensions of the KeyPackage.
func (p KeyPackageParams) WithGREASE(random io.Reader) (KeyPackageParams, error) {
	var err error
	if p.Leaf, err = p.Leaf.WithGREASE(random); err != nil {
		return p, err
	}
	if p.Extensions, err = p.extensions(); err != nil {
		return p, err
	}
	p.Extensions, err = p.Extensions.withGREASE(random, &p.Leaf.Capabilities.Extensions)
	return p, err
}

// WithGREASE returns a copy of o with random GREASE values in the extensions.
func (o GroupInfoOptions) WithGREASE(random io.Reader) (GroupInfoOptions, error) {
	var err error
	o.Extensions, err = o.Extensions.withGREASE(random, nil)
	return o, err
}

// WithGREASE returns a copy of a with a SafeAAD item of a GREASE component. It is
// for groups that have the safe_aad component.
func (a AuthenticatedData) WithGREASE(random io.Reader) (AuthenticatedData, error) {
	id, data, err := greaseComponent(random)
	a.Safe = SafeAAD(AppDataDictionary(a.Safe).With(id, data))
	return a, err
}

// withGREASE returns a copy of l with an extension of a GREASE type, which goes
// into listed unless that is nil, and with a component if l has any.
func (l Extensions) withGREASE(random io.Reader, listed *[]ExtensionType) (Extensions, error) {
	types := []ExtensionType{}
	if listed == nil {
		listed = &types
	}
	value, data, err := grease(random, greaseValues)
	if err != nil {
		return nil, err
	}
	if err := insertGREASE(random, listed, ExtensionType(value)); err != nil {
		return nil, err
	}
	l = l.With(ExtensionType(value), data)
	if _, ok := l.Find(ExtensionAppDataDictionary); !ok {
		return l, nil
	}
	id, data, err := greaseComponent(random)
	if err != nil {
		return nil, err
	}
	return l.WithComponents(ComponentData{id, data})
}

// greaseLists returns a copy of l with a GREASE value in each list of components
// that there is.
func (l Extensions) greaseLists(random io.Reader) (Extensions, error) {
	for _, id := range []ComponentID{ComponentAppComponents, ComponentSafeAAD} {
		list, ok, err := l.ComponentsList(id)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		value, _, err := greaseComponent(random)
		if err != nil {
			return nil, err
		}
		if err := insertGREASE(random, (*[]ComponentID)(&list), value); err != nil {
			return nil, err
		}
		data, err := list.Component(id)
		if err != nil {
			return nil, err
		}
		if l, err = l.WithComponents(data); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func withGREASE[T ~uint16](random io.Reader, list *[]T) error {
	value, _, err := grease(random, greaseValues)
	if err != nil {
		return err
	}
	return insertGREASE(random, list, T(value))
}

// insertGREASE puts a value somewhere into a copy of a list, unless it is there.
func insertGREASE[T ~uint16](random io.Reader, list *[]T, value T) error {
	if slices.Contains(*list, value) {
		return nil
	}
	at, err := randomBelow(random, len(*list)+1)
	if err != nil {
		return err
	}
	*list = slices.Insert(slices.Clone(*list), at, value)
	return nil
}

func greaseComponent(random io.Reader) (ComponentID, []byte, error) {
	value, data, err := grease(random, greaseComponentValues)
	return ComponentID(value), data, err
}

// grease returns one of the first n GREASE values, and data of random length.
func grease(random io.Reader, n int) (value uint16, data []byte, err error) {
	k, err := randomBelow(random, n)
	if err != nil {
		return 0, nil, err
	}
	length, err := randomBelow(random, 32)
	if err != nil {
		return 0, nil, err
	}
	data = make([]byte, length)
	if _, err := io.ReadFull(random, data); err != nil {
		return 0, nil, fmt.Errorf("randomness for GREASE: %w", err)
	}
	return uint16(k<<12 | 0xa00 | k<<4 | 0xa), data, nil
}

// randomBelow returns a random number less than n, which is at most 2^16. That all are
// equally likely does not matter.
func randomBelow(random io.Reader, n int) (int, error) {
	var b [2]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("randomness for GREASE: %w", err)
	}
	return (int(b[0])<<8 | int(b[1])) * n >> 16, nil
}
