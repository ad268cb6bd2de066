package node

import (
	"errors"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// CheckOther is the code of a refusal that has no better one.
const CheckOther = "other"

// A coded error has a code for the metric.
type coded struct {
	err  error
	code string
}

// codes are those of errors that are not a [mimi.Refusal]: of packages whose errors
// name one check each, and of what the checks of the profile leave over. The first
// one that fits counts.
var codes = []coded{
	{room.ErrMalformed, "room-malformed"},
	{room.ErrTooLarge, "room-too-large"},
	{room.ErrText, "room-text"},
	{room.ErrURIField, "room-uri-field"},
	{room.ErrEnum, "room-enum"},
	{room.ErrAvatar, "room-avatar"},
	{room.ErrDuplicate, "room-duplicate"},
	{room.ErrRange, "room-range"},
	{room.ErrConflict, "room-conflict"},
	{room.ErrMissingComponent, "room-missing-component"},
	{room.ErrPolicyNotListed, "room-policy-not-listed"},
	{room.ErrUnknownRole, "room-unknown-role"},
	{room.ErrRoleZero, "room-role-zero"},
	{room.ErrBannedRole, "room-banned-role"},
	{room.ErrOpenJoinRole, "room-open-join-role"},
	{room.ErrPreauthRole, "room-preauth-role"},
	{room.ErrFixedMembershipRole, "room-fixed-membership-role"},
	{room.ErrNotParticipant, "room-not-participant"},
	{room.ErrPlainMetadata, "room-plain-metadata"},
	{room.ErrJoinLinkCount, "room-join-link-count"},
	{room.ErrParent, "room-parent"},
	{room.ErrUnknownComponent, "room-unknown-component"},
	{room.ErrUpdateConflict, "room-update-conflict"},
	{room.ErrIndex, "room-index"},
	{room.ErrSameUser, "room-same-user"},
	{room.ErrNoChange, "room-no-change"},
	{room.ErrRolesWithParticipants, "room-roles-with-participants"},
	{room.ErrPreauthWithParticipants, "room-preauth-with-participants"},
	{room.ErrNoClient, "room-no-client"},
	{room.ErrClientsRemain, "room-clients-remain"},
	{room.ErrCommitterLeaves, "room-committer-leaves"},
	{room.ErrOperation, "room-operation"},
	{room.ErrRoleChange, "room-role-change"},
	{room.ErrPreauthorization, "room-preauthorization"},
	{room.ErrJoinCode, "room-join-code"},
	{room.ErrNotMember, "room-not-member"},
	{room.ErrBanned, "room-banned"},
	{room.ErrFixedMembership, "room-fixed-membership"},
	{room.ErrMaxUsers, "room-max-users"},
	{room.ErrMaxClients, "room-max-clients"},
	{room.ErrSingleDevice, "room-single-device"},
	{room.ErrMinParticipants, "room-min-participants"},
	{room.ErrMaxParticipants, "room-max-participants"},
	{room.ErrMinActive, "room-min-active"},
	{room.ErrMaxActive, "room-max-active"},
	{room.ErrImmutable, "room-immutable"},
	{room.ErrOtherPolicy, "room-other-policy"},
	{mls.ErrGroupID, "mls-group-id"},
	{mls.ErrEpochPast, "mls-epoch-past"},
	{mls.ErrEpochFuture, "mls-epoch-future"},
	{mls.ErrNotMember, "mls-not-member"},
	{mls.ErrTooManyProposals, "mls-too-many-proposals"},
	{mls.ErrNoPSK, "mls-no-psk"},
	{mls.ErrReplay, "mls-replay"},
	{mls.ErrTooFar, "mls-too-far"},
	{mls.ErrWelcomeNotForUs, "mls-welcome-not-for-us"},
	{mls.ErrConfirmationTag, "mls-confirmation-tag"},
	{mls.ErrPathSecret, "mls-path-secret"},
	{mls.ErrGroupInfo, "mls-group-info"},
	{mls.ErrNoTree, "mls-no-tree"},
	{mls.ErrTreeHash, "mls-tree-hash"},
	{mls.ErrMembershipTag, "mls-membership-tag"},
	{mls.ErrSignature, "mls-signature"},
	{mls.ErrSender, "mls-sender"},
	{mls.ErrWireFormat, "mls-wire-format"},
	{mls.ErrPadding, "mls-padding"},
	{mls.ErrDecrypt, "mls-decrypt"},
	{mls.ErrUnmergedLeaves, "mls-unmerged-leaves"},
	{mls.ErrParentHash, "mls-parent-hash"},
	{mls.ErrDuplicateKey, "mls-duplicate-key"},
	{mls.ErrLeafSource, "mls-leaf-source"},
	{mls.ErrLifetime, "mls-lifetime"},
	{mls.ErrCapabilities, "mls-capabilities"},
	{mls.ErrComponents, "mls-components"},
	{mls.ErrWireFormats, "mls-wire-formats"},
	{mls.ErrMediaTypes, "mls-media-types"},
	{mls.ErrLastResort, "mls-last-resort"},
	{mls.ErrSameEncryption, "mls-same-encryption"},
	{mls.ErrKeyPackageSuite, "mls-key-package-suite"},
	{mls.ErrUnknownProposal, "mls-unknown-proposal"},
	{mls.ErrDuplicateRef, "mls-duplicate-ref"},
	{mls.ErrOwnUpdate, "mls-own-update"},
	{mls.ErrSelfRemoval, "mls-self-removal"},
	{mls.ErrSameLeaf, "mls-same-leaf"},
	{mls.ErrSamePSK, "mls-same-psk"},
	{mls.ErrPSK, "mls-psk"},
	{mls.ErrSeveralGCE, "mls-several-gce"},
	{mls.ErrReInit, "mls-re-init"},
	{mls.ErrExternalInit, "mls-external-init"},
	{mls.ErrExternalCommit, "mls-external-commit"},
	{mls.ErrUnsupported, "mls-unsupported"},
	{mls.ErrPathMissing, "mls-path-missing"},
	{mls.ErrPathForm, "mls-path-form"},
	{mls.ErrByValue, "mls-by-value"},
	{mls.ErrAppData, "mls-app-data"},
	{mls.ErrExternalSender, "mls-external-sender"},
	{mls.ErrExternalPub, "mls-external-pub"},
	{mls.ErrCredential, "mls-credential"},
	{mls.ErrSuccessor, "mls-successor"},
	{mls.ErrWelcomePSK, "mls-welcome-psk"},
	{mls.ErrOwnLeafNotInTree, "mls-own-leaf-not-in-tree"},
	{mls.ErrTwoSelfRemoves, "mls-two-self-removes"},
	{mls.ErrSafeAAD, "mls-safe-aad"},
	{room.ErrDenied, "room-denied"},
	{room.ErrInvalid, "room-invalid"},
	{content.ErrOrigin, "content-origin"},
	{content.ErrMalformed, "content-malformed"},
	{content.ErrLimit, "content-limit"},
	{content.ErrNotSender, "content-sender"},
	{content.ErrWrongTarget, "content-target"},
	{mmr.ErrProposal, "proposal-type"},
	{mmr.ErrRemovalPending, "removal-pending"},
	{mmr.ErrNotMinimal, "policy-missing"},
	{mmr.ErrGroup, "context-form"},
	{mmr.ErrLeaf, "leaf-form"},
	{identity.ErrCredentialType, "credential-type"},
	{identity.ErrPseudonym, "pseudonym-form"},
	{identity.ErrSignatureKey, "credential-key"},
	{identity.ErrLinkFormat, "link-form"},
	{identity.ErrPadding, "padding"},
	{identity.ErrCertificate, "certificate-form"},
	{identity.ErrCACertificate, "identity-ca"},
	{identity.ErrIssuer, "certificate-issuer"},
	{identity.ErrDomain, "domain"},
	{identity.ErrValidity, "validity"},
	{identity.ErrPinChanged, "identity-ca-changed"},
	{identity.ErrGeneration, "wrapper-generation"},
	{identity.ErrTwoUsers, "pseudonym-two-people"},
	{identity.ErrTwoPseudonyms, "person-two-pseudonyms"},
	{identity.ErrProfileComponent, "profile-component"},
	{identity.ErrGenerations, "live-generations"},
	{identity.ErrProviderKeyOver, "provider-key-over"},
	{identity.ErrGroupID, "group-id"},
	{identity.ErrMetadata, "metadata-form"},
	{identity.ErrKeys, "wrapper-keys-form"},
	{identity.ErrTable, "table-form"},
	{identity.ErrLinkState, "link-state-form"},
	{identity.ErrQueue, "queue-form"},
	{identity.ErrProviderKey, "provider-key"},
	{identity.ErrPolicy, "policy-form"},
	{identity.ErrAddAAD, "add-aad-form"},
	{identity.ErrSibling, "sibling-form"},
	{identity.ErrSecretSize, "secret-size"},
	{identity.ErrJoinLink, "join-link-form"},
	{connection.ErrPackageFormat, "package-form"},
	{connection.ErrPackageUsed, "package-spent"},
	{connection.ErrUnknownPackage, "package-unknown"},
	{connection.ErrRequestFormat, "request-form"},
	{connection.ErrResponse, "response-form"},
	{connection.ErrNotConnectionRoom, "connection-room-form"},
	{connection.ErrStranger, "connection-room-stranger"},
	{keymaterial.ErrRequester, "key-request-form"},
	{keymaterial.ErrSet, "set-form"},
	{keymaterial.ErrKeyPackage, "key-package-form"},
	{keymaterial.ErrUploadLimit, "upload-limit"},
	{keymaterial.ErrQuota, "upload-quota"},
	{keymaterial.ErrUploadToken, "upload-token"},
	{keymaterial.ErrUploadKey, "upload-key"},
	{keymaterial.ErrUploadOrder, "upload-order"},
	{keymaterial.ErrUploadSignature, "upload-signature"},
	{keymaterial.ErrTokenSpent, "upload-token-spent"},
	{keymaterial.ErrTokenRequest, "upload-token-request"},
	{keymaterial.ErrNoRegistration, "upload-unregistered"},
	{keymaterial.ErrUpload, "upload-form"},
	{protocol.ErrNoSuchRoom, "no-such-room"},
	{protocol.ErrNoSuchUser, "no-such-user"},
	{suite.ErrUnsupported, "cipher-suite"},
	{suite.ErrSignature, "signature"},
	{suite.ErrDecrypt, "ciphertext"},
	{mimi.ErrURI, "uri"},
	{wire.ErrTruncated, "malformed"},
	{wire.ErrTrailing, "malformed"},
	{wire.ErrLength, "malformed"},
	{protocol.ErrMalformed, "malformed"},
}

// CheckOf returns the code of the check that an error comes from, for the metric
// mimi_refused_total. It is a constant, and never has a part of what was refused.
func CheckOf(err error) string {
	if check := mimi.CheckOf(err); check != "" {
		return check
	}
	if _, ok := errors.AsType[room.MissingCapability](err); ok {
		return "room-capability"
	}
	if _, ok := errors.AsType[*protocol.RetryLaterError](err); ok {
		return "rate"
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return CheckOther
}
