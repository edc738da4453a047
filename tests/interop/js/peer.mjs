// A Helia peer as its users set it up, less what bitswap on loopback does not need.
//
// It reads commands as JSON lines on standard input and answers each with one JSON line that
// carries the command's "id"; commands run side by side, so answers may change places. The first
// line it prints is {"id": PEER ID, "addrs": [...]}. It ends with its standard input.

import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { blockCommands, hashers } from './blocks.mjs'
import { ECHO, echo, serveEcho } from './echo.mjs'

const helia = await withBitswap(withLibp2pLight(createHeliaLight({ hashers }), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() }
})).start()
const { libp2p } = helia
await libp2p.handle(ECHO, serveEcho)

const commands = {
  ...blockCommands(helia.blockstore),

  // connect (addr) dials a full multiaddr and waits for identify, which names bitswap.
  async connect ({ addr }) {
    const peer = addr.split('/p2p/')[1]
    if (!libp2p.getPeers().some(known => known.toString() === peer)) {
      const identified = once(libp2p, 'peer:identify')
      await libp2p.dial(multiaddr(addr))
      await identified
    }
    return { peer }
  },

  // disconnect (peer) closes what there is.
  async disconnect ({ peer }) {
    for (const connection of libp2p.getConnections()) {
      if (connection.remotePeer.toString() === peer) await connection.close()
    }
    return {}
  },

  // echo (addr, size) has the peer send back `size` bytes, and compares them.
  async echo ({ addr, size }) {
    return { bytes: await echo(await libp2p.dialProtocol(multiaddr(addr), ECHO), size) }
  }
}

function say (value) {
  process.stdout.write(JSON.stringify(value) + '\n')
}

async function answer ({ id, command, ...fields }) {
  try {
    if (!(command in commands)) throw new Error(`unknown command ${command}`)
    say({ id, ...await commands[command](fields) })
  } catch (error) {
    say({ id, error: String(error.message ?? error) })
  }
}

say({ id: libp2p.peerId.toString(), addrs: libp2p.getMultiaddrs().map(String) })
for await (const line of createInterface({ input: process.stdin })) void answer(JSON.parse(line))
process.exit(0)
