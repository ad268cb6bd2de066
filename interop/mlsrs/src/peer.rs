//! The client, and the group it is in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mls_rs::client_builder::MlsConfig;
use mls_rs::external_client::ExternalClient;
use mls_rs::extension::built_in::ExternalSendersExt;
use mls_rs::group::proposal::CustomProposal;
use mls_rs::group::{CommitEffect, ExportedTree, ProposalSender, ReceivedMessage};
use mls_rs::identity::basic::BasicCredential;
use mls_rs::identity::{Credential, CredentialType, CustomCredential, SigningIdentity};
use mls_rs::psk::{ExternalPskId, PreSharedKey};
use mls_rs::storage_provider::in_memory::{InMemoryGroupStateStorage, InMemoryPreSharedKeyStorage};
use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, Extension, ExtensionList, Group, MlsMessage,
};
use mls_rs_core::crypto::SignatureSecretKey;
use mls_rs_crypto_rustcrypto::RustCryptoProvider;
use serde_json::{Value, json};

use crate::policy::{Identities, Rules, content};
use crate::request::{
    Error, Result, array, bytes, failed, flag, hexed, list, number, numbers, outside, unsupported,
};

/// A peer of any configuration: the library's client is generic.
pub trait Handle {
    fn handle(&mut self, op: &str, q: &Value) -> Result<Value>;
}

struct Peer<C: MlsConfig> {
    client: Client<C>,
    identities: Identities,
    identity: SigningIdentity,
    secret: SignatureSecretKey,
    psks: InMemoryPreSharedKeyStorage,
    groups: InMemoryGroupStateStorage,
    tree: Arc<AtomicBool>,
    group: Option<Group<C>>,
}

pub fn new(q: &Value) -> Result<(Box<dyn Handle>, Value)> {
    // The library can be built with SelfRemove, but for another proposal type.
    if numbers(q, "proposals").contains(&10) {
        return Err(unsupported("SelfRemove as proposal type 0x000a"));
    }
    let crypto = RustCryptoProvider::default();
    let suite = CipherSuite::from(number(q, "suite") as u16);
    let provider = crypto.cipher_suite_provider(suite).ok_or_else(|| unsupported("cipher suite"))?;
    let (secret, public) = provider.signature_key_generate().map_err(failed("signature key"))?;
    let identity = bytes(q, "identity")?;
    let credential = match number(q, "credential_type") {
        0 | 1 => BasicCredential::new(identity).into_credential(),
        t => Credential::Custom(CustomCredential::new(CredentialType::new(t as u16), identity)),
    };
    let mut credentials = vec![CredentialType::BASIC];
    credentials.extend(numbers(q, "credentials").into_iter().map(|t| CredentialType::new(t as u16)));
    let identities = Identities(credentials);
    let signing = SigningIdentity::new(credential, public.clone());
    let psks = InMemoryPreSharedKeyStorage::default();
    let groups = InMemoryGroupStateStorage::new();
    let tree = Arc::new(AtomicBool::new(true));
    let client = Client::builder()
        .crypto_provider(crypto)
        .identity_provider(identities.clone())
        .mls_rules(Rules { tree: tree.clone(), encrypt: !flag(q, "public_handshake") })
        .psk_store(psks.clone())
        .group_state_storage(groups.clone())
        .key_package_lifetime(Duration::from_secs(28 * 86400))
        .extension_types(numbers(q, "extensions").into_iter().map(|t| (t as u16).into()))
        .custom_proposal_types(numbers(q, "proposals").into_iter().map(|t| (t as u16).into()))
        .signing_identity(signing.clone(), secret.clone(), suite)
        .build();
    let peer = Peer { client, identities, identity: signing, secret, psks, groups, tree, group: None };
    Ok((Box::new(peer), json!({"signature_key": hexed(public.as_bytes())})))
}

