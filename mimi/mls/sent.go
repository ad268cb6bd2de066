package mls

import "fmt"

// The following is only checked for what is sent. Received, it does no harm, or
// has to be ignored like anything unknown (RFC 9420, section 13.5).

// isGREASE reports whether v is reserved for showing that unknown values are
// ignored (RFC 9420, section 13.5): 0x0A0A, 0x1A1A and so on to 0xEAEA.
func isGREASE[T ~uint16](v T) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff && v < 0xfafa }

// checkSent checks the capabilities and the credential of a leaf to be made: no
// default types are listed, and GREASE values are only where they are ignored.
func (p *LeafParams) checkSent() error {
	for _, t := range p.Capabilities.Extensions {
		// RFC 9420, section 7.2: 1
		if t.isDefault() {
			return fmt.Errorf("%w: default extension type 0x%04x is listed", ErrCapabilities, uint16(t))
		}
	}
	for _, t := range p.Capabilities.Proposals {
		// RFC 9420, section 7.2: 1
		if t.isDefault() {
			return fmt.Errorf("%w: default proposal type %v is listed", ErrCapabilities, t)
		}
	}
	// RFC 9420, section 13.5: 1, 2
	if isGREASE(p.Credential.Type) {
		return fmt.Errorf("%w: credential type 0x%04x", ErrGREASE, uint16(p.Credential.Type))
	}
	return p.Extensions.checkWireFormatsSent(ExtensionSupportedWireFormats)
}

// checkSent checks extensions that go into a GroupContext.
func (l Extensions) checkSent() error {
	for _, e := range l {
		// RFC 9420, section 13.5: 1, 2
		if isGREASE(e.Type) {
			return fmt.Errorf("%w: GroupContext extension 0x%04x", ErrGREASE, uint16(e.Type))
		}
	}
	r, err := l.RequiredCapabilities()
	if err != nil {
		return err
	}
	for _, err := range []error{
		checkNoGREASE("extension", r.Extensions), checkNoGREASE("proposal", r.Proposals), checkNoGREASE("credential", r.Credentials),
	} {
		if err != nil {
			return err
		}
	}
	if err := l.checkComponentsSent(); err != nil {
		return err
	}
	return l.checkWireFormatsSent(ExtensionRequiredWireFormats)
}

func checkNoGREASE[T ~uint16](what string, required []T) error {
	for _, t := range required {
		// RFC 9420, section 13.5: 2
		if isGREASE(t) {
			return fmt.Errorf("%w: required %s type 0x%04x", ErrGREASE, what, uint16(t))
		}
	}
	return nil
}

// checkSent checks proposals of an own leaf: lifetimes have to be valid now
// (RFC 9420, section 7.3), without allowance for clocks that differ.
func (g *Group) checkSent(bodies []ProposalBody) error {
	for _, b := range bodies {
		switch p := b.(type) {
		case *Add:
			// RFC 9420, section 7.3: 7
			if err := checkLifetime(g.cfg, &p.KeyPackage.LeafNode, 0); err != nil {
				return fmt.Errorf("Add: %w", err)
			}
		case *GroupContextExtensions:
			if err := p.Extensions.checkSent(); err != nil {
				return err
			}
		case *AppDataUpdate:
			if err := checkNoGREASEComponent("in an AppDataUpdate", p.Component); err != nil {
				return err
			}
		case *PreSharedKey:
			if err := checkNoGREASEComponent("of a PSK", p.PSK.Component); err != nil {
				return err
			}
		}
	}
	return nil
}
