package protocol

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// An Endpoint is the name of an action in the directory document.
type Endpoint string

// The endpoints of draft-ietf-mimi-protocol-06, section 5, and, from
// [EndpointConnectionPackage] on, those of mmr-profile.md, section 10.
const (
	EndpointKeyMaterial     Endpoint = "keyMaterial"
	EndpointUpdate          Endpoint = "update"
	EndpointNotify          Endpoint = "notify"
	EndpointSubmitMessage   Endpoint = "submitMessage"
	EndpointGroupInfo       Endpoint = "groupInfo"
	EndpointRequestConsent  Endpoint = "requestConsent"
	EndpointUpdateConsent   Endpoint = "updateConsent"
	EndpointIdentifierQuery Endpoint = "identifierQuery"
	EndpointReportAbuse     Endpoint = "reportAbuse"
	EndpointProxyDownload   Endpoint = "proxyDownload"

	EndpointConnectionPackage    Endpoint = "connectionPackage"
	EndpointConnectionRequest    Endpoint = "connectionRequest"
	EndpointKeyMaterialAnonymous Endpoint = "keyMaterialAnonymous"
	EndpointJoinCode             Endpoint = "joinCode"
)

// endpointRule is what the protocol fixes about an endpoint.
type endpointRule struct {
	endpoint Endpoint
	variable string // the variable of its URL template, or ""
	domain   string // another name that the draft has for it, which stands for a domain; or ""
	profile  bool   // part of the "mgp" member
	required bool   // must be in its object
	request  int64  // most octets of a request body
	response int64  // most octets of a response body
}

// endpointRules has the limits of bodies in one place. They follow from a room of
// 1000 leaves: a leaf with its identity link takes about 1.6 KiB in a tree, an
// entry of the identity-link table 0.1 KiB, a Welcome 0.2 KiB for each new
// client, and notify carries batches.
var endpointRules = []endpointRule{
	{EndpointKeyMaterial, "targetUser", "", false, true, 64 << 10, 1 << 20},
	{EndpointUpdate, "roomId", "", false, true, 8 << 20, 64 << 10},
	{EndpointNotify, "roomId", "", false, true, 16 << 20, 0},
	{EndpointSubmitMessage, "roomId", "", false, true, 1 << 20, 4 << 10},
	{EndpointGroupInfo, "roomId", "", false, true, 64 << 10, 16 << 20},
	{EndpointRequestConsent, "targetUser", "targetDomain", false, false, 64 << 10, 0},
	{EndpointUpdateConsent, "requesterUser", "requesterDomain", false, false, 1 << 20, 0},
	{EndpointIdentifierQuery, "domain", "", false, false, 64 << 10, 1 << 20},
	{EndpointReportAbuse, "roomId", "", false, false, 8 << 20, 0},
	{EndpointProxyDownload, "downloadUrl", "", false, false, 0, 0},

	{EndpointConnectionPackage, "", "", true, true, 1 << 10, ConnectionPackageSize},
	{EndpointConnectionRequest, "", "", true, true, 32 << 10, 0},
	{EndpointKeyMaterialAnonymous, "", "", true, true, 64 << 10, 1 << 20},
	{EndpointJoinCode, "", "", true, true, 128 << 10, 0},
}

func (e Endpoint) rule() endpointRule {
	for _, r := range endpointRules {
		if r.endpoint == e {
			return r
		}
	}
	return endpointRule{}
}

// Endpoints lists all endpoints that have a place in a directory document.
func Endpoints() []Endpoint {
	all := make([]Endpoint, len(endpointRules))
	for i, r := range endpointRules {
		all[i] = r.endpoint
	}
	return all
}

// Variable is the name of the variable in the endpoint's URL template, or empty.
func (e Endpoint) Variable() string { return e.rule().variable }

// Profile reports whether the endpoint belongs to the minimal-metadata profile.
func (e Endpoint) Profile() bool { return e.rule().profile }

// MaxRequest is the most octets that a request body may have.
func (e Endpoint) MaxRequest() int64 { return e.rule().request }

// MaxResponse is the most octets that the body of a successful answer may have.
func (e Endpoint) MaxResponse() int64 { return e.rule().response }

func (e Endpoint) required() bool { return e.rule().required }

// A Template is the checked URL of an endpoint: before and after its variable.
// The zero Template is no URL.
type Template struct {
	before, variable, after string
}

// ParseTemplate checks the URL of endpoint e in the directory document of domain:
// https, the host equal to domain (the port is free), no user information, query
// or fragment, and in the path exactly the variable that the endpoint has. Those about
// consent have it by two names in the draft: for a user, and for the user's domain.
func ParseTemplate(e Endpoint, s, domain string) (Template, error) {
	refuse := func(why string) (Template, error) {
		return Template{}, fmt.Errorf("URL of %s: %s", e, why)
	}
	if len(s) > maxURL {
		return refuse("it is too long")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`"<>\^`+"`|", s[i]) >= 0 {
			return refuse("it has a character that no URL has")
		}
	}
	t := Template{before: s}
	if name := e.Variable(); name != "" {
		t.variable = "{" + name + "}"
		if domain := e.rule().domain; domain != "" && strings.Contains(s, "{"+domain+"}") {
			t.variable = "{" + domain + "}"
		}
		var ok bool
		if t.before, t.after, ok = strings.Cut(s, t.variable); !ok {
			return refuse(t.variable + " is missing")
		}
	}
	if strings.ContainsAny(t.before+t.after, "{}") {
		return refuse("it has another variable")
	}
	const filler = "x" // stands for the variable, so that the rest parses as a URL
	u, err := url.Parse(t.before + filler + t.after)
	if err != nil {
		return refuse("it does not parse") // the error would repeat the URL
	}
	prefix, err := url.Parse(t.before)
	switch {
	case err != nil || u.Scheme != "https" || u.Opaque != "":
		return refuse("it is not an https URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return refuse("it has user information, a query or a fragment")
	case u.Hostname() != domain || prefix.Host != u.Host:
		return refuse("its host is not the provider's domain")
	case prefix.Path == "" && t.variable != "":
		return refuse("the variable is not in its path")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return refuse("its port is invalid")
		}
	}
	return t, nil
}

// String returns the template as it stands in the document.
func (t Template) String() string { return t.before + t.variable + t.after }

// Expand returns the URL with value for the variable. Everything but the
// unreserved characters of RFC 3986 is percent-encoded (simple expansion of
// RFC 6570), so a URI stays one path segment.
func (t Template) Expand(value string) string {
	if t.variable == "" {
		return t.before
	}
	return t.before + escapeSegment(value) + t.after
}

func escapeSegment(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
