package linkbench

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// network is how a gateway reaches others: by calls, with everything encoded on the
// way, so that HTTPS is no part of what is measured.
type network struct {
	w    *world
	from *gateway
}

var errPlain = errors.New("there are no plain rooms here")

func (n network) to(domain string) (*gateway, error) {
	g, ok := n.w.gateways[domain]
	if !ok {
		return nil, fmt.Errorf("no provider at %s", domain)
	}
	return g, nil
}

// pass sends a message through its encoding.
func pass[T any, P interface {
	*T
	wire.Message
}](m P) (P, error) {
	if m == nil {
		return nil, nil
	}
	b, err := mls.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := P(new(T))
	return out, mls.Unmarshal(b, out)
}

// exchange sends a request and returns what comes back.
func exchange[Q, A any, PQ interface {
	*Q
	wire.Message
}, PA interface {
	*A
	wire.Message
}](req PQ, serve func(PQ) (PA, error),
) (PA, error) {
	req, err := pass[Q, PQ](req)
	if err != nil {
		return nil, err
	}
	answer, err := serve(req)
	if err != nil {
		return nil, err
	}
	return pass[A, PA](answer)
}

// Notify implements [hub.Notifier]. The measured gateway gets what is sent to it when
// the bench wants it.
func (n network) Notify(ctx context.Context, domain string, room mimi.URI, body []byte) error {
	to, err := n.to(domain)
	if err != nil {
		return err
	}
	return to.notified(ctx, n.from.domain, room, body)
}

func (n network) KeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	to, err := n.to(req.Target.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
		return to.client.KeyMaterial(ctx, n.from.domain, req)
	})
}

func (n network) Update(ctx context.Context, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	to, err := n.to(room.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
		return to.hub.Update(ctx, n.from.domain, room, req)
	})
}

func (n network) SubmitMessage(ctx context.Context, room mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	to, err := n.to(room.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
		return to.hub.SubmitMessage(ctx, n.from.domain, room, req)
	})
}

func (n network) GroupInfo(ctx context.Context, room mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	to, err := n.to(room.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
		return to.hub.GroupInfo(ctx, n.from.domain, room, req)
	})
}

func (n network) JoinCode(ctx context.Context, req *protocol.JoinCodeRegistration) error {
	to, err := n.to(req.Room.Domain)
	if err != nil {
		return err
	}
	return to.hub.JoinCode(ctx, n.from.domain, req)
}

func (n network) RelayKeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	to, err := n.to(req.Room.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
		return to.hub.RelayKeyMaterial(ctx, n.from.domain, req)
	})
}

func (network) UserKeyMaterial(context.Context, *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	return nil, errPlain
}

func (network) RelayUserKeyMaterial(context.Context, *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	return nil, errPlain
}

func (n network) Directory(_ context.Context, domain string) (*protocol.Directory, error) {
	to, err := n.to(domain)
	if err != nil {
		return nil, err
	}
	ca, keys, err := to.client.IdentityCA()
	if err != nil {
		return nil, err
	}
	return &protocol.Directory{IdentityCA: ca, Profile: &protocol.Profile{KeyMaterialKeys: keys}}, nil
}

func (n network) ConnectionPackage(ctx context.Context, user mimi.URI) ([]byte, error) {
	to, err := n.to(user.Domain)
	if err != nil {
		return nil, err
	}
	return to.client.ConnectionPackage(ctx, n.from.domain, user)
}

func (n network) Consent(ctx context.Context, e *protocol.ConsentEntry) error {
	to, err := n.to(e.Receiver().Domain)
	if err != nil {
		return err
	}
	if e, err = pass[protocol.ConsentEntry](e); err != nil {
		return err
	}
	return to.client.Consent(ctx, n.from.domain, e)
}

func (n network) ConnectionRequest(ctx context.Context, req *protocol.ConnectionRequest) error {
	to, err := n.to(req.Target.Domain)
	if err != nil {
		return err
	}
	if req, err = pass[protocol.ConnectionRequest](req); err != nil {
		return err
	}
	return to.client.ConnectionRequest(ctx, n.from.domain, req)
}
