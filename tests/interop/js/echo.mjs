// The echo protocol of the interop tests, both sides.

export const ECHO = '/echo/1.0.0'
const WRITE_BYTES = 65536

// What comes, up to its end. A stream's own iterator waits for ever where the end had come, with the
// last bytes, before the iterator began.
async function * parts (stream) {
  const arrived = []
  let closed = false
  let wake = () => {}
  stream.addEventListener('message', (event) => { arrived.push(event.data); wake() })
  stream.addEventListener('remoteCloseWrite', () => { wake() })
  stream.addEventListener('close', () => { closed = true; wake() })
  while (true) {
    while (arrived.length > 0) yield arrived.shift()
    if (closed || (stream.remoteWriteStatus === 'closed' && stream.readBufferLength === 0)) return
    await new Promise((resolve) => { wake = resolve })
  }
}

export async function serveEcho (stream) {
  try {
    for await (const part of parts(stream)) {
      if (!stream.send(part)) await stream.onDrain()
    }
    await stream.close()
  } catch (error) {
    stream.abort(error)
  }
}

// Send `size` bytes that differ from their neighbours, read them back; how many came.
export async function echo (stream, size) {
  const sent = pattern(size)
  const sending = send(stream, sent)
  let count = 0
  for await (const part of parts(stream)) {
    const bytes = part.subarray()
    if (Buffer.compare(bytes, sent.subarray(count, count + bytes.length)) !== 0) {
      throw new Error(`other bytes than those sent, after ${count}`)
    }
    count += bytes.length
  }
  await sending
  if (count !== size) throw new Error(`${count} bytes of ${size} came back`)
  return count
}

async function send (stream, bytes) {
  for (let start = 0; start < bytes.length; start += WRITE_BYTES) {
    if (!stream.send(bytes.subarray(start, start + WRITE_BYTES))) await stream.onDrain()
  }
  await stream.close()
}

function pattern (size) {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = i * 7 + (i >> 8)
  return bytes
}
