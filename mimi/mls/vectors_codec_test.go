package mls

import (
	"bytes"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// again decodes b into m and fails unless m encodes to b.
func again(t *testing.T, what string, b []byte, m wire.Message) {
	t.Helper()
	if err := wire.Unmarshal(b, m); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	out, err := wire.Marshal(m)
	if err != nil {
		t.Errorf("%s: encode: %v", what, err)
	}
	if !bytes.Equal(out, b) {
		t.Errorf("%s: encodes to other octets than it was decoded from", what)
	}
}

type messagesVector struct {
	Welcome                vectors.Hex `json:"mls_welcome"`
	GroupInfo              vectors.Hex `json:"mls_group_info"`
	KeyPackage             vectors.Hex `json:"mls_key_package"`
	RatchetTree            vectors.Hex `json:"ratchet_tree"`
	GroupSecrets           vectors.Hex `json:"group_secrets"`
	Add                    vectors.Hex `json:"add_proposal"`
	Update                 vectors.Hex `json:"update_proposal"`
	Remove                 vectors.Hex `json:"remove_proposal"`
	PreSharedKey           vectors.Hex `json:"pre_shared_key_proposal"`
	ReInit                 vectors.Hex `json:"re_init_proposal"`
	ExternalInit           vectors.Hex `json:"external_init_proposal"`
	GroupContextExtensions vectors.Hex `json:"group_context_extensions_proposal"`
	Commit                 vectors.Hex `json:"commit"`
	PublicApplication      vectors.Hex `json:"public_message_application"`
	PublicProposal         vectors.Hex `json:"public_message_proposal"`
	PublicCommit           vectors.Hex `json:"public_message_commit"`
	PrivateMessage         vectors.Hex `json:"private_message"`
}

func TestVectorsMessages(t *testing.T) {
	vectors.Run(t, "messages", func(t *testing.T, c messagesVector) {
		for what, b := range map[string]vectors.Hex{
			"mls_welcome": c.Welcome, "mls_group_info": c.GroupInfo, "mls_key_package": c.KeyPackage,
			"public_message_application": c.PublicApplication, "public_message_proposal": c.PublicProposal,
			"public_message_commit": c.PublicCommit, "private_message": c.PrivateMessage,
		} {
			again(t, what, b, new(MLSMessage))
		}
		again(t, "ratchet_tree", c.RatchetTree, new(RatchetTree))
		again(t, "group_secrets", c.GroupSecrets, new(GroupSecrets))
		again(t, "add_proposal", c.Add, new(Add))
		again(t, "update_proposal", c.Update, new(Update))
		again(t, "remove_proposal", c.Remove, new(Remove))
		again(t, "pre_shared_key_proposal", c.PreSharedKey, new(PreSharedKey))
		again(t, "re_init_proposal", c.ReInit, new(ReInit))
		again(t, "external_init_proposal", c.ExternalInit, new(ExternalInit))
		again(t, "group_context_extensions_proposal", c.GroupContextExtensions, new(GroupContextExtensions))
		again(t, "commit", c.Commit, new(Commit))
	})
}

type deserializationVector struct {
	Header vectors.Hex `json:"vlbytes_header"`
	Length int
}

type vectorLength int

func (l *vectorLength) Wire(c *wire.Codec) { wire.Length(c, (*int)(l)) }

func TestVectorsDeserialization(t *testing.T) {
	vectors.Run(t, "deserialization", func(t *testing.T, c deserializationVector) {
		var l vectorLength
		again(t, "header", c.Header, &l)
		if int(l) != c.Length {
			t.Errorf("length %d, want %d", l, c.Length)
		}
	})
}
