//go:build lab

package privacy

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// disclosures is T13: in every Matrix room that the gateway makes, what people must
// know comes before the first message.
func disclosures(p *proof, setup Setup) *finding {
	setup.Gateway = true
	s := newStage(p.ctx, p.open, setup, newNames(p.seed))
	defer s.world.Close()
	alice, dora := s.person(s.provider(0)), s.person(s.provider(3))
	s.connect(alice, dora)
	room := s.group(client.RoomOptions{}, alice, dora)
	s.say(room, alice)
	for _, c := range must(alice.client().Contacts(s.ctx, alice.user)) {
		s.say(c.Room, alice)
	}
	s.calm()
	f := &finding{}
	messages := 0
	portals := must(dora.side.Matrix.Portals(s.ctx))
	for name, timeline := range portals {
		for i, what := range timeline {
			if what != "message" {
				continue
			}
			messages++
			if i == 0 || timeline[0] != "disclosure" {
				f.hit("in %s a message comes before the disclosure", name)
			}
			break
		}
	}
	if messages == 0 {
		check(errNothing)
	}
	f.figures = fmt.Sprintf("%d portals, %d of them with messages", len(portals), messages)
	return f
}
