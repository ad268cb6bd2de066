package content

import "fmt"

// Bounds of the draft, which no configuration widens.
const (
	// SaltSize is the length of a salt in octets (section "Message Behavior
	// Fields").
	SaltSize = 16
	// MaxPartDepth is how deeply parts may be nested; the body itself is level 1
	// (section "Depth restrictions").
	MaxPartDepth = 4
	// MaxExtensionDepth is how deeply maps, arrays and tags may be nested in the
	// extensions; the extensions map itself is level 1 (section "Depth
	// restrictions").
	MaxExtensionDepth = 4
	// MaxExtensionName is the longest text key of an extension in octets
	// (section "Data model restrictions").
	MaxExtensionName = 255
	// MaxTopicID is the longest topic id in octets (section "General handling").
	MaxTopicID = 4096
)

// Limits bound the messages that are made and accepted, before anything is
// allocated for them. A zero field stands for the default that it names.
type Limits struct {
	// MaxSize is the longest encoded message in octets. Default: 256 KiB, which
	// holds long text, a profile with a small picture, and nothing that belongs
	// outside the message ("local policy", section "General handling").
	MaxSize int
	// MaxParts is how many parts a message may have, counting the containers.
	// Default: 1024, the number that the draft gives (section "General
	// handling").
	MaxParts int
	// MaxString is the longest media type, URL, description, file name, language
	// list, key or claimed URI in octets. Default: 4096.
	MaxString int
	// MaxExtensions is how many extensions a message may have beside the two
	// claims. Default: 64.
	MaxExtensions int
}

// withDefaults replaces the zero fields.
func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.MaxSize, 256<<10)
	set(&l.MaxParts, 1024)
	set(&l.MaxString, 4096)
	set(&l.MaxExtensions, 64)
	return l
}

func exceeds(what string, got, limit int) error {
	return fmt.Errorf("%w: %s is %d, more than %d", ErrLimit, what, got, limit)
}
