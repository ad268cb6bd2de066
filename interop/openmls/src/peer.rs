//! The client: its keys, its storage, and the group it is in.

use openmls::prelude::*;
use openmls::schedule::{PreSharedKeyId, Psk, psk};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider;
use openmls_traits::types::Ciphersuite;
use serde_json::{Value, json};
use tls_codec::{Deserialize, Serialize, VLBytes};

use crate::request::{Error, Result, array, bytes, failed, flag, hexed, list, number, numbers, unsupported};

pub struct Peer {
    provider: OpenMlsRustCrypto,
    suite: Ciphersuite,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
    capabilities: Capabilities,
    wire_format: WireFormatPolicy,
    group: Option<MlsGroup>,
}

impl Peer {
    pub fn new(q: &Value) -> Result<(Peer, Value)> {
        let provider = OpenMlsRustCrypto::default();
        let suite = Ciphersuite::try_from(number(q, "suite") as u16).map_err(|_| unsupported("cipher suite"))?;
        provider.crypto().supports(suite).map_err(|_| unsupported("cipher suite"))?;
        let signer = SignatureKeyPair::new(suite.signature_algorithm()).map_err(failed("signature key"))?;
        let identity = bytes(q, "identity")?;
        let credential: Credential = match number(q, "credential_type") {
            0 | 1 => BasicCredential::new(identity).into(),
            t => Credential::new(CredentialType::from(t as u16), identity),
        };
        let mut credentials = vec![CredentialType::Basic];
        credentials.extend(numbers(q, "credentials").into_iter().map(|t| CredentialType::from(t as u16)));
        let extensions: Vec<_> = numbers(q, "extensions").into_iter().map(|t| ExtensionType::from(t as u16)).collect();
        let proposals: Vec<_> = numbers(q, "proposals").into_iter().map(|t| ProposalType::from(t as u16)).collect();
        let suites = [1, 2, 3].map(|id| Ciphersuite::try_from(id).expect("the suite is defined"));
        let peer = Peer {
            capabilities: Capabilities::new(
                None, Some(&suites), Some(&extensions), Some(&proposals), Some(&credentials),
            ),
            credential: CredentialWithKey { credential, signature_key: signer.public().into() },
            wire_format: match flag(q, "public_handshake") {
                true => MIXED_PLAINTEXT_WIRE_FORMAT_POLICY,
                false => MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY,
            },
            provider,
            suite,
            signer,
            group: None,
        };
        let answer = json!({"signature_key": hexed(peer.signer.public())});
        Ok((peer, answer))
    }

    pub fn handle(&mut self, op: &str, q: &Value) -> Result<Value> {
        match op {
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
        }
    }

    fn group(&mut self) -> Result<&mut MlsGroup> {
        self.group.as_mut().ok_or("this peer is in no group".into())
    }

    fn join_config(&self) -> MlsGroupJoinConfig {
        MlsGroupJoinConfig::builder()
            .wire_format_policy(self.wire_format)
            .max_past_epochs(5)
            .number_of_resumption_psks(8)
            .sender_ratchet_configuration(SenderRatchetConfiguration::new(100, 1000))
            .build()
    }

    fn keypackage(&mut self, q: &Value) -> Result<Value> {
        let bundle = KeyPackage::builder()
            .leaf_node_capabilities(self.capabilities.clone())
            .key_package_extensions(extensions(q, "extensions")?)
            .leaf_node_extensions(extensions(q, "leaf_extensions")?)
            .build(self.suite, &self.provider, &self.signer, self.credential.clone())
            .map_err(failed("KeyPackage"))?;
        let message = MlsMessageOut::from(bundle.key_package().clone());
        Ok(json!({"key_package": encode(&message)?}))
    }

    fn create(&mut self, q: &Value) -> Result<Value> {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(self.suite)
            .capabilities(self.capabilities.clone())
            .wire_format_policy(self.wire_format)
            .max_past_epochs(5)
            .number_of_resumption_psks(8)
            .sender_ratchet_configuration(SenderRatchetConfiguration::new(100, 1000))
            .with_group_context_extensions(extensions(q, "extensions")?)
            .build();
        let id = GroupId::from_slice(&bytes(q, "group_id")?);
        let group =
            MlsGroup::new_with_group_id(&self.provider, &self.signer, &config, id, self.credential.clone());
        self.group = Some(group.map_err(failed("create"))?);
        Ok(json!({}))
    }

    /// A PSK proposal's id with a fresh nonce.
    fn psk_id(&self, psk: Psk) -> Result<PreSharedKeyId> {
        PreSharedKeyId::new(self.suite, self.provider.rand(), psk).map_err(failed("nonce"))
    }

