package connection

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// A schemaField is a field of a structure: its name and kind. Kinds are "8" to
// "64" for numbers of so many bits, "V" for opaque<V> and other vectors, "V:X"
// for an opaque<V> that holds an X, "#16" for 16 octets (also 32 and 64), "?X" for optional<X>,
// "rest" for all that is left, and names of structures.
type schemaField struct{ name, kind string }

// schema describes structures for those who change one field of them. It is
// made from the document, not from the codecs.
var schema = map[string][]schemaField{
	"Credential":                        {{"type", "16"}, {"certificates", "V"}},
	"PseudonymousCredentialTBS":         {{"client_pseudonym", "V"}, {"user_pseudonym", "V"}, {"signature_public_key", "V"}},
	"PseudonymousCredential":            {{"client_pseudonym", "V"}, {"user_pseudonym", "V"}, {"signature_public_key", "V"}, {"identity_link_ciphertext", "V:IdentityLinkCiphertext"}},
	"IdentityLinkTBE":                   {{"pseudonymous_credential_signature", "V"}, {"client_credential", "Credential"}},
	"IdentityLinkCiphertext":            {{"commitment", "V"}, {"nonce", "V"}, {"ciphertext", "V"}},
	"Padded":                            {{"x", "V"}, {"padding", "rest"}},
	"EncryptedIdentityLinkKey":          {{"wrapper_epoch", "64"}, {"nonce", "V"}, {"ciphertext", "V"}},
	"AddAAD":                            {{"encrypted_identity_link_keys", "V"}},
	"IdentityLinkEntry":                 {{"leaf_index", "32"}, {"key", "?EncryptedIdentityLinkKey"}},
	"IdentityLinkTable":                 {{"group_id", "V"}, {"epoch", "64"}, {"entries", "V"}},
	"WrapperKey":                        {{"wrapper_epoch", "64"}, {"key", "V"}},
	"IdentityLinkWrapperKeys":           {{"keys", "V"}, {"table", "IdentityLinkTable"}},
	"IdentityLinkState":                 {{"newest_generation", "64"}, {"newest_key_commitment", "V"}, {"table_hash", "V"}},
	"JoinBundle":                        {{"nonce", "V"}, {"ciphertext", "V"}},
	"EncryptedRoomMetadata":             {{"wrapper_epoch", "64"}, {"nonce", "V"}, {"ciphertext", "V"}},
	"MinimalMetadataPolicy":             {{"version", "8"}, {"requirement", "8"}, {"mode", "8"}, {"connection_room", "8"}, {"max_users", "32"}},
	"SiblingProof":                      {{"leaf_index", "32"}, {"signature", "V"}},
	"HPKECiphertext":                    {{"kem_output", "V"}, {"ciphertext", "V"}},
	"QueueReference":                    {{"domain", "V"}, {"key_id", "8"}, {"sealed_queue_id", "HPKECiphertext"}},
	"QueueId":                           {{"queue_id", "V"}, {"not_after", "64"}},
	"ConnectionEstablishmentPackageTBS": {{"version", "16"}, {"cipher_suite", "16"}, {"user_uri", "V"}, {"establishment_public_key", "V"}, {"not_before", "64"}, {"not_after", "64"}, {"last_resort", "8"}, {"client_credential", "Credential"}},
	"ConnectionEstablishmentPackage":    {{"tbs", "ConnectionEstablishmentPackageTBS"}, {"signature", "V"}},
	"ConnectionRequest":                 {{"requester_client_credential", "Credential"}, {"connection_room_id", "V"}, {"connection_room_identity_link_wrapper_key", "V"}, {"requester_connection_key", "V"}, {"connection_response_key", "V"}, {"requester_connection_token", "V"}, {"join_secret", "V"}, {"created_at_ms", "64"}},
	"SignedConnectionRequest":           {{"request", "ConnectionRequest"}, {"signature", "V"}},
	"ConnectionRequestContext":          {{"recipient_user_uri", "V"}, {"cep_ref", "V"}},
	"ConnectionRequestEnvelope":         {{"target", "V"}, {"cep_ref", "V"}, {"request", "HPKECiphertext"}},
	"ConnectionResponse":                {{"responder_connection_key", "V"}, {"responder_connection_token", "V"}},
	"ConnectionResponseContext":         {{"connection_room_id", "V"}, {"request_ref", "V"}, {"responder_tbs", "PseudonymousCredentialTBS"}},
	"SealedConnectionToken":             {{"domain", "V"}, {"key_id", "8"}, {"sealed", "HPKECiphertext"}},
	"ConnectionTokenContent":            {{"connection_token", "V"}, {"nonce", "#16"}, {"created_at_ms", "64"}, {"response_key", "V"}},
	"RequiredCapabilities":              {{"extensions", "V"}, {"proposals", "V"}, {"credentials", "V"}},
	"PseudonymousOuterCredential":       {{"type", "16"}, {"pseudonymous_credential", "V:PseudonymousCredential"}},
	"AnonymousKeyMaterialRequest": {
		{"protocol", "8"},
		{"requestingUser", "V"},
		{"targetUser", "V"},
		{"roomId", "V"},
		{"acceptableCiphersuites", "V"},
		{"requiredCapabilities", "RequiredCapabilities"},
		{"requesterSignatureKey", "V"},
		{"requesterCredential", "PseudonymousOuterCredential"},
		{"token", "SealedConnectionToken"},
		{"key_material_request_signature", "V"},
	},
	"SafeAAD":                 {{"items", "V:SafeAADItem"}},
	"SafeAADItem":             {{"component_id", "16"}, {"data", "V"}},
	"Extension":               {{"extension_type", "16"}, {"extension_data", "V:AppDataDictionary"}},
	"AppDataDictionary":       {{"component_data", "V"}},
	"MinimalMetadataFanout":   {{"message", "FanoutMessage"}, {"targets", "V:FanoutTarget"}},
	"FanoutMessage":           {{"timestamp", "64"}, {"message", "MLSMessage"}, {"frank", "8"}},
	"FanoutTarget":            {{"queue", "QueueReference"}, {"tbs", "PseudonymousCredentialTBS"}},
	"MLSMessage":              {{"version", "16"}, {"wire_format", "16"}, {"group_id", "V"}, {"epoch", "64"}, {"content_type", "8"}, {"authenticated_data", "V"}, {"encrypted_sender_data", "V"}, {"ciphertext", "V"}},
	"GroupInfoRatchetTreeTBE": {{"groupInfo", "GroupInfo"}, {"ratchetTreeOption", "8"}, {"pending_proposals", "V"}, {"table", "?IdentityLinkTable"}, {"link_bundle", "V:JoinBundle"}},
	"GroupInfo":               {{"group_context", "GroupContext"}, {"extensions", "V:Extension"}, {"confirmation_tag", "V"}, {"signer", "32"}, {"signature", "V"}},
	"GroupContext":            {{"version", "16"}, {"cipher_suite", "16"}, {"group_id", "V"}, {"epoch", "64"}, {"tree_hash", "V"}, {"confirmed_transcript_hash", "V"}, {"extensions", "V"}},
	"KeyMaterialResponse":     {{"protocol", "8"}, {"userStatus", "8"}, {"userUri", "V"}, {"clients", "V"}},
	"ConnectionRequestTBS":    {{"request", "ConnectionRequest"}, {"recipient_user_uri", "V"}, {"cep_ref", "V"}},
	"JoinLink":                {{"text", "rest"}},
	"KeyMaterialUpload":       {{"version", "16"}, {"cipher_suite", "16"}, {"token_hash", "V"}, {"sequence", "64"}, {"client_slots", "V"}, {"dropped_sets", "V"}, {"key_packages", "V"}, {"tokens", "V"}, {"upload_key", "V"}, {"signature", "V"}},
	"UploadToken":             {{"key_id", "8"}, {"nonce", "#32"}, {"output", "#64"}},
	"JoinCodeRegistration":    {{"room_id", "V"}, {"code_hash", "V"}, {"bundle", "V"}, {"not_after", "64"}, {"uses", "32"}, {"signature", "V"}},
}

