package content

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// modes are the two directions of the CBOR library. They are immutable.
var modes = newModes()

type codecModes struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newModes() codecModes {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic("content: internal error: " + err.Error())
	}
	dec, err := cbor.DecOptions{
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
		IndefLength:     cbor.IndefLengthForbidden,
		IntDec:          cbor.IntDecConvertSignedOrFail,
		MaxNestedLevels: 1 + 2*MaxPartDepth + MaxExtensionDepth,
		// The length of the input bounds both: an element has an octet or more,
		// and nothing is allocated for an array before its elements were seen.
		MaxArrayElements: 1 << 20,
		MaxMapPairs:      1 << 20,
	}.DecMode()
	if err != nil {
		panic("content: internal error: " + err.Error())
	}
	return codecModes{enc, dec}
}

// wireMessage is mimiContent.
type wireMessage struct {
	_          struct{} `cbor:",toarray"`
	Salt       []byte
	Replaces   []byte // nil is null
	TopicID    []byte
	Expires    *wireExpiration
	InReplyTo  []byte          // nil is null
	Extensions cbor.RawMessage // a map; its length is checked before it is read
	Part       cbor.RawMessage
}

type wireExpiration struct {
	_        struct{} `cbor:",toarray"`
	Relative bool
	Time     uint32
}

// Cardinalities of a NestedPart (section "Message Bodies"), and how many items
// the array has with each.
const (
	cardinalityNull = iota
	cardinalitySingle
	cardinalityExternal
	cardinalityMulti
)

const maxPartItems = 15 // of an ExternalPart, the longest

type wirePart struct {
	_           struct{} `cbor:",toarray"`
	Disposition uint8
	Language    string
	Cardinality uint8
}

type wireSingle struct {
	_           struct{} `cbor:",toarray"`
	Disposition uint8
	Language    string
	Cardinality uint8
	ContentType string
	Content     []byte
}

type wireExternal struct {
	_           struct{} `cbor:",toarray"`
	Disposition uint8
	Language    string
	Cardinality uint8
	ContentType string
	URL         string
	Expires     uint32
	Size        uint64
	EncAlg      uint16
	Key         []byte
	Nonce       []byte
	AAD         []byte
	HashAlg     uint8
	ContentHash []byte
	Description string
	Filename    string
}

type wireMulti struct {
	_           struct{} `cbor:",toarray"`
	Disposition uint8
	Language    string
	Cardinality uint8
	Semantics   uint8
	Parts       []cbor.RawMessage
}

// Encode returns the deterministic encoding of m. It fails with [ErrMalformed]
// or [ErrLimit] if a receiver would have to refuse it.
func Encode(m Message, limits Limits) ([]byte, error) {
	limits = limits.withDefaults()
	if err := checkMessage(m, limits); err != nil {
		return nil, err
	}
	data, err := encode(m)
	if err != nil {
		return nil, err
	}
	if len(data) > limits.MaxSize {
		return nil, exceeds("size of a message", len(data), limits.MaxSize)
	}
	return data, nil
}

// Decode reads a message. It fails with [ErrLimit] or [ErrMalformed]; of a
// message that it returns, [Encode] makes the same octets. What the message
// claims about its origin is not checked: see [Receive].
func Decode(data []byte, limits Limits) (Message, error) {
	limits = limits.withDefaults()
	if len(data) > limits.MaxSize {
		return Message{}, exceeds("size of a message", len(data), limits.MaxSize)
	}
	var w wireMessage
	if err := unmarshal(data, &w); err != nil {
		return Message{}, fmt.Errorf("mimiContent: %w", err)
	}
	m, err := w.message(limits)
	if err != nil {
		return Message{}, err
	}
	if err := checkMessage(m, limits); err != nil {
		return Message{}, err
	}
	again, err := encode(m)
	if err != nil {
		return Message{}, err
	}
	// What remains are values that the library reads generously: a null where
	// the draft has none, a tag around a string, map keys out of order.
	if !bytes.Equal(data, again) {
		return Message{}, fmt.Errorf("%w: encoding is not deterministic, or a field has another type", ErrMalformed)
	}
	return m, nil
}

