package protocol_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func marshal(tb testing.TB, m wire.Message) []byte {
	tb.Helper()
	b, err := wire.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Every message survives its own encoding, and every prefix of it, and it with
// something behind, is refused.
func TestEveryMessageHasOneEncoding(t *testing.T) {
	samples := protocoltest.Samples()
	if len(samples) < 40 {
		t.Fatalf("only %d samples", len(samples))
	}
	for _, s := range samples {
		t.Run(s.Name, func(t *testing.T) {
			b := marshal(t, s.Message)
			m := s.New()
			if err := wire.Unmarshal(b, m); err != nil {
				t.Fatalf("decode: %v", err)
			}
			if again := marshal(t, m); !bytes.Equal(again, b) {
				t.Errorf("decoding and encoding changed %d octets into %d", len(b), len(again))
			}
			for n := range b {
				if wire.Unmarshal(b[:n], s.New()) == nil {
					t.Fatalf("the first %d of %d octets are accepted", n, len(b))
				}
			}
			if err := wire.Unmarshal(append(bytes.Clone(b), 0), s.New()); !errors.Is(err, wire.ErrTrailing) {
				t.Errorf("trailing octet: %v", err)
			}
		})
	}
}

func FuzzMessages(f *testing.F) {
	samples := protocoltest.Samples()
	for i, s := range samples {
		b := marshal(f, s.Message)
		if err := wire.Unmarshal(b, s.New()); err != nil {
			f.Fatalf("seed %s is refused: %v", s.Name, err)
		}
		f.Add(uint8(i), b)
		f.Add(uint8(i), b[:len(b)-1]) // refused
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		s := samples[int(which)%len(samples)]
		m := s.New()
		if err := wire.Unmarshal(b, m); err != nil {
			t.Skip(err)
		}
		if again := marshal(t, m); !bytes.Equal(again, b) {
			t.Errorf("%s: decoding and encoding changed the message", s.Name)
		}
	})
}

func FuzzParseFanout(f *testing.F) {
	one := protocoltest.Fanout()
	body, err := protocol.MarshalFanout(&one, &one)
	if err != nil {
		f.Fatal(err)
	}
	if got, err := protocol.ParseFanout(body); err != nil || len(got) != 2 {
		f.Fatalf("seed is refused: %d messages, %v", len(got), err)
	}
	f.Add(body)
	f.Add(marshal(f, &one))
	f.Add(body[1:]) // refused
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := protocol.ParseFanout(b)
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("an error without identity: %v", err)
			}
			t.Skip(err)
		}
		again, err := protocol.MarshalFanout(messages...)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("parsing and encoding changed the body: %v", err)
		}
	})
}

func FuzzParsePlainFanout(f *testing.F) {
	one := protocoltest.Fanout().Message
	body, err := protocol.MarshalPlainFanout(&one, &one)
	if err != nil {
		f.Fatal(err)
	}
	if got, err := protocol.ParsePlainFanout(body); err != nil || len(got) != 2 {
		f.Fatalf("seed is refused: %d messages, %v", len(got), err)
	}
	f.Add(body)
	f.Add(marshal(f, &one))
	f.Add(body[1:]) // refused
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := protocol.ParsePlainFanout(b)
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("an error without identity: %v", err)
			}
			t.Skip(err)
		}
		again, err := protocol.MarshalPlainFanout(messages...)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("parsing and encoding changed the body: %v", err)
		}
		first, err := protocol.FirstFanout(b)
		if err != nil || !bytes.Equal(marshal(t, first), marshal(t, messages[0])) {
			t.Errorf("the first message is another one: %v", err)
		}
	})
}

// TestFanoutOfBothKinds: a body is that of one kind of rooms, both begin with a
// FanoutMessage, and nothing else is a body.
func TestFanoutOfBothKinds(t *testing.T) {
	minimal := protocoltest.Fanout()
	sealed, err := protocol.MarshalFanout(&minimal, &minimal)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := protocol.MarshalPlainFanout(&minimal.Message, &minimal.Message)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range [][]byte{sealed, plain} {
		if err := protocol.CheckFanout(body); err != nil {
			t.Error(err)
		}
		first, err := protocol.FirstFanout(body)
		if err != nil || !bytes.Equal(marshal(t, first), marshal(t, &minimal.Message)) {
			t.Errorf("the first message is another one: %v", err)
		}
		for _, bad := range [][]byte{nil, body[1:], body[:len(body)-1], append(bytes.Clone(body), 0)} {
			if err := protocol.CheckFanout(bad); !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("%d of %d octets: %v", len(bad), len(body), err)
			}
		}
	}
	if _, err := protocol.ParseFanout(plain); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("a body for a plain room is taken for another: %v", err)
	}
	if _, err := protocol.ParsePlainFanout(sealed); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("a body with targets is taken for one of a plain room: %v", err)
	}
}

