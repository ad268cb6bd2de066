package attack

import (
	"encoding/json"
	"errors"
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

// problem is the problem document as an error.
func (a answer) problem() error {
	var p protocol.Problem
	if json.Unmarshal(a.body, &p) != nil {
		return fmt.Errorf("status %d", a.status)
	}
	return fmt.Errorf("%d %s", a.status, p.Code)
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
	if !w.taken(a) {
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

// updateCodes are the names of the answers to an update.
var updateCodes = map[protocol.UpdateResponseCode]string{
	protocol.UpdateWrongEpoch: "wrongEpoch", protocol.UpdateNotAllowed: "notAllowed", protocol.UpdateInvalidProposal: "invalidProposal",
}

// taken reports whether an update was accepted.
func (w *world) taken(a answer) bool {
	var resp protocol.UpdateRoomResponse
	switch {
	case a.status != http.StatusOK:
		w.stopped = a.problem()
	case wire.Unmarshal(a.body, &resp) != nil:
		w.stopped = errors.New("an answer that is none")
	case resp.Code != protocol.UpdateSuccess:
		w.stopped = fmt.Errorf("%s: %s", updateCodes[resp.Code], resp.ErrorDescription)
	default:
		return true
	}
	return false
}

// granted is the success of a request that is answered with a status.
func (w *world) granted(a answer, status int, what string) success {
	if a.status == status {
		return once(what)
	}
	w.stopped = a.problem()
	return once("")
}

// unless is the success of a call of somebody of the victim's.
func (w *world) unless(err error, what string) success {
	if err == nil {
		return once(what)
	}
	w.stopped = err
	return once("")
}
