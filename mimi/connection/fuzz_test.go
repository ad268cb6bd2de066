package connection_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

func FuzzConnectionEstablishmentPackage(f *testing.F) {
	identitytest.FuzzDecoder[connection.ConnectionEstablishmentPackage](f, identitytest.Load(f).Bytes("ConnectionEstablishmentPackage"))
}

func FuzzSignedConnectionRequest(f *testing.F) {
	identitytest.FuzzDecoder[connection.SignedConnectionRequest](f, identitytest.Load(f).Bytes("SignedConnectionRequest"))
}

func FuzzConnectionResponse(f *testing.F) {
	identitytest.FuzzDecoder[connection.ConnectionResponse](f, identitytest.Load(f).Bytes("ConnectionResponse"))
}

func FuzzConnectionRequestContext(f *testing.F) {
	v := identitytest.Load(f)
	r := must[mimi.URI](f)(mimi.ParseURI("mimi://b.example/u/bob"))
	context := encode(f, &connection.ConnectionRequestContext{Recipient: r, Package: must[connection.Ref](f)(connection.ParseRef(v.Bytes("cep_ref")))})
	identitytest.FuzzDecoder[connection.ConnectionRequestContext](f, context)
}

func FuzzConnectionRequestTBS(f *testing.F) {
	v := identitytest.Load(f)
	context := encode(f, &connection.ConnectionRequestContext{
		Recipient: must[mimi.URI](f)(mimi.ParseURI("mimi://b.example/u/bob")), Package: must[connection.Ref](f)(connection.ParseRef(v.Bytes("cep_ref"))),
	})
	identitytest.FuzzDecoder[connection.ConnectionRequestTBS](f, append(v.Bytes("ConnectionRequest"), context...))
}

func FuzzConnectionResponseContext(f *testing.F) {
	v := identitytest.Load(f)
	info := v.Bytes("connection_response_hpke_info")
	// Behind the label and the two octets of its own length.
	identitytest.FuzzDecoder[connection.ConnectionResponseContext](f, info[1+int(info[0])+2:])
}

func FuzzContact(f *testing.F) {
	w := newWorld(f, identitytest.Suite(f, suite.X25519AES128))
	_, out := w.ask(w.pkg(w.bob, false), nil)
	identitytest.FuzzDecoder[connection.Contact](f, encode(f, &connection.Contact{
		Peer: w.bob.User, State: connection.Requested, Room: w.room, Ours: &w.keys, Asked: out,
	}))
}

func FuzzIncomingRequest(f *testing.F) {
	w := newWorld(f, identitytest.Suite(f, suite.X25519AES128))
	sealed, _ := w.ask(w.pkg(w.bob, false), nil)
	if err := w.receive(sealed); err != nil {
		f.Fatal(err)
	}
	b := must[[]byte](f)(w.shown[0].Marshal())
	f.Add(b)
	f.Add(b[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := connection.UnmarshalIncoming(b)
		if err != nil {
			t.Skip("refused")
		}
		if again, err := r.Marshal(); err != nil || string(again) != string(b) {
			t.Errorf("%x is stored again as %x, %v", b, again, err)
		}
	})
}
