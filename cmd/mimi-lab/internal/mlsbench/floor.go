package mlsbench

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A line is one thing that RFC 9420 requires.
type line struct {
	primitive primitive
	count     int
	octets    int // of all of them together
	section   string
	what      string
}

// A floor is all the cryptography that RFC 9420 requires for an operation on one
// tree. What an implementation does besides, such as decoding, comparing and
// storing, is not in it, nor is anything it checks twice.
type floor []line

func (f *floor) add(p primitive, count, octets int, section, what string) {
	if count > 0 {
		*f = append(*f, line{p, count, octets, section, what})
	}
}

// cost is what the primitives of a floor cost together, in ns.
func (f floor) cost(all *prices) (ns float64) {
	for _, l := range f {
		p := &all[l.primitive]
		ns += float64(l.count)*p.call + float64(l.octets)*p.octet
	}
	return ns
}

// size is the length of an encoded message.
func size(m wire.Message) int {
	b, err := mls.Marshal(m)
	if err != nil {
		panic("internal error: a message that was decoded does not encode: " + err.Error())
	}
	return len(b)
}

const (
	hashSize  = 32 // of SHA-256, in all three suites
	vector    = 1  // the length of a vector that is short
	epochKeys = 9  // secrets that are derived from epoch_secret: table 4 of section 8
)

// A commit is a commit with what its floor depends on.
type commit struct {
	message       *mls.PublicMessage
	path          *mls.UpdatePath
	before, after tree
	committer     mls.LeafIndex
	added         map[mls.LeafIndex]bool
	joins         bool // the committer joins by it
	adds          []*mls.KeyPackage
	welcome       *mls.Welcome
	info          *mls.GroupInfo
	oldContext    int // octets
	newContext    int
	groupID       int
}

func newCommit(p *mls.PendingCommit) *commit {
	v := p.View
	c := &commit{
		message: p.Message, path: p.Message.Content.Commit.Path,
		before: newTree(v.Before.RatchetTree()), after: newTree(v.After.RatchetTree()),
		committer: v.Committer, joins: v.External, added: map[mls.LeafIndex]bool{}, welcome: p.Welcome, info: p.GroupInfo,
		oldContext: size(v.Before.Context()), newContext: size(v.After.Context()), groupID: len(v.Before.Context().GroupID),
	}
	for _, m := range v.Added {
		if m.Index != v.Committer {
			c.added[m.Index] = true
		}
	}
	for _, proposal := range v.Proposals {
		if add, ok := proposal.Proposal.Body.(*mls.Add); ok {
			c.adds = append(c.adds, &add.KeyPackage)
		}
	}
	return c
}

// tbs is the length of FramedContentTBS (section 6.1).
func (c *commit) tbs() int { return 2 + 2 + size(&c.message.Content) + c.oldContext }

// tbm is the length of AuthenticatedContentTBM (section 6.2).
func (c *commit) tbm() int {
	return c.tbs() + vector + len(c.message.Auth.Signature) + vector + hashSize
}

// leafTBS is the length of LeafNodeTBS (section 7.2).
func leafTBS(l *mls.LeafNode, groupID int) int {
	n := size(l) - vector - len(l.Signature)
	if l.Source == mls.LeafNodeSourceKeyPackage {
		return n
	}
	return n + vector + groupID + 4
}

// addCommitFloor is that of making a commit with Adds and path.
func addCommitFloor(p *mls.PendingCommit) floor {
	var f floor
	c := newCommit(p)
	f.keyPackages(c)
	f.makePath(c)
	f.makeCommit(c)
	f.add(mac, 1, c.tbm(), "6.2", "membership tag")
	f.makeWelcome(c)
	return f
}

// mergeFloor is that of entering the epoch of an own commit: what has not been
// derived for making it.
func mergeFloor() floor {
	var f floor
	f.add(expand, epochKeys-2, 0, "8", "the secrets of the epoch but for confirm and external")
	return f
}

