package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// invitePlain adds a person to a plain room.
func (c *Client) invitePlain(ctx context.Context, account, uri, user mimi.URI) error {
	if !c.cfg.PlainRooms {
		return ErrPlainRooms
	}
	packages, err := c.fetchPlain(ctx, account, uri, user)
	if err != nil {
		return err
	}
	err = c.commit(ctx, uri, account, func(ctx context.Context, r *room, _ *Leaf) (*mls.CommitOptions, error) {
		if err := c.notThere(ctx, r, account, user); err != nil {
			return nil, err
		}
		if len(mmr.Leaving(r.proposed())) > 0 {
			return nil, &errAgain{removal: true}
		}
		opts := &mls.CommitOptions{AllPending: true}
		for _, kp := range packages {
			opts.Proposals = append(opts.Proposals, &mls.Add{KeyPackage: *kp})
		}
		if _, listed := r.public().State().Find(user); listed {
			return opts, nil
		}
		return opts, r.propose(opts, rules.ParticipantListUpdate{Added: []rules.Participant{{User: user, Role: rules.RoleMember}}})
	})
	return ignore(err, errAdded)
}

// fetchPlain gets KeyPackages of all clients of a person, for a plain room
// (draft-ietf-mimi-protocol-06, section 5.2).
func (c *Client) fetchPlain(ctx context.Context, account, uri, user mimi.URI) ([]*mls.KeyPackage, error) {
	if user == account {
		return nil, ErrAlreadyMember
	}
	var answer *protocol.KeyMaterialResponse
	var err error
	if user.Domain == c.cfg.Domain {
		if _, err = c.colleague(ctx, account, user); err == nil {
			answer, err = c.handOutPlain(ctx, user, account)
		}
	} else if err = c.mayAsk(ctx, account, user); err == nil {
		answer, err = c.askPlain(ctx, account, uri, user)
	}
	if err != nil {
		return nil, err
	}
	authority, err := c.authority(ctx, user.Domain)
	if err != nil {
		return nil, err
	}
	packages, err := keymaterial.CheckPlain(keymaterial.PlainCheck{Suite: c.cfg.Suite, User: user, Authority: authority, Clock: c.cfg.Clock}, answer)
	if err != nil {
		return nil, c.checked(err)
	}
	return packages, nil
}

// mayAsk fails unless an account may ask for a person's KeyPackages: a contact's, or
// somebody's whose provider has no connections, and decides about consent itself
// (docs/mmr-profile.md, section 10).
func (c *Client) mayAsk(ctx context.Context, account, user mimi.URI) error {
	known, err := c.knows(ctx, account, user)
	if known || err != nil {
		return err
	}
	directory, err := c.directory(ctx, user.Domain)
	if err != nil {
		return err
	}
	if directory.Profile != nil {
		return ErrNotConnected
	}
	return nil
}

// askPlain asks a person's provider, through the hub of the room, in the name of the
// account's leaf.
func (c *Client) askPlain(ctx context.Context, account, uri, user mimi.URI) (*protocol.KeyMaterialResponse, error) {
	request := &protocol.KeyMaterialRequest{
		RequestingUser: account, TargetUser: user, Room: uri,
		Requester: protocol.Requester{CipherSuites: []suite.ID{c.cfg.Suite.ID()}, Required: identity.PlainRequiredCapabilities()},
	}
	if err := c.withRoom(ctx, uri, func(r *room) error {
		own, err := r.speaker(account)
		if err != nil {
			return err
		}
		member, there := r.group.View().Member(mls.LeafIndex(own.Index))
		key, known := r.group.SignatureKey(mls.LeafIndex(own.Index))
		if !there || !known {
			return ErrNotMember
		}
		request.Requester.Credential = member.Leaf.Credential
		return request.Sign(r.suite, key)
	}); err != nil {
		return nil, err
	}
	call, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.cfg.Hub.RelayUserKeyMaterial(call, request)
	if err != nil {
		if verdict := hubVerdict(err); verdict != nil {
			return nil, verdict
		}
		return nil, unreachable(err)
	}
	return answer, nil
}

