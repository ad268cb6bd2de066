package attack

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A reply makes the attacker's answer to a request; ok is false to let it pass.
type reply func(e *wiretap.Exchange) (body []byte, ok bool)

// answers lets the attacker answer what the victim asks at some endpoints, in place
// of its own gateway.
func (w *world) answers(replies map[protocol.Endpoint]reply) {
	w.evil.Tap.SetHand(func(e *wiretap.Exchange, pass func() error) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("attack: %v", p)
			}
		}()
		name, _, _ := strings.Cut(strings.TrimPrefix(e.Target, "/mimi/v1/"), "/")
		if r, ok := replies[protocol.Endpoint(name)]; ok {
			if body, ok := r(e); ok {
				e.Status, e.Response = http.StatusOK, body
				e.ResponseHeader = http.Header{"Content-Type": {protocol.MediaType}}
				return nil
			}
		}
		return pass()
	})
}

// always is one answer, whatever is asked.
func always(m wire.Message) reply {
	body := must(wire.Marshal(m))
	return func(*wiretap.Exchange) ([]byte, bool) { return body, true }
}
