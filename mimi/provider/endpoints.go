package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// pathPrefix stands before the name of each endpoint.
const pathPrefix = "/mimi/v1/"

// directoryEndpoint names the directory document to a [Limiter].
const directoryEndpoint protocol.Endpoint = "directory"

// A call is a request that has been authenticated and read.
type call struct {
	from  string // the peer
	value string // for the variable of the URL template, unescaped
	body  []byte
}

// served maps the endpoints that exist to their methods. All are POST.
var served = map[protocol.Endpoint]func(*Server, context.Context, call) (answer, error){
	protocol.EndpointKeyMaterial:          (*Server).keyMaterial,
	protocol.EndpointUpdate:               (*Server).update,
	protocol.EndpointNotify:               (*Server).notify,
	protocol.EndpointSubmitMessage:        (*Server).submitMessage,
	protocol.EndpointGroupInfo:            (*Server).groupInfo,
	protocol.EndpointRequestConsent:       consent(protocol.EndpointRequestConsent),
	protocol.EndpointUpdateConsent:        consent(protocol.EndpointUpdateConsent),
	protocol.EndpointConnectionPackage:    (*Server).connectionPackage,
	protocol.EndpointConnectionRequest:    (*Server).connectionRequest,
	protocol.EndpointKeyMaterialAnonymous: (*Server).keyMaterialAnonymous,
	protocol.EndpointJoinCode:             (*Server).joinCode,
}

// Endpoints returns the URL templates of what a [Server] at domain serves, for
// its directory document: those of the draft and those of the profile. Port is
// that of the public address, or 0 for the default.
func Endpoints(domain string, port uint16) (draft, profile map[protocol.Endpoint]protocol.Template, err error) {
	base := "https://" + domain
	if port != 0 {
		base = fmt.Sprintf("%s:%d", base, port)
	}
	draft, profile = map[protocol.Endpoint]protocol.Template{}, map[protocol.Endpoint]protocol.Template{}
	for e := range served {
		u := base + pathPrefix + string(e)
		if e.Variable() != "" {
			u += "/{" + e.Variable() + "}"
		}
		t, err := protocol.ParseTemplate(e, u, domain)
		if err != nil {
			return nil, nil, fmt.Errorf("provider: %w", err)
		}
		if e.Profile() {
			profile[e] = t
		} else {
			draft[e] = t
		}
	}
	return draft, profile, nil
}

// splitPath finds the endpoint and the value of its variable in a path. The value
// is one segment, percent-encoded.
func splitPath(path string) (e protocol.Endpoint, value string, ok bool) {
	rest, ok := strings.CutPrefix(path, pathPrefix)
	if !ok {
		return "", "", false
	}
	name, segment, has := strings.Cut(rest, "/")
	e = protocol.Endpoint(name)
	if _, ok := served[e]; !ok || has != (e.Variable() != "") || strings.Contains(segment, "/") {
		return "", "", false
	}
	value, err := url.PathUnescape(segment)
	return e, value, err == nil
}

// endpointName is for logs: a name of ours, never a part of the request.
func endpointName(r *http.Request) string {
	if r.URL.Path == protocol.DirectoryPath {
		return string(directoryEndpoint)
	}
	e, _, _ := splitPath(r.URL.EscapedPath())
	return string(e)
}

// serve answers an authenticated request.
func (s *Server) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, peer string) (answer, error) {
	e, value, ok := splitPath(r.URL.EscapedPath())
	method := http.MethodPost
	if r.URL.Path == protocol.DirectoryPath {
		e, method, ok = directoryEndpoint, http.MethodGet, true
	}
	if !ok {
		return answer{}, refuse(http.StatusNotFound, protocol.CodeUnknownEndpoint, "Endpoints are listed in "+protocol.DirectoryPath+".")
	}
	if r.Method != method {
		refused := refuse(http.StatusMethodNotAllowed, protocol.CodeMethod, "This endpoint takes "+method+".")
		refused.allow = method
		return answer{}, refused
	}
	if s.cfg.Limiter != nil {
		if wait, ok := s.cfg.Limiter.Allow(peer, e); !ok {
			return answer{}, &protocol.RetryLaterError{After: wait, Limited: true}
		}
	}
	if e == directoryEndpoint {
		return s.directory(ctx)
	}
	body, release, err := s.read(w, r, e)
	if err != nil {
		return answer{}, err
	}
	defer release()
	return s.evenly(ctx, e, call{peer, value, body})
}

