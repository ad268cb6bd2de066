package attack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// An answer is what the victim has answered over HTTPS.
type answer struct {
	status int
	body   []byte
}

// code is the code of a problem document, or "".
func (a answer) code() protocol.Code {
	var p protocol.Problem
	if json.Unmarshal(a.body, &p) != nil {
		return ""
	}
	return p.Code
}

// post sends a body to the victim with the attacker's certificate.
func (w *world) post(e protocol.Endpoint, value string, body []byte) answer {
	return w.postAs(e, value, body, func(*wiretap.Exchange) {})
}

// postAs is post with a request that is changed before it is sent.
func (w *world) postAs(e protocol.Endpoint, value string, body []byte, change func(*wiretap.Exchange)) answer {
	target := "/mimi/v1/" + string(e)
	if value != "" {
		target += "/" + url.PathEscape(value)
	}
	x := &wiretap.Exchange{
		From: w.evil.Domain, To: w.victim.Domain, Method: http.MethodPost, Target: target, Request: body,
		RequestHeader: http.Header{"From": {protocol.FromHeader(w.evil.Domain)}, "Content-Type": {protocol.MediaType}},
	}
	change(x)
	w.check(w.victim.Tap.Send(w.ctx, x))
	return answer{x.Status, x.Response}
}

// send is post with a message of the protocol.
func (w *world) send(e protocol.Endpoint, value string, m wire.Message) answer {
	return w.post(e, value, must(wire.Marshal(m)))
}

// update sends an update to the victim's hub, and returns what the attacker has
// reached by it: that it was accepted.
func (w *world) update(room mimi.URI, req *protocol.UpdateRequest) success {
	before := w.epoch(w.victim, room)
	a := w.send(protocol.EndpointUpdate, room.String(), req)
	var resp protocol.UpdateRoomResponse
	if a.status != http.StatusOK || wire.Unmarshal(a.body, &resp) != nil || resp.Code != protocol.UpdateSuccess {
		return once("")
	}
	if !req.IsCommit() {
		return once("the hub has accepted the proposals")
	}
	return func() string {
		if now := w.epoch(w.victim, room); now > before {
			return fmt.Sprintf("the room has gone on to epoch %d with the attacker's Commit, and so has Alice", now)
		}
		return ""
	}
}

// granted is the success of a request that is answered with a status.
func granted(a answer, status int, what string) success {
	if a.status == status {
		return once(what)
	}
	return once("")
}
