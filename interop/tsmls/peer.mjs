// An MLS client of ts-mls behind the protocol of "mimi-lab mls-peer": one JSON
// request per line on standard input, one answer per line on standard output.

import { createInterface } from "node:readline"
import { p256 } from "@noble/curves/nist.js"
import * as mls from "ts-mls"
import { createCustomCredential } from "ts-mls/customCredential.js"
import { encodeRatchetTree, decodeRatchetTree } from "ts-mls/ratchetTree.js"
import { defaultExtensionTypes } from "ts-mls/defaultExtensionType.js"
import { createGroupInfo } from "ts-mls/createCommit.js"
import { varLenDataEncoder, decodeVarLenData } from "ts-mls/codec/variableLength.js"
import { encode as encodeWith } from "ts-mls/codec/tlsEncoder.js"
import { treeHashRoot } from "ts-mls/treeHash.js"

class Unsupported extends Error {}

const hex = (b) => Buffer.from(b).toString("hex")
const bytes = (h) => new Uint8Array(Buffer.from(h ?? "", "hex"))

const extensionName = new Map(Object.entries(defaultExtensionTypes).map(([name, number]) => [number, name]))
const toExtension = (e) => ({ extensionType: extensionName.get(e.type) ?? e.type, extensionData: bytes(e.data) })
const fromExtension = (e) => ({
  type: typeof e.extensionType === "number" ? e.extensionType : defaultExtensionTypes[e.extensionType],
  data: hex(e.extensionData),
})
const extensions = (list) => (list ?? []).map(toExtension)

// The client, and its group if it has one.
let cs, credential, capabilities, signature, publicHandshake
let keyPackages = []
let psks = {}
let state

function makeCredential(type, identity) {
  switch (type) {
    case 1:
      return { credentialType: "basic", identity }
    case 2:
      throw new Unsupported("X.509 credentials")
    default:
      return createCustomCredential(type, identity)
  }
}

// The library names the credential types that it knows, and others by their
// number as a string.
const credentialType = (n) => ({ 1: "basic", 2: "x509" })[n] ?? String(n)

function rosterEntry(index, leaf) {
  const c = leaf.credential
  const type = { basic: 1, x509: 2 }[c.credentialType] ?? Number(c.credentialType)
  return { index, identity: hex(c.identity ?? c.data), credential_type: type, signature_key: hex(leaf.signaturePublicKey) }
}

const pskIndex = () => {
  // The library's own index finds external PSKs by the base64 of their id, and
  // resumption PSKs in the state.
  const index = Object.fromEntries(Object.entries(psks).map(([id, psk]) => [mls.bytesToBase64(bytes(id)), psk]))
  return mls.makePskIndex(state, index)
}

const externalPSK = (id) => ({
  proposalType: "psk",
  psk: { preSharedKeyId: { psktype: "external", pskId: bytes(id), pskNonce: cs.rng.randomBytes(cs.kdf.size) } },
})

const resumptionPSK = (epoch) => ({
  proposalType: "psk",
  psk: {
    preSharedKeyId: {
      psktype: "resumption",
      usage: "application",
      pskGroupId: state.groupContext.groupId,
      pskEpoch: BigInt(epoch),
      pskNonce: cs.rng.randomBytes(cs.kdf.size),
    },
  },
})

function decode(encoded, wireformat) {
  const decoded = mls.decodeMlsMessage(bytes(encoded), 0)
  if (decoded === undefined) throw new Error("failed to decode the MLSMessage")
  if (decoded[1] !== encoded.length / 2) throw new Error("octets behind the MLSMessage")
  if (wireformat !== undefined && decoded[0].wireformat !== wireformat)
    throw new Error(`the message is a ${decoded[0].wireformat}, not a ${wireformat}`)
  return decoded[0]
}

const encode = (content) => hex(mls.encodeMlsMessage({ version: "mls10", ...content }))
const add = (kp) => ({ proposalType: "add", add: { keyPackage: decode(kp, "mls_key_package").keyPackage } })
const remove = (leaf) => ({ proposalType: "remove", remove: { removed: leaf } })
const gce = (list) => ({ proposalType: "group_context_extensions", groupContextExtensions: { extensions: extensions(list) } })
const custom = (c) => ({ proposalType: c.type, proposalData: bytes(c.data) })

function tree(encoded) {
  if (!encoded) return undefined
  const decoded = decodeRatchetTree(bytes(encoded), 0)
  if (decoded === undefined) throw new Error("failed to decode the ratchet tree")
  return decoded[0]
}

async function newKeyPackage(q) {
  const now = BigInt(Math.floor(Date.now() / 1000))
  const lifetime = { notBefore: now - 3600n, notAfter: now + 28n * 86400n }
  return mls.generateKeyPackageWithKey(
    credential, capabilities, lifetime, extensions(q.extensions), signature, cs, extensions(q.leaf_extensions),
  )
}

