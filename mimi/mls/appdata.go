package mls

import "fmt"

// checkAppDataRemoval checks that there is something to remove
// (draft-ietf-mls-extensions-09, section "Updating Application Data in the
// GroupContext"). In a commit that is only known behind its
// GroupContextExtensions.
func (st *state) checkAppDataRemoval(p *AppDataUpdate) error {
	if p.Operation != AppDataUpdateRemove {
		return nil
	}
	_, ok, err := st.context.Extensions.Component(p.Component)
	if err == nil && !ok {
		err = fmt.Errorf("%w: component 0x%04x has no data to remove", ErrAppData, uint16(p.Component))
	}
	return err
}