// UserKeyMaterial hands out KeyPackages of a local user to the hub at from, for
// a member of one of its plain rooms. The request is signed by who wants to add the
// user, so that the hub cannot say that it is somebody else; and it is answered to
// contacts, whose connection is the consent, and to whom the user has given it. Everybody
// else learns nothing, not even whether there is such a user.
func (c *Client) UserKeyMaterial(ctx context.Context, from string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	done, err := c.serve()
	if err != nil {
		return nil, err
	}
	defer done()
	refused := &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, User: req.TargetUser}
	if !c.cfg.PlainRooms {
		return refused, nil
	}
	if req.Room.Domain != from {
		c.refused(ctx, "refused a request for key material", mimi.Refuse("plain-material-hub", keymaterial.ErrRequester))
		return refused, nil
	}
	known, err := c.knows(ctx, req.TargetUser, req.RequestingUser)
	if err == nil && !known {
		known, err = c.consented(ctx, req.TargetUser, req.RequestingUser, req.Room)
	}
	if err != nil {
		return nil, err
	}
	if !known {
		c.refused(ctx, "refused a request for key material", mimi.Refuse("plain-material-consent", ErrNoConsent))
		return refused, nil
	}
	if err := c.checkPlainRequester(ctx, req); err != nil {
		c.refused(ctx, "refused a request for key material", err, "room", req.Room)
		return refused, nil
	}
	if !slices.Contains(req.Requester.CipherSuites, c.cfg.Suite.ID()) || !supported(&req.Requester.Required) {
		return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoCompatibleMaterial, User: req.TargetUser}, nil
	}
	return c.handOutPlain(ctx, req.TargetUser, req.RequestingUser)
}

// checkPlainRequester checks that a request was signed by a client of the requesting
// user.
func (c *Client) checkPlainRequester(ctx context.Context, req *protocol.KeyMaterialRequest) error {
	authority, err := c.authority(ctx, req.RequestingUser.Domain)
	if err != nil {
		return err
	}
	now := c.cfg.Clock.Now()
	opened, err := identity.OpenPlain(c.cfg.Suite, req.Requester.Credential, req.Requester.SignatureKey, authority, identity.NewLeaf(now, now))
	if err != nil {
		return err
	}
	if opened.User() != req.RequestingUser {
		return mimi.Refuse("plain-material-user", keymaterial.ErrRequester)
	}
	if err := req.Verify(c.cfg.Suite); err != nil {
		return mimi.Refuse("plain-material-signature", err)
	}
	return nil
}

// supported reports whether our leaves have what a room requires.
func supported(required *mls.RequiredCapabilities) bool {
	ours := identity.PlainRequiredCapabilities()
	return within(required.Extensions, ours.Extensions) && within(required.Proposals, ours.Proposals) &&
		within(required.Credentials, ours.Credentials)
}

func within[T comparable](part, whole []T) bool {
	return !slices.ContainsFunc(part, func(v T) bool { return !slices.Contains(whole, v) })
}

// handOutPlain makes a KeyPackage of a local user with which a peer may add the user
// to a plain room. Beyond [Limits.Sets] in [Limits.SetPeriod] there are none.
func (c *Client) handOutPlain(ctx context.Context, user, peer mimi.URI) (*protocol.KeyMaterialResponse, error) {
	answer := &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialSuccess, User: user}
	return answer, c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		if closing, err := c.closing(ctx, user); err != nil {
			return err
		} else if closing {
			return ErrNoPerson
		}
		account, err := c.cfg.Store.Account(ctx, user)
		if errors.Is(err, ErrNotFound) {
			return ErrNoPerson
		} else if err != nil {
			return err
		}
		material := protocol.ClientKeyMaterial{Client: account.Client}
		if !c.plainMade.reserve([2]mimi.URI{user, peer}, c.cfg.Clock.Now(), &c.cfg.Limits) {
			answer.Status, material.Status = protocol.KeyMaterialNoCompatibleMaterial, protocol.ClientExhausted
			answer.Clients = []protocol.ClientKeyMaterial{material}
			return nil
		}
		signer, _, err := c.signer(ctx, user)
		if err != nil {
			return err
		}
		kp, private, err := keymaterial.NewPlain(keymaterial.PlainConfig{
			Suite: c.cfg.Suite, Account: user, Peer: peer, Key: signer.Key, Certificate: signer.Certificate,
			Clock: c.cfg.Clock, Random: c.cfg.Random,
		})
		if err != nil {
			return err
		}
		material.KeyPackage = kp
		answer.Clients = []protocol.ClientKeyMaterial{material}
		return c.cfg.Privates.PutPrivate(ctx, private)
	})
}

// plainMade counts the KeyPackages for plain rooms that were made lately, for each
// user and contact, or other person with consent. Only these are counted, so it is bounded
// by them.
type plainMade struct {
	mu    sync.Mutex
	times map[[2]mimi.URI][]time.Time
}

// reserve counts a KeyPackage that is about to be made, if there may be one.
func (p *plainMade) reserve(pair [2]mimi.URI, now time.Time, limits *Limits) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.times == nil {
		p.times = map[[2]mimi.URI][]time.Time{}
	}
	times := p.times[pair]
	for len(times) > 0 && now.Sub(times[0]) >= limits.SetPeriod {
		times = times[1:]
	}
	if len(times) >= limits.Sets {
		return false
	}
	p.times[pair] = append(times, now)
	return true
}