// read reads the body of a request to e. The caller calls release when it needs
// the body no longer.
func (s *Server) read(w http.ResponseWriter, r *http.Request, e protocol.Endpoint) (body []byte, release func(), err error) {
	if t := r.Header.Get("Content-Type"); t != "" {
		if parsed, _, err := mime.ParseMediaType(t); err != nil || parsed != protocol.MediaType {
			return nil, nil, refuse(http.StatusUnsupportedMediaType, protocol.CodeMediaType, "Bodies are "+protocol.MediaType+".")
		}
	}
	if t := r.Header.Get("Content-Encoding"); t != "" && t != "identity" {
		return nil, nil, refuse(http.StatusUnsupportedMediaType, protocol.CodeMediaType, "Bodies must not be compressed.")
	}
	limit := e.MaxRequest()
	if r.ContentLength > limit {
		return nil, nil, &http.MaxBytesError{Limit: limit}
	}
	size := limit
	if r.ContentLength >= 0 {
		size = r.ContentLength
	}
	release, err = s.gate.reserve(size)
	if err != nil {
		return nil, nil, err
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		release()
		if _, ok := errors.AsType[*http.MaxBytesError](err); !ok {
			err = fmt.Errorf("%w: the body ended early", protocol.ErrMalformed)
		}
		return nil, nil, err
	}
	return body, release, nil
}

// decode reads a body as a T.
func decode[T any, P interface {
	*T
	wire.Message
}](body []byte) (*T, error) {
	m := new(T)
	if err := wire.Unmarshal(body, P(m)); err != nil {
		return nil, fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	return m, nil
}

// room reads the room in the path.
func (c call) room() (mimi.URI, error) {
	room, err := mimi.ParseURIKind(c.value, mimi.KindRoom)
	if err != nil {
		return room, fmt.Errorf("%w: the path does not name a room: %w", protocol.ErrMalformed, err)
	}
	return room, nil
}

// hosted reads the room in the path, which must be of this provider.
func (s *Server) hosted(c call) (mimi.URI, error) {
	room, err := c.room()
	if err == nil && room.Domain != s.cfg.Domain {
		err = protocol.ErrNoSuchRoom
	}
	return room, err
}

var errWrongHub = refuse(http.StatusForbidden, protocol.CodeWrongHub, "Only the hub of the room may send this.")

func (s *Server) directory(ctx context.Context) (answer, error) {
	d, err := s.cfg.Directory.Directory(ctx)
	if err != nil {
		return answer{}, err
	}
	body, err := json.Marshal(d)
	if err != nil {
		return answer{}, fmt.Errorf("encode the directory document: %w", err)
	}
	return answer{http.StatusOK, protocol.DirectoryMediaType, body}, nil
}

func (s *Server) update(ctx context.Context, c call) (answer, error) {
	room, err := s.hosted(c)
	if err != nil {
		return answer{}, err
	}
	req, err := decode[protocol.UpdateRequest](c.body)
	if err != nil {
		return answer{}, err
	}
	resp, err := s.cfg.Hub.Update(ctx, c.from, room, req)
	if err != nil {
		failure, ok := protocol.UpdateResult(err)
		if !ok {
			return answer{}, err
		}
		s.refused(ctx, c, protocol.EndpointUpdate, err)
		resp = failure
	}
	return reply(http.StatusOK, resp)
}

func (s *Server) submitMessage(ctx context.Context, c call) (answer, error) {
	room, err := s.hosted(c)
	if err != nil {
		return answer{}, err
	}
	req, err := decode[protocol.SubmitMessageRequest](c.body)
	if err != nil {
		return answer{}, err
	}
	resp, err := s.cfg.Hub.SubmitMessage(ctx, c.from, room, req)
	if err != nil {
		failure, ok := protocol.SubmitResult(err)
		if !ok {
			return answer{}, err
		}
		s.refused(ctx, c, protocol.EndpointSubmitMessage, err)
		resp = failure
	}
	return reply(http.StatusOK, resp)
}

func (s *Server) groupInfo(ctx context.Context, c call) (answer, error) {
	room, err := c.room()
	if err != nil {
		return answer{}, err
	}
	req, err := decode[protocol.GroupInfoRequest](c.body)
	if err != nil {
		return answer{}, err
	}
	var resp *protocol.GroupInfoResponse
	if room.Domain == s.cfg.Domain {
		resp, err = s.cfg.Hub.GroupInfo(ctx, c.from, room, req)
	} else {
		err = protocol.ErrNoSuchRoom
	}
	if err != nil {
		failure, ok := protocol.GroupInfoResult(room, err)
		if !ok {
			return answer{}, err
		}
		s.refused(ctx, c, protocol.EndpointGroupInfo, err)
		resp = failure
	}
	return reply(http.StatusOK, resp)
}

func (s *Server) joinCode(ctx context.Context, c call) (answer, error) {
	req, err := decode[protocol.JoinCodeRegistration](c.body)
	if err != nil {
		return answer{}, err
	}
	if req.Room.Domain != s.cfg.Domain {
		return answer{}, protocol.ErrNoSuchRoom
	}
	if err := s.cfg.Hub.JoinCode(ctx, c.from, req); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated}, nil
}

