package provider

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// authenticate returns the domain of the peer that sent r
// (draft-ietf-mimi-protocol-06, section 4.1).
func (s *Server) authenticate(r *http.Request) (domain string, err error) {
	if hostname(r.Host) != s.cfg.Domain {
		return "", mimi.Refuse("peer-host", refuse(http.StatusMisdirectedRequest, protocol.CodeWrongHost, "The Host header does not name this provider."))
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "", mimi.Refuse("peer-certificate", refuse(http.StatusUnauthorized, protocol.CodeNoCertificate, "Providers authenticate with a TLS client certificate; none was presented."))
	}
	from := r.Header.Values("From")
	if len(from) == 1 {
		domain, err = protocol.ParseFrom(from[0])
	}
	if len(from) != 1 || err != nil {
		return "", mimi.Refuse("peer-from", refuse(http.StatusBadRequest, protocol.CodeBadFrom, "There must be one From header, mimi@ and the domain of the source provider."))
	}
	leaf := r.TLS.PeerCertificates[0]
	// The name must be there itself: a wildcard certificate of a hosting company
	// must not speak for all the providers under that name.
	if !slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, domain) }) {
		return "", mimi.Refuse("peer-name", refuse(http.StatusForbidden, protocol.CodeWrongFrom, "The client certificate has no dNSName that equals the domain in the From header."))
	}
	roots, err := s.cfg.Roots(domain)
	if err != nil {
		return "", mimi.Refuse("peer-barred", refuse(http.StatusForbidden, protocol.CodeUnknownPeer, "This provider does not federate with the domain in the From header."))
	}
	if err := s.verifyChain(r.TLS.PeerCertificates, roots); err != nil {
		return "", mimi.Refuse("peer-untrusted", refuse(http.StatusForbidden, protocol.CodeUntrusted, "The client certificate does not verify: "+chainFault(err)))
	}
	return domain, nil
}

func (s *Server) verifyChain(chain []*x509.Certificate, roots *x509.CertPool) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   s.cfg.Clock.Now(),
		// Public CAs have stopped to issue certificates for clientAuth. A provider
		// is a server too; the certificate of that role names it as well.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	return err
}

// chainFault says in public words why a certificate did not verify.
func chainFault(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "it is signed by an authority that is not trusted for this peer."
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "it is expired or not yet valid."
	}
	return "its chain is not valid for this use."
}

// hostname is the host of a Host header, whose port does not matter.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(host)
}