impl<C: MlsConfig> Handle for Peer<C> {
    fn handle(&mut self, op: &str, q: &Value) -> Result<Value> {
        let answer = match op {
            "keypackage" => self.keypackage(q),
            "create" => self.create(q),
            "commit" => self.commit(q),
            "propose" => self.propose(q),
            "join" => self.join(q),
            "external_join" => self.external_join(q),
            "external_propose" => self.external_propose(q),
            "process" => self.process(q),
            "protect" => self.protect(q),
            "group_info" => self.group_info(q),
            "export" => self.export(q),
            "state" => self.state(),
            "psk" => self.psk(q),
            _ => Err("unknown op".into()),
        }?;
        // Keys of past epochs and resumption PSKs are found in the storage only.
        if let Some(group) = &mut self.group {
            outside(|| group.write_to_storage()).map_err(failed("store"))?;
        }
        Ok(answer)
    }
}

impl<C: MlsConfig> Peer<C> {
    fn group(&mut self) -> Result<&mut Group<C>> {
        self.group.as_mut().ok_or("this peer is in no group".into())
    }

    /// Forgets the group. What is stored of an earlier stay in a group would be in
    /// the way of coming back.
    fn leave(&mut self) {
        if let Some(group) = self.group.take() {
            self.groups.delete_group(group.group_id());
        }
    }

    fn keypackage(&mut self, q: &Value) -> Result<Value> {
        let message = self
            .client
            .generate_key_package_message(extensions(q, "extensions")?, extensions(q, "leaf_extensions")?, None)
            .map_err(failed("KeyPackage"))?;
        Ok(json!({"key_package": encode(&message)?}))
    }

    fn create(&mut self, q: &Value) -> Result<Value> {
        let group = self
            .client
            .create_group_with_id(bytes(q, "group_id")?, extensions(q, "extensions")?, Default::default(), None)
            .map_err(failed("create"))?;
        self.group = Some(group);
        Ok(json!({}))
    }

    fn commit(&mut self, q: &Value) -> Result<Value> {
        self.tree.store(flag(q, "tree"), Ordering::SeqCst);
        let group = self.group()?;
        let mut builder = group.commit_builder().authenticated_data(bytes(q, "aad")?);
        for kp in list(q, "add")? {
            builder = builder.add_member(decode(&kp)?).map_err(failed("add"))?;
        }
        for leaf in numbers(q, "remove") {
            builder = builder.remove_member(leaf as u32).map_err(failed("remove"))?;
        }
        if q.get("gce").is_some() {
            builder = builder.set_group_context_ext(extensions(q, "gce")?).map_err(failed("gce"))?;
        }
        for id in list(q, "psk")? {
            builder = builder.add_external_psk(ExternalPskId::new(id)).map_err(failed("psk"))?;
        }
        for epoch in numbers(q, "resumption") {
            builder = builder.add_resumption_psk(epoch).map_err(failed("resumption"))?;
        }
        for c in array(q, "custom") {
            builder = builder.custom_proposal(custom(c)?);
        }
        let output = builder.build().map_err(failed("commit"))?;
        group.apply_pending_commit().map_err(failed("apply"))?;
        let mut answer = json!({"commit": encode(&output.commit_message)?});
        if let Some(welcome) = output.welcome_messages.first() {
            answer["welcome"] = encode(welcome)?;
        }
        Ok(answer)
    }

    fn propose(&mut self, q: &Value) -> Result<Value> {
        let aad = bytes(q, "aad")?;
        let group = self.group()?;
        let message = if q.get("add").is_some() {
            group.propose_add(decode(&bytes(q, "add")?)?, aad)
        } else if let Some(leaf) = q["remove"].as_u64() {
            group.propose_remove(leaf as u32, aad)
        } else if flag(q, "update") {
            group.propose_update(aad)
        } else if q.get("gce").is_some() {
            group.propose_group_context_extensions(extensions(q, "gce")?, aad)
        } else if q.get("custom").is_some() {
            group.propose_custom(custom(&q["custom"])?, aad)
        } else if flag(q, "self_remove") {
            return Err(unsupported("SelfRemove"));
        } else {
            group.propose_external_psk(ExternalPskId::new(bytes(q, "psk")?), aad)
        };
        Ok(json!({"proposal": encode(&message.map_err(failed("propose"))?)?}))
    }

