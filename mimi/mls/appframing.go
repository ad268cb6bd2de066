package mls

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrApplicationFraming reports application_data that is no [ApplicationFraming]
// in a group that has the content_media_types component, or a media type for a
// group without.
var ErrApplicationFraming = errors.New("mls: application data is not framed as the group has it")

// ApplicationFraming is the form of application_data in a group whose
// GroupContext has the content_media_types component
// (draft-ietf-mls-extensions-09, section "Framing of application_data"). A media
// type of zero length means the first one of that component.
//
//	struct {
//	    MediaType media_type;
//	    opaque inner_application_content<V>;
//	} ApplicationFraming;
type ApplicationFraming struct {
	MediaType MediaType
	Content   []byte
}

// Wire codes the structure.
func (f *ApplicationFraming) Wire(c *wire.Codec) {
	f.MediaType.Wire(c)
	wire.Opaque(c, &f.Content)
}

// ApplicationData returns the application_data of f for a group whose
// GroupContext has these extensions. Without the content_media_types component
// that is the content alone; a media type fails with [ErrApplicationFraming]
// then, since nothing would carry it.
func (f *ApplicationFraming) ApplicationData(group Extensions) ([]byte, error) {
	types, err := group.MediaTypes()
	switch {
	case err != nil:
		return nil, err
	case types != nil:
		return wire.Marshal(f)
	case !f.MediaType.IsZero():
		return nil, fmt.Errorf("%w: the group has no content_media_types component", ErrApplicationFraming)
	}
	return f.Content, nil
}

// ParseApplicationData undoes [ApplicationFraming.ApplicationData]. The media
// type is the one that is meant, so that it is only zero in a group without the
// content_media_types component. It fails with [ErrApplicationFraming].
func ParseApplicationData(group Extensions, data []byte) (ApplicationFraming, error) {
	f, err := group.framing()
	if err != nil {
		return ApplicationFraming{}, err
	}
	return f.parse(data)
}

// Framing returns media type and content of the message, as its epoch frames
// them. See [ParseApplicationData].
func (m *ApplicationMessage) Framing() (ApplicationFraming, error) { return m.framing.parse(m.Data) }

// A framing says what stands before the data of messages in an epoch.
type framing struct {
	safeAAD    bool          // a SafeAAD before authenticated data
	mediaTypes MediaTypeList // a media type before application data, unless nil
}

// framing returns how a group with these extensions frames data.
func (l Extensions) framing() (f framing, err error) {
	if _, f.safeAAD, err = l.Component(ComponentSafeAAD); err != nil {
		return f, err
	}
	f.mediaTypes, err = l.MediaTypes()
	return f, err
}

func (f *framing) parse(data []byte) (ApplicationFraming, error) {
	if f.mediaTypes == nil {
		return ApplicationFraming{Content: data}, nil
	}
	var a ApplicationFraming
	if err := wire.Unmarshal(data, &a); err != nil {
		return ApplicationFraming{}, fmt.Errorf("%w: %w", ErrApplicationFraming, err)
	}
	if a.MediaType.IsZero() {
		a.MediaType = f.mediaTypes[0]
	}
	return a, nil
}