// unmarshal wraps the errors of the library, whose texts can quote the input.
func unmarshal(data []byte, v any) error {
	err := modes.dec.Unmarshal(data, v)
	var (
		duplicate *cbor.DupMapKeyError
		wrongType *cbor.UnmarshalTypeError
		trailing  *cbor.ExtraneousDataError
		depth     *cbor.MaxNestedLevelError
		invalid   *cbor.SemanticError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &duplicate):
		return fmt.Errorf("%w: duplicate map key", ErrMalformed)
	case errors.As(err, &wrongType):
		return fmt.Errorf("%w: field has another type, or the array another length", ErrMalformed)
	case errors.As(err, &trailing):
		return fmt.Errorf("%w: octets after the end", ErrMalformed)
	case errors.As(err, &depth):
		return fmt.Errorf("%w: nested too deeply", ErrLimit)
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: text is not UTF-8", ErrMalformed)
	default:
		return fmt.Errorf("%w: not well-formed CBOR in definite lengths", ErrMalformed)
	}
}

func (w *wireMessage) message(limits Limits) (Message, error) {
	var m Message
	if len(w.Salt) != SaltSize {
		return m, fmt.Errorf("%w: salt of %d octets", ErrMalformed, len(w.Salt))
	}
	copy(m.Salt[:], w.Salt)
	for _, field := range []struct {
		id   *MessageID
		data []byte
	}{{&m.Replaces, w.Replaces}, {&m.InReplyTo, w.InReplyTo}} {
		if field.data == nil {
			continue
		}
		if len(field.data) != MessageIDSize {
			return m, fmt.Errorf("%w: message id of %d octets", ErrMalformed, len(field.data))
		}
		copy(field.id[:], field.data)
		if err := field.id.check(); err != nil {
			return m, err
		}
	}
	m.TopicID = w.TopicID
	if w.Expires != nil {
		m.Expires = &Expiration{Relative: w.Expires.Relative, Seconds: w.Expires.Time}
	}
	if err := w.extensions(&m, limits); err != nil {
		return m, err
	}
	budget := limits.MaxParts
	part, err := decodePart(w.Part, 1, &budget)
	m.Part = part
	return m, err
}

func (w *wireMessage) extensions(m *Message, limits Limits) error {
	h, _, err := readHead(w.Extensions)
	switch {
	case err != nil:
		return err
	case h.major != majorMap:
		return fmt.Errorf("%w: extensions are no map", ErrMalformed)
	case h.arg > uint64(limits.MaxExtensions)+2: // the claims have their own fields
		return fmt.Errorf("%w: more than %d extensions", ErrLimit, limits.MaxExtensions)
	}
	var all map[any]cbor.RawMessage
	if err := unmarshal(w.Extensions, &all); err != nil {
		return fmt.Errorf("extensions: %w", err)
	}
	for k, value := range all {
		var key ExtensionKey
		switch k := k.(type) {
		case int64:
			key.Int = k
		case string:
			if k == "" {
				return fmt.Errorf("%w: extension with an empty name", ErrMalformed)
			}
			key.Text = k
		default:
			return fmt.Errorf("%w: extension key is neither integer nor text", ErrMalformed)
		}
		var claim *string
		switch key {
		case ExtensionKey{Int: extensionSenderURI}:
			claim = &m.SenderURI
		case ExtensionKey{Int: extensionRoomURI}:
			claim = &m.RoomURI
		default:
			if m.Extensions == nil {
				m.Extensions = map[ExtensionKey]RawValue{}
			}
			m.Extensions[key] = RawValue(value)
			continue
		}
		if err := unmarshal(value, claim); err != nil {
			return fmt.Errorf("extension %d: %w", key.Int, err)
		}
	}
	return nil
}

// decodePart reads a NestedPart at the given level. budget is how many parts the
// message may still have.
func decodePart(raw []byte, level int, budget *int) (Part, error) {
	if level > MaxPartDepth {
		return Part{}, exceeds("depth of parts", level, MaxPartDepth)
	}
	if *budget--; *budget < 0 {
		return Part{}, fmt.Errorf("%w: too many parts", ErrLimit)
	}
	h, _, err := readHead(raw)
	if err != nil {
		return Part{}, err
	}
	if h.major != majorArray || h.arg > maxPartItems {
		return Part{}, fmt.Errorf("%w: part is no array of a known length", ErrMalformed)
	}
	var items []cbor.RawMessage
	if err := unmarshal(raw, &items); err != nil {
		return Part{}, err
	}
	if len(items) < 3 || len(items[2]) != 1 {
		return Part{}, fmt.Errorf("%w: part without cardinality", ErrMalformed)
	}
	switch items[2][0] {
	case cardinalityNull:
		var w wirePart
		err := unmarshal(raw, &w)
		return Part{Disposition: Disposition(w.Disposition), Language: w.Language}, err
	case cardinalitySingle:
		var w wireSingle
		err := unmarshal(raw, &w)
		return Part{Disposition(w.Disposition), w.Language, &Single{w.ContentType, w.Content}}, err
	case cardinalityExternal:
		var w wireExternal
		err := unmarshal(raw, &w)
		return Part{Disposition(w.Disposition), w.Language, &External{
			w.ContentType, w.URL, w.Expires, w.Size, w.EncAlg, w.Key, w.Nonce, w.AAD,
			w.HashAlg, w.ContentHash, w.Description, w.Filename,
		}}, err
	case cardinalityMulti:
		if len(items) != 5 {
			return Part{}, fmt.Errorf("%w: multi part of %d items", ErrMalformed, len(items))
		}
		if h, _, err := readHead(items[4]); err != nil || h.arg > uint64(*budget) {
			return Part{}, fmt.Errorf("%w: too many parts", ErrLimit)
		}
		return decodeMulti(raw, level, budget)
	default:
		return Part{}, fmt.Errorf("%w: unknown cardinality %d", ErrMalformed, items[2][0])
	}
}

