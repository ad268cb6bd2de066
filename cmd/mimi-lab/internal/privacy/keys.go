//go:build lab

package privacy

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// randomOctets is a source of chance.
type randomOctets struct{}

func (randomOctets) Read(b []byte) (int, error) { return rand.Read(b) }

// uploadTimes is T9. In this gateway provider and client are one process: an upload
// goes over no wire. So a hub sees a fetch that it relays, and later the KeyPackages
// in an Add, which must not say when they were made.
func uploadTimes(s *story) *finding {
	f := &finding{}
	fetches, adds := 0, 0
	lifetimes := map[[2]uint64]bool{}
	for _, x := range s.seen() {
		switch x.endpoint() {
		case string(protocol.EndpointKeyMaterialAnonymous):
			fetches++
		case string(protocol.EndpointUpdate):
			for _, kp := range addsOf(x) {
				adds++
				from, to := kp.LeafNode.NotBefore, kp.LeafNode.NotAfter
				lifetimes[[2]uint64{from, to}] = true
				if from%day != 0 || to%day != 0 {
					f.hit("a KeyPackage in %s says that it was made %d s after midnight", recorded(x.number, "request"), from%day)
				}
			}
		case string(protocol.EndpointNotify), string(protocol.EndpointSubmitMessage), string(protocol.EndpointGroupInfo), string(protocol.EndpointJoinCode), ".well-known":
		default:
			if !strings.Contains(x.Target, "/.well-known/") {
				f.hit("the hub sees %s, which may be an upload", x.Target)
			}
		}
	}
	if fetches == 0 || adds == 0 {
		check(errNothing)
	}
	if len(lifetimes) > 2 { // two, if midnight has passed
		f.hit("KeyPackages have %d different lifetimes", len(lifetimes))
	}
	f.figures = fmt.Sprintf("%d fetches and %d KeyPackages in Adds, with lifetimes of the same whole days; no request to or from the hub is an upload", fetches, adds)
	return f
}

const day = 24 * 60 * 60

// addsOf are the KeyPackages that an update adds.
func addsOf(x seen) (out []*mls.KeyPackage) {
	var req protocol.UpdateRequest
	if wire.Unmarshal(x.Request, &req) != nil || req.ProposalOrCommit.PublicMessage == nil {
		return nil
	}
	commit := req.ProposalOrCommit.PublicMessage.Content.Commit
	if commit == nil {
		return nil
	}
	for _, p := range commit.Proposals {
		if p.Proposal == nil {
			continue
		}
		if add, ok := p.Proposal.Body.(*mls.Add); ok {
			out = append(out, &add.KeyPackage)
		}
	}
	return out
}

// secrets are all wrapper keys, and the secrets of join links.
func (s *story) secrets() (needles []scan.Needle) {
	for room, keys := range s.keys {
		seen := map[string]bool{}
		for _, k := range keys {
			if !seen[hexOf(k.Key)] {
				seen[hexOf(k.Key)] = true
				needles = append(needles, scan.Needle{Name: fmt.Sprintf("wrapper key %d of %s", k.Generation, room.ID), Text: string(k.Key.Bytes())})
			}
		}
	}
	for i, link := range s.links {
		_, key, _ := strings.Cut(link, "&k=")
		needles = append(needles, scan.Needle{Name: fmt.Sprintf("the key of link %d", i+1), Text: key})
	}
	return needles
}

// allParts are all that anybody sent, stored or logged.
func (s *stage) allParts() (parts []part) {
	for i, x := range s.world.Log.All() {
		parts = append(parts,
			part{recorded(i, "head"), head(seen{i, x})}, part{recorded(i, "request"), x.Request}, part{recorded(i, "response"), x.Response})
	}
	for _, side := range append([]*Side{s.world.Hub}, s.world.Providers...) {
		parts = append(parts, s.files(side)...)
	}
	return parts
}

// wrapperKeys is T10: they are looked for in all that anybody sent, stored or logged.
func wrapperKeys(s *story) *finding { return searchAll(s.allParts(), s.secrets()) }

// queueReferences is T11.
func queueReferences(s *story) *finding {
	f := &finding{}
	where := map[string]string{}
	opened, refused := 0, 0
	for _, room := range []mimi.URI{s.first, s.second, s.others, s.masked} {
		leaves := s.leaves(room)
		for i, l := range leaves {
			sealed := hex.EncodeToString(l.queue.Sealed.Ciphertext)
			here := fmt.Sprintf("leaf %d of %s", l.index, room.ID[:8])
			if other, ok := where[sealed]; ok {
				f.hit("%s and %s have the same queue reference", here, other)
			}
			where[sealed] = here
			keys := s.queueKeys(l.queue.Domain)
			if _, err := keys.OpenQueue(&l.credential.PseudonymousCredentialTBS, l.queue, time.Now()); err == nil {
				opened++
			}
			other := leaves[(i+1)%len(leaves)]
			if _, err := keys.OpenQueue(&other.credential.PseudonymousCredentialTBS, l.queue, time.Now()); err == nil {
				f.hit("the queue reference of %s opens in leaf %d", here, other.index)
			} else {
				refused++
			}
		}
	}
	if string(s.queues[0].Sealed.Ciphertext) == string(s.queues[1].Sealed.Ciphertext) {
		f.hit("bob's queue reference is the same after an update of his leaf")
	}
	if opened != len(where) && len(f.hits) == 0 {
		check(fmt.Errorf("%d of %d queue references open where they should", opened, len(where)))
	}
	f.figures = fmt.Sprintf("%d references in four rooms, all different; each opens at its provider in its own leaf, none of %d in another", len(where), refused)
	return f
}

func (s *stage) queueKeys(domain string) identity.ProviderKeyRing {
	for _, side := range s.world.Providers {
		if side.Domain == domain {
			return side.Node.Client().QueueKeys()
		}
	}
	panic(failure{errNothing})
}