// processFloor is that of processing a commit at another leaf.
func processFloor(p *mls.PendingCommit, at mls.LeafIndex) floor {
	var f floor
	c := newCommit(p)
	f.add(mac, 1, c.tbm(), "6.2", "membership tag")
	f.verifyCommit(c)
	f.add(hpkeOpen, 1, c.newContext, "7.5", "the path secret of the common ancestor")
	f.derivePath(c.after, c.committer, at)
	f.enterEpoch(c.newContext, epochKeys)
	f.add(extract, 1, 0, "8", "joiner secret, of init and commit secret")
	f.add(expand, 1, c.newContext, "8", "joiner secret")
	f.add(mac, 1, hashSize, "6.1", "confirmation tag")
	return f
}

// hubFloor is that of a hub that verifies a commit, and the GroupInfo with it.
func hubFloor(p *mls.PendingCommit) floor {
	var f floor
	c := newCommit(p)
	f.verifyCommit(c)
	f.add(verify, 1, size(c.info)-vector-len(c.info.Signature), "12.4.3", "GroupInfo")
	return f
}

// joinFloor is that of joining by the Welcome of a commit with one Add, with the
// tree beside it.
func joinFloor(p *mls.PendingCommit) floor {
	var f floor
	c := newCommit(p)
	f.add(hash, 1, size(c.adds[0]), "5.2", "KeyPackageRef")
	f.add(hpkeOpen, 1, len(c.welcome.EncryptedGroupInfo), "12.4.3.1", "GroupSecrets")
	f.add(expand, 3, 0, "12.4.3.1", "welcome secret, key, nonce")
	f.add(aeadOpen, 1, len(c.welcome.EncryptedGroupInfo), "12.4.3.1", "GroupInfo")
	f.verifyTree(c.after, c.welcomeInfo(), c.groupID, c.added)
	for i := range c.added {
		f.derivePath(c.after, c.committer, i)
	}
	f.enterEpoch(c.newContext, epochKeys)
	f.add(mac, 1, hashSize, "12.4.3.1", "confirmation tag")
	f.add(hash, 1, 2*hashSize, "8.2", "interim transcript hash")
	return f
}

// externalJoinFloor is that of making the external Commit with which one joins.
func externalJoinFloor(p *mls.PendingCommit) floor {
	var f floor
	c := newCommit(p)
	f.verifyTree(c.before, size(c.info), c.groupID, nil)
	f.add(hash, 1, 2*hashSize, "8.2", "interim transcript hash")
	f.add(hpkeExport, 1, 0, "8.3", "init secret for external_pub")
	f.makePath(c)
	f.makeCommit(c)
	return f
}

// messageFloor is that of protecting a message of n octets, or, if receive, of
// opening it: the first of the sender in an epoch, or a later one.
func messageFloor(v mls.View, n int, receive, first bool) floor {
	var f floor
	c := v.Context()
	content := mls.FramedContent{GroupID: c.GroupID, Sender: mls.Sender{Type: mls.SenderMember}, ContentType: mls.ContentApplication, ApplicationData: make([]byte, n)}
	signing, sealing := sign, aeadSeal
	if receive {
		signing, sealing = verify, aeadOpen
	}
	if first {
		depth := newTree(v.RatchetTree()).depth()
		f.add(expand, 2*depth, 0, "9", "both children of every node above the leaf, whose secret goes")
		f.add(expand, 2, 0, "9", "the two ratchets of the leaf")
	}
	f.add(expand, 3, 3*4, "9.1", "key, nonce and next secret of a ratchet")
	f.add(signing, 1, 2+2+size(&content)+size(c), "6.1", "FramedContentTBS")
	f.add(sealing, 1, n+2+2+64, "6.3.1", "the content with its signature")
	f.add(expand, 2, 2*hashSize, "6.3.2", "key and nonce of the sender data")
	f.add(sealing, 1, 4+4+4, "6.3.2", "the sender data")
	return f
}

// keyPackages verifies what is added.
func (f *floor) keyPackages(c *commit) {
	for _, k := range c.adds {
		f.add(verify, 1, size(k)-vector-len(k.Signature), "10.1", "KeyPackage")
		f.add(verify, 1, leafTBS(&k.LeafNode, c.groupID), "7.3", "leaf of the KeyPackage")
	}
}

