// Package mlspeer lets other MLS implementations be driven, and drive ours,
// through JSON lines: one request, one answer.
//
// A peer is one client, with at most one group at a time. Octet strings are in
// hex; messages are MLSMessages of RFC 9420, section 6; a ratchet tree is the
// content of the ratchet_tree extension. [Help] describes every request.
package mlspeer

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Hex is an octet string that JSON carries in hex.
type Hex []byte

// MarshalText encodes h in hex.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText decodes hex.
func (h *Hex) UnmarshalText(b []byte) error {
	decoded, err := hex.AppendDecode(make([]byte, 0, len(b)/2), b)
	*h = decoded
	return err
}

// An Extension is an extension of any type.
type Extension struct {
	Type uint16 `json:"type"`
	Data Hex    `json:"data"`
}

// A Custom is a proposal of any type, as the octets that follow its type.
type Custom struct {
	Type uint16 `json:"type"`
	Data Hex    `json:"data"`
}

// Init are the parameters of "init".
type Init struct {
	Suite           uint16   `json:"suite"`
	Identity        Hex      `json:"identity"`
	CredentialType  uint16   `json:"credential_type,omitempty"`
	Extensions      []uint16 `json:"extensions,omitempty"`
	Proposals       []uint16 `json:"proposals,omitempty"`
	Credentials     []uint16 `json:"credentials,omitempty"`
	PublicHandshake bool     `json:"public_handshake"`
}

// KeyPackage are the parameters of "keypackage".
type KeyPackage struct {
	Extensions     []Extension `json:"extensions,omitempty"`
	LeafExtensions []Extension `json:"leaf_extensions,omitempty"`
}

// Create are the parameters of "create".
type Create struct {
	GroupID    Hex         `json:"group_id"`
	Extensions []Extension `json:"extensions,omitempty"`
}

// Commit are the parameters of "commit".
type Commit struct {
	Add        []Hex        `json:"add,omitempty"`
	Remove     []uint32     `json:"remove,omitempty"`
	GCE        *[]Extension `json:"gce,omitempty"`
	Custom     []Custom     `json:"custom,omitempty"`
	PSK        []Hex        `json:"psk,omitempty"`
	Resumption []uint64     `json:"resumption,omitempty"`
	AAD        Hex          `json:"aad,omitempty"`
	Tree       bool         `json:"tree"`
}

// Propose are the parameters of "propose": one proposal.
type Propose struct {
	Add        Hex          `json:"add,omitempty"`
	Remove     *uint32      `json:"remove,omitempty"`
	Update     bool         `json:"update,omitempty"`
	GCE        *[]Extension `json:"gce,omitempty"`
	Custom     *Custom      `json:"custom,omitempty"`
	PSK        Hex          `json:"psk,omitempty"`
	SelfRemove bool         `json:"self_remove,omitempty"`
	AAD        Hex          `json:"aad,omitempty"`
}

// Join are the parameters of "join".
type Join struct {
	Welcome Hex `json:"welcome"`
	Tree    Hex `json:"tree,omitempty"`
}

// ExternalJoin are the parameters of "external_join".
type ExternalJoin struct {
	GroupInfo Hex   `json:"group_info"`
	Tree      Hex   `json:"tree,omitempty"`
	AAD       Hex   `json:"aad,omitempty"`
	Resync    bool  `json:"resync,omitempty"`
	PSK       []Hex `json:"psk,omitempty"`
}

// ExternalPropose are the parameters of "external_propose": one proposal.
type ExternalPropose struct {
	GroupInfo Hex     `json:"group_info"`
	Add       Hex     `json:"add,omitempty"`
	Remove    *uint32 `json:"remove,omitempty"`
}

// Process are the parameters of "process".
type Process struct {
	Msg Hex `json:"msg"`
}

// Protect are the parameters of "protect".
type Protect struct {
	Data Hex `json:"data"`
	AAD  Hex `json:"aad,omitempty"`
}

// GroupInfo are the parameters of "group_info".
type GroupInfo struct {
	Tree bool `json:"tree"`
}

// Export are the parameters of "export".
type Export struct {
	Label   string `json:"label"`
	Context Hex    `json:"context"`
	Length  int    `json:"length"`
}

// PSK are the parameters of "psk".
type PSK struct {
	ID  Hex `json:"psk_id"`
	PSK Hex `json:"psk"`
}

// None are the parameters of a request that has none.
type None struct{}

// An Answer is the answer to any request. A field that has no meaning for it is
// absent.
type Answer struct {
	OK          bool   `json:"ok"`
	Error       string `json:"error,omitempty"`
	Unsupported bool   `json:"unsupported,omitempty"`

	SignatureKey Hex `json:"signature_key,omitempty"`
	KeyPackage   Hex `json:"key_package,omitempty"`
	Commit       Hex `json:"commit,omitempty"`
	Welcome      Hex `json:"welcome,omitempty"`
	GroupInfo    Hex `json:"group_info,omitempty"`
	Tree         Hex `json:"tree,omitempty"`
	Proposal     Hex `json:"proposal,omitempty"`
	Msg          Hex `json:"msg,omitempty"`
	Secret       Hex `json:"secret,omitempty"`

	Kind   string  `json:"kind,omitempty"`
	Data   Hex     `json:"data,omitempty"`
	AAD    Hex     `json:"aad,omitempty"`
	Sender *uint32 `json:"sender,omitempty"`
	Active *bool   `json:"active,omitempty"`

	GroupID            Hex         `json:"group_id,omitempty"`
	Epoch              uint64      `json:"epoch,omitempty"`
	TreeHash           Hex         `json:"tree_hash,omitempty"`
	EpochAuthenticator Hex         `json:"epoch_authenticator,omitempty"`
	Own                *uint32     `json:"own,omitempty"`
	Roster             []Member    `json:"roster,omitempty"`
	Extensions         []Extension `json:"extensions,omitempty"`

	// NS is how many nanoseconds the library took.
	NS int64 `json:"ns,omitempty"`
}

