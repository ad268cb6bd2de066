package mls_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// friends is a policy that knows its members by name.
type friends struct{}

func (friends) ValidateCredential(_ context.Context, c mls.Credential, _ []byte) error {
	if c.Type != mls.CredentialBasic {
		return fmt.Errorf("credential type %d", c.Type)
	}
	return nil
}

func (friends) SameClient(old, new mls.Credential) bool { return bytes.Equal(old.Body, new.Body) }

func (friends) ValidateProposal(context.Context, *mls.ProposalView) error { return nil }

func (friends) ApplyComponent(_ context.Context, id mls.ComponentID, _ []byte, _ [][]byte) ([]byte, error) {
	return nil, fmt.Errorf("component %#x is not known", id)
}

func (friends) ValidateCommit(context.Context, *mls.CommitView) error { return nil }

// Alice makes a group, lets the hub track it, and adds Bob, who reads her
// message.
func Example() {
	ctx := context.Background()
	cfg := mls.Config{Policy: friends{}, Random: rand.Reader, Now: time.Now}
	leaf := func(name string) mls.LeafParams {
		s, _ := suite.Lookup(suite.X25519AES128)
		key, err := s.GenerateSignatureKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		c := mls.DefaultCapabilities()
		c.Credentials = []mls.CredentialType{mls.CredentialBasic}
		return mls.LeafParams{Credential: mls.BasicCredential([]byte(name)), Capabilities: c, SignatureKey: key}
	}

	// Alice creates the group, and the hub starts from her GroupInfo.
	alice, err := mls.Create(ctx, cfg, mls.CreateParams{CipherSuite: suite.X25519AES128, GroupID: []byte("room"), Leaf: leaf("alice")})
	if err != nil {
		panic(err)
	}
	gi, err := alice.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
	if err != nil {
		panic(err)
	}
	hub, err := mls.NewPublicGroup(ctx, cfg, gi, alice.RatchetTree())
	if err != nil {
		panic(err)
	}

	// Bob has published a KeyPackage. Alice commits an Add.
	now := uint64(time.Now().Unix())
	bobKeys, err := mls.NewKeyPackage(rand.Reader, mls.KeyPackageParams{
		CipherSuite: suite.X25519AES128, Leaf: leaf("bob"), NotBefore: now - 3600, NotAfter: now + 86400,
	})
	if err != nil {
		panic(err)
	}
	pending, err := alice.Commit(ctx, 0, mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: bobKeys.KeyPackage}}})
	if err != nil {
		panic(err)
	}

	// Here the rows of alice.Dirty() are stored. Then the hub decides.
	staged, err := hub.Stage(ctx, pending.Message)
	if err != nil {
		panic(err)
	}
	if err := hub.Apply(staged, pending.GroupInfo); err != nil {
		panic(err)
	}
	if _, err := alice.Merge(ctx); err != nil {
		panic(err)
	}

	// Bob gets the Welcome, and then a message.
	bob, _, err := mls.JoinWelcome(ctx, cfg, pending.Welcome, bobKeys, nil)
	if err != nil {
		panic(err)
	}
	message, err := alice.Protect(0, []byte("hello"), mls.AuthenticatedData{})
	if err != nil {
		panic(err)
	}
	r, err := bob.Process(ctx, &mls.MLSMessage{PrivateMessage: message})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s says %q in epoch %d\n", r.Application.SenderLeaf.Credential.Body, r.Application.Data, r.Application.Epoch)
	fmt.Println("the hub counts", len(hub.Roster()), "members")
	// Output:
	// alice says "hello" in epoch 1
	// the hub counts 2 members
}
