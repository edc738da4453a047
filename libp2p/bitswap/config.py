"""Protocol ids, sizes and times of bitswap, each with its reason."""

from __future__ import annotations

from typing import Final

from libp2p.custom_types import TProtocol

# -- protocols ------------------------------------------------------------------------------------

BITSWAP_PROTOCOL_NO_VERSION: Final = TProtocol("/ipfs/bitswap")
BITSWAP_PROTOCOL_V100: Final = TProtocol("/ipfs/bitswap/1.0.0")
BITSWAP_PROTOCOL_V110: Final = TProtocol("/ipfs/bitswap/1.1.0")
BITSWAP_PROTOCOL_V120: Final = TProtocol("/ipfs/bitswap/1.2.0")
#: py-libp2p's own version with payments. Not spoken here; `BitswapClient.register_extension` is
#: where it would be added.
BITSWAP_PROTOCOL_V130: Final = TProtocol("/ipfs/bitswap/1.3.0")

#: What is offered and registered, the preferred one first.
BITSWAP_PROTOCOLS: Final = [
    BITSWAP_PROTOCOL_V120,
    BITSWAP_PROTOCOL_V110,
    BITSWAP_PROTOCOL_V100,
    BITSWAP_PROTOCOL_NO_VERSION,
]

#: Their messages have blocks in field 2 and no presences.
V0_PROTOCOLS: Final = frozenset({BITSWAP_PROTOCOL_V100, BITSWAP_PROTOCOL_NO_VERSION})
#: Their speakers do not know WANT_HAVE, HAVE and DONT_HAVE.
WITHOUT_HAVE: Final = V0_PROTOCOLS | {BITSWAP_PROTOCOL_V110}

# -- messages -------------------------------------------------------------------------------------

#: The specification's limit, inclusive; whoever sends more is cut off, as by every other peer.
MAX_MESSAGE_SIZE: Final = 4 * 1024 * 1024

#: Entries, presences and blocks in one message. What peers send stays below (2 MiB of wants are
#: 45,000); 4 MiB of entries of four bytes would hold the event loop for seconds.
MAX_MESSAGE_PARTS: Final = 65_536

#: The largest block that fits into a message beside 18 bytes of envelope; Kubo's is the same.
MAX_BLOCK_SIZE: Final = MAX_MESSAGE_SIZE - 18

#: An unfinished message grows by pieces of the sender's choice; after so many they are joined, so
#: that one-byte pieces do not cost fifty times their size.
MAX_MESSAGE_PIECES: Final = 4096

#: Unfinished messages of one peer on all its streams. boxo has 1 MiB of blocks on their way to us
#: at once, or one block more; what is above is an attempt to fill our memory.
MAX_PARTIAL_BYTES_PER_PEER: Final = 64 * 1024 * 1024

#: Inbound streams of one peer. Kubo opens one for each reply (64 at once have been seen), Helia
#: allows 1,024; an idle one costs a task.
MAX_INBOUND_STREAMS_PER_PEER: Final = 1024

# -- asking ---------------------------------------------------------------------------------------

DEFAULT_PRIORITY: Final = 1
#: Priorities of our wants count down from here, so that servers keep our order, as boxo's do.
FIRST_PRIORITY: Final = 2**31 - 1

#: Wants on the wire to one peer: boxo's server keeps 1,024 and drops the others in silence.
MAX_WANTS_PER_PEER: Final = 1024

#: How many other peers of a session are asked whether they have a block, beside the one that is
#: asked for it: enough to go on at once when that one fails, few enough to be cheap.
WANT_HAVE_PEERS: Final = 4

#: A peer that has been asked for blocks and has sent nothing for so long loses them to another
#: one, if there is another (boxo's first timeout; it adapts, which comes later here).
STALL_SECONDS: Final = 5.0

#: A peer that did not answer or did not speak bitswap is tried again for a new want after this
#: time: it may have started the service since.
RETRY_PEER_SECONDS: Final = 10.0

#: How often a peer may reset our want stream without a word before it counts as unresponsive.
#: Helia resets idle streams after 10 s, which is one reset.
MAX_RESETS: Final = 3

#: Blocks that came lately: one that comes again is counted as a duplicate, not as unwanted.
RECENT_BLOCKS: Final = 4096

DEFAULT_TIMEOUT: Final = 90.0
#: `BitswapClient.get_block` gives up after this time if nobody says no.
DEFAULT_GET_TIMEOUT: Final = 30.0
#: `BitswapClient.have_block` takes silence for this time as "no".
HAVE_TIMEOUT: Final = 10.0

#: Bytes that `get_blocks` asks for ahead of its consumer. 16 MiB cover 160 MB/s at 100 ms and are
#: what a fetch may hold in memory.
READ_AHEAD_BYTES: Final = 16 * 1024 * 1024
#: Blocks asked for ahead before their size is known: with 1 MiB each they stay below the above.
FIRST_READ_AHEAD: Final = 16
MIN_READ_AHEAD: Final = 8
MAX_READ_AHEAD: Final = 512

# -- answering ------------------------------------------------------------------------------------

#: Wants kept per peer. boxo's client sends thousands in one message and waits for all of them;
#: beyond this the answer is DONT_HAVE. One costs about 400 bytes.
MAX_LEDGER_ENTRIES: Final = 16_384

#: A want-have is answered by the block itself up to this size (boxo's number): a round trip saved
#: for less than the HAVE would cost. Above, every provider of a session would send a copy.
HAVE_REPLACE_SIZE: Final = 1024

#: Block bytes collected for one message. boxo's 16 KiB cost Python eight times the work for small
#: blocks; more than this delays the HAVEs behind it on a slow link.
REPLY_TARGET_BYTES: Final = 256 * 1024
#: Blocks in one message, so that tiny ones do not make it unpleasant to parse.
MAX_REPLY_BLOCKS: Final = 1024
#: HAVEs and DONT_HAVEs in one message, about 160 KiB of them.
MAX_REPLY_PRESENCES: Final = 4096

#: Bytes read from the store for one peer and not yet written (boxo's number).
MAX_OUTSTANDING_BYTES: Final = 1024 * 1024

#: Wants looked up in the store before an answer is sent, so that the first answers leave early.
LOOK_UP_BATCH: Final = 128

#: Replies being read from the store at once, for all peers together; they queue in order, so no
#: peer reads twice before the others had their turn.
STORE_READERS: Final = 8

# -- streams --------------------------------------------------------------------------------------

#: A reply stream is kept open so long for the next reply. Helia cuts one after 10 s of silence.
REPLY_STREAM_IDLE_SECONDS: Final = 5.0

#: Opening a stream and writing wants on it.
WANT_SEND_SECONDS: Final = 30.0
#: A reply may take longer the larger it is, down to 100 kbit/s (boxo's rule).
MIN_SEND_SECONDS: Final = 10.0
MAX_SEND_SECONDS: Final = 120.0
SEND_LATENCY_SECONDS: Final = 2.0
MIN_BYTES_PER_SECOND: Final = 12_500

SEND_ATTEMPTS: Final = 3
SEND_BACKOFF_SECONDS: Final = 0.1

#: Closing politely must not hold anybody up.
CLOSE_SECONDS: Final = 2.0


def send_deadline(size: int) -> float:
    """Seconds that writing ``size`` bytes to a peer may take."""
    seconds = SEND_LATENCY_SECONDS + size / MIN_BYTES_PER_SECOND
    return min(max(seconds, MIN_SEND_SECONDS), MAX_SEND_SECONDS)