// A Member is one entry of the roster.
type Member struct {
	Index          uint32 `json:"index"`
	Identity       Hex    `json:"identity"`
	CredentialType uint16 `json:"credential_type"`
	SignatureKey   Hex    `json:"signature_key"`
}

// The kinds of processed messages.
const (
	KindApplication = "application"
	KindProposal    = "proposal"
	KindCommit      = "commit"
)

// MarshalRequest encodes a request: an object with the member "op" and those of
// params.
func MarshalRequest(op string, params any) ([]byte, error) {
	encoded, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(struct {
		Op string `json:"op"`
	}{op})
	if err != nil || bytes.Equal(encoded, []byte("{}")) {
		return head, err
	}
	return fmt.Appendf(nil, "%s,%s", head[:len(head)-1], encoded[1:]), nil
}

// unmarshalParams decodes the members of a request beside "op". A name that
// params does not have is an error: a misspelt option must not be ignored.
func unmarshalParams(request []byte, params any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(request, &members); err != nil {
		return err
	}
	delete(members, "op")
	rest, err := json.Marshal(members)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(rest))
	d.DisallowUnknownFields()
	if err := d.Decode(params); err != nil {
		return fmt.Errorf("failed to read the parameters: %w", err)
	}
	return nil
}

// Help writes the description of the protocol.
func Help(w io.Writer) error {
	_, err := io.WriteString(w, help)
	return err
}

const help = `usage: mimi-lab mls-peer

An MLS client that is driven through JSON lines: it reads one request per line
from standard input, and writes one answer per line to standard output. It ends
with its input. It accepts every credential, and is for tests only.

Octets are in hex. Messages, GroupInfos and KeyPackages are MLSMessages of
RFC 9420, section 6; a tree is the content of the ratchet_tree extension. An
extension is {"type":N,"data":HEX}; so is a custom proposal, whose data are the
octets behind the type. An answer is {"ok":true,...}, or
{"ok":false,"error":TEXT}, with "unsupported":true if the implementation has no
such feature. "ns" is how many nanoseconds the library took, without JSON and hex.
A member that is absent or empty counts as false, 0 or empty.

{"op":"init","suite":1,"identity":HEX,"credential_type":1,"extensions":[N],
 "proposals":[N],"credentials":[N],"public_handshake":true}
    Starts as a new client, with a new signature key, and forgets everything
    else. The lists are what its capabilities name beside the default types.
    public_handshake false: handshake messages are sent as PrivateMessages.
    Answers signature_key.
{"op":"keypackage","extensions":[EXT],"leaf_extensions":[EXT]}
    Answers key_package, whose private keys the peer keeps.
{"op":"create","group_id":HEX,"extensions":[EXT]}
    Makes a group of one member with these GroupContext extensions.
{"op":"commit","add":[HEX],"remove":[LEAF],"gce":[EXT],"custom":[CUSTOM],
 "psk":[PSK_ID],"resumption":[EPOCH],"aad":HEX,"tree":true}
    Commits all pending proposals and those given here, with a path. It takes
    effect in this peer at once. tree: the Welcome carries the ratchet tree.
    Answers commit, and welcome if there are new members.
{"op":"propose","add":HEX | "remove":LEAF | "update":true | "gce":[EXT] |
 "custom":CUSTOM | "psk":PSK_ID | "self_remove":true, "aad":HEX}
    Makes one proposal. Answers proposal.
{"op":"join","welcome":HEX,"tree":HEX}
    Joins by a Welcome with one of the KeyPackages made before. Its group, if
    it has one, is forgotten.
{"op":"external_join","group_info":HEX,"tree":HEX,"aad":HEX,"psk":[PSK_ID],
 "resync":false}
    Joins by an external Commit. resync: removes the own leaf. Answers commit.
{"op":"external_propose","group_info":HEX,"add":HEX | "remove":LEAF}
    Makes one proposal from outside of the group that the GroupInfo describes:
    as the external sender with this client's key, or, for an own KeyPackage if
    there is none, as a new member. Answers proposal.
{"op":"process","msg":HEX}
    Processes a message. Answers kind ("application", "proposal", "commit"),
    sender (a leaf, absent for others than members), aad; data of application
    messages; active after commits: false if the commit removed this peer.
{"op":"protect","data":HEX,"aad":HEX}
    Encrypts application data. Answers msg.
{"op":"group_info","tree":true}
    Answers group_info with the key for external joins, and tree. The tree is
    also in the GroupInfo if asked for.
{"op":"export","label":TEXT,"context":HEX,"length":N}
    Answers secret, from the exporter.
{"op":"state"}
    Answers group_id, epoch, tree_hash, epoch_authenticator, own (leaf),
    extensions (of the GroupContext) and the roster.
{"op":"psk","psk_id":HEX,"psk":HEX}
    Keeps an external PSK.
`
