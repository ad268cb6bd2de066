package mls

import (
	"fmt"
	"slices"
)

// A negotiation is what a GroupContext demands of every leaf beside
// required_capabilities, or what a leaf offers (draft-ietf-mls-extensions-09,
// section "Negotiating Extensions and Components"). Values that nobody knows are
// kept: in a leaf they have no meaning.
type negotiation struct {
	required   WireFormats    // required_wire_formats
	supported  WireFormats    // supported_wire_formats
	components ComponentsList // app_components
	safeAAD    ComponentsList // safe_aad
	mediaTypes MediaTypeList  // content_media_types
}

// negotiated reports whether the data of a component in the GroupContext is a
// demand, which all leaves are checked against when it changes.
func (id ComponentID) negotiated() bool {
	return id == ComponentAppComponents || id == ComponentSafeAAD || id == ComponentContentMediaTypes
}

// negotiation decodes what is negotiated in a GroupContext or a leaf.
func (l Extensions) negotiation() (n negotiation, err error) {
	if n.required, err = l.WireFormats(ExtensionRequiredWireFormats); err != nil {
		return n, err
	}
	if n.supported, err = l.WireFormats(ExtensionSupportedWireFormats); err != nil {
		return n, err
	}
	d, err := l.AppDataDictionary()
	if err != nil {
		return n, err
	}
	if _, err := d.decode(ComponentAppComponents, &n.components); err != nil {
		return n, err
	}
	if _, err := d.decode(ComponentSafeAAD, &n.safeAAD); err != nil {
		return n, err
	}
	_, err = d.decode(ComponentContentMediaTypes, &n.mediaTypes)
	return n, err
}

// check checks that the extensions of a leaf offer what the group demands.
func (n *negotiation) check(leaf Extensions) error {
	if len(n.required)+len(n.components)+len(n.safeAAD)+len(n.mediaTypes) == 0 {
		return nil
	}
	have, err := leaf.negotiation()
	if err != nil {
		return err
	}
	if i := missing(n.required, slices.Concat(defaultWireFormats, have.supported)); i >= 0 {
		return fmt.Errorf("%w: required wire format 0x%04x", ErrUnsupported, uint16(n.required[i]))
	}
	if i := missing(n.components, have.components); i >= 0 {
		return fmt.Errorf("%w: 0x%04x of app_components", ErrComponents, uint16(n.components[i]))
	}
	if i := missing(n.safeAAD, have.safeAAD); i >= 0 {
		return fmt.Errorf("%w: 0x%04x of safe_aad", ErrComponents, uint16(n.safeAAD[i]))
	}
	if len(n.mediaTypes) == 0 {
		return nil
	}
	if i := missing(n.mediaTypes.keys(), have.mediaTypes.keys()); i >= 0 {
		return fmt.Errorf("%w: entry %d of content_media_types", ErrMediaTypes, i)
	}
	return nil
}

// missing returns the index of an element of required that have lacks, or -1.
// Peers choose both: the time this takes is in proportion to their lengths.
func missing[T comparable](required, have []T) int {
	if len(required) == 0 {
		return -1
	}
	set := make(map[T]bool, len(have))
	for _, h := range have {
		set[h] = true
	}
	return slices.IndexFunc(required, func(r T) bool { return !set[r] })
}
