package interop

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// Values of the ranges for private use.
const (
	extensionUnknown  = 0xF042
	extensionUnknown2 = 0xF043
	credentialCustom  = 0xF0C5
)

// grease are values that have to be ignored (RFC 9420, section 13.5).
var grease = []uint16{0x0A0A, 0x3A3A}

// A roles is the cast of a scenario: a and a2 are of one implementation, b and
// b2 of the other. a creates the group.
type roles struct{ a, b, a2, b2 *member }

// A scenario is a script that both implementations play.
type scenario struct {
	name string
	play func(*world, roles)
	// setup changes what the clients are told at the start, if it is set.
	setup func(*world, roles)
}

// scenarios lists the scripts in the order in which they are shown.
var scenarios = []scenario{
	{name: "welcome", play: welcome},
	{name: "welcome, tree apart", play: welcomeTreeApart},
	{name: "application", play: application},
	{name: "out of order", play: outOfOrder},
	{name: "commit", play: commits},
	{name: "remove", play: removes},
	{name: "empty subtree", play: emptySubtree},
	{name: "external commit", play: externalCommit},
	{name: "resync", play: resync},
	{name: "aad", play: authenticatedData},
	{name: "unknown extension", play: unknownExtension, setup: announceUnknown},
	{name: "external psk", play: externalPSK},
	{name: "several psks", play: severalPSKs},
	{name: "psks, mixed", play: mixedPSKs},
	{name: "psk, external commit", play: externalCommitPSK},
	{name: "resumption psk", play: resumptionPSK},
	{name: "custom credential", play: customCredential, setup: announceCredential},
	{name: "add, remove by reference", play: byReference},
	{name: "update by reference", play: updates},
	{name: "context extensions", play: requiredExtensions, setup: announceUnknown},
	{name: "unrequired extensions", play: unrequiredExtensions, setup: announceUnknown},
	{name: "new member proposes", play: newMemberProposal},
	{name: "external sender proposes", play: externalSender},
	{name: "self-remove", play: selfRemove, setup: announceSelfRemove},
	{name: "encrypted handshake", play: encryptedHandshake, setup: encryptTheirs},
	{name: "random history", play: randomHistory},
}

func welcome(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	w.agree()
	// One Welcome for members of both implementations, by the one that joined.
	w.add(r.b, r.a2, r.b2)
	w.agree()
	w.everyoneSpeaks()
}

func welcomeTreeApart(w *world, r roles) {
	w.create(r.a)
	a := w.commit(r.a, mlspeer.Commit{Add: []mlspeer.Hex{w.keyPackage(r.b)}})
	tree := w.do(r.a, "group_info", mlspeer.GroupInfo{}).Tree
	w.do(r.b, "join", mlspeer.Join{Welcome: a.Welcome, Tree: tree})
	r.b.in = true
	w.agree()
	a = w.commit(r.b, mlspeer.Commit{Add: []mlspeer.Hex{w.keyPackage(r.a2)}})
	tree = w.do(r.b, "group_info", mlspeer.GroupInfo{}).Tree
	w.do(r.a2, "join", mlspeer.Join{Welcome: a.Welcome, Tree: tree})
	r.a2.in = true
	w.agree()
}

func application(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	for i := range 3 {
		w.say(r.a, fmt.Sprintf("message %d from a", i), nil)
		w.say(r.b, fmt.Sprintf("message %d from b", i), nil)
	}
	w.say(r.a, "", nil)
	w.say(r.b, string(make([]byte, 5000)), nil)
	w.say(r.a, string(make([]byte, 70_000)), nil)
}

func outOfOrder(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	for _, from := range []*member{r.a, r.b} {
		var msgs [][]byte
		for i := range 5 {
			msgs = append(msgs, w.protect(from, fmt.Sprint("message ", i), nil))
		}
		for _, i := range []int{2, 0, 4, 1} {
			w.deliver(from, msgs[i], fmt.Sprint("message ", i), nil)
		}
		// The last one comes in the next epoch.
		w.commit(r.a, mlspeer.Commit{})
		w.deliver(from, msgs[3], "message 3", nil)
	}
}

func commits(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	w.commit(r.b, mlspeer.Commit{})
	w.agree()
	w.add(r.b, r.b2)
	w.add(r.a, r.a2)
	for range 2 {
		for _, m := range w.members() {
			w.commit(m, mlspeer.Commit{})
			w.agree()
		}
	}
	w.everyoneSpeaks()
}

