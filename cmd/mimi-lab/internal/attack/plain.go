package attack

import (
	"net/http"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// plainAttacks ask for KeyPackages by real address, as it is done in plain rooms.
func plainAttacks() []Attack {
	request := func(w *world) *protocol.KeyMaterialRequest {
		return &protocol.KeyMaterialRequest{TargetUser: w.anna, Requester: protocol.Requester{
			CipherSuites: []suite.ID{w.suite.ID()}, Required: identity.PlainRequiredCapabilities(),
		}}
	}
	return []Attack{
		{
			Name: "address-in-a-room-of-pseudonyms", What: "asks the hub of a room that is not plain for Anna's KeyPackages by her address",
			Check: "plain-relay-room", Section: "11", play: func(w *world) success {
				im, req := w.implant(w.room), request(w)
				req.Room, req.RequestingUser, req.Requester.Credential = w.room, im.tbs(w.mallory).UserPseudonym, im.credential(im.own[w.mallory])
				w.check(req.Sign(w.suite, im.key(w.mallory)))
				return w.granted(w.send(protocol.EndpointKeyMaterial, w.anna.String(), req), http.StatusOK, "the hub has relayed the request")
			},
		},
		{
			Name: "key-packages-without-consent", What: "asks for KeyPackages of Anna, who has not consented",
			Check: "plain-material-consent", Section: "11", play: func(w *world) success {
				req, signer := request(w), w.signer(w.eve)
				req.Room, req.RequestingUser, req.Requester.Credential = w.lair, w.eve, must(signer.Certificate.Leaf())
				w.check(req.Sign(w.suite, signer.Key))
				var resp protocol.KeyMaterialResponse
				w.check(wire.Unmarshal(w.send(protocol.EndpointKeyMaterial, w.anna.String(), req).body, &resp))
				if err := resp.Err(); err != nil {
					w.stopped = err
					return once("")
				}
				return once("a KeyPackage of Anna was handed out")
			},
		},
	}
}
