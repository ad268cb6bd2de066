package node

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// own is this provider's domain.
func (n *Node) own() string { return n.cfg.Settings.Domain }

// notifier is how the hub reaches providers.
type notifier struct{ n *Node }

var _ hub.Notifier = notifier{}

func (x notifier) Notify(ctx context.Context, domain string, room mimi.URI, body []byte) error {
	if domain == x.n.own() {
		return x.n.client.Notify(ctx, domain, room, body)
	}
	return x.n.peers.Notify(ctx, domain, room, body)
}

// keyMaterial is where the hub relays requests for key material to.
type keyMaterial struct{ n *Node }

var _ hub.KeyMaterial = keyMaterial{}

func (x keyMaterial) KeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	if req.Target.Domain == x.n.own() {
		return x.n.client.KeyMaterial(ctx, x.n.own(), req)
	}
	return x.n.peers.KeyMaterial(ctx, req)
}

func (x keyMaterial) UserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	if req.TargetUser.Domain == x.n.own() {
		return x.n.client.UserKeyMaterial(ctx, x.n.own(), req)
	}
	return x.n.peers.UserKeyMaterial(ctx, req)
}

// hubs is how the client reaches the hub of a room.
type hubs struct{ n *Node }

var _ client.Hub = hubs{}

func (x hubs) Update(ctx context.Context, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	if room.Domain == x.n.own() {
		return x.n.hub.Update(ctx, x.n.own(), room, req)
	}
	return x.n.peers.Update(ctx, room, req)
}

func (x hubs) SubmitMessage(ctx context.Context, room mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	if room.Domain == x.n.own() {
		return x.n.hub.SubmitMessage(ctx, x.n.own(), room, req)
	}
	return x.n.peers.SubmitMessage(ctx, room, req)
}

func (x hubs) GroupInfo(ctx context.Context, room mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	if room.Domain == x.n.own() {
		return x.n.hub.GroupInfo(ctx, x.n.own(), room, req)
	}
	return x.n.peers.GroupInfo(ctx, room, req)
}

func (x hubs) JoinCode(ctx context.Context, req *protocol.JoinCodeRegistration) error {
	if req.Room.Domain == x.n.own() {
		return x.n.hub.JoinCode(ctx, x.n.own(), req)
	}
	return x.n.peers.JoinCode(ctx, req)
}

func (x hubs) RelayKeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	if req.Room.Domain == x.n.own() {
		return x.n.hub.RelayKeyMaterial(ctx, x.n.own(), req)
	}
	return x.n.peers.RelayKeyMaterial(ctx, req)
}

func (x hubs) RelayUserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	if req.Room.Domain == x.n.own() {
		return x.n.hub.RelayUserKeyMaterial(ctx, x.n.own(), req)
	}
	return x.n.peers.RelayUserKeyMaterial(ctx, req)
}