// notify answers 201 only after the body is stored; 201 also for a body that has
// been received before (draft-ietf-mimi-protocol-06, section 5.5).
func (s *Server) notify(ctx context.Context, c call) (answer, error) {
	room, err := c.room()
	if err != nil {
		return answer{}, err
	}
	if room.Domain != c.from {
		return answer{}, mimi.Refuse("notify-hub", errWrongHub)
	}
	if err := protocol.CheckFanout(c.body); err != nil {
		return answer{}, err
	}
	if err := s.cfg.Inbox.Notify(ctx, c.from, room, c.body); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated}, nil
}

// keyMaterial serves plain rooms. It is two endpoints in one, as
// keyMaterialAnonymous is.
func (s *Server) keyMaterial(ctx context.Context, c call) (answer, error) {
	req, err := decode[protocol.KeyMaterialRequest](c.body)
	if err != nil {
		return answer{}, err
	}
	if req.TargetUser.String() != c.value {
		return answer{}, fmt.Errorf("%w: the path names another user than the request", protocol.ErrMalformed)
	}
	var resp *protocol.KeyMaterialResponse
	switch {
	case req.Room.IsZero():
		// Whoever consents to be added consents to rooms.
		resp = &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, User: req.TargetUser}
	case req.Room.Domain == s.cfg.Domain:
		resp, err = s.cfg.Hub.RelayUserKeyMaterial(ctx, c.from, req)
	case req.Room.Domain == c.from && req.TargetUser.Domain == s.cfg.Domain:
		resp, err = s.cfg.KeyMaterial.UserKeyMaterial(ctx, c.from, req)
	default:
		err = errWrongHub
	}
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, resp)
}

// keyMaterialAnonymous is two endpoints in one: to the hub of the room it is a
// request to relay, to the provider of the target one that was relayed.
func (s *Server) keyMaterialAnonymous(ctx context.Context, c call) (answer, error) {
	req, err := decode[protocol.AnonymousKeyMaterialRequest](c.body)
	if err != nil {
		return answer{}, err
	}
	var sealed *protocol.SealedKeyMaterial
	switch {
	case req.Room.Domain == s.cfg.Domain:
		sealed, err = s.cfg.Hub.RelayKeyMaterial(ctx, c.from, req)
	case req.Room.Domain != c.from || req.Target.Domain != s.cfg.Domain:
		err = mimi.Refuse("key-material-hub", errWrongHub)
	default:
		sealed, err = s.cfg.KeyMaterial.KeyMaterial(ctx, c.from, req)
	}
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, sealed)
}

func (s *Server) connectionPackage(ctx context.Context, c call) (answer, error) {
	req, err := decode[protocol.ConnectionPackageRequest](c.body)
	if err != nil {
		return answer{}, err
	}
	pkg, err := s.cfg.People.ConnectionPackage(ctx, c.from, req.User)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, &protocol.ConnectionPackageResponse{Package: pkg})
}

func (s *Server) connectionRequest(ctx context.Context, c call) (answer, error) {
	req, err := decode[protocol.ConnectionRequest](c.body)
	if err != nil {
		return answer{}, err
	}
	if err := s.cfg.People.ConnectionRequest(ctx, c.from, req); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted}, nil
}

// consent serves one of the two endpoints about consent: entries that go to the other one
// are refused. The path names the receiver as the directory says, or, as the text of the
// draft has it, the receiver's domain.
func consent(endpoint protocol.Endpoint) func(*Server, context.Context, call) (answer, error) {
	return func(s *Server, ctx context.Context, c call) (answer, error) {
		e, err := decode[protocol.ConsentEntry](c.body)
		if err != nil {
			return answer{}, err
		}
		if e.Operation.Endpoint() != endpoint {
			return answer{}, mimi.Refuse("consent-endpoint", fmt.Errorf("%w: this operation goes to another endpoint", protocol.ErrMalformed))
		}
		if to := e.Receiver(); c.value != to.String() && c.value != to.Domain {
			return answer{}, mimi.Refuse("consent-path", fmt.Errorf("%w: the path names another user than the entry", protocol.ErrMalformed))
		}
		if err := s.cfg.People.Consent(ctx, c.from, e); err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusCreated}, nil
	}
}
