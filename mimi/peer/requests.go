package peer

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// exchange sends req and decodes the answer as a T.
func exchange[T any, P interface {
	*T
	wire.Message
}](ctx context.Context, c *Client, m message, req wire.Message) (*T, error) {
	body, err := c.send(ctx, m, req)
	if err != nil {
		return nil, err
	}
	resp := new(T)
	if err := wire.Unmarshal(body, P(resp)); err != nil {
		return nil, answerFailed(m.peer, m.endpoint, m.status, err)
	}
	return resp, nil
}

func (c *Client) send(ctx context.Context, m message, req wire.Message) (body []byte, err error) {
	if m.body, err = wire.Marshal(req); err != nil {
		return nil, fmt.Errorf("encode a request for %s: %w", m.endpoint, err)
	}
	if int64(len(m.body)) > m.endpoint.MaxRequest() {
		return nil, fmt.Errorf("%w: a request for %s of %d octets, want at most %d", protocol.ErrMalformed, m.endpoint, len(m.body), m.endpoint.MaxRequest())
	}
	return c.post(ctx, m)
}

// Update changes a room at its hub. Sent again, it gets the answer that the first
// one got.
func (c *Client) Update(ctx context.Context, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	resp, err := exchange[protocol.UpdateRoomResponse](ctx, c, message{room.Domain, protocol.EndpointUpdate, room.String(), nil, http.StatusOK}, req)
	if err == nil {
		err = resp.Err()
	}
	return orNil(resp, err)
}

// SubmitMessage sends a message to a room's hub. Sent again, it gets the answer
// that the first one got.
func (c *Client) SubmitMessage(ctx context.Context, room mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	resp, err := exchange[protocol.SubmitMessageResponse](ctx, c, message{room.Domain, protocol.EndpointSubmitMessage, room.String(), nil, http.StatusOK}, req)
	if err == nil {
		err = resp.Err()
	}
	return orNil(resp, err)
}

// GroupInfo asks a room's hub for what an external join needs.
func (c *Client) GroupInfo(ctx context.Context, room mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	resp, err := exchange[protocol.GroupInfoResponse](ctx, c, message{room.Domain, protocol.EndpointGroupInfo, room.String(), nil, http.StatusOK}, req)
	if err == nil && resp.Room != room {
		err = answerFailed(room.Domain, protocol.EndpointGroupInfo, http.StatusOK, fmt.Errorf("%w: it is about another room", protocol.ErrMalformed))
	}
	if err == nil {
		err = resp.Err()
	}
	return orNil(resp, err)
}

func orNil[T any](resp *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// JoinCode registers a joining code at the hub of its room.
func (c *Client) JoinCode(ctx context.Context, req *protocol.JoinCodeRegistration) error {
	_, err := c.send(ctx, message{req.Room.Domain, protocol.EndpointJoinCode, "", nil, http.StatusCreated}, req)
	return err
}

// RelayKeyMaterial asks the hub of req.Room to pass the request on to the provider
// of req.Target.
func (c *Client) RelayKeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	return exchange[protocol.SealedKeyMaterial](ctx, c, message{req.Room.Domain, protocol.EndpointKeyMaterialAnonymous, "", nil, http.StatusOK}, req)
}

// KeyMaterial passes a request on from this provider, the hub of req.Room, to the
// provider of req.Target.
func (c *Client) KeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	return exchange[protocol.SealedKeyMaterial](ctx, c, message{req.Target.Domain, protocol.EndpointKeyMaterialAnonymous, "", nil, http.StatusOK}, req)
}

// RelayUserKeyMaterial asks the hub of req.Room, a plain room, to pass the request
// on to the provider of req.TargetUser.
func (c *Client) RelayUserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	return c.userKeyMaterial(ctx, req.Room.Domain, req)
}

// UserKeyMaterial passes a request on from this provider, the hub of req.Room, to
// the provider of req.TargetUser.
func (c *Client) UserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	return c.userKeyMaterial(ctx, req.TargetUser.Domain, req)
}

func (c *Client) userKeyMaterial(ctx context.Context, domain string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	return exchange[protocol.KeyMaterialResponse](ctx, c, message{domain, protocol.EndpointKeyMaterial, req.TargetUser.String(), nil, http.StatusOK}, req)
}

// Notify delivers the events of a room that is hosted here to the provider at
// domain. After nil the other side has them durably. Body is what
// protocol.MarshalFanout or MarshalPlainFanout made; after any other outcome the same octets are sent
// again.
func (c *Client) Notify(ctx context.Context, domain string, room mimi.URI, body []byte) error {
	_, err := c.post(ctx, message{domain, protocol.EndpointNotify, room.String(), body, http.StatusCreated})
	return err
}

// ConnectionPackage fetches an encoded ConnectionEstablishmentPackage of a user
// from their provider; nil if there is no such user or they are not to be found.
func (c *Client) ConnectionPackage(ctx context.Context, user mimi.URI) ([]byte, error) {
	req := &protocol.ConnectionPackageRequest{User: user}
	resp, err := exchange[protocol.ConnectionPackageResponse](ctx, c, message{user.Domain, protocol.EndpointConnectionPackage, "", nil, http.StatusOK}, req)
	if err != nil || len(resp.Package) == 0 {
		return nil, err
	}
	return resp.Package, nil
}

// ConnectionRequest delivers a request to connect to the user's provider. Nil says
// that it arrived there, and nothing else.
func (c *Client) ConnectionRequest(ctx context.Context, req *protocol.ConnectionRequest) error {
	_, err := c.send(ctx, message{req.Target.Domain, protocol.EndpointConnectionRequest, "", nil, http.StatusAccepted}, req)
	return err
}

// Consent delivers an entry about consent to the provider of its receiver. Nil says
// that it arrived there, and nothing else. It fails with [protocol.ErrNoSuchUser] where
// the provider says that it does not know the receiver, and with
// [protocol.ErrNotOffered] where it does not deal with consent.
func (c *Client) Consent(ctx context.Context, e *protocol.ConsentEntry) error {
	to := e.Receiver()
	_, err := c.send(ctx, message{to.Domain, e.Operation.Endpoint(), to.String(), nil, http.StatusCreated}, e)
	if failed, ok := errors.AsType[*Error](err); ok && failed.Status == http.StatusNotFound && failed.Code != protocol.CodeUnknownEndpoint {
		return protocol.ErrNoSuchUser
	}
	return err
}