    fn commit(&mut self, q: &Value) -> Result<Value> {
        let mut proposals = Vec::new();
        for id in list(q, "psk")? {
            let id = self.psk_id(Psk::External(psk::ExternalPsk::new(id)))?;
            proposals.push(Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(id))));
        }
        for epoch in numbers(q, "resumption") {
            let group_id = self.group()?.group_id().clone();
            let usage = psk::ResumptionPskUsage::Application;
            let id = self.psk_id(Psk::Resumption(psk::ResumptionPsk::new(usage, group_id, epoch.into())))?;
            proposals.push(Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(id))));
        }
        for c in array(q, "custom") {
            proposals.push(Proposal::Custom(Box::new(custom(c)?)));
        }
        let mut added = Vec::new();
        for kp in list(q, "add")? {
            added.push(self.key_package(&kp)?);
        }
        let aad = bytes(q, "aad")?;
        let group = self.group.as_mut().ok_or(Error::from("this peer is in no group"))?;
        group.set_aad(aad);
        let mut builder = group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(added)
            .propose_removals(numbers(q, "remove").into_iter().map(|i| LeafNodeIndex::new(i as u32)))
            .add_proposals(proposals);
        if q.get("gce").is_some() {
            builder = builder.propose_group_context_extensions(extensions(q, "gce")?).map_err(failed("gce"))?;
        }
        let bundle = builder
            .load_psks(self.provider.storage())
            .map_err(failed("PSKs"))?
            .use_ratchet_tree_extension(flag(q, "tree"))
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .map_err(failed("commit"))?
            .stage_commit(&self.provider)
            .map_err(failed("stage"))?;
        let (commit, welcome, _) = bundle.into_messages();
        group.merge_pending_commit(&self.provider).map_err(failed("merge"))?;
        let mut answer = json!({"commit": encode(&commit)?});
        if let Some(welcome) = welcome {
            answer["welcome"] = encode(&welcome)?;
        }
        Ok(answer)
    }

    /// Decodes and verifies a KeyPackage in an MLSMessage.
    fn key_package(&self, encoded: &[u8]) -> Result<KeyPackage> {
        match decode(encoded)?.extract() {
            MlsMessageBodyIn::KeyPackage(kp) => {
                kp.validate(self.provider.crypto(), ProtocolVersion::Mls10).map_err(failed("KeyPackage"))
            }
            _ => Err("the message is no KeyPackage".into()),
        }
    }

    fn propose(&mut self, q: &Value) -> Result<Value> {
        let aad = bytes(q, "aad")?;
        self.group()?.set_aad(aad);
        if flag(q, "self_remove") {
            let group = self.group.as_mut().ok_or(Error::from("this peer is in no group"))?;
            let message =
                group.leave_group_via_self_remove(&self.provider, &self.signer).map_err(failed("SelfRemove"))?;
            return Ok(json!({"proposal": encode(&message)?}));
        }
        let proposal = if q.get("add").is_some() {
            Propose::Add(self.key_package(&bytes(q, "add")?)?)
        } else if let Some(leaf) = q["remove"].as_u64() {
            Propose::Remove(leaf as u32)
        } else if flag(q, "update") {
            Propose::Update(LeafNodeParameters::default())
        } else if q.get("gce").is_some() {
            Propose::GroupContextExtensions(extensions(q, "gce")?)
        } else if q.get("custom").is_some() {
            Propose::Custom(custom(&q["custom"])?)
        } else {
            Propose::PreSharedKey(self.psk_id(Psk::External(psk::ExternalPsk::new(bytes(q, "psk")?)))?)
        };
        let group = self.group.as_mut().ok_or(Error::from("this peer is in no group"))?;
        let (message, _) = group
            .propose(&self.provider, &self.signer, proposal, ProposalOrRefType::Reference)
            .map_err(failed("propose"))?;
        Ok(json!({"proposal": encode(&message)?}))
    }

    fn join(&mut self, q: &Value) -> Result<Value> {
        let welcome = decode(&bytes(q, "welcome")?)?.into_welcome_checked()?;
        let processed = ProcessedWelcome::new_from_welcome(&self.provider, &self.join_config(), welcome)
            .map_err(failed("Welcome"))?;
        let mut builder = JoinBuilder::new(&self.provider, processed).replace_old_group();
        if let Some(tree) = tree(q)? {
            builder = builder.with_ratchet_tree(tree);
        }
        let staged = builder.build().map_err(failed("stage"))?;
        self.group = Some(staged.into_group(&self.provider).map_err(failed("join"))?);
        Ok(json!({}))
    }

    fn external_join(&mut self, q: &Value) -> Result<Value> {
        let info = match decode(&bytes(q, "group_info")?)?.extract() {
            MlsMessageBodyIn::GroupInfo(info) => info,
            _ => return Err("the message is no GroupInfo".into()),
        };
        let mut builder =
            MlsGroup::external_commit_builder().with_config(self.join_config()).with_aad(bytes(q, "aad")?);
        if let Some(tree) = tree(q)? {
            builder = builder.with_ratchet_tree(tree);
        }
        let mut psks = Vec::new();
        for id in list(q, "psk")? {
            psks.push(PreSharedKeyProposal::new(self.psk_id(Psk::External(psk::ExternalPsk::new(id)))?));
        }
        let leaf = LeafNodeParameters::builder().with_capabilities(self.capabilities.clone()).build();
        // The builder removes the old leaf of this client by itself.
        let (group, bundle) = builder
            .build_group(&self.provider, info, self.credential.clone())
            .map_err(failed("GroupInfo"))?
            .leaf_node_parameters(leaf)
            .add_psk_proposals(psks)
            .load_psks(self.provider.storage())
            .map_err(failed("PSKs"))?
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .map_err(failed("external Commit"))?
            .finalize(&self.provider)
            .map_err(failed("finalize"))?;
        self.group = Some(group);
        Ok(json!({"commit": encode(bundle.commit())?}))
    }

    fn external_propose(&mut self, q: &Value) -> Result<Value> {
        let encoded = bytes(q, "group_info")?;
        let info = match decode(&encoded)?.extract() {
            MlsMessageBodyIn::GroupInfo(info) => info,
            _ => return Err("the message is no GroupInfo".into()),
        };
        let (id, epoch) = (info.group_id().clone(), info.epoch());
        let senders = match info.group_context().extensions().external_senders() {
            Some(list) => list.clone(),
            None => Default::default(),
        };
        // The key stands first in an ExternalSender.
        let key = VLBytes::new(self.signer.public().to_vec()).tls_serialize_detached().map_err(failed("key"))?;
        let own = senders.iter().position(|s| s.tls_serialize_detached().is_ok_and(|s| s.starts_with(&key)));
        let message = match (own, q["remove"].as_u64()) {
            (Some(i), Some(leaf)) => ExternalProposal::new_remove::<OpenMlsRustCrypto>(
                LeafNodeIndex::new(leaf as u32), id, epoch, &self.signer, SenderExtensionIndex::new(i as u32),
            )
            .map_err(failed("propose"))?,
            (Some(i), None) => ExternalProposal::new_add::<OpenMlsRustCrypto>(
                self.key_package(&bytes(q, "add")?)?, id, epoch, &self.signer, SenderExtensionIndex::new(i as u32),
            )
            .map_err(failed("propose"))?,
            (None, _) => {
                let kp = self.key_package(&bytes(q, "add")?)?;
                JoinProposal::new::<<OpenMlsRustCrypto as OpenMlsProvider>::StorageProvider>(
                    kp, id, epoch, &self.signer,
                )
                .map_err(failed("propose"))?
            }
        };
        Ok(json!({"proposal": encode(&message)?}))
    }

    fn process(&mut self, q: &Value) -> Result<Value> {
        let message = decode(&bytes(q, "msg")?)?.try_into_protocol_message().map_err(failed("message"))?;
        let group = self.group.as_mut().ok_or(Error::from("this peer is in no group"))?;
        let processed = group.process_message(&self.provider, message).map_err(failed("process"))?;
        let mut answer = json!({"aad": hexed(processed.aad())});
        if let Sender::Member(leaf) = processed.sender() {
            answer["sender"] = json!(leaf.u32());
        }
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(m) => {
                answer["kind"] = json!("application");
                answer["data"] = json!(hexed(m.into_bytes()));
            }
            ProcessedMessageContent::ProposalMessage(p)
            | ProcessedMessageContent::ExternalJoinProposalMessage(p) => {
                answer["kind"] = json!("proposal");
                group.store_pending_proposal(self.provider.storage(), *p).map_err(failed("store"))?;
            }
            ProcessedMessageContent::StagedCommitMessage(commit) => {
                answer["kind"] = json!("commit");
                group.merge_staged_commit(&self.provider, *commit).map_err(failed("merge"))?;
                answer["active"] = json!(group.is_active());
            }
            _ => return Err("the message came back to its author".into()),
        }
        Ok(answer)
    }

    fn protect(&mut self, q: &Value) -> Result<Value> {
        let (data, aad) = (bytes(q, "data")?, bytes(q, "aad")?);
        let group = self.group.as_mut().ok_or(Error::from("this peer is in no group"))?;
        group.set_aad(aad);
        let message = group.create_message(&self.provider, &self.signer, &data).map_err(failed("protect"))?;
        Ok(json!({"msg": encode(&message)?}))
    }

    fn group_info(&mut self, q: &Value) -> Result<Value> {
        let group = self.group.as_ref().ok_or(Error::from("this peer is in no group"))?;
        let info = group
            .export_group_info(self.provider.crypto(), &self.signer, flag(q, "tree"))
            .map_err(failed("GroupInfo"))?;
        let tree = group.export_ratchet_tree().tls_serialize_detached().map_err(failed("tree"))?;
        Ok(json!({"group_info": encode(&info)?, "tree": hexed(tree)}))
    }

    fn export(&mut self, q: &Value) -> Result<Value> {
        let group = self.group.as_ref().ok_or(Error::from("this peer is in no group"))?;
        let label = q["label"].as_str().unwrap_or_default();
        let secret = group
            .export_secret(self.provider.crypto(), label, &bytes(q, "context")?, number(q, "length") as usize)
            .map_err(failed("export"))?;
        Ok(json!({"secret": hexed(secret)}))
    }

    fn state(&mut self) -> Result<Value> {
        let group = self.group.as_ref().ok_or(Error::from("this peer is in no group"))?;
        // The library shows its tree hash in GroupInfos only.
        let info = group
            .export_group_info(self.provider.crypto(), &self.signer, false)
            .map_err(failed("GroupInfo"))?
            .to_bytes()
            .map_err(failed("GroupInfo"))?;
        let tree_hash = match decode(&info)?.extract() {
            MlsMessageBodyIn::GroupInfo(info) => info.group_context().tree_hash().to_vec(),
            _ => return Err("the GroupInfo is something else".into()),
        };
        let mut roster = Vec::new();
        for m in group.members() {
            roster.push(json!({
                "index": m.index.u32(),
                "identity": hexed(m.credential.serialized_content()),
                "credential_type": u16::from(m.credential.credential_type()),
                "signature_key": hexed(m.signature_key),
            }));
        }
        let mut list = Vec::new();
        for e in group.extensions().iter() {
            let encoded = e.tls_serialize_detached().map_err(failed("extension"))?;
            let data = VLBytes::tls_deserialize_exact(&encoded[2..]).map_err(failed("extension"))?;
            list.push(json!({"type": u16::from(e.extension_type()), "data": hexed(data.as_slice())}));
        }
        Ok(json!({
            "group_id": hexed(group.group_id().as_slice()),
            "epoch": group.epoch().as_u64(),
            "tree_hash": hexed(tree_hash),
            "epoch_authenticator": hexed(group.epoch_authenticator().as_slice()),
            "own": group.own_leaf_index().u32(),
            "roster": roster,
            "extensions": list,
        }))
    }

    fn psk(&mut self, q: &Value) -> Result<Value> {
        let id = self.psk_id(Psk::External(psk::ExternalPsk::new(bytes(q, "psk_id")?)))?;
        id.store(&self.provider, &bytes(q, "psk")?).map_err(failed("psk"))?;
        Ok(json!({}))
    }
}

