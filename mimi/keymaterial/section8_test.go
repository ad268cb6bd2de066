package keymaterial_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestRowOpensAdder: an adder opens the links of all KeyPackages before it adds
// anybody, under the key of this contact and to the person who is meant
// (docs/mmr-profile.md, section 8).
func TestRowOpensAdder(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	w := newWorld(t, s)
	rows, _ := w.newSet(false, mimi.URI{}, 0)
	answer := w.answer(rows)
	refused := func(name string, want error, change func(cfg *keymaterial.CheckConfig)) {
		t.Run(name, func(t *testing.T) {
			cfg := w.checkConfig()
			change(&cfg)
			_, _, err := keymaterial.CheckSet(t.Context(), cfg, answer)
			wantError(t, err, want)
		})
	}
	refused("made for another contact", identity.ErrCommitment, func(cfg *keymaterial.CheckConfig) {
		cfg.Key = must[identity.ConnectionKey](t)(identity.NewConnectionKey(w.a.Random))
	})
	refused("another person", keymaterial.ErrOtherPerson, func(cfg *keymaterial.CheckConfig) {
		cfg.User = w.b.Person(t, "eve", "phone").User
	})
	refused("another identity CA", identity.ErrIssuer, func(cfg *keymaterial.CheckConfig) {
		ca := must[*identity.CA](t)(identity.NewCA(identity.CAConfig{Suite: s, Domain: "b.example", Clock: w.b.Clock, Random: identitytest.Random("x")}))
		cfg.Authority = must[*identity.Authority](t)(identity.ParseAuthority("b.example", ca.PEM()))
	})
	if _, _, err := w.check(answer); err != nil {
		t.Errorf("the same answer, with nothing changed: %v", err)
	}
}
