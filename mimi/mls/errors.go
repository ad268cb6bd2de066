package mls

import "errors"

// What a caller does something about. Every error of this package that comes
// from a peer's message wraps one of these, one of the decoding errors, or an
// error of package suite.
var (
	// ErrGroupID reports a message for another group.
	ErrGroupID = errors.New("mls: message is for another group")
	// ErrEpochPast reports a handshake message of an epoch that is over, or an
	// application message of one whose keys are gone. It can be dropped.
	ErrEpochPast = errors.New("mls: message is of a past epoch")
	// ErrEpochFuture reports a message of an epoch that is not reached: commits
	// are missing.
	ErrEpochFuture = errors.New("mls: message is of a future epoch")
	// ErrNotMember reports a leaf index that is no member, as a sender or as the
	// argument of a call.
	ErrNotMember = errors.New("mls: no member at this leaf")
	// ErrNotOwn reports a call for a leaf that is not one of the own leaves.
	ErrNotOwn = errors.New("mls: not an own leaf")
	// ErrLastOwn reports that the only own leaf cannot be detached from the group.
	ErrLastOwn = errors.New("mls: the only own leaf")
	// ErrInactive reports that the group has no own leaf left, or was ended by a
	// ReInit.
	ErrInactive = errors.New("mls: the group is not active")
	// ErrNoSecrets reports that the group waits for its external Commit to be
	// accepted.
	ErrNoSecrets = errors.New("mls: the group has no secrets before its external Commit is merged")
	// ErrPendingCommit reports that another commit is pending: merge or discard
	// it first.
	ErrPendingCommit = errors.New("mls: a commit is pending")
	// ErrNoPendingCommit reports that there is nothing to merge.
	ErrNoPendingCommit = errors.New("mls: no commit is pending")
	// ErrPendingProposals reports that proposals have to be committed before
	// application data is sent (RFC 9420, section 12.4).
	ErrPendingProposals = errors.New("mls: pending proposals have to be committed before application data is sent")
	// ErrTooManyProposals reports that the store of pending proposals is full.
	ErrTooManyProposals = errors.New("mls: too many pending proposals")
	// ErrPolicy wraps what a hook of [Policy] answered.
	ErrPolicy = errors.New("mls: refused by policy")
	// ErrNoPSK reports a pre-shared key that is not available.
	ErrNoPSK = errors.New("mls: pre-shared key is not available")
	// ErrOwnMessage reports an application message that an own leaf has sent.
	ErrOwnMessage = errors.New("mls: message was sent by an own leaf")
	// ErrReplay reports a message whose key was used already, or is too old.
	ErrReplay = errors.New("mls: message key was used already")
	// ErrTooFar reports a message whose generation is too far ahead.
	ErrTooFar = errors.New("mls: message generation is too far ahead")
	// ErrWelcomeNotForUs reports a Welcome for other KeyPackages.
	ErrWelcomeNotForUs = errors.New("mls: the Welcome is not for this KeyPackage")
	// ErrWelcomeEpoch reports a Welcome that is ahead of the group: the commit
	// that belongs to it has to be processed first.
	ErrWelcomeEpoch = errors.New("mls: the Welcome does not fit the epoch of the group")
	// ErrConfirmationTag reports a commit or GroupInfo that leads to other
	// secrets than its author has. All members refuse such a commit while the
	// hub could not: they leave the dead epoch by an external Commit.
	ErrConfirmationTag = errors.New("mls: confirmation tag does not verify")
	// ErrPathSecret reports an UpdatePath that does not open or does not lead to
	// the public keys it names.
	ErrPathSecret = errors.New("mls: path secret does not fit the UpdatePath")
	// ErrGroupInfo reports a GroupInfo that does not fit the group or commit.
	ErrGroupInfo = errors.New("mls: GroupInfo does not fit")
	// ErrNoTree reports that a ratchet tree is needed: no tree never means an
	// empty one.
	ErrNoTree = errors.New("mls: the ratchet tree is missing")
	// ErrTreeHash reports a tree that is not the one of the GroupContext.
	ErrTreeHash = errors.New("mls: tree hash does not match")
	// ErrState reports stored rows that are not a state of this package.
	ErrState = errors.New("mls: malformed stored state")
	// ErrConfig reports a Config that lacks something mandatory.
	ErrConfig = errors.New("mls: incomplete configuration")
)