    fn join(&mut self, q: &Value) -> Result<Value> {
        self.leave();
        let welcome = decode(&bytes(q, "welcome")?)?;
        let (group, _) = self.client.join_group(tree(q)?, &welcome, None).map_err(failed("join"))?;
        self.group = Some(group);
        Ok(json!({}))
    }

    fn external_join(&mut self, q: &Value) -> Result<Value> {
        self.leave();
        let info = decode(&bytes(q, "group_info")?)?;
        let mut builder = self
            .client
            .external_commit_builder()
            .map_err(failed("builder"))?
            .with_authenticated_data(bytes(q, "aad")?);
        for id in list(q, "psk")? {
            builder = builder.with_external_psk(ExternalPskId::new(id));
        }
        if flag(q, "resync") {
            let roster = match tree(q)? {
                Some(t) => t,
                None => return Err("resync needs the tree".into()),
            };
            let own = content(&self.identity.credential);
            let old = roster.roster().members_iter().find(|m| content(&m.signing_identity.credential) == own);
            match old {
                Some(m) => builder = builder.with_removal(m.index),
                None => return Err("there is no leaf of this client to resync".into()),
            }
        }
        if let Some(tree) = tree(q)? {
            builder = builder.with_tree_data(tree);
        }
        let (group, commit) = builder.build(info).map_err(failed("external Commit"))?;
        self.group = Some(group);
        Ok(json!({"commit": encode(&commit)?}))
    }

    fn external_propose(&mut self, q: &Value) -> Result<Value> {
        let info = decode(&bytes(q, "group_info")?)?;
        let senders = info
            .as_group_info()
            .ok_or(Error::from("the message is no GroupInfo"))?
            .group_context()
            .extensions
            .get_as::<ExternalSendersExt>()
            .map_err(failed("external_senders"))?;
        if !senders.is_some_and(|s| s.allowed_senders.contains(&self.identity)) {
            // The library makes a KeyPackage of its own for this.
            let message = self
                .client
                .external_add_proposal(&info, tree(q)?, Vec::new(), Default::default(), Default::default(), None)
                .map_err(failed("propose"))?;
            return Ok(json!({"proposal": encode(&message)?}));
        }
        let client = ExternalClient::builder()
            .crypto_provider(RustCryptoProvider::default())
            .identity_provider(self.identities.clone())
            .signer(self.secret.clone(), self.identity.clone())
            .build();
        let mut observed = client.observe_group(info, tree(q)?, None).map_err(failed("observe"))?;
        let message = match q["remove"].as_u64() {
            Some(leaf) => observed.propose_remove(leaf as u32, Vec::new()),
            None => observed.propose_add(decode(&bytes(q, "add")?)?, Vec::new()),
        };
        Ok(json!({"proposal": encode(&message.map_err(failed("propose"))?)?}))
    }

    fn process(&mut self, q: &Value) -> Result<Value> {
        let message = decode(&bytes(q, "msg")?)?;
        let group = self.group()?;
        match group.process_incoming_message(message).map_err(failed("process"))? {
            ReceivedMessage::ApplicationMessage(m) => Ok(json!({
                "kind": "application",
                "data": hexed(m.data()),
                "aad": hexed(&m.authenticated_data),
                "sender": m.sender_index,
            })),
            ReceivedMessage::Proposal(p) => {
                let mut answer = json!({"kind": "proposal", "aad": hexed(&p.authenticated_data)});
                if let ProposalSender::Member(leaf) = p.sender {
                    answer["sender"] = json!(leaf);
                }
                Ok(answer)
            }
            ReceivedMessage::Commit(c) => {
                let active = matches!(c.effect, CommitEffect::NewEpoch(_));
                let mut answer =
                    json!({"kind": "commit", "aad": hexed(&c.authenticated_data), "active": active});
                if !c.is_external {
                    answer["sender"] = json!(c.committer);
                }
                Ok(answer)
            }
            _ => Err("the message is no group message".into()),
        }
    }