func decodeMulti(raw []byte, level int, budget *int) (Part, error) {
	var w wireMulti
	if err := unmarshal(raw, &w); err != nil {
		return Part{}, err
	}
	multi := &Multi{Semantics: Semantics(w.Semantics), Parts: make([]Part, len(w.Parts))}
	for i, raw := range w.Parts {
		part, err := decodePart(raw, level+1, budget)
		if err != nil {
			return Part{}, err
		}
		multi.Parts[i] = part
	}
	return Part{Disposition(w.Disposition), w.Language, multi}, nil
}

// encode encodes a message that [checkMessage] has seen.
func encode(m Message) ([]byte, error) {
	part, err := encodePart(m.Part)
	if err != nil {
		return nil, err
	}
	all, err := encodeExtensions(m)
	if err != nil {
		return nil, err
	}
	w := wireMessage{Salt: m.Salt[:], TopicID: notNil(m.TopicID), Extensions: all, Part: part}
	if !m.Replaces.IsZero() {
		w.Replaces = m.Replaces[:]
	}
	if !m.InReplyTo.IsZero() {
		w.InReplyTo = m.InReplyTo[:]
	}
	if m.Expires != nil {
		w.Expires = &wireExpiration{Relative: m.Expires.Relative, Time: m.Expires.Seconds}
	}
	return marshal(w)
}

func encodeExtensions(m Message) (data []byte, err error) {
	all := map[any]cbor.RawMessage{}
	for key, text := range map[int64]string{extensionSenderURI: m.SenderURI, extensionRoomURI: m.RoomURI} {
		if text == "" {
			continue
		}
		if all[key], err = marshal(text); err != nil {
			return nil, err
		}
	}
	for key, value := range m.Extensions {
		if key.Text != "" {
			all[key.Text] = cbor.RawMessage(value)
		} else {
			all[key.Int] = cbor.RawMessage(value)
		}
	}
	return marshal(all)
}

func encodePart(p Part) ([]byte, error) {
	dispo, lang := uint8(p.Disposition), p.Language
	switch b := p.Body.(type) {
	case nil:
		return marshal(wirePart{Disposition: dispo, Language: lang, Cardinality: cardinalityNull})
	case *Single:
		return marshal(wireSingle{
			Disposition: dispo, Language: lang, Cardinality: cardinalitySingle,
			ContentType: b.ContentType, Content: notNil(b.Content),
		})
	case *External:
		return marshal(wireExternal{
			Disposition: dispo, Language: lang, Cardinality: cardinalityExternal,
			ContentType: b.ContentType, URL: b.URL, Expires: b.Expires, Size: b.Size,
			EncAlg: b.EncAlg, Key: notNil(b.Key), Nonce: notNil(b.Nonce), AAD: notNil(b.AAD),
			HashAlg: b.HashAlg, ContentHash: notNil(b.ContentHash), Description: b.Description, Filename: b.Filename,
		})
	case *Multi:
		w := wireMulti{
			Disposition: dispo, Language: lang, Cardinality: cardinalityMulti,
			Semantics: uint8(b.Semantics), Parts: make([]cbor.RawMessage, len(b.Parts)),
		}
		for i, part := range b.Parts {
			raw, err := encodePart(part)
			if err != nil {
				return nil, err
			}
			w.Parts[i] = raw
		}
		return marshal(w)
	default:
		return nil, fmt.Errorf("%w: unknown kind of part", ErrMalformed)
	}
}

func marshal(v any) ([]byte, error) {
	data, err := modes.enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: it has no encoding", ErrMalformed)
	}
	return data, nil
}

// notNil keeps empty byte strings from being encoded as null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