// makePath makes an UpdatePath.
func (f *floor) makePath(c *commit) {
	path := c.after.filteredPath(c.committer)
	seals := 0
	for _, s := range path {
		for _, x := range c.after.resolution(s.copath) {
			if !isLeaf(x) || !c.added[mls.LeafIndex(x/2)] {
				seals++
			}
		}
	}
	f.add(kemDerive, 1, 0, "7.5", "key pair of the leaf")
	f.add(expand, 2*len(path), 0, "7.4", "node secret and next path secret of each node")
	f.add(kemDerive, len(path), 0, "7.4", "key pair of each node")
	f.add(hpkeSeal, seals, seals*c.newContext, "7.5", "path secrets, for the resolution of the copath")
	f.parentHashes(c, path)
	f.add(sign, 1, leafTBS(&c.path.LeafNode, c.groupID), "7.2", "leaf of the path")
	f.treeHashes(c)
}

// parentHashes hashes the nodes of a path.
func (f *floor) parentHashes(c *commit, path []step) {
	octets := 0
	for _, s := range path {
		octets += parentHashInput(c.after.at(s.node).Parent)
	}
	f.add(hash, len(path), octets, "7.9", "parent hashes of the path")
}

// parentHashInput is the length of a ParentHashInput.
func parentHashInput(p *mls.ParentNode) int {
	return vector + len(p.EncryptionKey) + vector + len(p.ParentHash) + vector + hashSize
}

// treeHashes hashes again what a commit changes: all nodes above changed leaves,
// and what the tree grows by.
func (f *floor) treeHashes(c *commit) {
	changed := map[uint32]bool{}
	for x := c.before.width(); x < c.after.width(); x++ {
		changed[x] = true
	}
	mark := func(i mls.LeafIndex) {
		changed[2*uint32(i)] = true
		for _, s := range c.after.directPath(i) {
			changed[s.node] = true
		}
	}
	mark(c.committer)
	for i := range c.added {
		mark(i)
	}
	octets := 0
	for x := range changed {
		octets += c.after.hashInput(x)
	}
	f.add(hash, len(changed), octets, "7.8", "tree hashes of changed nodes")
}

// hashInput is the length of a TreeHashInput.
func (t tree) hashInput(x uint32) int {
	n := t.at(x)
	switch {
	case isLeaf(x) && n == nil:
		return 1 + 4 + 1
	case isLeaf(x):
		return 1 + 4 + 1 + size(n.Leaf)
	case n == nil:
		return 1 + 1 + 2*(vector+hashSize)
	default:
		return 1 + 1 + size(n.Parent) + 2*(vector+hashSize)
	}
}

// makeCommit signs a commit with path and goes through the key schedule, as far
// as the message and the GroupInfo for the hub need that.
func (f *floor) makeCommit(c *commit) {
	f.add(sign, 1, c.tbs(), "6.1", "FramedContentTBS")
	f.transcript(c)
	f.add(extract, 1, 0, "8", "joiner secret, of init and commit secret")
	f.add(expand, 1, c.newContext, "8", "joiner secret")
	f.enterEpoch(c.newContext, 2)
	f.add(mac, 1, hashSize, "6.1", "confirmation tag")
	f.add(kemDerive, 1, 0, "8", "external_pub")
	f.add(sign, 1, size(c.info)-vector-len(c.info.Signature), "12.4.3", "GroupInfo for the hub")
}

// transcript continues both transcript hashes.
func (f *floor) transcript(c *commit) {
	f.add(hash, 1, hashSize+2+size(&c.message.Content)+vector+len(c.message.Auth.Signature), "8.2", "confirmed transcript hash")
	f.add(hash, 1, 2*hashSize, "8.2", "interim transcript hash")
}

// enterEpoch goes from the joiner secret to some secrets of the epoch.
func (f *floor) enterEpoch(context, secrets int) {
	f.add(extract, 1, 0, "8", "member secret, of joiner and PSK secret")
	f.add(expand, 1, context, "8", "epoch secret")
	f.add(expand, secrets, 0, "8", fmt.Sprintf("%d secrets of the epoch", secrets))
}

