package room

import "github.com/mimi-gateway/mimi-gateway/mimi/wire"

// Optionality says whether something may, must or must not be done
// (draft-ietf-mimi-room-policy-03, section 6.1).
type Optionality uint8

// The values of Optionality. Where the draft's selects say "mandatory", they mean
// required: the enum has no fourth value.
const (
	Optional  Optionality = 0
	Required  Optionality = 1
	Forbidden Optionality = 2
)

func optionality(c *wire.Codec, v *Optionality) { enum(c, v, Forbidden) }

// StatusNotificationPolicy is the component status_notification_policy, and its
// own update (draft-ietf-mimi-room-policy-03, section 6.1).
type StatusNotificationPolicy struct {
	DeliveryNotifications Optionality
	ReadReceipts          Optionality
}

// Wire codes the policy as
//
//	struct {
//	  Optionality delivery_notifications;
//	  Optionality read_receipts;
//	} StatusNotificationPolicy;
func (p *StatusNotificationPolicy) Wire(c *wire.Codec) {
	optionality(c, &p.DeliveryNotifications)
	optionality(c, &p.ReadReceipts)
}
