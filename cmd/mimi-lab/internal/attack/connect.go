package attack

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func connectAttacks() []Attack {
	return slices.Concat(packageAttacks(), certificateAttacks(), requesterAttacks(), answerAttacks(), consentAttacks(), stageAttacks())
}

// A packageDraft is an establishment package that is about to be signed.
type packageDraft struct {
	tbs    connection.ConnectionEstablishmentPackageTBS
	signer *identity.Client
	// signed changes the whole.
	signed func(*connection.ConnectionEstablishmentPackage)
}

// gives is an attack that answers Alice, who looks for somebody, with a bad
// package.
func gives(name, what, check, section string, bend func(w *world, d *packageDraft)) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		user := w.stranger()
		notBefore, notAfter := identity.KeyPackageLifetime(time.Now())
		d := &packageDraft{signer: w.signer(user), tbs: connection.ConnectionEstablishmentPackageTBS{
			CipherSuite: w.suite.ID(), User: user, PublicKey: must(w.suite.GenerateHPKEKey(w.random)).Public(),
			NotBefore: uint64(notBefore.Unix()), NotAfter: uint64(notAfter.Unix()),
		}}
		bend(w, d)
		d.tbs.Client = d.signer.Certificate
		pkg := &connection.ConnectionEstablishmentPackage{TBS: d.tbs}
		pkg.Signature = must(d.signer.SignWithLabel("ConnectionEstablishmentPackageTBS", must(wire.Marshal(&pkg.TBS))))
		if d.signed != nil {
			d.signed(pkg)
		}
		w.answers(map[protocol.Endpoint]reply{
			protocol.EndpointConnectionPackage: always(&protocol.ConnectionPackageResponse{Package: must(wire.Marshal(pkg))}),
		})
		_, err := w.victim.Node.Client().Connect(w.ctx, w.alice, user)
		return w.unless(err, "Alice has sent her connection key to whoever made the package")
	}}
}

// packageAttacks are those of a provider that hands out packages.
func packageAttacks() []Attack {
	return []Attack{
		gives("changed-package", "changes a package after it was signed", "package-signature", "4", func(_ *world, d *packageDraft) {
			d.signed = func(p *connection.ConnectionEstablishmentPackage) { p.Signature[5] ^= 1 }
		}),
		gives("package-of-another", "gives another's package to whoever looks for somebody", "package-user", "4", func(w *world, d *packageDraft) {
			d.tbs.User = w.stranger()
			d.signer = w.signer(d.tbs.User)
		}),
		gives("package-of-the-future", "gives a package that is not valid yet", "package-time", "4", func(_ *world, d *packageDraft) {
			d.tbs.NotBefore += 40 * 24 * 3600
			d.tbs.NotAfter += 40 * 24 * 3600
		}),
	}
}

