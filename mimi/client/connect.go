package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// Connect asks a person elsewhere for a connection: it makes a connection room and
// sends the request (docs/mmr-profile.md, section 4). The contact that it returns
// is asked and not yet connected; [EventConnected] tells when it is. Nothing tells
// that the person has declined.
func (c *Client) Connect(ctx context.Context, account, peer mimi.URI) (*Contact, error) {
	switch {
	case account == peer:
		return nil, ErrSelf
	case peer.Domain == c.cfg.Domain:
		return nil, ErrColleague
	}
	old, secret, err := c.contact(ctx, account, peer)
	switch {
	case err == nil && old.State == ContactConnected:
		return nil, ErrAlreadyConnected
	case err == nil && old.State == ContactBlocked:
		return nil, ErrBlocked
	case err == nil && old.State == ContactAsked && !c.expired(secret):
		return nil, ErrAlreadyAsked
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, err
	}
	if closing, err := c.closing(ctx, account); err != nil {
		return nil, err
	} else if closing {
		return nil, ErrClosing
	}
	verified, err := c.packageOf(ctx, peer)
	if err != nil {
		return nil, err
	}
	if verified.Suite().ID() != c.cfg.Suite.ID() {
		return nil, protocol.ErrNoProfile
	}
	return c.ask(ctx, account, verified)
}

// packageOf fetches and verifies an establishment package.
func (c *Client) packageOf(ctx context.Context, peer mimi.URI) (*connection.VerifiedPackage, error) {
	directory, err := c.directory(ctx, peer.Domain)
	if err != nil {
		return nil, err
	}
	if directory.Profile == nil {
		return nil, protocol.ErrNoProfile
	}
	authority, err := c.observe(ctx, peer.Domain)
	if err != nil {
		return nil, err
	}
	call, cancel := c.call(ctx)
	defer cancel()
	encoded, err := c.cfg.Peers.ConnectionPackage(call, peer)
	if err != nil {
		return nil, unreachable(err)
	}
	if encoded == nil {
		return nil, ErrNoPerson
	}
	var pkg connection.ConnectionEstablishmentPackage
	if err := mls.Unmarshal(encoded, &pkg); err != nil {
		return nil, fmt.Errorf("client: establishment package: %w", err)
	}
	verified, err := pkg.Verify(peer, authority, c.cfg.Clock.Now())
	if err != nil {
		c.count(err)
	}
	return verified, err
}

// ask makes the connection room and sends the request.
func (c *Client) ask(ctx context.Context, account mimi.URI, pkg *connection.VerifiedPackage) (*Contact, error) {
	wrapper, err := identity.NewWrapperKey(c.cfg.Suite, c.cfg.Random)
	if err != nil {
		return nil, err
	}
	r, err := c.newRoom(ctx, account, RoomConnection, identity.ConnectionRoomPolicy(), wrapper, RoomOptions{})
	if err != nil {
		return nil, err
	}
	signer, _, err := c.signer(ctx, account)
	if err != nil {
		return nil, err
	}
	contact, secret, err := c.newContact(account, pkg.User(), ContactAsked)
	if err != nil {
		return nil, err
	}
	sealed, outgoing, err := connection.NewRequest(connection.RequestConfig{
		Package: pkg, User: account, Client: signer, Room: r.uri(), WrapperKey: wrapper, Keys: *secret.Ours,
		Clock: c.cfg.Clock, Random: c.cfg.Random,
	})
	if err != nil {
		return nil, err
	}
	contact.Room, secret.Asked = r.uri(), outgoing
	if err := c.registerCode(ctx, r, 0, &protocol.JoinCodeRegistration{
		CodeHash: protocol.HashJoiningCode(outgoing.JoiningCode.Bytes()), NotAfter: c.cfg.Clock.Now().Add(connection.RequestLifetime), Uses: 1,
	}); err != nil {
		return nil, err
	}
	if secret.unsent, err = mls.Marshal(&protocol.ConnectionRequest{
		Target: sealed.Target, PackageRef: sealed.Package[:], Request: sealed.Request,
	}); err != nil {
		return nil, err
	}
	var t told
	if err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		// What was before is over: a connection that the other has ended, or a request
		// that was not answered.
		memory, err := c.replaceContact(ctx, account, pkg.User(), &t)
		if err != nil {
			return err
		}
		secret.keyMemory = memory
		return c.putContact(ctx, contact, secret)
	}); err != nil {
		return nil, err
	}
	c.finish(&t)
	// From here on the request is sent, even if that takes a while.
	err = c.sendRequest(ctx, contact.Account, contact.Peer)
	if errors.Is(err, ErrUnreachable) {
		c.later(contact.Room, c.cfg.Limits.Backoff, c.resendRequest)
		err = ErrQueued
	}
	contact.Secret = nil
	return contact, err
}

