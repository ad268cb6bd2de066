package mls

import (
	"fmt"
	"slices"
)

// LastResort reports whether the owner of the KeyPackage allows it to be used
// more than once, in want of others: it has the last_resort_key_package component
// (draft-ietf-mls-extensions-09, section "Last resort KeyPackages"). A KeyPackage
// in which that is malformed is not marked, and no valid one.
func (k *KeyPackage) LastResort() bool {
	_, marked, err := k.Extensions.Component(ComponentLastResortKeyPackage)
	return err == nil && marked && k.checkLastResort() == nil
}

// checkLastResort checks the components of a KeyPackage: the mark has no data.
func (k *KeyPackage) checkLastResort() error {
	data, _, err := k.Extensions.Component(ComponentLastResortKeyPackage)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		return fmt.Errorf("%w: %d octets", ErrLastResort, len(data))
	}
	return nil
}

// extensions returns the extensions of the KeyPackage to be made.
func (p *KeyPackageParams) extensions() (Extensions, error) {
	if !p.LastResort {
		return slices.Clone(p.Extensions), nil
	}
	if !p.Leaf.Capabilities.supportsExtension(ExtensionAppDataDictionary) {
		return nil, fmt.Errorf("%w: a KeyPackage of last resort, and no app_data_dictionary", ErrCapabilities)
	}
	return p.Extensions.WithComponents(ComponentData{ID: ComponentLastResortKeyPackage})
}
