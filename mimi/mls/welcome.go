package mls

import (
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// GroupSecrets is what a new member needs besides the GroupInfo (RFC 9420,
// section 12.4.3.1).
//
//	struct {
//	    opaque path_secret<V>;
//	} PathSecret;
//
//	struct {
//	    opaque joiner_secret<V>;
//	    optional<PathSecret> path_secret;
//	    PreSharedKeyID psks<V>;
//	} GroupSecrets;
type GroupSecrets struct {
	JoinerSecret suite.Secret
	PathSecret   *suite.Secret
	PSKs         []PreSharedKeyID
}

// Wire codes the structure.
func (g *GroupSecrets) Wire(c *wire.Codec) {
	g.JoinerSecret.Wire(c)
	wire.Optional(c, &g.PathSecret, wire.Struct)
	wire.Vector(c, &g.PSKs, wire.Struct)
}

// EncryptedGroupSecrets is a [GroupSecrets] for the owner of one KeyPackage (RFC
// 9420, section 12.4.3.1).
//
//	struct {
//	    KeyPackageRef new_member;
//	    HPKECiphertext encrypted_group_secrets;
//	} EncryptedGroupSecrets;
type EncryptedGroupSecrets struct {
	NewMember KeyPackageRef
	Secrets   HPKECiphertext
}

// Wire codes the structure.
func (e *EncryptedGroupSecrets) Wire(c *wire.Codec) {
	wire.Opaque(c, &e.NewMember)
	e.Secrets.Wire(c)
}

// A Welcome lets new members into a group (RFC 9420, section 12.4.3.1).
//
//	struct {
//	    CipherSuite cipher_suite;
//	    EncryptedGroupSecrets secrets<V>;
//	    opaque encrypted_group_info<V>;
//	} Welcome;
type Welcome struct {
	CipherSuite        CipherSuite
	Secrets            []EncryptedGroupSecrets
	EncryptedGroupInfo []byte
}

// Wire codes the structure.
func (m *Welcome) Wire(c *wire.Codec) {
	wire.Uint16(c, &m.CipherSuite)
	wire.Vector(c, &m.Secrets, wire.Struct)
	wire.Opaque(c, &m.EncryptedGroupInfo)
}
