package room

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// LinkPreviewPolicy is the component link_preview_policy, and its own update
// (draft-ietf-mimi-room-policy-03, section 6.3).
type LinkPreviewPolicy struct {
	// Autodetect hyperlinks in text; never [Required].
	Autodetect Optionality
	// Send previews with a message.
	Send Optionality
	// Automatic previews at the receiver.
	Automatic Optionality
	// ProxyUse when a preview is made, and the URI of the Proxy, which is empty
	// if and only if ProxyUse is [Forbidden].
	ProxyUse Optionality
	Proxy    string
}

// Wire codes the policy as
//
//	struct {
//	  Optionality autodetect_hyperlinks_in_text;
//	  Optionality send_link_previews;
//	  Optionality automatic_link_previews;
//	  Optionality link_preview_proxy_use;
//	  select (link_preview_proxy_use) {
//	    case mandatory:
//	      Uri link_preview_proxy<V>;
//	    case optional:
//	      Uri link_preview_proxy<V>;
//	    case forbidden:
//	      struct {};
//	  }
//	} LinkPreviewPolicy;
func (p *LinkPreviewPolicy) Wire(c *wire.Codec) {
	optionality(c, &p.Autodetect)
	optionality(c, &p.Send)
	optionality(c, &p.Automatic)
	optionality(c, &p.ProxyUse)
	if p.ProxyUse != Forbidden {
		uriList(c, &p.Proxy)
	}
	if p.Autodetect == Required {
		c.Fail(fmt.Errorf("%w: autodetect_hyperlinks_in_text is mandatory", ErrConflict))
	}
	if (p.ProxyUse == Forbidden) != (p.Proxy == "") {
		c.Fail(fmt.Errorf("%w: link_preview_proxy is set if and only if its use is not forbidden", ErrConflict))
	}
}