func removes(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b, r.a2, r.b2)
	w.remove(r.a, r.b2)
	w.agree()
	w.remove(r.b, r.a2)
	w.agree()
	w.everyoneSpeaks()
	// Their leaves are used again, and the creator's becomes blank.
	w.add(r.b, r.b2)
	w.add(r.b2, r.a2)
	w.agree()
	w.remove(r.b, r.a)
	w.agree()
	w.commit(r.a2, mlspeer.Commit{})
	w.agree()
	w.everyoneSpeaks()
}

// emptySubtree leaves only the right half of the tree occupied: the root is not
// on the filtered direct path of anyone (RFC 9420, section 4.1.2).
func emptySubtree(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b, r.a2, r.b2)
	for _, m := range []*member{r.b2, r.a2} {
		w.commit(m, mlspeer.Commit{})
	}
	w.remove(r.b2, r.a)
	w.agree()
	w.remove(r.b2, r.b)
	w.agree()
	for range 2 {
		w.commit(r.a2, mlspeer.Commit{})
		w.agree()
		w.commit(r.b2, mlspeer.Commit{})
		w.agree()
	}
	// The other half fills again.
	w.add(r.a2, r.b)
	w.commit(r.b, mlspeer.Commit{})
	w.join(r.a, r.b2, mlspeer.ExternalJoin{})
	w.agree()
	w.everyoneSpeaks()
}

func externalCommit(w *world, r roles) {
	w.create(r.a)
	w.join(r.b, r.a, mlspeer.ExternalJoin{})
	w.agree()
	w.everyoneSpeaks()
	w.join(r.a2, r.b, mlspeer.ExternalJoin{})
	w.agree()
	// The tree comes beside the GroupInfo.
	w.join(r.b2, r.a2, mlspeer.ExternalJoin{Tree: mlspeer.Hex{0}})
	w.agree()
	w.commit(r.b, mlspeer.Commit{})
	w.commit(r.a, mlspeer.Commit{})
	w.agree()
	w.everyoneSpeaks()
}

func resync(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b, r.a2)
	for _, m := range []*member{r.b, r.a2} {
		from := r.a
		if m == r.a2 {
			from = r.b
		}
		// It misses a commit, and comes back by itself.
		m.in = false
		w.commit(r.a, mlspeer.Commit{})
		w.join(m, from, mlspeer.ExternalJoin{Resync: true})
		w.agree()
	}
	w.everyoneSpeaks()
}

func authenticatedData(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	aad := []byte("authenticated, not encrypted")
	w.say(r.a, "hello", aad)
	w.say(r.b, "hello", aad)
	w.commit(r.a, mlspeer.Commit{AAD: aad})
	w.commit(r.b, mlspeer.Commit{AAD: aad})
	w.agree()
	w.join(r.a2, r.b, mlspeer.ExternalJoin{AAD: aad})
	w.join(r.b2, r.a, mlspeer.ExternalJoin{AAD: aad})
	w.agree()
	w.propose(r.a, mlspeer.Propose{Remove: ptr(w.leaf(r.b2)), AAD: aad})
	w.commit(r.b, mlspeer.Commit{AAD: aad})
	w.agree()
	w.propose(r.b, mlspeer.Propose{Remove: ptr(w.leaf(r.a2)), AAD: aad})
	w.commit(r.a, mlspeer.Commit{})
	w.agree()
	// The data of one message are not those of the next.
	w.say(r.b, "hello", nil)
	w.say(r.a, "hello", nil)
}

// announceUnknown lets everyone support extensions that nobody knows, and offer
// what nobody can have.
func announceUnknown(w *world, _ roles) {
	w.init.Extensions = append([]uint16{extensionUnknown, extensionUnknown2}, grease...)
	w.init.Proposals = grease
	w.init.Credentials = grease
}

func unknownExtension(w *world, r roles) {
	unknown := mlspeer.Extension{Type: extensionUnknown, Data: mlspeer.Hex("what does this mean?")}
	empty := mlspeer.Extension{Type: extensionUnknown2}
	w.create(r.a, unknown, empty)
	for _, m := range []*member{r.b, r.a2, r.b2} {
		kp := w.do(m, "keypackage", mlspeer.KeyPackage{
			Extensions: []mlspeer.Extension{unknown}, LeafExtensions: []mlspeer.Extension{empty, unknown},
		}).KeyPackage
		a := w.commit(r.a, mlspeer.Commit{Add: []mlspeer.Hex{kp}, Tree: true})
		w.do(m, "join", mlspeer.Join{Welcome: a.Welcome})
		m.in = true
	}
	if state := w.agree(); w.err == nil {
		w.same(r.a, "extensions", state.Extensions, []mlspeer.Extension{unknown, empty})
	}
	w.commit(r.b, mlspeer.Commit{})
	w.commit(r.a2, mlspeer.Commit{})
	w.agree()
	w.everyoneSpeaks()
}