    fn protect(&mut self, q: &Value) -> Result<Value> {
        let (data, aad) = (bytes(q, "data")?, bytes(q, "aad")?);
        let message = self.group()?.encrypt_application_message(&data, aad).map_err(failed("protect"))?;
        Ok(json!({"msg": encode(&message)?}))
    }

    fn group_info(&mut self, q: &Value) -> Result<Value> {
        let group = self.group()?;
        let info = group.group_info_message_allowing_ext_commit(flag(q, "tree")).map_err(failed("GroupInfo"))?;
        let tree = group.export_tree().to_bytes().map_err(failed("tree"))?;
        Ok(json!({"group_info": encode(&info)?, "tree": hexed(tree)}))
    }

    fn export(&mut self, q: &Value) -> Result<Value> {
        let label = q["label"].as_str().unwrap_or_default();
        let secret = self
            .group()?
            .export_secret(label.as_bytes(), &bytes(q, "context")?, number(q, "length") as usize)
            .map_err(failed("export"))?;
        Ok(json!({"secret": hexed(secret.as_bytes())}))
    }

    fn state(&mut self) -> Result<Value> {
        let group = self.group()?;
        let authenticator = group.epoch_authenticator().map_err(failed("authenticator"))?;
        let roster: Vec<_> = group
            .roster()
            .members_iter()
            .map(|m| {
                json!({
                    "index": m.index,
                    "identity": hexed(content(&m.signing_identity.credential)),
                    "credential_type": m.signing_identity.credential.credential_type().raw_value(),
                    "signature_key": hexed(m.signing_identity.signature_key.as_bytes()),
                })
            })
            .collect();
        let context = group.context();
        let list: Vec<_> = context
            .extensions
            .iter()
            .map(|e| json!({"type": e.extension_type.raw_value(), "data": hexed(&e.extension_data)}))
            .collect();
        Ok(json!({
            "group_id": hexed(&context.group_id),
            "epoch": context.epoch,
            "tree_hash": hexed(&context.tree_hash),
            "epoch_authenticator": hexed(authenticator.as_bytes()),
            "own": group.current_member_index(),
            "roster": roster,
            "extensions": list,
        }))
    }

    fn psk(&mut self, q: &Value) -> Result<Value> {
        self.psks.insert(ExternalPskId::new(bytes(q, "psk_id")?), PreSharedKey::new(bytes(q, "psk")?));
        Ok(json!({}))
    }
}

fn decode(encoded: &[u8]) -> Result<MlsMessage> {
    MlsMessage::from_bytes(encoded).map_err(failed("failed to decode the MLSMessage"))
}

fn encode(message: &MlsMessage) -> Result<Value> {
    Ok(json!(hexed(message.to_bytes().map_err(failed("encode"))?)))
}

fn tree(q: &Value) -> Result<Option<ExportedTree<'static>>> {
    let encoded = bytes(q, "tree")?;
    if encoded.is_empty() {
        return Ok(None);
    }
    ExportedTree::from_bytes(&encoded).map(Some).map_err(failed("failed to decode the tree"))
}

/// The library frames the content of a custom proposal as a vector of its own.
fn custom(c: &Value) -> Result<CustomProposal> {
    let data = bytes(c, "data")?;
    let mut rest = data.as_slice();
    match mls_rs::mls_rs_codec::byte_vec::mls_decode(&mut rest) {
        Ok(payload) if rest.is_empty() => {
            Ok(CustomProposal::new((number(c, "type") as u16).into(), payload))
        }
        _ => Err(unsupported("custom proposals that are not one vector")),
    }
}

fn extensions(q: &Value, name: &str) -> Result<ExtensionList> {
    let mut list = ExtensionList::new();
    for e in array(q, name) {
        list.set(Extension::new((number(e, "type") as u16).into(), bytes(e, "data")?));
    }
    Ok(list)
}
