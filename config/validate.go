package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A FieldError names a field of the configuration file and what is wrong
// with it.
type FieldError struct {
	// Key is the path of the field, such as "network.listen.address".
	Key string
	// Problem says what is wrong, and what to do.
	Problem string
}

// Error returns the key and the problem on one line.
func (e *FieldError) Error() string { return e.Key + ": " + e.Problem }

// Validate checks every field, and returns nil or the FieldErrors of all that
// cannot work, joined by errors.Join in the order of the file. It looks at
// values only: whether files exist is found out by who opens them.
func (c *Config) Validate() error {
	var p problems
	p.check("domain", domainProblem(c.Domain))
	p.check("listen.address", addressProblem(c.Listen.Address))
	p.check("listen.cert_file", emptyProblem(c.Listen.CertFile, "is the TLS certificate other providers see"))
	p.check("listen.key_file", emptyProblem(c.Listen.KeyFile, "is the private key of listen.cert_file"))
	for _, domain := range slices.Sorted(maps.Keys(c.Peers)) {
		p.check("peers."+domain, domainProblem(domain))
		if domain == c.Domain {
			p.check("peers."+domain, "is this provider's own domain: remove it")
		}
		p.check("peers."+domain+".address", addressProblem(c.Peers[domain].Address))
	}
	switch c.AutoProvision {
	case AutoProvisionLocal, AutoProvisionAllowed, AutoProvisionOff:
	default:
		p.check("auto_provision", fmt.Sprintf("%q is none of local, allowed, off", string(c.AutoProvision)))
	}
	p.check("key_file", emptyProblem(c.KeyFile, "is where the key-encryption key is kept"))
	if c.SmallCrowd <= 0 {
		p.check("small_crowd", "must be greater than zero; remove the line for the default")
	}
	c.Limits.validate(&p)
	if c.Metrics.Address != "" {
		p.check("metrics.address", addressProblem(c.Metrics.Address))
	}
	return errors.Join(p...)
}

func (l *Limits) validate(p *problems) {
	for _, limit := range []struct {
		key   string
		value int64
	}{
		{"request_timeout", int64(l.RequestTimeout)},
		{"answer_step", int64(l.AnswerStep)},
		{"peer_requests", int64(l.PeerRequests)},
		{"requests", int64(l.Requests)},
		{"connections", int64(l.Connections)},
		{"body_bytes", l.BodyBytes},
		{"message_bytes", int64(l.MessageBytes)},
		{"room_participants", int64(l.RoomParticipants)},
		{"rooms_per_user", int64(l.RoomsPerUser)},
		{"connection_requests", int64(l.ConnectionRequests)},
		{"key_package_sets", int64(l.KeyPackageSets)},
		{"key_package_uploads", int64(l.KeyPackageUploads)},
		{"connection_packages", int64(l.ConnectionPackages)},
	} {
		if limit.value <= 0 {
			p.check("limits."+limit.key, "must be greater than zero; remove the line for the default")
		}
	}
}

// problems collects the FieldErrors of one validation.
type problems []error

// check adds a problem of the field network.key, unless problem is empty.
func (p *problems) check(key, problem string) {
	if problem != "" {
		*p = append(*p, &FieldError{Key: "network." + key, Problem: problem})
	}
}

func emptyProblem(value, meaning string) string {
	if value == "" {
		return "must be set: it " + meaning
	}
	return ""
}

// domainProblem says why s is not a DNS name in the lower-case form that URIs
// are compared in.
func domainProblem(s string) string {
	switch {
	case s == "":
		return "must be set to a domain name, such as mimi.example.org"
	case s == "mimi.example.com":
		return "still has the value of the example"
	}
	if err := mimi.CheckDomain(s); err != nil {
		return fmt.Sprintf("%q is not a domain name in lower case", s)
	}
	return ""
}

// addressProblem says why s is not host:port.
func addressProblem(s string) string {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Sprintf("%q is not host:port", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Sprintf("port %q is not between 1 and 65535", port)
	}
	return ""
}
