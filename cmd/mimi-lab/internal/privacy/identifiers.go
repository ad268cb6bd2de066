//go:build lab

package privacy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// A part is something that was recorded, under the name that it has in the report.
type part struct {
	name string
	data []byte
}

// needles are all that says who somebody is or what is said.
func (s *stage) needles() (out []scan.Needle) {
	for i, p := range s.people {
		who := fmt.Sprintf("person %d", i+1)
		account := must(p.client().Account(s.ctx, p.user))
		out = append(out,
			scan.Needle{Name: who + "'s localpart", Text: p.localpart},
			scan.Needle{Name: who + "'s name", Text: p.name},
			scan.Needle{Name: who + "'s URI", Text: p.user.String()},
			scan.Needle{Name: who + "'s address", Text: p.user.Handle()},
			scan.Needle{Name: who + "'s client", Text: account.Client.ID})
		if mx := p.side.Matrix; mx != nil {
			out = append(out,
				scan.Needle{Name: who + "'s Matrix id", Text: mx.UserID(p.localpart).String()},
				scan.Needle{Name: "the homeserver", Text: mx.Server()})
		}
	}
	for i, text := range s.texts {
		out = append(out, scan.Needle{Name: fmt.Sprintf("text %d", i+1), Text: text})
	}
	return out
}

// hubParts are all that the hub has: what it received, with the heads of requests
// and answers, its database and its log.
func (s *stage) hubParts() []part {
	var out []part
	for _, x := range s.seen() {
		out = append(out, part{recorded(x.number, "head"), head(x)})
		if x.To == s.world.Hub.Domain {
			out = append(out, part{recorded(x.number, "request"), x.Request})
		} else {
			out = append(out, part{recorded(x.number, "response"), x.Response})
		}
	}
	return append(out, s.files(s.world.Hub)...)
}

// files are the database of a side, its WAL, and its log.
func (s *stage) files(side *Side) (out []part) {
	for _, path := range must(filepath.Glob(filepath.Join(side.Dir, "*"))) {
		if base := filepath.Base(path); strings.HasPrefix(base, "gateway.db") && base != "gateway.db-shm" || base == "log.txt" {
			out = append(out, part{side.Name + "/" + base, must(os.ReadFile(path))})
		}
	}
	return out
}

// recorded is the name of a part of an exchange in the report.
func recorded(number int, kind string) string {
	extension := map[string]string{"head": "head.txt", "request": "request.bin", "response": "response.bin"}[kind]
	return fmt.Sprintf("traffic/%04d.%s", number, extension)
}

func head(x seen) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", x.Method, x.Target)
	_ = x.RequestHeader.Write(&b)
	_ = x.ResponseHeader.Write(&b)
	return b.Bytes()
}

// searchAll looks for needles in parts.
func searchAll(parts []part, needles []scan.Needle) *finding {
	f := &finding{}
	octets := 0
	for _, p := range parts {
		octets += len(p.data)
		for _, hit := range scan.Find(p.data, needles...) {
			f.hit("%s in %s", hit, p.name)
		}
	}
	if octets == 0 || len(needles) == 0 {
		check(errNothing)
	}
	f.figures = fmt.Sprintf("%d octets in %d parts, searched for %d identifiers in %d encodings each",
		octets, len(parts), len(needles), scan.Encodings())
	return f
}

// realIdentifiers is T1.
func realIdentifiers(s *story) *finding { return searchAll(s.hubParts(), s.needles()) }

// plainRoom is the control of T1: the hub of a plain room learns what T1 looks for.
func plainRoom(p *proof, _ *story) *finding {
	s := newStage(p.ctx, p.open, Setup{}, newNames(p.seed))
	defer s.world.Close()
	alice, bob := s.person(s.provider(0)), s.person(s.provider(1))
	s.connect(alice, bob)
	room := s.group(client.RoomOptions{Plain: true}, alice, bob)
	s.say(room, bob)
	return searchAll(s.hubParts(), s.needles())
}