// Correction 1, see interop/README.md: the library takes the key itself for the
// content of the external_pub extension, which is a vector that holds the key
// (RFC 9420, section 12.4.3.2). Here its key import unwraps the vector, and the
// extension is made by us.
function readExternalPub(suite) {
  const keyLength = { X25519: 32, P256: 65 }[suite.name.includes("P256") ? "P256" : "X25519"]
  const importPublicKey = (key) => {
    const wrapped = key.length > keyLength && decodeVarLenData(key, 0)
    return suite.hpke.importPublicKey(wrapped && wrapped[1] === key.length ? wrapped[0] : key)
  }
  return { ...suite, hpke: { ...suite.hpke, importPublicKey } }
}

// Correction 2: the library makes compressed public keys for ECDSA, where RFC 9420,
// section 5.1.1, has the uncompressed form.
async function signatureKey(suite) {
  const { signKey, publicKey } = await cs.signature.keygen()
  return { signKey, publicKey: suite === 2 ? p256.getPublicKey(signKey, false) : publicKey }
}

async function makeGroupInfo(withTree) {
  const { publicKey } = await cs.hpke.deriveKeyPair(state.keySchedule.externalSecret)
  const key = await cs.hpke.exportPublicKey(publicKey)
  const list = [{ extensionType: "external_pub", extensionData: encodeWith(varLenDataEncoder)(key) }]
  if (withTree) list.push({ extensionType: "ratchet_tree", extensionData: encodeRatchetTree(state.ratchetTree) })
  return createGroupInfo(state.groupContext, state.confirmationTag, state, list, cs)
}