// givePSKs gives everyone two PSKs, and returns their ids.
func givePSKs(w *world) (first, second mlspeer.Hex) {
	first, second = mlspeer.Hex("first"), mlspeer.Hex("second")
	for _, m := range w.cast {
		w.do(m, "psk", mlspeer.PSK{ID: first, PSK: mlspeer.Hex("a secret of thirty-two octets ..")})
		w.do(m, "psk", mlspeer.PSK{ID: second, PSK: mlspeer.Hex("another one")})
	}
	return first, second
}

func externalPSK(w *world, r roles) {
	first, second := givePSKs(w)
	w.create(r.a)
	w.add(r.a, r.b)
	w.commit(r.a, mlspeer.Commit{PSK: []mlspeer.Hex{first}})
	w.agree()
	w.commit(r.b, mlspeer.Commit{PSK: []mlspeer.Hex{second}})
	w.agree()
	// By reference, and with a Welcome.
	for _, c := range [][3]*member{{r.a, r.b, r.a2}, {r.b, r.a, r.b2}} {
		w.propose(c[0], mlspeer.Propose{PSK: first})
		w.commit(c[1], mlspeer.Commit{})
		w.agree()
		a := w.commit(c[1], mlspeer.Commit{Add: []mlspeer.Hex{w.keyPackage(c[2])}, PSK: []mlspeer.Hex{second}, Tree: true})
		w.do(c[2], "join", mlspeer.Join{Welcome: a.Welcome})
		c[2].in = true
		w.agree()
	}
	w.everyoneSpeaks()
}

// severalPSKs checks the order in which PSKs are mixed in: that of the commit's
// list.
func severalPSKs(w *world, r roles) {
	first, second := givePSKs(w)
	w.create(r.a)
	w.add(r.a, r.b)
	for _, by := range []*member{r.a, r.b} {
		w.commit(by, mlspeer.Commit{PSK: []mlspeer.Hex{first, second}})
		w.agree()
		w.commit(by, mlspeer.Commit{PSK: []mlspeer.Hex{second, first}})
		w.agree()
	}
}

// mixedPSKs has one PSK by reference and one by value in the same commit.
func mixedPSKs(w *world, r roles) {
	first, second := givePSKs(w)
	w.create(r.a)
	w.add(r.a, r.b)
	for _, by := range []*member{r.a, r.b} {
		w.propose(by, mlspeer.Propose{PSK: second})
		w.commit(by, mlspeer.Commit{PSK: []mlspeer.Hex{first}})
		w.agree()
	}
}

func externalCommitPSK(w *world, r roles) {
	id, _ := givePSKs(w)
	w.create(r.a)
	w.join(r.b, r.a, mlspeer.ExternalJoin{PSK: []mlspeer.Hex{id}})
	w.agree()
	w.join(r.a2, r.b, mlspeer.ExternalJoin{PSK: []mlspeer.Hex{id}})
	w.agree()
	w.everyoneSpeaks()
}

func resumptionPSK(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	w.commit(r.a, mlspeer.Commit{})
	w.commit(r.b, mlspeer.Commit{})
	epoch := w.agree().Epoch
	w.commit(r.a, mlspeer.Commit{Resumption: []uint64{epoch - 1}})
	w.agree()
	w.commit(r.b, mlspeer.Commit{Resumption: []uint64{epoch}})
	w.agree()
}

func announceCredential(w *world, _ roles) {
	w.init.CredentialType = credentialCustom
	w.init.Credentials = []uint16{credentialCustom}
}

func customCredential(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	w.join(r.b2, r.a, mlspeer.ExternalJoin{})
	w.add(r.b, r.a2)
	w.commit(r.a, mlspeer.Commit{})
	w.commit(r.b, mlspeer.Commit{})
	for _, m := range w.agree().Roster {
		if m.CredentialType != credentialCustom {
			w.failf("leaf %d has a credential of type %#x", m.Index, m.CredentialType)
		}
	}
	w.everyoneSpeaks()
}