// certificateAttacks have certificates that no identity CA of the profile issues.
func certificateAttacks() []Attack {
	signed := func(name, what, check string, signer func(w *world, user mimi.URI) *identity.Client) Attack {
		return gives(name, what, check, "2", func(w *world, d *packageDraft) { d.signer = signer(w, d.tbs.User) })
	}
	bent := func(name, what, check string, bend func(t, ca *x509.Certificate)) Attack {
		return signed(name, what, check, func(w *world, user mimi.URI) *identity.Client {
			return w.certified([]mimi.URI{user, w.device(user)}, bend)
		})
	}
	return []Attack{
		signed("other-ca", "has a certificate of a CA that its directory does not name", "certificate-issuer", func(w *world, user mimi.URI) *identity.Client { return w.another(user) }),
		signed("early-certificate", "has a certificate that is not valid yet", "certificate-time", func(w *world, user mimi.URI) *identity.Client { return w.early(user) }),
		signed("foreign-name", "has its CA name a user of Alice's provider", "certificate-domain", func(w *world, _ mimi.URI) *identity.Client {
			return w.certified([]mimi.URI{w.anna, w.device(w.anna)}, func(*x509.Certificate, *x509.Certificate) {})
		}),
		signed("three-names", "has a certificate with a name too many", "certificate-names", func(w *world, user mimi.URI) *identity.Client {
			return w.certified([]mimi.URI{user, w.device(user), w.eve}, func(*x509.Certificate, *x509.Certificate) {})
		}),
		bent("certificate-of-a-ca", "has a certificate that may issue others", "certificate-ca", func(t, _ *x509.Certificate) {
			t.BasicConstraintsValid, t.IsCA = true, true
		}),
		bent("key-usage", "has a certificate for another use", "certificate-usage", func(t, _ *x509.Certificate) { t.KeyUsage |= x509.KeyUsageKeyEncipherment }),
		bent("extended-key-usage", "has a certificate for TLS clients", "certificate-extended-usage", func(t, _ *x509.Certificate) {
			t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}),
		bent("critical-extension", "has a certificate with a critical extension that nobody knows", "certificate-critical", func(t, _ *x509.Certificate) {
			t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
		}),
		bent("outlives-its-ca", "has a certificate that is valid for longer than its CA", "certificate-lifetime", func(t, ca *x509.Certificate) {
			t.NotAfter = ca.NotAfter.Add(24 * time.Hour)
		}),
		bent("large-certificate", "has a certificate that fits into no link", "certificate-size", func(t, _ *x509.Certificate) {
			t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 5}, Value: make([]byte, 700)})
		}),
	}
}

// A requestDraft is a connection request that is about to be signed.
type requestDraft struct {
	asker   mimi.URI
	signer  *identity.Client
	request connection.ConnectionRequest
	// context is what the request is signed and encrypted for, public the key.
	context connection.ConnectionRequestContext
	public  []byte
	// signed and sent change the whole.
	signed func(*connection.SignedConnectionRequest)
	sent   func(*protocol.ConnectionRequest)
}

// packageFor fetches a package of one of the victim's users.
func (w *world) packageFor(user mimi.URI) *connection.ConnectionEstablishmentPackage {
	a := w.send(protocol.EndpointConnectionPackage, "", &protocol.ConnectionPackageRequest{User: user})
	var resp protocol.ConnectionPackageResponse
	w.check(wire.Unmarshal(a.body, &resp))
	return must(connection.ParsePackage(resp.Package))
}

// draftRequest makes a request of a stranger for a package.
func (w *world) draftRequest(pkg *connection.ConnectionEstablishmentPackage) *requestDraft {
	asker := w.stranger()
	keys := must(connection.NewKeys(w.random))
	return &requestDraft{
		asker: asker, signer: w.signer(asker), public: pkg.TBS.PublicKey,
		context: connection.ConnectionRequestContext{Recipient: pkg.TBS.User, Package: must(pkg.Ref())},
		request: connection.ConnectionRequest{
			Room: must(mimi.NewID(w.evil.Domain, mimi.KindRoom, w.random)), WrapperKey: must(identity.NewWrapperKey(w.suite, w.random)).Key,
			ConnectionKey: keys.Key, Token: keys.Token, ResponseKey: must(w.suite.GenerateHPKEKey(w.random)).Public(),
			JoinSecret: suite.NewSecret(make([]byte, 32)), CreatedAt: uint64(time.Now().UnixMilli()),
		},
	}
}

// ask sends a request.
func (w *world) ask(d *requestDraft) {
	bound := d.context
	d.request.Client = d.signer.Certificate
	signed := &connection.SignedConnectionRequest{Request: d.request}
	signed.Signature = must(d.signer.SignWithLabel("ConnectionRequestTBS", must(wire.Marshal(&connection.ConnectionRequestTBS{Request: &signed.Request, Context: bound}))))
	if d.signed != nil {
		d.signed(signed)
	}
	plaintext := must(identity.Pad(must(wire.Marshal(signed)), 4096))
	sealed := must(w.suite.EncryptWithLabel(d.public, "ConnectionRequest", must(wire.Marshal(&bound)), plaintext))
	envelope := &protocol.ConnectionRequest{Target: bound.Recipient, PackageRef: bound.Package[:], Request: sealed}
	if d.sent != nil {
		d.sent(envelope)
	}
	w.send(protocol.EndpointConnectionRequest, "", envelope)
}

