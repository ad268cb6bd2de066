package content

import (
	"fmt"
	"unicode/utf8"
)

// checkMessage applies the rules of the draft that the types do not express, to
// messages that are received and to messages that are made.
func checkMessage(m Message, limits Limits) error {
	for _, id := range []MessageID{m.Replaces, m.InReplyTo} {
		if id.IsZero() {
			continue
		}
		if err := id.check(); err != nil {
			return err
		}
	}
	if len(m.TopicID) > MaxTopicID {
		return exceeds("length of a topic id", len(m.TopicID), MaxTopicID)
	}
	if err := checkStrings(limits, m.SenderURI, m.RoomURI); err != nil {
		return err
	}
	if err := checkExtensions(m.Extensions, limits); err != nil {
		return err
	}
	budget := limits.MaxParts
	return checkPart(m.Part, 1, &budget, limits)
}

func checkExtensions(extensions map[ExtensionKey]RawValue, limits Limits) error {
	if len(extensions) > limits.MaxExtensions {
		return exceeds("number of extensions", len(extensions), limits.MaxExtensions)
	}
	for key, value := range extensions {
		switch {
		case key.Text != "" && key.Int != 0:
			return fmt.Errorf("%w: extension key is both integer and text", ErrMalformed)
		case len(key.Text) > MaxExtensionName:
			return exceeds("name of an extension", len(key.Text), MaxExtensionName)
		case !utf8.ValidString(key.Text):
			return fmt.Errorf("%w: name of an extension is not UTF-8", ErrMalformed)
		case key.Text == "" && key.Int == 0:
			return fmt.Errorf("%w: extension key 0 is reserved", ErrMalformed)
		case key.Int == extensionSenderURI || key.Int == extensionRoomURI:
			return fmt.Errorf("%w: extension %d has its own field", ErrMalformed, key.Int)
		case key.Int > maxIntKey || key.Int < -maxIntKey:
			return fmt.Errorf("%w: extension key is beyond 2^53", ErrMalformed)
		}
		rest, err := checkValue(value, 2)
		if err != nil {
			return fmt.Errorf("extension: %w", err)
		}
		if len(rest) != 0 {
			return fmt.Errorf("%w: extension is more than one item", ErrMalformed)
		}
	}
	return nil
}

func checkPart(p Part, level int, budget *int, limits Limits) error {
	if level > MaxPartDepth {
		return exceeds("depth of parts", level, MaxPartDepth)
	}
	if *budget--; *budget < 0 {
		return fmt.Errorf("%w: more than %d parts", ErrLimit, limits.MaxParts)
	}
	if err := checkStrings(limits, p.Language); err != nil {
		return err
	}
	switch b := p.Body.(type) {
	case nil:
		return nil
	case *Single:
		return checkStrings(limits, b.ContentType)
	case *External:
		return checkExternal(b, limits)
	case *Multi:
		if b.Semantics > ProcessAll {
			return fmt.Errorf("%w: unknown part semantics %d", ErrMalformed, b.Semantics)
		}
		if len(b.Parts) < 2 {
			return fmt.Errorf("%w: multi part with %d parts", ErrMalformed, len(b.Parts))
		}
		for _, part := range b.Parts {
			if err := checkPart(part, level+1, budget, limits); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("%w: unknown kind of part", ErrMalformed)
	}
}

func checkExternal(e *External, limits Limits) error {
	if err := checkStrings(limits, e.ContentType, e.URL, e.Description, e.Filename); err != nil {
		return err
	}
	for _, field := range [][]byte{e.Key, e.Nonce, e.AAD, e.ContentHash} {
		if len(field) > limits.MaxString {
			return exceeds("length of a field", len(field), limits.MaxString)
		}
	}
	if e.EncAlg == 0 && len(e.Key)+len(e.Nonce)+len(e.AAD) != 0 {
		return fmt.Errorf("%w: external part with a key and no encryption", ErrMalformed)
	}
	return nil
}

func checkStrings(limits Limits, list ...string) error {
	for _, s := range list {
		if len(s) > limits.MaxString {
			return exceeds("length of a field", len(s), limits.MaxString)
		}
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: text is not UTF-8", ErrMalformed)
		}
	}
	return nil
}