func byReference(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	for _, c := range [][3]*member{{r.a, r.b, r.a2}, {r.b, r.a, r.b2}} {
		w.propose(c[0], mlspeer.Propose{Add: w.keyPackage(c[2])})
		a := w.commit(c[1], mlspeer.Commit{Tree: true})
		w.do(c[2], "join", mlspeer.Join{Welcome: a.Welcome})
		c[2].in = true
		w.agree()
	}
	// One by reference and one by value.
	w.propose(r.a, mlspeer.Propose{Remove: ptr(w.leaf(r.a2))})
	w.commit(r.b, mlspeer.Commit{Remove: []uint32{w.leaf(r.b2)}})
	w.agree()
	w.add(r.a, r.a2, r.b2)
	w.propose(r.b, mlspeer.Propose{Remove: ptr(w.leaf(r.a2))})
	w.commit(r.a, mlspeer.Commit{Remove: []uint32{w.leaf(r.b2)}})
	w.agree()
	w.everyoneSpeaks()
}

func updates(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b, r.a2, r.b2)
	w.propose(r.a, mlspeer.Propose{Update: true})
	w.commit(r.b, mlspeer.Commit{})
	w.agree()
	w.propose(r.b, mlspeer.Propose{Update: true})
	w.propose(r.b2, mlspeer.Propose{Update: true})
	w.commit(r.a, mlspeer.Commit{})
	w.agree()
	w.commit(r.b2, mlspeer.Commit{})
	w.agree()
	w.everyoneSpeaks()
}

// requiredExtensions changes the GroupContext to extensions which it requires
// all members to support.
func requiredExtensions(w *world, r roles) {
	required := mls.RequiredCapabilities{Extensions: []mls.ExtensionType{extensionUnknown}}
	e, err := required.Extension()
	if err != nil {
		w.failf("%w", err)
	}
	contextExtensions(w, r,
		mlspeer.Extension{Type: uint16(e.Type), Data: e.Data},
		mlspeer.Extension{Type: extensionUnknown, Data: mlspeer.Hex("one")})
}

// unrequiredExtensions changes it to extensions that all members support without
// being required to.
func unrequiredExtensions(w *world, r roles) {
	contextExtensions(w, r, mlspeer.Extension{Type: extensionUnknown, Data: mlspeer.Hex("one")})
}

func contextExtensions(w *world, r roles, list ...mlspeer.Extension) {
	w.create(r.a)
	w.add(r.a, r.b)
	none := []mlspeer.Extension{}
	for _, c := range [][2]*member{{r.a, r.b}, {r.b, r.a}} {
		w.commit(c[0], mlspeer.Commit{GCE: &list})
		if state := w.agree(); w.err == nil {
			w.same(c[0], "extensions", state.Extensions, list)
		}
		w.commit(c[1], mlspeer.Commit{})
		w.agree()
		w.commit(c[0], mlspeer.Commit{GCE: &none})
		if state := w.agree(); w.err == nil && len(state.Extensions) > 0 {
			w.failf("extensions are left: %v", state.Extensions)
		}
		w.propose(c[0], mlspeer.Propose{GCE: &list})
		w.commit(c[1], mlspeer.Commit{})
		if state := w.agree(); w.err == nil {
			w.same(c[0], "extensions", state.Extensions, list)
		}
	}
}

func newMemberProposal(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b)
	for _, c := range [][2]*member{{r.b2, r.a}, {r.a2, r.b}} {
		info := w.do(c[1], "group_info", mlspeer.GroupInfo{Tree: true}).GroupInfo
		p := w.do(c[0], "external_propose", mlspeer.ExternalPropose{GroupInfo: info, Add: w.keyPackage(c[0])}).Proposal
		for _, m := range w.members() {
			w.expect(m, w.do(m, "process", mlspeer.Process{Msg: p}), mlspeer.KindProposal, nil, nil)
		}
		a := w.commit(c[1], mlspeer.Commit{Tree: true})
		w.do(c[0], "join", mlspeer.Join{Welcome: a.Welcome})
		c[0].in = true
		w.agree()
	}
	w.everyoneSpeaks()
}

