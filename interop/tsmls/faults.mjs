// Shows what ts-mls does against RFC 9420 with nothing else involved. "mimi-lab
// interop" runs it beside the installed library. It prints one line per fault, and exits with 1 if one of them is gone.

import * as mls from "ts-mls"
import { encodeCredential, decodeCredential } from "ts-mls/credential.js"
import { deriveSecret } from "ts-mls/crypto/kdf.js"
import { getCommitSecret } from "ts-mls/pathSecrets.js"
import { createCustomCredential } from "ts-mls/customCredential.js"

const text = (s) => new TextEncoder().encode(s)
const hex = (b) => Buffer.from(b).toString("hex")
const cs = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"))
const unknown = { extensionType: 0xf042, extensionData: text("an extension") }
const capabilities = { ...mls.defaultCapabilities(), extensions: [0xf042] }

let gone = 0
function report(name, present, seen) {
  console.log(`${present ? "fault" : "GONE "} ${name}: ${seen}`)
  if (!present) gone++
}

async function client(name) {
  const credential = { credentialType: "basic", identity: text(name) }
  return mls.generateKeyPackage(credential, capabilities, mls.defaultLifetime, [], cs)
}

const alice = await client("alice")
const create = (extensions, suite = cs) =>
  mls.createGroup(text("group"), alice.publicPackage, alice.privatePackage, extensions, suite)

// RFC 9420, section 12.4.3.2: struct { HPKEPublicKey external_pub; } ExternalPub,
// and section 5.1.1: opaque HPKEPublicKey<V>. 32 octets of key take 33.
{
  const info = await mls.createGroupInfoWithExternalPub(await create([]), [], cs)
  const length = info.extensions.find((e) => e.extensionType === "external_pub").extensionData.length
  report("external_pub is no vector", length === 32, `${length} octets, 33 are right`)
}

// Section 5.1.1: ECDSA public keys are in the uncompressed form, 65 octets.
{
  const p256 = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName("MLS_128_DHKEMP256_AES128GCM_SHA256_P256"))
  const { length } = (await p256.signature.keygen()).publicKey
  report("P-256 signature keys are compressed", length === 33, `${length} octets, 65 are right`)
}

// Section 5.3: credential types are open, and each has a form of its own.
{
  const encoded = encodeCredential(createCustomCredential(0xf0c5, text("custom")))
  let seen = "it decodes its own"
  try {
    decodeCredential(encoded, 0)
  } catch (e) {
    seen = `${e.name}: ${e.message}`
  }
  report("custom credentials do not decode", seen.startsWith("TypeError"), seen)
}

const gce = (extensions) => ({ proposalType: "group_context_extensions", groupContextExtensions: { extensions } })
const commit = (state, extraProposals, cipherSuite = cs) =>
  mls.createCommit({ state, cipherSuite }, { wireAsPublicMessage: true, extraProposals })

// Section 12.4: a commit with a GroupContextExtensions has a path.
{
  const { path } = (await commit(await create([]), [gce([unknown])])).commit.publicMessage.content.commit
  report("GroupContextExtensions are committed without a path", path === undefined, `path is ${path}`)
}

// Section 12.1.7: the extensions are replaced by those of the proposal.
{
  const { extensions } = (await commit(await create([unknown]), [gce([])])).newState.groupContext
  report("an empty GroupContextExtensions changes nothing", extensions.length === 1, `${extensions.length} extension left`)
}

// Section 12.4.1: path secrets are encrypted with the provisional GroupContext,
// which has the new extensions. Its octets are part of the HPKE info.
{
  const infos = []
  const hpke = { ...cs.hpke, seal: (key, plain, info, aad) => (infos.push(hex(info)), cs.hpke.seal(key, plain, info, aad)) }
  const bob = await client("bob")
  const carol = await client("carol")
  const add = (kp) => ({ proposalType: "add", add: { keyPackage: kp.publicPackage } })
  const { newState } = await commit(await create([]), [add(bob), add(carol)])
  await commit(newState, [gce([unknown]), { proposalType: "remove", remove: { removed: 2 } }], { ...cs, hpke })
  const paths = infos.filter((i) => i.includes(hex(text("UpdatePathNode"))))
  const right = paths.filter((i) => i.includes(hex(unknown.extensionData)))
  const seen = `${right.length} of ${paths.length} path secrets are encrypted for the new extensions`
  report("path secrets do not depend on the new extensions", paths.length > 0 && right.length === 0, seen)
}

// Section 12.1.8.1: ExternalSender external_senders<V>.
{
  const key = alice.publicPackage.leafNode.signaturePublicKey
  const sender = Buffer.concat([Buffer.from([32]), key, Buffer.from([0, 1, 3]), text("ext")])
  let seen = "a group with a vector of one sender is made"
  try {
    const extensionData = new Uint8Array(Buffer.concat([Buffer.from([sender.length]), sender]))
    await create([{ extensionType: "external_senders", extensionData }])
  } catch (e) {
    seen = `${e.name}: ${e.message}`
  }
  report("external_senders is no vector", seen.startsWith("CodecError"), seen)
}

// Section 7.4: the commit secret is one derivation after the path secret of the last
// node of the filtered direct path, which is not the root if half of the tree is
// empty.
{
  const packages = [await client("bob"), await client("carol"), await client("dave")]
  const r = await commit(await create([]), packages.map((kp) => ({ proposalType: "add", add: { keyPackage: kp.publicPackage } })))
  const { publicPackage, privatePackage } = packages[2]
  let state = await mls.joinGroup(r.welcome, publicPackage, privatePackage, mls.emptyPskIndex, cs, r.newState.ratchetTree)
  for (const removed of [0, 1]) state = (await commit(state, [{ proposalType: "remove", remove: { removed } }])).newState
  const secret = new Uint8Array(32).fill(7)
  const right = await deriveSecret(secret, "path", cs.kdf)
  const made = await getCommitSecret(state.ratchetTree, 5, secret, cs.kdf)
  const again = await deriveSecret(right, "path", cs.kdf)
  const present = state.ratchetTree[3] === undefined && hex(made) === hex(again)
  report("an empty half of the tree changes the commit secret", present, `made ${hex(made).slice(0, 8)}, right is ${hex(right).slice(0, 8)}`)
}

process.exit(gone > 0 ? 1 : 0)