// sendRequest sends the request of an account to a peer, if it is not sent yet.
func (c *Client) sendRequest(ctx context.Context, account, peer mimi.URI) error {
	_, secret, err := c.contact(ctx, account, peer)
	if err != nil || len(secret.unsent) == 0 {
		return err
	}
	var request protocol.ConnectionRequest
	if err := mls.Unmarshal(secret.unsent, &request); err != nil {
		return fmt.Errorf("client: stored connection request: %w", err)
	}
	call, cancel := c.call(ctx)
	defer cancel()
	if err := c.cfg.Peers.ConnectionRequest(call, &request); err != nil {
		return unreachable(err)
	}
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		// The answer may have come meanwhile.
		contact, secret, err := c.contact(ctx, account, peer)
		if err != nil {
			return err
		}
		secret.unsent = nil
		return c.putContact(ctx, contact, secret)
	})
}

// resendRequest sends the request that a connection room was made for.
func (c *Client) resendRequest(ctx context.Context, uri mimi.URI) {
	record, err := c.cfg.Store.Room(ctx, uri)
	if err != nil {
		return
	}
	contact, err := c.contactIn(ctx, uri, record.Creator)
	if err == nil {
		err = c.sendRequest(ctx, contact.Account, contact.Peer)
	}
	if err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "a connection request is not sent yet, will try again", "room", uri, "err", err)
		c.later(uri, c.cfg.Limits.MaxBackoff/4, c.resendRequest)
	}
}

// ConnectionPackage answers who wants to ask for a connection with a user here. It
// makes the person an account if there is none. Who cannot be reached has none:
// nil.
func (c *Client) ConnectionPackage(ctx context.Context, _ string, user mimi.URI) ([]byte, error) {
	done, err := c.serve()
	if err != nil {
		return nil, err
	}
	defer done()
	if reachable, err := c.reachable(ctx, user); err != nil || !reachable {
		return nil, err
	}
	var encoded []byte
	return encoded, c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		stored, err := c.handOut(ctx, user)
		if err == nil {
			encoded = stored.Package
		}
		return err
	})
}

// reachable reports whether a user can be asked for something, and makes the person an
// account if there is none. Whoever is deleting theirs is like an address that nobody
// has.
func (c *Client) reachable(ctx context.Context, user mimi.URI) (bool, error) {
	if user.Domain != c.cfg.Domain {
		return false, nil
	}
	if closing, err := c.closing(ctx, user); err != nil || closing {
		return false, err
	}
	if _, err := c.cfg.Store.Account(ctx, user); !errors.Is(err, ErrNotFound) {
		return err == nil, err
	}
	name, err := c.cfg.People.Lookup(ctx, user.Localpart())
	if errors.Is(err, ErrNoPerson) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	made, err := c.Provision(ctx, user.Localpart(), name)
	if errors.Is(err, mimi.ErrHandle) {
		return false, nil
	}
	return err == nil && made == user, err
}

// newPackage makes an establishment package.
func (c *Client) newPackage(ctx context.Context, user mimi.URI, lastResort bool) error {
	signer, _, err := c.signer(ctx, user)
	if err != nil {
		return err
	}
	notBefore, notAfter := identity.KeyPackageLifetime(c.cfg.Clock.Now())
	private, err := connection.NewPackage(connection.PackageConfig{
		Suite: c.cfg.Suite, User: user, Client: signer, LastResort: lastResort, NotBefore: notBefore, NotAfter: notAfter, Random: c.cfg.Random,
	})
	if err != nil {
		return err
	}
	stored, err := private.Stored()
	if err != nil {
		return err
	}
	return c.cfg.Packages.PutPackage(ctx, stored)
}

// ConnectionRequest takes in a request for a user here. Whatever becomes of it,
// the sender gets the same answer; an error says that nothing was stored and that
// sending it again makes sense.
func (c *Client) ConnectionRequest(ctx context.Context, _ string, req *protocol.ConnectionRequest) error {
	done, err := c.serve()
	if err != nil {
		return err
	}
	defer done()
	sealed := &connection.SealedRequest{Target: req.Target, Request: req.Request}
	if copy(sealed.Package[:], req.PackageRef) != len(sealed.Package) {
		return nil
	}
	var t told
	err = c.responder.Receive(ctx, sealed, func(ctx context.Context, request *connection.IncomingRequest) error {
		t = told{}
		return c.asked(ctx, request, &t)
	})
	switch {
	case err == nil:
		c.finish(&t)
		return nil
	case refusedRequest(err):
		c.refused(ctx, "dropped a connection request", err)
		return nil
	default:
		return fmt.Errorf("client: connection request: %w", err)
	}
}

// errTooManyRequests reports that an account has not decided about so many
// requests that it is not shown another one.
var errTooManyRequests = errors.New("client: too many connection requests wait for a decision")