// fieldLength returns how many octets the field at the start of b takes, and how
// many of them are a length or a presence octet.
func fieldLength(kind string, b []byte) (n, header int) {
	switch {
	case kind == "8" || kind == "16" || kind == "32" || kind == "64":
		return map[string]int{"8": 1, "16": 2, "32": 4, "64": 8}[kind], 0
	case kind == "#16" || kind == "#32" || kind == "#64":
		return map[string]int{"#16": 16, "#32": 32, "#64": 64}[kind], 0
	case kind == "rest":
		return len(b), 0
	case kind[0] == 'V':
		header = 1 << (b[0] >> 6)
		var length [8]byte
		copy(length[8-header:], b[:header])
		length[8-header] &= 0x3f
		return header + int(binary.BigEndian.Uint64(length[:])), header
	case kind[0] == '?':
		if b[0] == 0 {
			return 1, 1
		}
		n, _ = fieldLength(kind[1:], b[1:])
		return n + 1, 1
	}
	for _, f := range schema[kind] {
		m, _ := fieldLength(f.kind, b[n:])
		n += m
	}
	return n, 0
}

// vectorOf puts the length before b.
func vectorOf(b []byte) []byte {
	switch n := len(b); {
	case n < 1<<6:
		return append([]byte{byte(n)}, b...)
	case n < 1<<14:
		return append([]byte{0x40 | byte(n>>8), byte(n)}, b...)
	default:
		return append([]byte{0x80 | byte(n>>24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
	}
}

// changed returns the structure b with the field at path changed.
func (k *answerSet) changed(structure, path, change string, b []byte) []byte {
	if path == "" {
		return k.changeField("rest", change, b)
	}
	name, below, nested := strings.Cut(path, ".")
	at := 0
	for _, f := range schema[structure] {
		n, header := fieldLength(f.kind, b[at:])
		if f.name != name {
			at += n
			continue
		}
		field := b[at : at+n]
		switch content := field[header:]; {
		case !nested:
			field = k.changeField(f.kind, change, field)
		case f.kind[0] == 'V':
			field = vectorOf(k.changed(f.kind[2:], below, change, content))
		case f.kind[0] == '?':
			field = append([]byte{1}, k.changed(f.kind[1:], below, change, content)...)
		default:
			field = k.changed(f.kind, below, change, content)
		}
		return append(append(append([]byte(nil), b[:at]...), field...), b[at+n:]...)
	}
	k.t.Fatalf("%s has no field %s", structure, name)
	return nil
}

// changeField returns the encoding of a field after a change:
//
//	flip      the last bit is another one
//	cut       the content is one octet shorter
//	grow      the content is one octet longer, a zero
//	empty     there is no content
//	long      the length is written in four octets where fewer are enough
//	set HEX   the encoding is this one
//	use NAME  the encoding is the input NAME
func (k *answerSet) changeField(kind, change string, field []byte) []byte {
	_, header := fieldLength(kind, field)
	content := append([]byte(nil), field[header:]...)
	wrap := func(b []byte) []byte { return b }
	if kind[0] == 'V' {
		wrap = vectorOf
	}
	how, value, _ := strings.Cut(change, " ")
	switch how {
	case "flip":
		content[len(content)-1] ^= 1
		return wrap(content)
	case "cut":
		return wrap(content[:len(content)-1])
	case "grow":
		return wrap(append(content, 0))
	case "empty":
		return wrap(nil)
	case "long":
		return append(binary.BigEndian.AppendUint32(nil, 2<<30|uint32(len(content))), content...)
	case "set":
		return ok(hex.DecodeString(value))(k)
	case "use":
		return k.inputOctets(value)
	}
	panic(fmt.Sprintf("no change %q", change))
}

func (k *answerSet) inputOctets(name string) []byte {
	k.t.Helper()
	if k.Inputs[name] == "" {
		k.t.Fatalf("no input %s", name)
	}
	return ok(hex.DecodeString(k.Inputs[name]))(k)
}

// octets returns an answer.
func (k *answerSet) octets(name string) []byte {
	k.t.Helper()
	if k.Answers[name] == "" {
		k.t.Fatalf("no answer %s", name)
	}
	return ok(hex.DecodeString(k.Answers[name]))(k)
}

// TestRefusedCasesCoverEveryStructure: the negative set changes at least one field of
// each structure that the document describes.
func TestRefusedCasesCoverEveryStructure(t *testing.T) {
	changed := map[string]bool{}
	for _, c := range append(refusedCases(), messageCases()...) {
		structure := c.structure()
		for rest := c.field; rest != ""; {
			var name string
			name, rest, _ = strings.Cut(rest, ".")
			for _, f := range schema[structure] {
				if f.name == name && rest == "" {
					changed[structure] = true
				} else if f.name == name {
					structure = strings.TrimPrefix(strings.TrimPrefix(f.kind, "V:"), "?")
					break
				}
			}
		}
	}
	whole := map[string]bool{"JoinLink": true} // a text without fields
	for structure := range schema {
		if !changed[structure] && !whole[structure] {
			t.Errorf("no case changes a field of %s", structure)
		}
	}
}