// welcomeInfo is the length of the GroupInfo in the Welcome.
func (c *commit) welcomeInfo() int { return len(c.welcome.EncryptedGroupInfo) - 16 }

// makeWelcome makes a Welcome.
func (f *floor) makeWelcome(c *commit) {
	f.add(sign, 1, c.welcomeInfo()-vector-len(c.info.Signature), "12.4.3.1", "GroupInfo in the Welcome")
	f.add(expand, 3, 0, "12.4.3.1", "welcome secret, key, nonce")
	f.add(aeadSeal, 1, c.welcomeInfo(), "12.4.3.1", "GroupInfo in the Welcome")
	for _, k := range c.adds {
		f.add(hash, 1, size(k), "5.2", "KeyPackageRef")
		f.add(hpkeSeal, 1, len(c.welcome.EncryptedGroupInfo), "12.4.3.1", "GroupSecrets")
	}
}

// verifyCommit is what everybody verifies of a commit with path.
func (f *floor) verifyCommit(c *commit) {
	f.add(verify, 1, c.tbs(), "6.1", "FramedContentTBS")
	f.keyPackages(c)
	f.add(verify, 1, leafTBS(&c.path.LeafNode, c.groupID), "7.3", "leaf of the path")
	f.parentHashes(c, c.after.filteredPath(c.committer))
	f.treeHashes(c)
	f.transcript(c)
}

// derivePath derives the keys of a path from where leaf at meets it.
func (f *floor) derivePath(t tree, committer, at mls.LeafIndex) {
	n := 0
	for _, s := range t.filteredPath(committer) {
		if covers(s.node, at) {
			n++
		}
	}
	f.add(expand, 2*n, 0, "7.4", "node secret and next path secret from the common ancestor on")
	f.add(kemDerive, n, 0, "7.5", "key pairs from the common ancestor on")
}

// verifyTree verifies a whole tree, but for the signatures of own leaves.
func (f *floor) verifyTree(t tree, groupInfo, groupID int, own map[mls.LeafIndex]bool) {
	f.add(verify, 1, groupInfo, "12.4.3.1", "GroupInfo")
	octets := 0
	for x := range t.width() {
		octets += t.hashInput(x)
	}
	f.add(hash, int(t.width()), octets, "12.4.3.1", "tree hash of every node (7.8)")
	parents, octets := 0, 0
	for x := uint32(1); x < t.width(); x += 2 {
		if n := t.at(x); n != nil {
			parents += 1 + t.originalHashes(x, n.Parent)
			octets += parentHashInput(n.Parent)
		}
	}
	f.add(hash, parents, octets, "12.4.3.1", "parent hash of every parent node (7.9.2)")
	leaves, octets := 0, 0
	for x := uint32(0); x < t.width(); x += 2 {
		if n := t.at(x); n != nil && !own[mls.LeafIndex(x/2)] {
			leaves++
			octets += leafTBS(n.Leaf, groupID)
		}
	}
	f.add(verify, leaves, octets, "12.4.3.1", "every leaf (7.3)")
}

// originalHashes counts the tree hashes that the original_sibling_tree_hash of a
// parent node takes at least: those above unmerged leaves on the side from which
// its key did not come (section 7.9).
func (t tree) originalHashes(x uint32, p *mls.ParentNode) int {
	side := func(child uint32) int {
		changed := map[uint32]bool{}
		for _, i := range p.UnmergedLeaves {
			for y := child; covers(y, i); {
				changed[y] = true
				if isLeaf(y) {
					break
				}
				if covers(left(y), i) {
					y = left(y)
				} else {
					y = right(y)
				}
			}
		}
		return len(changed)
	}
	return min(side(left(x)), side(right(x)))
}

// floors are those of all operations that have one.
type floors map[string]floor

// checkSuite makes sure that the hash of a suite is as long as the floor says.
func checkSuite(id suite.ID) error {
	s, err := suite.Lookup(id)
	if err == nil && s.Nh() != hashSize {
		err = fmt.Errorf("the floor does not know the hash of suite %v", id)
	}
	return err
}