// Each case is a message with one octet or field against a rule.
func TestDecodersRefuse(t *testing.T) {
	sampled := func(name string) protocoltest.Sample {
		for _, s := range protocoltest.Samples() {
			if s.Name == name {
				return s
			}
		}
		t.Fatalf("no sample %s", name)
		return protocoltest.Sample{}
	}
	cases := []struct {
		rule, sample string
		change       func(b []byte) []byte
	}{
		{"unknown protocol", "SubmitMessageRequest", set(0, 2)},
		{"reserved protocol", "SubmitMessageRequest", set(0, 0)},
		{"unknown SubmitResponseCode", "SubmitMessageResponse/accepted", set(1, 3)},
		{"unknown UpdateResponseCode", "UpdateRoomResponse/success", set(0, 4)},
		{"errorDescription is not UTF-8", "UpdateRoomResponse/notAllowed", set(2, 0xff)},
		{"accepted_timestamp beyond all years", "UpdateRoomResponse/success", set(2, 0xff)},
		{"reserved RatchetTreeRepresentation", "RatchetTreeOption/outOfBand", set(0, 0)},
		{"unknown RatchetTreeRepresentation", "RatchetTreeOption/outOfBand", set(0, 5)},
		{"unknown KeyMaterialUserCode", "KeyMaterialResponse/noConsent", set(1, 8)},
		{"unknown ConsentOperation", "ConsentEntry/revoke", set(0, 4)},
		{"KeyPackages of a revocation", "ConsentEntry/grant", set(0, 3)},
		{"components that do not ascend", "ConsentEntry/grant with everything", func(b []byte) []byte {
			return set(len(b)-2, 7)(b) // the id of the last component
		}},
		{"unknown presence octet of a frank", "SubmitMessageResponse/accepted", set(10, 2)},
		{"reserved GroupInfoCode", "GroupInfoResponse/notAuthorized", last(0)},
		{"unknown GroupInfoCode", "GroupInfoResponse/notAuthorized", last(4)},
		{"no key material behind success", "KeyMaterialResponse/noConsent", set(1, 0)},
		{"non-zero padding of a connection package", "ConnectionPackageResponse/unknown", last(1)},
		{"a longer block than a connection package", "ConnectionPackageResponse/found", func(b []byte) []byte { return append(b, b...) }},
		{"code_hash of another length", "JoinCodeRegistration", func(b []byte) []byte {
			// Behind room_id<V>, whose length takes one octet.
			return set(1+int(b[0]), 31)(b)
		}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			s := sampled(c.sample)
			b := c.change(marshal(t, s.Message))
			if err := wire.Unmarshal(b, s.New()); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func set(at int, to byte) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = to; return b }
}

func last(to byte) func([]byte) []byte {
	return func(b []byte) []byte { b[len(b)-1] = to; return b }
}

// Messages that break a rule are not encoded either.
func TestEncodersRefuse(t *testing.T) {
	withTree := protocoltest.TreeAndTable()
	withTree.GroupInfo.Extensions = append(withTree.GroupInfo.Extensions, mls.Extension{Type: mls.ExtensionRatchetTree})
	nobody := protocoltest.Fanout()
	nobody.Targets = nil
	foreign := protocoltest.Fanout()
	foreign.Targets[0].Queue.Domain = protocoltest.Other
	elsewhere := protocoltest.Anonymous()
	elsewhere.Token.Domain = protocoltest.Hub
	noSuite := protocoltest.Anonymous()
	noSuite.Requester.CipherSuites = nil
	scope := protocoltest.Consent(protocol.ConsentRequest).ConsentScope
	commit := protocoltest.Application()
	commit.PrivateMessage.ContentType = mls.ContentCommit
	for rule, m := range map[string]wire.Message{
		"GroupInfo MUST omit the ratchet_tree":           &withTree,
		"fan-out has one or more targets":                &nobody,
		"a queue is of the pseudonym's provider":         &foreign,
		"the token is for the target":                    &elsewhere,
		"non-empty list of acceptable ciphersuites":      &noSuite,
		"an encrypted handshake is no message":           &protocol.SubmitMessageRequest{Message: commit, Sender: protocoltest.User},
		"an encrypted handshake is not fanned out":       &protocol.FanoutMessage{Accepted: protocoltest.At, Message: commit},
		"a message is no update":                         &protocol.UpdateRequest{ProposalOrCommit: protocoltest.Application()},
		"the sender is a user":                           &protocol.SubmitMessageRequest{Message: protocoltest.Application(), Sender: protocoltest.Room},
		"a package fits the block":                       &protocol.ConnectionPackageResponse{Package: make([]byte, protocol.MaxConnectionPackage+1)},
		"a GroupInfo is full or partial":                 &protocol.GroupInfoOption{},
		"other codes MUST NOT populate the clients list": &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, Clients: []protocol.ClientKeyMaterial{{Status: protocol.ClientExhausted, Client: protocoltest.Client}}},
		"only a grant has KeyPackages":                   &protocol.ConsentEntry{Operation: protocol.ConsentRequest, ConsentScope: scope, KeyPackages: make([]mls.KeyPackage, 1)},
		"nobody needs their own consent":                 &protocol.ConsentScope{Requester: protocoltest.User, Target: protocoltest.User},
		"who consents is a user":                         &protocol.ConsentScope{Requester: protocoltest.User, Target: protocoltest.Client},
		"a consent for a room names one":                 &protocol.ConsentScope{Requester: scope.Requester, Target: scope.Target, Room: protocoltest.User},
		"a joining code has uses":                        &protocol.JoinCodeRegistration{Room: protocoltest.Room, CodeHash: make([]byte, 32), NotAfter: protocoltest.At},
		"a time is set":                                  &protocol.UpdateRoomResponse{},
	} {
		if _, err := wire.Marshal(m); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

func TestConnectionPackageAnswersHaveOneSize(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 900, protocol.MaxConnectionPackage} {
		b := marshal(t, &protocol.ConnectionPackageResponse{Package: make([]byte, n)})
		if len(b) != protocol.ConnectionPackageSize {
			t.Errorf("package of %d octets: answer of %d", n, len(b))
		}
	}
}

func TestHubResultsSurviveTheWire(t *testing.T) {
	refs := [][]byte{{1}, {2, 3}}
	for _, err := range []error{
		&protocol.WrongEpochError{Current: 12},
		&protocol.NotAllowedError{Reason: protocol.ReasonRemovalPending},
		&protocol.InvalidProposalError{Refs: refs, Reason: "no such leaf"},
	} {
		resp, ok := protocol.UpdateResult(err)
		if !ok {
			t.Fatalf("update: no response says %v", err)
		}
		var got protocol.UpdateRoomResponse
		if e := wire.Unmarshal(marshal(t, resp), &got); e != nil {
			t.Fatal(e)
		}
		if got.Err() == nil || got.Err().Error() != err.Error() {
			t.Errorf("update: %v became %v", err, got.Err())
		}
	}
	resp, _ := protocol.SubmitResult(&protocol.WrongEpochError{Current: 12})
	if e, ok := errors.AsType[*protocol.WrongEpochError](resp.Err()); !ok || e.Current != 12 {
		t.Errorf("submit: wrong epoch became %v", resp.Err())
	}
	info, _ := protocol.GroupInfoResult(protocoltest.Room, protocol.ErrNoSuchRoom)
	if !errors.Is(info.Err(), protocol.ErrNoSuchRoom) {
		t.Errorf("group info: no such room became %v", info.Err())
	}
	for _, err := range []error{errors.New("disk full"), protocol.ErrMalformed, suite.ErrSignature} {
		if _, ok := protocol.UpdateResult(err); ok {
			t.Errorf("%v must not be told to the peer as a result", err)
		}
	}
}

// TestConsentsAreOfOneSide: requests come from the requester's provider, and answers
// from the target's.
func TestConsentsAreOfOneSide(t *testing.T) {
	for operation, endpoint := range map[protocol.ConsentOperation]protocol.Endpoint{
		protocol.ConsentCancel: protocol.EndpointRequestConsent, protocol.ConsentRequest: protocol.EndpointRequestConsent,
		protocol.ConsentGrant: protocol.EndpointUpdateConsent, protocol.ConsentRevoke: protocol.EndpointUpdateConsent,
	} {
		e := protocoltest.Consent(operation)
		if operation.Endpoint() != endpoint || e.Sender() != protocoltest.User || e.Receiver().Domain != protocoltest.Hub {
			t.Errorf("operation %d: to %s, from %s", operation, operation.Endpoint(), e.Sender())
		}
	}
}

// TestConsentScopeHasOneName: scopes that differ have different names.
func TestConsentScopeHasOneName(t *testing.T) {
	scope := protocoltest.Consent(protocol.ConsentRequest).ConsentScope
	seen := map[[32]byte]protocol.ConsentScope{}
	other, swapped := scope, scope
	other.Room = protocoltest.Room
	swapped.Requester, swapped.Target = scope.Target, scope.Requester
	for _, s := range []protocol.ConsentScope{scope, other, swapped} {
		ref, err := s.Ref()
		if before, taken := seen[ref]; err != nil || taken {
			t.Errorf("%v has the name of %v: %v", s, before, err)
		}
		seen[ref] = s
	}
}