// refusedRequest reports whether a request failed for what it is, so that sending
// it again is of no use.
func refusedRequest(err error) bool {
	for _, refusal := range []error{
		errTooManyRequests, ErrClosing,
		connection.ErrUnknownPackage, connection.ErrPackageUsed, connection.ErrRequestDecrypt, connection.ErrRequestFormat,
		connection.ErrRequestSignature, connection.ErrRecipient, connection.ErrRequestAge, connection.ErrReplay, connection.ErrBlocked,
		identity.ErrCertificate, identity.ErrIssuer, identity.ErrDomain, identity.ErrValidity, identity.ErrPinChanged,
		identity.ErrCredentialType, identity.ErrCACertificate, suite.ErrUnsupported, suite.ErrSignature, suite.ErrDecrypt,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// asked stores a request that passed all checks, and tells its recipient.
func (c *Client) asked(ctx context.Context, request *connection.IncomingRequest, t *told) error {
	if closing, err := c.closing(ctx, request.Recipient()); err != nil {
		return err
	} else if closing {
		return ErrClosing
	}
	secret, err := request.Marshal()
	if err != nil {
		return err
	}
	waiting, err := c.Requests(ctx, request.Recipient())
	if err != nil {
		return err
	}
	if len(waiting) >= c.cfg.Limits.Requests {
		return errTooManyRequests
	}
	ref := Ref(request.Ref())
	now := c.cfg.Clock.Now()
	if err := c.cfg.Store.PutRequest(ctx, &Request{
		Ref: ref, Account: request.Recipient(), Peer: request.User(), Received: now, Secret: secret,
	}); err != nil {
		return err
	}
	return c.tell(ctx, t, &Event{Kind: EventAsked, Time: now, Account: request.Recipient(), Peer: request.User(), Request: ref})
}

// Requests returns the requests that wait for an account's decision, for a connection
// and for consent, oldest first.
func (c *Client) Requests(ctx context.Context, account mimi.URI) ([]*Request, error) {
	requests, err := c.cfg.Store.Requests(ctx, account)
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		r.Secret = nil
	}
	consents, err := c.cfg.Store.Consents(ctx, account)
	for _, o := range consents {
		if o.pending() {
			requests = append(requests, &Request{Ref: o.Ref, Account: o.Account, Peer: o.Peer, Received: o.Changed, Plain: true})
		}
	}
	slices.SortStableFunc(requests, func(a, b *Request) int { return a.Received.Compare(b.Received) })
	return requests, err
}

// request reads a request for an account.
func (c *Client) request(ctx context.Context, account mimi.URI, ref Ref) (*connection.IncomingRequest, error) {
	stored, err := c.cfg.Store.Request(ctx, ref)
	if errors.Is(err, ErrNotFound) || err == nil && stored.Account != account {
		return nil, ErrNoRequest
	} else if err != nil {
		return nil, err
	}
	return connection.UnmarshalIncoming(stored.Secret)
}

// Decline drops a request for a connection, or for consent. Nobody is told: the asker
// cannot tell a decline from a request that was never read.
func (c *Client) Decline(ctx context.Context, account mimi.URI, ref Ref) error {
	request, err := c.request(ctx, account, ref)
	if errors.Is(err, ErrNoRequest) {
		return c.answerConsent(ctx, account, ref, false)
	} else if err != nil {
		return err
	}
	if err := c.cfg.Faults.declined(ctx, c, request); err != nil {
		return err
	}
	return c.cfg.Store.DeleteRequest(ctx, ref)
}

// Accept accepts a connection request: the account joins the connection room, with
// its answer in the external Commit (docs/mmr-profile.md, section 4). It returns
// the room. A request for consent is granted, and has no room.
func (c *Client) Accept(ctx context.Context, account mimi.URI, ref Ref) (mimi.URI, error) {
	request, err := c.request(ctx, account, ref)
	if errors.Is(err, ErrNoRequest) {
		return mimi.URI{}, c.answerConsent(ctx, account, ref, true)
	} else if err != nil {
		return mimi.URI{}, err
	}
	uri := request.Room()
	for range c.cfg.Limits.Attempts {
		err = c.withSlot(ctx, uri, func(r *room) (*room, error) {
			if r != nil {
				// Joined before, perhaps without learning that it succeeded.
				return r, c.settleRoom(ctx, r)
			}
			return c.joinConnection(ctx, account, request)
		})
		if _, again := errors.AsType[*errAgain](err); !again {
			break
		}
	}
	return uri, err
}

// accepted stores the contact that an account is about to have.
func (c *Client) accepted(ctx context.Context, r *room, account mimi.URI, request *connection.IncomingRequest, keys *connection.Keys) error {
	var t told
	memory, err := c.replaceContact(ctx, account, request.User(), &t)
	if err != nil {
		return err
	}
	c.finish(&t)
	contact, secret, err := c.newContact(account, request.User(), ContactConnected)
	if err != nil {
		return err
	}
	theirs := request.Theirs()
	contact.Room, secret.Ours, secret.Theirs, secret.keyMemory = r.uri(), keys, &theirs, memory
	return c.putContact(ctx, contact, secret)
}