const ops = {
  async init(q) {
    const name = Object.keys(mls.ciphersuites).find((n) => mls.ciphersuites[n] === q.suite)
    if (name === undefined) throw new Unsupported(`cipher suite ${q.suite}`)
    if (q.proposals?.includes(10)) throw new Unsupported("SelfRemove")
    cs = readExternalPub(await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(name)))
    credential = makeCredential(q.credential_type || 1, bytes(q.identity))
    capabilities = {
      versions: ["mls10"],
      ciphersuites: Object.keys(mls.ciphersuites).filter((n) => mls.ciphersuites[n] <= 3),
      extensions: q.extensions ?? [],
      proposals: q.proposals ?? [],
      credentials: ["basic", ...(q.credentials ?? []).map(credentialType)],
    }
    signature = await signatureKey(q.suite)
    publicHandshake = q.public_handshake === true
    keyPackages = []
    psks = {}
    state = undefined
    return { signature_key: hex(signature.publicKey) }
  },
  async keypackage(q) {
    const kp = await newKeyPackage(q)
    keyPackages.push(kp)
    return { key_package: encode({ wireformat: "mls_key_package", keyPackage: kp.publicPackage }) }
  },
  async create(q) {
    const kp = await newKeyPackage({})
    state = await mls.createGroup(bytes(q.group_id), kp.publicPackage, kp.privatePackage, extensions(q.extensions), cs)
    return {}
  },
  async commit(q) {
    const extraProposals = [
      ...(q.add ?? []).map(add),
      ...(q.remove ?? []).map(remove),
      ...(q.gce === undefined ? [] : [gce(q.gce)]),
      ...(q.psk ?? []).map(externalPSK),
      ...(q.resumption ?? []).map(resumptionPSK),
      ...(q.custom ?? []).map(custom),
    ]
    const r = await mls.createCommit(
      { state, cipherSuite: cs, pskIndex: pskIndex() },
      {
        wireAsPublicMessage: publicHandshake,
        extraProposals,
        ratchetTreeExtension: q.tree === true,
        authenticatedData: bytes(q.aad),
      },
    )
    state = r.newState
    const answer = { commit: hex(mls.encodeMlsMessage(r.commit)) }
    if (r.welcome !== undefined) answer.welcome = encode({ wireformat: "mls_welcome", welcome: r.welcome })
    return answer
  },
  async propose(q) {
    let proposal
    if (q.add) proposal = add(q.add)
    else if (q.remove !== undefined) proposal = remove(q.remove)
    else if (q.update) throw new Unsupported("the library has no call that makes an Update proposal")
    else if (q.gce !== undefined) proposal = gce(q.gce)
    else if (q.custom !== undefined) proposal = custom(q.custom)
    else if (q.psk) proposal = externalPSK(q.psk)
    else if (q.self_remove) throw new Unsupported("SelfRemove")
    else throw new Error("the request names no proposal")
    const r = await mls.createProposal(state, publicHandshake, proposal, cs, bytes(q.aad))
    state = r.newState
    return { proposal: hex(mls.encodeMlsMessage(r.message)) }
  },
  async join(q) {
    const { welcome } = decode(q.welcome, "mls_welcome")
    let failure = new Error("there is no KeyPackage")
    for (const kp of keyPackages) {
      try {
        state = await mls.joinGroup(welcome, kp.publicPackage, kp.privatePackage, pskIndex(), cs, tree(q.tree))
        return {}
      } catch (e) {
        failure = e
      }
    }
    throw failure
  },
  async external_join(q) {
    if (q.psk?.length) throw new Unsupported("the library has no PSKs in external Commits")
    const { groupInfo } = decode(q.group_info, "mls_group_info")
    const kp = await newKeyPackage({})
    const r = await mls.joinGroupExternal(
      groupInfo, kp.publicPackage, kp.privatePackage, q.resync === true, cs, tree(q.tree), undefined, bytes(q.aad),
    )
    state = r.newState
    return { commit: encode({ wireformat: "mls_public_message", publicMessage: r.publicMessage }) }
  },
  async external_propose(q) {
    const { groupInfo } = decode(q.group_info, "mls_group_info")
    const isSender = groupInfo.groupContext.extensions.some(
      (e) => e.extensionType === "external_senders" && hex(e.extensionData).includes(hex(signature.publicKey)),
    )
    let message
    if (isSender) {
      const proposal = q.add ? add(q.add) : remove(q.remove)
      message = await mls.proposeExternal(groupInfo, proposal, signature.publicKey, signature.signKey, cs)
    } else {
      const own = decode(q.add, "mls_key_package").keyPackage
      const kp = keyPackages.find((k) => hex(k.publicPackage.initKey) === hex(own.initKey))
      if (kp === undefined) throw new Error("the KeyPackage is not one of this client")
      message = await mls.proposeAddExternal(groupInfo, kp.publicPackage, kp.privatePackage, cs)
    }
    return { proposal: hex(mls.encodeMlsMessage(message)) }
  },
  async process(q) {
    const message = decode(q.msg)
    let seen
    const note = (incoming) => {
      seen = incoming
      return "accept"
    }
    if (message.wireformat === "mls_private_message") {
      const aad = hex(message.privateMessage.authenticatedData)
      const r = await mls.processPrivateMessage(state, message.privateMessage, pskIndex(), cs, note)
      state = r.newState
      if (r.kind === "applicationMessage") return { kind: "application", data: hex(r.message), aad }
      return handshake(seen, aad)
    }
    if (message.wireformat !== "mls_public_message") throw new Error(`cannot process a ${message.wireformat}`)
    const r = await mls.processPublicMessage(state, message.publicMessage, pskIndex(), cs, note)
    state = r.newState
    return handshake(seen, hex(message.publicMessage.content.authenticatedData))
  },
  async protect(q) {
    const r = await mls.createApplicationMessage(state, bytes(q.data), cs, bytes(q.aad))
    state = r.newState
    return { msg: encode({ wireformat: "mls_private_message", privateMessage: r.privateMessage }) }
  },
  async group_info(q) {
    const groupInfo = await makeGroupInfo(q.tree === true)
    return { group_info: encode({ wireformat: "mls_group_info", groupInfo }), tree: hex(encodeRatchetTree(state.ratchetTree)) }
  },
  async export(q) {
    const secret = await mls.mlsExporter(state.keySchedule.exporterSecret, q.label, bytes(q.context), q.length, cs)
    return { secret: hex(secret) }
  },
  async state() {
    const roster = []
    state.ratchetTree.forEach((node, i) => {
      if (node?.nodeType === "leaf") roster.push(rosterEntry(i / 2, node.leaf))
    })
    return {
      group_id: hex(state.groupContext.groupId),
      epoch: Number(state.groupContext.epoch),
      tree_hash: hex(await treeHashRoot(state.ratchetTree, cs.hash)),
      epoch_authenticator: hex(state.keySchedule.epochAuthenticator),
      own: Number(state.privatePath.leafIndex),
      roster,
      extensions: state.groupContext.extensions.map(fromExtension),
    }
  },
  async psk(q) {
    psks[q.psk_id] = bytes(q.psk)
    return {}
  },
}

function handshake(seen, aad) {
  if (seen?.kind === "proposal") {
    const sender = seen.proposal.senderLeafIndex
    return { kind: "proposal", aad, sender: sender === undefined ? undefined : Number(sender) }
  }
  const sender = seen?.senderLeafIndex
  const active = state.groupActiveState.kind === "active"
  return { kind: "commit", aad, sender: sender === undefined ? undefined : Number(sender), active }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue
  let answer
  try {
    const q = JSON.parse(line)
    const op = ops[q.op]
    if (op === undefined) throw new Error(`unknown op ${q.op}`)
    if (q.op !== "init" && cs === undefined) throw new Error("the first request has to be init")
    if (state === undefined && ["commit", "propose", "process", "protect", "group_info", "export", "state"].includes(q.op))
      throw new Error("this peer is in no group")
    answer = { ok: true, ...(await op(q)) }
  } catch (e) {
    answer = { ok: false, error: `${e.name}: ${e.message}`, unsupported: e instanceof Unsupported || undefined }
  }
  process.stdout.write(JSON.stringify(answer) + "\n")
}