// asked says whether somebody of the victim's has been shown a request.
func (w *world) asked(asker mimi.URI) success {
	return func() string {
		if w.victim.Count(func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Peer == asker }) > 0 {
			return "the request is shown"
		}
		return ""
	}
}

// asks is an attack by a request to Anna.
func asks(name, what, check string, bend func(w *world, d *requestDraft)) Attack {
	return Attack{Name: name, What: what, Check: check, Section: "4", play: func(w *world) success {
		d := w.draftRequest(w.packageFor(w.anna))
		bend(w, d)
		w.ask(d)
		return w.asked(d.asker)
	}}
}

// requesterAttacks are requests that are dropped unseen.
func requesterAttacks() []Attack {
	return []Attack{
		asks("unknown-package", "asks with a package that Anna has not made", "request-package", func(_ *world, d *requestDraft) {
			d.sent = func(r *protocol.ConnectionRequest) { r.PackageRef = append([]byte{1}, r.PackageRef[1:]...) }
		}),
		asks("used-package", "asks with a package that was used", "request-package-used", func(w *world, d *requestDraft) {
			first := *d
			first.asker = w.stranger()
			first.signer = w.signer(first.asker)
			w.ask(&first)
			must(w.victim.Await(w.ctx, "a request", func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Peer == first.asker }))
		}),
		asks("ciphertext-for-another", "encrypts the request in the context of another recipient", "request-opens", func(w *world, d *requestDraft) {
			d.context.Recipient = w.alice
			d.sent = func(r *protocol.ConnectionRequest) { r.Target = w.anna }
		}),
		asks("changed-request", "changes a request after it was signed", "request-signature", func(_ *world, d *requestDraft) {
			d.signed = func(r *connection.SignedConnectionRequest) { r.Signature[5] ^= 1 }
		}),
		asks("other-recipient", "sends a request for Anna to Alice", "request-recipient", func(w *world, d *requestDraft) {
			d.sent = func(r *protocol.ConnectionRequest) { r.Target = w.alice }
		}),
		asks("older-than-its-package", "says that the request was made before the package", "request-package-time", func(_ *world, d *requestDraft) {
			d.request.CreatedAt -= 10 * 24 * 3600 * 1000
		}),
		asks("no-response-key", "asks with a key to which nobody can answer", "request-key", func(_ *world, d *requestDraft) {
			d.request.ResponseKey = d.request.ResponseKey[:31]
		}),
		asks("blocked", "asks again after Anna has blocked it", "request-blocked", func(w *world, d *requestDraft) {
			x := &connection.Contact{Peer: d.asker, State: connection.Blocked}
			secret := append(must(wire.Marshal(x)), 0) // nothing unsent
			w.check(w.victim.Store.Client().PutContact(w.ctx, &client.Contact{
				ID: d.asker.ID, Account: w.anna, Peer: d.asker, State: client.ContactBlocked, Changed: time.Now(), Secret: secret,
			}))
		}),
		{
			Name: "replayed-request", What: "sends a request of last resort again", Check: "request-replay", Section: "4",
			play: func(w *world) success {
				d := w.draftRequest(w.lastResort(w.anna))
				var envelope *protocol.ConnectionRequest
				d.sent = func(r *protocol.ConnectionRequest) { envelope = r }
				w.ask(d)
				shown := func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Peer == d.asker }
				must(w.victim.Await(w.ctx, "a request", shown))
				w.send(protocol.EndpointConnectionRequest, "", envelope)
				return func() string {
					if w.victim.Count(shown) > 1 {
						return "the request is shown twice"
					}
					return ""
				}
			},
		},
	}
}