func externalSender(w *world, r roles) {
	// Both senders are outside of the group: one of each implementation.
	var senders []mls.ExternalSender
	for _, m := range []*member{r.a2, r.b2} {
		senders = append(senders, mls.ExternalSender{SignatureKey: m.key, Credential: mls.BasicCredential([]byte(m.name))})
	}
	e, err := mls.ExternalSendersExtension(senders...)
	if err != nil {
		w.failf("%w", err)
	}
	w.create(r.a, mlspeer.Extension{Type: uint16(e.Type), Data: e.Data})
	for _, sender := range []*member{r.a2, r.b2} {
		w.add(r.a, r.b)
		info := w.do(r.a, "group_info", mlspeer.GroupInfo{Tree: true}).GroupInfo
		q := mlspeer.ExternalPropose{GroupInfo: info, Remove: ptr(w.leaf(r.b))}
		p := w.do(sender, "external_propose", q).Proposal
		for _, m := range w.members() {
			w.expect(m, w.do(m, "process", mlspeer.Process{Msg: p}), mlspeer.KindProposal, nil, nil)
		}
		w.commit(r.a, mlspeer.Commit{})
		w.agree()
	}
}

func announceSelfRemove(w *world, _ roles) {
	w.init.Proposals = []uint16{uint16(mls.ProposalSelfRemove)}
}

func selfRemove(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b, r.a2, r.b2)
	for _, c := range [][2]*member{{r.b2, r.a}, {r.a2, r.b}} {
		w.propose(c[0], mlspeer.Propose{SelfRemove: true})
		w.commit(c[1], mlspeer.Commit{})
		w.agree()
	}
}

// encryptTheirs lets the other implementation send handshake messages as
// PrivateMessages. Ours only reads those.
func encryptTheirs(_ *world, r roles) {
	for _, m := range []*member{r.a, r.b, r.a2, r.b2} {
		m.encrypt = m.theirs
	}
}

func encryptedHandshake(w *world, r roles) {
	w.create(r.a)
	w.add(r.a, r.b, r.a2, r.b2)
	for _, m := range w.members() {
		w.commit(m, mlspeer.Commit{AAD: mlspeer.Hex("seen by all")})
		w.agree()
	}
	w.propose(r.a, mlspeer.Propose{Remove: ptr(w.leaf(r.b2))})
	w.commit(r.b, mlspeer.Commit{})
	w.agree()
	w.propose(r.b, mlspeer.Propose{Remove: ptr(w.leaf(r.a2))})
	w.commit(r.a, mlspeer.Commit{})
	w.agree()
	w.everyoneSpeaks()
}

// randomHistory plays operations drawn from the cipher suite and the role, and
// so the same ones each time.
func randomHistory(w *world, r roles) {
	rng := newRandom(fmt.Sprintf("suite %d, %s", w.suite, w.role))
	w.create(r.a)
	var history []string
	for range 40 {
		in := w.members()
		out := w.outside()
		by := in[rng.IntN(len(in))]
		var step string
		switch n := rng.IntN(10); {
		case n < 3 && len(out) > 0:
			newcomers := out[:1+rng.IntN(len(out))]
			step = fmt.Sprintf("%s adds %s", by.name, names(newcomers))
			w.add(by, newcomers...)
		case n < 5 && len(out) > 0 && !w.noExternal:
			who := out[rng.IntN(len(out))]
			step = fmt.Sprintf("%s joins with a GroupInfo of %s", who.name, by.name)
			w.join(who, by, mlspeer.ExternalJoin{})
		case n < 7 && len(in) > 2:
			others := w.members(by)
			who := others[rng.IntN(len(others))]
			if w.keepRoot && w.halves(who) {
				continue
			}
			step = fmt.Sprintf("%s removes %s", by.name, who.name)
			w.remove(by, who)
		default:
			step = by.name + " commits"
			w.commit(by, mlspeer.Commit{})
		}
		w.agree()
		history = append(history, step)
		if w.err != nil {
			w.err = fmt.Errorf("%w; the history: %s", w.err, strings.Join(history, "; "))
			return
		}
	}
	w.everyoneSpeaks()
}

// halves reports whether the left half of the tree is empty without a member.
func (w *world) halves(without *member) bool {
	leaf, last, first := w.leaf(without), uint32(0), uint32(math.MaxUint32)
	for _, m := range w.do(without, "state", mlspeer.None{}).Roster {
		if m.Index != leaf {
			last, first = m.Index, min(first, m.Index)
		}
	}
	return last > 0 && first >= 1<<(bits.Len32(last)-1)
}

func names(members []*member) string {
	var list []string
	for _, m := range members {
		list = append(list, m.name)
	}
	return strings.Join(list, ", ")
}

// outside lists those who are not in the group.
func (w *world) outside() []*member {
	var out []*member
	for _, m := range w.cast {
		if !m.in {
			out = append(out, m)
		}
	}
	return out
}

func ptr[T any](v T) *T { return &v }
