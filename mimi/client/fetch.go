package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// fetch gets a set of KeyPackages of a person, for a room that the account is in.
func (c *Client) fetch(ctx context.Context, account, room, user mimi.URI) ([]keymaterial.Checked, error) {
	if user == account {
		return nil, ErrAlreadyMember
	}
	if user.Domain == c.cfg.Domain {
		return c.fetchHere(ctx, account, user)
	}
	contact, secret, err := c.contact(ctx, account, user)
	if errors.Is(err, ErrNotFound) || err == nil && (contact.State != ContactConnected || secret.Theirs == nil) {
		return nil, ErrNotConnected
	} else if err != nil {
		return nil, err
	}
	directory, err := c.directory(ctx, user.Domain)
	if err != nil {
		return nil, err
	}
	target, ok := directory.KeyMaterialKey(c.cfg.Suite.ID(), c.cfg.Clock.Now())
	if !ok {
		return nil, protocol.ErrNoProfile
	}
	request, response, err := c.materialRequest(ctx, account, room, user.Domain, target, secret.Theirs)
	if err != nil {
		return nil, err
	}
	call, cancel := c.call(ctx)
	defer cancel()
	sealed, err := c.cfg.Hub.RelayKeyMaterial(call, request)
	if err != nil {
		if verdict := hubVerdict(err); verdict != nil {
			return nil, verdict
		}
		return nil, unreachable(err)
	}
	hash, err := request.Hash()
	if err != nil {
		return nil, err
	}
	answer, err := sealed.Open(c.cfg.Suite, response, hash)
	if err != nil {
		return nil, c.checked(fmt.Errorf("client: key material: %w", mimi.Refuse("key-answer-opens", err)))
	}
	return c.checkSet(ctx, user, secret.Theirs, answer)
}

// directory returns the directory document of a domain.
func (c *Client) directory(ctx context.Context, domain string) (*protocol.Directory, error) {
	call, cancel := c.call(ctx)
	defer cancel()
	d, err := c.cfg.Peers.Directory(call, domain)
	if err != nil {
		return nil, unreachable(err)
	}
	return d, nil
}

// materialRequest makes a request for key material, signed by the account's leaf,
// and the key that opens its answer.
func (c *Client) materialRequest(ctx context.Context, account, uri mimi.URI, domain string, target identity.ProviderKey, theirs *connection.Keys) (*protocol.AnonymousKeyMaterialRequest, suite.HPKEPrivateKey, error) {
	response, err := c.cfg.Suite.GenerateHPKEKey(c.cfg.Random)
	if err != nil {
		return nil, response, err
	}
	request := &protocol.AnonymousKeyMaterialRequest{
		Target: protocol.KeyMaterialTarget{Domain: domain}, Room: uri,
		Requester: protocol.Requester{CipherSuites: []suite.ID{c.cfg.Suite.ID()}, Required: identity.RequiredCapabilities()},
	}
	content := &protocol.ConnectionTokenContent{
		Token: theirs.Token, Nonce: make([]byte, protocol.TokenNonceSize), Created: c.cfg.Clock.Now(), ResponseKey: response.Public(),
	}
	if _, err := io.ReadFull(c.cfg.Random, content.Nonce); err != nil {
		return nil, response, fmt.Errorf("client: nonce: %w", err)
	}
	return request, response, c.withRoom(ctx, uri, func(r *room) error {
		own, err := r.speaker(account)
		if err != nil {
			return err
		}
		tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
		member, there := r.group.View().Member(mls.LeafIndex(own.Index))
		key, known := r.group.SignatureKey(mls.LeafIndex(own.Index))
		if !ok || !there || !known {
			return ErrNotMember
		}
		token, err := protocol.SealConnectionToken(domain, target, uri, tbs, content)
		if err != nil {
			return err
		}
		request.RequestingUser, request.Token, request.Requester.Credential = tbs.UserPseudonym, *token, member.Leaf.Credential
		return request.Sign(r.suite, key)
	})
}

// fetchHere makes a set of KeyPackages of another account here. The hub need not
// know that there was a fetch.
func (c *Client) fetchHere(ctx context.Context, account, user mimi.URI) ([]keymaterial.Checked, error) {
	secret, err := c.colleague(ctx, account, user)
	if err != nil {
		return nil, err
	}
	var answer *protocol.KeyMaterialResponse
	err = c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		owner := tokenOwner{user, account}
		_, theirs, err := c.contact(ctx, owner.account, owner.peer)
		if err != nil {
			return err
		}
		if theirs.State != connection.Connected || theirs.Ours == nil {
			return ErrNotConnected
		}
		// Nothing is stored at the provider, and nobody else could fetch it.
		rows, err := c.makeSets(ctx, owner, theirs, keymaterial.Plan{Begin: keymaterial.Stock{Single: 1}})
		if err != nil {
			return err
		}
		answer, err = keymaterial.Response(&keymaterial.Set{Rows: rows})
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.checkSet(ctx, user, secret.Theirs, answer)
}

// checkSet makes the adder's checks.
func (c *Client) checkSet(ctx context.Context, user mimi.URI, theirs *connection.Keys, answer *protocol.KeyMaterialResponse) ([]keymaterial.Checked, error) {
	authority, err := c.authority(ctx, user.Domain)
	if err != nil {
		return nil, err
	}
	set, reused, err := keymaterial.CheckSet(ctx, keymaterial.CheckConfig{
		Suite: c.cfg.Suite, User: user, Key: theirs.Key, Authority: authority, Pseudonyms: c.cfg.Pseudonyms, Clock: c.cfg.Clock,
	}, answer)
	if err != nil {
		if errors.Is(err, identity.ErrIssuer) {
			c.spawn(func(ctx context.Context) { c.recheck(ctx, user.Domain) })
		}
		return nil, c.checked(materialError(err))
	}
	if reused > 0 {
		c.cfg.Log.WarnContext(ctx, "key material of last resort was used again; two rooms share a pseudonym", "times", reused)
	}
	return set, nil
}

// materialError marks what the person is to be told: that the other provider has
// refused, or that what it sent has not passed a check.
func materialError(err error) error {
	if refused, ok := errors.AsType[*protocol.KeyMaterialError](err); ok {
		switch refused.Code {
		case protocol.KeyMaterialNoConsent, protocol.KeyMaterialNoConsentForThisRoom:
			return fmt.Errorf("%w: %w", ErrNoConsent, err)
		case protocol.KeyMaterialUserUnknown, protocol.KeyMaterialUserDeleted:
			return fmt.Errorf("%w: %w", ErrNoPerson, err)
		default:
			return fmt.Errorf("%w: %w", ErrNoMaterial, err)
		}
	}
	if mimi.CheckOf(err) != "" {
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return fmt.Errorf("client: key material: %w", err)
}

// KeyMaterial hands out KeyPackages of local users to the hub at from, for a
// member of one of its rooms (docs/mmr-profile.md, section 5).
func (c *Client) KeyMaterial(ctx context.Context, from string, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	done, err := c.serve()
	if err != nil {
		return nil, err
	}
	defer done()
	answer, err := c.provider.KeyMaterial(ctx, from, req)
	if err == nil && c.cfg.Faults.uploadsAtOnce() {
		err = c.refillAll(ctx)
	}
	return answer, err
}
