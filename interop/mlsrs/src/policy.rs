//! What the library asks the application: everything is acceptable here.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mls_rs::error::IntoAnyError;
use mls_rs::group::proposal::CustomProposal;
use mls_rs::group::{GroupContext, Roster};
use mls_rs::identity::{Credential, CredentialType, SigningIdentity};
use mls_rs::mls_rules::{
    CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle,
};
use mls_rs::time::MlsTime;
use mls_rs::{ExtensionList, IdentityProvider, MlsRules};
use mls_rs_core::identity::MemberValidationContext;

/// Accepts every credential of the given types. Clients are told apart by what
/// their credentials say.
#[derive(Clone)]
pub struct Identities(pub Vec<CredentialType>);

#[derive(Debug)]
#[expect(dead_code, reason = "only shown by Debug")]
pub struct Refused(CredentialType);

impl IntoAnyError for Refused {}

/// The content of a credential.
pub fn content(c: &Credential) -> Vec<u8> {
    match c {
        Credential::Basic(b) => b.identifier.clone(),
        Credential::Custom(c) => c.data.clone(),
        _ => Vec::new(),
    }
}

impl Identities {
    fn check(&self, id: &SigningIdentity) -> Result<(), Refused> {
        let t = id.credential.credential_type();
        if self.0.contains(&t) { Ok(()) } else { Err(Refused(t)) }
    }
}

impl IdentityProvider for Identities {
    type Error = Refused;

    fn validate_member(
        &self,
        id: &SigningIdentity,
        _: Option<MlsTime>,
        _: MemberValidationContext<'_>,
    ) -> Result<(), Refused> {
        self.check(id)
    }

    fn validate_external_sender(
        &self,
        id: &SigningIdentity,
        _: Option<MlsTime>,
        _: Option<&ExtensionList>,
    ) -> Result<(), Refused> {
        self.check(id)
    }

    fn identity(&self, id: &SigningIdentity, _: &ExtensionList) -> Result<Vec<u8>, Refused> {
        Ok(content(&id.credential))
    }

    fn valid_successor(
        &self,
        old: &SigningIdentity,
        new: &SigningIdentity,
        _: &ExtensionList,
    ) -> Result<bool, Refused> {
        Ok(content(&old.credential) == content(&new.credential))
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        self.0.clone()
    }
}

/// Every commit has a path; the rest is set per request.
#[derive(Clone)]
pub struct Rules {
    pub tree: Arc<AtomicBool>,
    pub encrypt: bool,
}

impl MlsRules for Rules {
    type Error = Infallible;

    fn filter_proposals(
        &self,
        _: CommitDirection,
        _: CommitSource,
        _: &Roster,
        _: &GroupContext,
        proposals: ProposalBundle,
    ) -> Result<ProposalBundle, Infallible> {
        Ok(proposals)
    }

    fn commit_options(
        &self,
        _: &Roster,
        _: &GroupContext,
        _: &ProposalBundle,
    ) -> Result<CommitOptions, Infallible> {
        Ok(CommitOptions::new()
            .with_path_required(true)
            .with_ratchet_tree_extension(self.tree.load(Ordering::SeqCst)))
    }

    fn encryption_options(&self, _: &Roster, _: &GroupContext) -> Result<EncryptionOptions, Infallible> {
        Ok(EncryptionOptions::new(self.encrypt, Default::default()))
    }

    fn custom_proposal_requires_update_path(&self, _: &CustomProposal) -> bool {
        false
    }
}
