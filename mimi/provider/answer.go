package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// An answer is the success of an endpoint.
type answer struct {
	status    int
	mediaType string
	body      []byte
}

func reply(status int, m wire.Message) (answer, error) {
	body, err := wire.Marshal(m)
	if err != nil {
		return answer{}, fmt.Errorf("encode the response: %w", err)
	}
	return answer{status, protocol.MediaType, body}, nil
}

// A refusal is an error answer that this package itself decides on.
type refusal struct {
	protocol.Problem
	allow string // the Allow header, with 405
}

func refuse(status int, code protocol.Code, detail string) *refusal {
	return &refusal{Problem: protocol.Problem{Status: status, Code: code, Detail: detail}}
}

func (e *refusal) Error() string { return string(e.Code) + ": " + e.Detail }

// problem maps every error to its answer: the one place that does.
func problem(err error) (p protocol.Problem, wait time.Duration) {
	if e, ok := errors.AsType[*refusal](err); ok {
		return e.Problem, 0
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return protocol.Problem{Status: http.StatusRequestEntityTooLarge, Code: protocol.CodeTooLarge, Detail: "The body is too large for this endpoint."}, 0
	}
	if e, ok := errors.AsType[*protocol.RetryLaterError](err); ok {
		p = protocol.Problem{Status: http.StatusServiceUnavailable, Code: protocol.CodeUnavailable}
		if e.Limited {
			p = protocol.Problem{Status: http.StatusTooManyRequests, Code: protocol.CodeLimited}
		}
		return p, max(e.After, time.Second)
	}
	if e, ok := errors.AsType[*protocol.NotAllowedError](err); ok {
		return protocol.Problem{Status: http.StatusForbidden, Code: protocol.CodeNotAllowed, Detail: e.Reason}, 0
	}
	switch {
	case errors.Is(err, protocol.ErrMalformed):
		return protocol.Problem{Status: http.StatusBadRequest, Code: protocol.CodeMalformed, Detail: err.Error()}, 0
	case errors.Is(err, protocol.ErrNoSuchRoom):
		return protocol.Problem{Status: http.StatusNotFound, Code: protocol.CodeNoSuchRoom}, 0
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return protocol.Problem{Status: http.StatusServiceUnavailable, Code: protocol.CodeUnavailable, Detail: "The request took too long."}, time.Second
	default:
		return protocol.Problem{Status: http.StatusInternalServerError, Code: protocol.CodeInternal}, 0
	}
}

// writeError answers err, and logs what an operator should see: not the
// refusals of those who have not shown who they are, or who ask too often. They could
// fill the log.
func (s *Server) writeError(w http.ResponseWriter, log *slog.Logger, known bool, err error) {
	p, wait := problem(err)
	p.Title = http.StatusText(p.Status)
	if p.Status >= http.StatusInternalServerError {
		log.Warn("request failed", "status", p.Status, "err", err)
	} else {
		line := log.Info
		if _, later := errors.AsType[*protocol.RetryLaterError](err); later || !known {
			line = log.Debug
		}
		line("request refused", "status", p.Status, "code", p.Code, "check", mimi.CheckOf(err))
		s.cfg.Refused(err)
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	if e, ok := errors.AsType[*refusal](err); ok && e.allow != "" {
		w.Header().Set("Allow", e.allow)
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = nil // a Problem is numbers and strings; can't happen
	}
	s.write(w, answer{p.Status, protocol.ProblemMediaType, body})
}

// refused notes a refusal that the protocol has an answer for, with status 200. A
// request that is merely late for its epoch is not worth a line.
func (s *Server) refused(ctx context.Context, c call, e protocol.Endpoint, err error) {
	level := slog.LevelInfo
	if _, late := errors.AsType[*protocol.WrongEpochError](err); late {
		level = slog.LevelDebug
	}
	s.cfg.Log.Log(ctx, level, "request refused", "peer", c.from, "endpoint", string(e), "check", mimi.CheckOf(err))
	s.cfg.Refused(err)
}

func (s *Server) write(w http.ResponseWriter, a answer) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if len(a.body) > 0 {
		h.Set("Content-Type", a.mediaType)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the peer is gone if this fails
}
