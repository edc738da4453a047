// Blocks and their CIDs, by the names of multicodec's table.

import { createHash } from 'node:crypto'
import { blake2b } from '@noble/hashes/blake2.js'
import { blake3 } from '@noble/hashes/blake3.js'
import { CID } from 'multiformats/cid'
import { from } from 'multiformats/hashes/hasher'
import { sha256, sha512 } from 'multiformats/hashes/sha2'

// The size up to which a block's bytes are told too.
const SMALL_BLOCK = 65536
const CODECS = { raw: 0x55, 'dag-pb': 0x70, 'dag-cbor': 0x71 }

// Those that Helia does not bring by itself.
export const hashers = [
  sha512,
  from({ name: 'blake2b-256', code: 0xb220, encode: data => blake2b(data, { dkLen: 32 }) }),
  from({ name: 'blake3', code: 0x1e, encode: data => blake3(data) })
]
const byName = Object.fromEntries([sha256, ...hashers].map(hasher => [hasher.name, hasher]))

export function blockCommands (blockstore) {
  return {
    // add (data, codec, hash, version) stores one block and tells those who want it.
    async add ({ data, codec, hash, version }) {
      const hasher = byName[hash]
      if (hasher == null) throw new Error(`unknown hash ${hash}`)
      const bytes = Buffer.from(data, 'base64')
      const cid = CID.create(version, CODECS[codec], await hasher.digest(bytes))
      await blockstore.put(cid, bytes)
      return { cid: cid.toString() }
    },

    // get (cid, timeout) fetches one block, which it keeps from then on.
    async get ({ cid, timeout }) {
      const signal = AbortSignal.timeout(timeout * 1000)
      const parts = []
      for await (const part of blockstore.get(CID.parse(cid), { signal })) parts.push(part)
      const bytes = Buffer.concat(parts)
      const found = {
        size: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex')
      }
      if (bytes.length <= SMALL_BLOCK) found.data = bytes.toString('base64')
      return found
    }
  }
}
