package mls

import (
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrMediaType reports a media type that is none, or a list without one.
var ErrMediaType = errors.New("mls: malformed media type")

// A MediaTypeParameter is a parameter of a [MediaType], without quotation marks
// and escapes.
//
//	struct {
//	    opaque parameter_name<V>;
//	    opaque parameter_value<V>;
//	} Parameter;
type MediaTypeParameter struct{ Name, Value []byte }

// Wire codes the structure.
func (p *MediaTypeParameter) Wire(c *wire.Codec) {
	wire.Opaque(c, &p.Name)
	wire.Opaque(c, &p.Value)
}

// A MediaType is an IANA media type (draft-ietf-mls-extensions-09, section
// "Content Advertisement"). The zero value has zero length: it is only allowed in
// an [ApplicationFraming].
//
//	struct {
//	    opaque media_type<V>;
//	    Parameter parameters<V>;
//	} MediaType;
type MediaType struct {
	Type       []byte
	Parameters []MediaTypeParameter
}

// Wire codes the structure. What is neither a media type nor zero fails with
// [ErrMediaType].
func (m *MediaType) Wire(c *wire.Codec) {
	wire.Opaque(c, &m.Type)
	wire.Vector(c, &m.Parameters, wire.Struct)
	if !m.IsZero() {
		if err := m.check(); err != nil {
			c.Fail(err)
		}
	}
}

// IsZero reports whether m says nothing.
func (m *MediaType) IsZero() bool { return len(m.Type) == 0 && len(m.Parameters) == 0 }

// check checks the form of RFC 6838, section 4: type, subtype and parameters
// have names, and no parameter is there twice. Errors do not repeat what it says:
// it may be that of a message.
func (m *MediaType) check() error {
	top, sub, ok := strings.Cut(string(m.Type), "/")
	if !ok || !isRestrictedName(top) || !isRestrictedName(sub) {
		return fmt.Errorf("%w: type and subtype", ErrMediaType)
	}
	names := make([]string, len(m.Parameters))
	for i, p := range m.Parameters {
		if names[i] = strings.ToLower(string(p.Name)); !isRestrictedName(names[i]) {
			return fmt.Errorf("%w: name of parameter %d", ErrMediaType, i)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) < len(m.Parameters) {
		return fmt.Errorf("%w: a parameter is there twice", ErrMediaType)
	}
	return nil
}

// isRestrictedName is restricted-name of RFC 6838, section 4.2.
func isRestrictedName(s string) bool {
	for i, r := range s {
		alphanumeric := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("!#$&-^_.+", r)) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 127
}

// key is the same for media types that are equal.
func (m *MediaType) key() string {
	parameters := make([]string, len(m.Parameters))
	for i, p := range m.Parameters {
		parameters[i] = fmt.Sprintf(";%s=%q", strings.ToLower(string(p.Name)), p.Value)
	}
	slices.Sort(parameters)
	return strings.ToLower(string(m.Type)) + strings.Join(parameters, "")
}

// Equal compares types, subtypes and parameter names without regard to case, and
// parameters in any order.
func (m *MediaType) Equal(o *MediaType) bool { return m.key() == o.key() }

// String writes m as text, for people.
func (m MediaType) String() string { return m.key() }

// ParseMediaType reads the text form of RFC 2045, as in Content-Type:
// quotation marks and escapes of values are taken away. It fails with
// [ErrMediaType].
func ParseMediaType(s string) (MediaType, error) {
	name, parameters, err := mime.ParseMediaType(s)
	if err != nil {
		return MediaType{}, fmt.Errorf("%w: as text: %w", ErrMediaType, err)
	}
	m := MediaType{Type: []byte(name)}
	for _, p := range slices.Sorted(maps.Keys(parameters)) {
		m.Parameters = append(m.Parameters, MediaTypeParameter{[]byte(p), []byte(parameters[p])})
	}
	return m, m.check()
}

// MediaTypeList is the data of the content_media_types component: at least one.
// A leaf lists what its client can receive, a GroupContext what every member has
// to.
//
//	struct {
//	    MediaType media_types<V>;
//	} MediaTypeList;
type MediaTypeList []MediaType

// Wire codes the structure. An empty list, or a media type of zero length, fails
// with [ErrMediaType].
func (l *MediaTypeList) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]MediaType)(l), func(c *wire.Codec, m *MediaType) {
		m.Wire(c)
		if m.IsZero() {
			c.Fail(fmt.Errorf("%w: of zero length in a list", ErrMediaType))
		}
	})
	if len(*l) == 0 {
		c.Fail(fmt.Errorf("%w: the list is empty", ErrMediaType))
	}
}

// Component returns l as the data of the content_media_types component.
func (l MediaTypeList) Component() (ComponentData, error) {
	data, err := wire.Marshal(&l)
	return ComponentData{ComponentContentMediaTypes, data}, err
}

func (l MediaTypeList) keys() []string {
	keys := make([]string, len(l))
	for i := range l {
		keys[i] = l[i].key()
	}
	return keys
}

// MediaTypes returns the list of the content_media_types component, or nil if
// there is none.
func (l Extensions) MediaTypes() (MediaTypeList, error) {
	d, err := l.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	var list MediaTypeList
	_, err = d.decode(ComponentContentMediaTypes, &list)
	return list, err
}

// SupportsMediaType reports whether every member lists a media type. Whether all
// of them read a format is not said by the GroupContext alone, which lists what
// has to be supported.
func (v View) SupportsMediaType(m MediaType) (bool, error) {
	for member := range v.Members() {
		list, err := member.Leaf.Extensions.MediaTypes()
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(list, func(o MediaType) bool { return o.Equal(&m) }) {
			return false, nil
		}
	}
	return true, nil
}
