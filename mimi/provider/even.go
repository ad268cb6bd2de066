package provider

import (
	"context"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// telling are the endpoints whose answers look alike whether a person, or a stock of
// key material, is there or not. What they cost does not: an address that nobody has
// yet is a question to the homeserver, another one a row in a database.
var telling = map[protocol.Endpoint]bool{
	protocol.EndpointKeyMaterial:          true,
	protocol.EndpointRequestConsent:       true,
	protocol.EndpointUpdateConsent:        true,
	protocol.EndpointConnectionPackage:    true,
	protocol.EndpointConnectionRequest:    true,
	protocol.EndpointKeyMaterialAnonymous: true,
}

// evenly answers a request. If the time that this takes would tell what the answer does
// not, the answer leaves a whole number of steps after the request was there, be it a
// success or not. The wait ends early with ctx.
func (s *Server) evenly(ctx context.Context, e protocol.Endpoint, c call) (answer, error) {
	if !telling[e] {
		return served[e](s, ctx, c)
	}
	began := s.cfg.Pace.Now()
	a, err := served[e](s, ctx, c)
	step := s.cfg.Limits.AnswerStep
	at := make(chan struct{})
	stop := s.cfg.Pace.AfterFunc(untilStep(s.cfg.Pace.Now().Sub(began), step), func() { close(at) })
	defer stop()
	select {
	case <-at:
	case <-ctx.Done():
	}
	return a, err
}

// untilStep is how long it is from d to the next multiple of step that is not zero.
func untilStep(d, step time.Duration) time.Duration {
	if d < 0 {
		d = 0 // a clock that was put back
	}
	return step - d%step
}