// What is wrong with a message. Each names a rule; the message is refused.
var (
	ErrMembershipTag    = errors.New("mls: membership tag does not verify")                          // section 6.2
	ErrSignature        = errors.New("mls: signature does not verify")                               // section 6.1
	ErrSender           = errors.New("mls: sender type is not allowed for this content")             // section 6.1
	ErrWireFormat       = errors.New("mls: wire format is not allowed for this content")             // section 6
	ErrPadding          = errors.New("mls: padding is not all zeros")                                // section 6.3.1
	ErrDecrypt          = errors.New("mls: message does not decrypt")                                // section 6.3
	ErrUnmergedLeaves   = errors.New("mls: invalid unmerged leaves")                                 // section 12.4.3.1
	ErrParentHash       = errors.New("mls: parent hash does not verify")                             // section 7.9
	ErrDuplicateKey     = errors.New("mls: key is already in use in the group")                      // section 7.3
	ErrLeafSource       = errors.New("mls: leaf node source does not fit")                           // section 7.3
	ErrLifetime         = errors.New("mls: lifetime of the leaf node is not acceptable")             // section 7.3
	ErrCapabilities     = errors.New("mls: capabilities do not fit")                                 // section 7.3
	ErrComponents       = errors.New("mls: required components are not supported")                   // draft-ietf-mls-extensions-09
	ErrWireFormats      = errors.New("mls: wire formats are listed where they do not belong")        // draft-ietf-mls-extensions-09
	ErrMediaTypes       = errors.New("mls: required media types are not supported")                  // draft-ietf-mls-extensions-09
	ErrLastResort       = errors.New("mls: the mark of a last resort KeyPackage has data")           // draft-ietf-mls-extensions-09
	ErrSameEncryption   = errors.New("mls: encryption key is not new")                               // sections 7.3, 10.1 and 12.4.2
	ErrKeyPackageSuite  = errors.New("mls: version or cipher suite of the KeyPackage does not fit")  // section 10.1
	ErrUnknownProposal  = errors.New("mls: referenced proposal is not known")                        // section 12.4
	ErrDuplicateRef     = errors.New("mls: commit references a proposal twice")                      // section 12.2
	ErrOwnUpdate        = errors.New("mls: commit has an Update of its committer")                   // section 12.2
	ErrSelfRemoval      = errors.New("mls: commit removes its committer")                            // section 12.2
	ErrSameLeaf         = errors.New("mls: several proposals for the same leaf")                     // section 12.2
	ErrSamePSK          = errors.New("mls: several proposals for the same PSK")                      // section 12.2
	ErrPSK              = errors.New("mls: invalid PreSharedKeyID")                                  // section 12.1.4
	ErrSeveralGCE       = errors.New("mls: several GroupContextExtensions proposals")                // section 12.2
	ErrReInit           = errors.New("mls: invalid ReInit, or ReInit beside other proposals")        // sections 12.1.5 and 12.2
	ErrExternalInit     = errors.New("mls: ExternalInit is missing or misplaced")                    // section 12.2
	ErrExternalCommit   = errors.New("mls: proposal is not allowed in an external Commit")           // sections 12.2 and 12.4.3.2
	ErrUnsupported      = errors.New("mls: not supported by all members")                            // sections 12.2, 13.2 and 13.4
	ErrPathMissing      = errors.New("mls: commit needs an UpdatePath")                              // section 12.4
	ErrPathForm         = errors.New("mls: UpdatePath does not fit the tree")                        // section 7.6
	ErrByValue          = errors.New("mls: proposal is not allowed by value")                        // sections 12.1.2 and 12.2, SelfRemove
	ErrAppData          = errors.New("mls: invalid change of application data")                      // draft-ietf-mls-extensions-09
	ErrExternalSender   = errors.New("mls: proposal or sender is not allowed as an external sender") // section 12.1.8
	ErrExternalPub      = errors.New("mls: GroupInfo has no external_pub")                           // section 12.4.3.2
	ErrCredential       = errors.New("mls: credential is not acceptable")                            // section 5.3.1
	ErrSuccessor        = errors.New("mls: credential is not a successor of the old one")            // section 5.3.1
	ErrWelcomePSK       = errors.New("mls: resumption PSK for ReInit or branch is misplaced")        // section 12.4.3.1
	ErrBranch           = errors.New("mls: the group is no branch of the old one")                   // section 11.3
	ErrOwnLeafNotInTree = errors.New("mls: the leaf of the KeyPackage is not in the tree")           // section 12.4.3.1
	ErrGREASE           = errors.New("mls: a GREASE value does not belong here")                     // section 13.5
	ErrTwoSelfRemoves   = errors.New("mls: a member sent several SelfRemoves in one epoch")          // draft-ietf-mls-extensions-09
)