// lastResort is the package that is left when all others are handed out.
func (w *world) lastResort(user mimi.URI) *connection.ConnectionEstablishmentPackage {
	w.packageFor(user) // so that there is one
	for range 1000 {
		stored := must(w.victim.Store.People().HandOut(w.ctx, user, w.suite.ID(), time.Now()))
		if stored.LastResort {
			return must(connection.ParsePackage(stored.Package))
		}
	}
	panic(failure{connection.ErrNoPackage})
}

// answerAttacks answer Alice, who has asked somebody, as nobody should.
func answerAttacks() []Attack {
	answer := func(name, what, check string, bend func(w *world, a *accepting)) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "4", play: func(w *world) success {
			user := w.stranger()
			w.person(w.evil, user.Localpart())
			must(w.victim.Node.Client().Connect(w.ctx, w.alice, user))
			a := &accepting{request: w.requestOf(user, w.alice), n: w.newcomer(user, mimi.URI{}, nil)}
			a.item = true
			bend(w, a)
			im := w.enters(a.request, a.n)
			tbs := a.n.id.TBS()
			if a.tbs != nil {
				tbs = a.tbs
			}
			w.update(im.uri, im.join(a.n, false, func(d *draft) {
				if a.item {
					d.safe = append(d.safe, must(a.request.Respond(tbs, must(connection.NewKeys(w.random)))))
				}
				if a.entry != nil {
					a.entry(d)
				}
			}))
			return func() string {
				if w.victim.Count(func(e *client.Event) bool { return e.Kind == client.EventConnected && e.Peer == user }) > 0 {
					return "Alice believes that she is connected with the person she asked"
				}
				return ""
			}
		}}
	}
	return []Attack{
		answer("no-response", "joins the connection room without an answer", "response-missing", func(_ *world, a *accepting) { a.item = false }),
		answer("response-of-another-leaf", "joins with an answer that was made for another leaf", "response-opens", func(w *world, a *accepting) {
			a.tbs = w.newcomer(w.eve, mimi.URI{}, nil).id.TBS()
		}),
		answer("another-person", "lets Eve answer for the one who was asked", "response-person", func(w *world, a *accepting) {
			a.n = w.newcomer(w.eve, mimi.URI{}, nil)
		}),
		answer("unverified-answer", "joins with a link that does not open", "response-link", func(w *world, a *accepting) {
			a.entry = func(d *draft) { d.entries[0].Ciphertext[3] ^= 1 }
		}),
	}
}

// accepting is an answer that is about to be given.
type accepting struct {
	request *connection.IncomingRequest
	n       *newcomer
	// item says that there is an answer, tbs for which leaf if not for n's.
	item  bool
	tbs   *identity.PseudonymousCredentialTBS
	entry bend
}

// shown asks the victim's hub for a room, with a joining code or without.
func (w *world) shown(room mimi.URI, n *newcomer, code suite.Secret, bend func(r *protocol.GroupInfoRequest)) (*protocol.GroupInfoRatchetTreeTBE, answer) {
	response := must(w.suite.GenerateHPKEKey(w.random))
	req := &protocol.GroupInfoRequest{Credential: n.params.Credential, GroupInfoPublicKey: response.Public(), JoiningCode: code}
	w.check(req.Sign(w.suite, n.id.Key))
	bend(req)
	a := w.send(protocol.EndpointGroupInfo, room.String(), req)
	var resp protocol.GroupInfoResponse
	if a.status != http.StatusOK || wire.Unmarshal(a.body, &resp) != nil {
		return nil, a
	}
	info, err := resp.Open(w.suite, response, room)
	if err != nil {
		return nil, a
	}
	return info, a
}

// enters is an implant for a newcomer who is about to answer a request.
func (w *world) enters(request *connection.IncomingRequest, n *newcomer) *implant {
	info, _ := w.shown(request.Room(), n, request.JoiningCode(), func(*protocol.GroupInfoRequest) {})
	if info == nil {
		panic(failure{connection.ErrNotConnectionRoom})
	}
	return w.implantOf(request.Room(), info, request.WrapperKey())
}