trait Checked {
    fn into_welcome_checked(self) -> Result<Welcome>;
}

impl Checked for MlsMessageIn {
    fn into_welcome_checked(self) -> Result<Welcome> {
        match self.extract() {
            MlsMessageBodyIn::Welcome(w) => Ok(w),
            _ => Err("the message is no Welcome".into()),
        }
    }
}

fn decode(encoded: &[u8]) -> Result<MlsMessageIn> {
    MlsMessageIn::tls_deserialize_exact(encoded).map_err(failed("failed to decode the MLSMessage"))
}

fn encode(message: &MlsMessageOut) -> Result<Value> {
    Ok(json!(hexed(message.to_bytes().map_err(failed("encode"))?)))
}

fn tree(q: &Value) -> Result<Option<RatchetTreeIn>> {
    let encoded = bytes(q, "tree")?;
    if encoded.is_empty() {
        return Ok(None);
    }
    RatchetTreeIn::tls_deserialize_exact(&encoded).map(Some).map_err(failed("failed to decode the tree"))
}

/// The library frames the content of a custom proposal as a vector of its own.
fn custom(c: &Value) -> Result<CustomProposal> {
    match VLBytes::tls_deserialize_exact(&bytes(c, "data")?) {
        Ok(payload) => Ok(CustomProposal::new(number(c, "type") as u16, payload.as_slice().to_vec())),
        Err(_) => Err(unsupported("custom proposals that are not one vector")),
    }
}

/// Extensions of the object T: known types are decoded, others kept.
fn extensions<T>(q: &Value, name: &str) -> Result<Extensions<T>>
where
    Extensions<T>: TryFrom<Vec<Extension>, Error = InvalidExtensionError>,
{
    let mut list = Vec::new();
    for e in array(q, name) {
        let mut encoded = (number(e, "type") as u16).to_be_bytes().to_vec();
        encoded.extend(VLBytes::new(bytes(e, "data")?).tls_serialize_detached().map_err(failed("extension"))?);
        list.push(Extension::tls_deserialize_exact(&encoded).map_err(failed("extension"))?);
    }
    Extensions::try_from(list).map_err(failed("extensions"))
}
