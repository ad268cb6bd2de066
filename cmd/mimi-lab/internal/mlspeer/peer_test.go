package mlspeer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// ask makes a request and decodes the answer, as another program would.
func ask(t *testing.T, p *Peer, op string, params any) *Answer {
	t.Helper()
	request, err := MarshalRequest(op, params)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(p.Handle(t.Context(), request))
	if err != nil {
		t.Fatal(err)
	}
	a := new(Answer)
	if err := json.Unmarshal(encoded, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// must makes a request that has to succeed.
func must(t *testing.T, p *Peer, op string, params any) *Answer {
	t.Helper()
	a := ask(t, p, op, params)
	if !a.OK {
		t.Fatalf("%s: %s", op, a.Error)
	}
	return a
}

func TestTwoPeers(t *testing.T) {
	alice, bob := New(), New()
	must(t, alice, "init", Init{Suite: 1, Identity: Hex("alice"), PublicHandshake: true})
	must(t, bob, "init", Init{Suite: 1, Identity: Hex("bob"), PublicHandshake: true})
	must(t, alice, "create", Create{GroupID: Hex("group")})
	kp := must(t, bob, "keypackage", KeyPackage{}).KeyPackage
	welcome := must(t, alice, "commit", Commit{Add: []Hex{kp}, Tree: true}).Welcome
	must(t, bob, "join", Join{Welcome: welcome})
	msg := must(t, alice, "protect", Protect{Data: Hex("hello"), AAD: Hex("aad")}).Msg
	r := must(t, bob, "process", Process{Msg: msg})
	if r.Kind != KindApplication || string(r.Data) != "hello" || string(r.AAD) != "aad" || r.Sender == nil || *r.Sender != 0 {
		t.Errorf("processed %+v", r)
	}
	if again := ask(t, bob, "process", Process{Msg: msg}); again.OK {
		t.Error("a message was processed twice")
	}
	a, b := must(t, alice, "state", None{}), must(t, bob, "state", None{})
	if !bytes.Equal(a.EpochAuthenticator, b.EpochAuthenticator) || !bytes.Equal(a.TreeHash, b.TreeHash) || len(b.Roster) != 2 {
		t.Errorf("alice is in %+v, bob in %+v", a, b)
	}
	commit := must(t, alice, "commit", Commit{Remove: []uint32{1}}).Commit
	if r := must(t, bob, "process", Process{Msg: commit}); r.Active == nil || *r.Active {
		t.Errorf("bob does not notice that it was removed: %+v", r)
	}
	if a := ask(t, bob, "state", None{}); a.OK {
		t.Error("bob still has a group")
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name, request, want string
		unsupported         bool
	}{
		{"no JSON", `{`, "unexpected end", false},
		{"nothing before init", `{"op":"create"}`, "first request", false},
		{"unknown suite", `{"op":"init","suite":99,"identity":"00","public_handshake":true}`, "not supported", true},
		{"encrypted handshake", `{"op":"init","suite":1,"identity":"00"}`, "not supported", true},
		{"misspelt option", `{"op":"init","suite":1,"identiti":"00","public_handshake":true}`, "identiti", false},
		{"bad hex", `{"op":"init","suite":1,"identity":"0","public_handshake":true}`, "hex", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := New().Handle(t.Context(), []byte(test.request))
			if a.OK || !strings.Contains(a.Error, test.want) || a.Unsupported != test.unsupported {
				t.Errorf("the answer is %+v", a)
			}
		})
	}
}

// TestNoGroup: requests about a group fail without one, and do not panic.
func TestNoGroup(t *testing.T) {
	p := New()
	must(t, p, "init", Init{Suite: 1, Identity: Hex("alice"), PublicHandshake: true})
	for _, op := range []string{"commit", "propose", "process", "protect", "group_info", "export", "state", "join", "external_join", "external_propose", "nonsense"} {
		if a := ask(t, p, op, None{}); a.OK || a.Error == "" {
			t.Errorf("%s: %+v", op, a)
		}
	}
}

func TestServe(t *testing.T) {
	in := `{"op":"init","suite":3,"identity":"00","public_handshake":true}` + "\n\n" + `{"op":"state"}` + "\n"
	var out strings.Builder
	if err := Serve(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(out.String()))
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"ok":true,"signature_key":"`) || !strings.HasPrefix(lines[1], `{"ok":false,"error":"`) {
		t.Errorf("answered %q", lines)
	}
}

// TestHelp: the help names every request.
func TestHelp(t *testing.T) {
	var out strings.Builder
	if err := Help(&out); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{
		"init", "keypackage", "create", "commit", "propose", "join", "external_join", "external_propose", "process", "protect",
		"group_info", "export", "state", "psk",
	} {
		if !strings.Contains(out.String(), `{"op":"`+op+`"`) {
			t.Errorf("the help does not have %s", op)
		}
	}
}
