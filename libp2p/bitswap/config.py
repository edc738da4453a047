"""Protocol ids, sizes and times of bitswap, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.base_types import TProtocol
from libp2p.utils import arguments

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

#: Unfinished messages of all peers. boxo has 1 MiB of blocks on their way to a peer at once, or one
#: block more. Beyond, the peer that holds the most loses its streams with unfinished messages, and
#: last of all one that delivers what we want.
MAX_UNFINISHED_BYTES: Final = 64 * 1024 * 1024
#: An unfinished message is looked at after this time, and given up unless as much has come of it
#: as the second number says: 4 MiB over a link of 256 kbit/s take two minutes.
UNFINISHED_SECONDS: Final = 60.0
MIN_UNFINISHED_PROGRESS: Final = 64 * 1024
#: A peer that was cut off for it opens no streams for this time, twice as long each time, up to the
#: second number: else it would send the same again at once, and others would wait for it.
CUT_OFF_SECONDS: Final = 10.0
MAX_CUT_OFF_SECONDS: Final = 600.0
#: A peer that has delivered within this time is cut off last.
DELIVERED_LATELY_SECONDS: Final = 10.0

#: Inbound streams of one peer. Kubo opens one for each reply (64 at once have been seen), Helia
#: allows 1,024; an idle one costs 2 KiB.
MAX_INBOUND_STREAMS_PER_PEER: Final = 1024
#: Inbound streams of all peers, 32 MiB of idle ones. Beyond, the peer that has most of them loses
#: those on which nothing is under way.
MAX_INBOUND_STREAMS_TOTAL: Final = 16_384

#: Wantlists of one peer that wait for a request filter to judge them. Beyond, its messages are not
#: decoded, and so its streams are not read.
MAX_INTAKE_BYTES: Final = 4 * 1024 * 1024
#: The same of all peers together, and messages that wait to be decoded. Beyond, nothing is read
#: before its turn, and a peer of which more than the second number waits has no turns.
MAX_INTAKE_TOTAL: Final = 32 * 1024 * 1024
MIN_INTAKE_BYTES: Final = 64 * 1024
#: So much of a peer is decoded, which means hashed, before others run: some milliseconds. With
#: half as much, and half as much stored at once, a fetch from Kubo takes 7 % more processor time.
INTAKE_TURN_BYTES: Final = 1024 * 1024
#: So much is decoded where it arrives, in the connection's read loop, if nothing waits already.
INTAKE_NOW_BYTES: Final = 16 * 1024
#: A turn reads at least so much of a stream at once: less is not worth the calls.
MIN_READ_BYTES: Final = 64 * 1024
#: A message counts for at least as much: some microseconds each.
MIN_MESSAGE_COST: Final = 4096
#: And each field of it, as an entry, which takes as long as hashing so many bytes.
FIELD_COST: Final = 2048
#: What an entry that waits to be taken in is counted as.
ENTRY_BYTES: Final = 64
#: What has come is decoded where it arrives up to `INTAKE_TURN_BYTES` of all peers in this time.
NOW_SECONDS: Final = 0.01
#: So many turns are taken of peers that send what we want before one of the others has its turn.
WANTED_TURNS: Final = 3
#: Messages that are cut out of what has come before others are: they may be of one byte each.
MAX_MESSAGES_AT_ONCE: Final = 64
#: Blocks of all peers that wait for the store. While there are more, no messages are decoded.
MAX_UNSTORED_BYTES: Final = 16 * 1024 * 1024
#: So much is stored in one call; what is stored is handed on, so it should not be too much.
STORE_BATCH_BYTES: Final = 2 * 1024 * 1024
#: When the client stops, a call of the store that has begun may take so long yet. A store that
#: hangs must not keep a program from ending.
STORE_GRACE_SECONDS: Final = 5.0

#: Wants, entries or presences that are worked on in one step of the event loop: a few milliseconds.
STEP_ITEMS: Final = 512

# -- asking ---------------------------------------------------------------------------------------

DEFAULT_PRIORITY: Final = 1
#: Priorities of our wants count down from here, so that servers keep our order, as boxo's do.
FIRST_PRIORITY: Final = 2**31 - 1

#: Wants on the wire to one peer: boxo's server keeps 1,024 and drops the others in silence.
MAX_WANTS_PER_PEER: Final = 1024

#: Cancels in one message, as many as wants.
MAX_CANCELS: Final = 1024

#: How many other peers of a session are asked whether they have a block, beside the one that is
#: asked for it: enough to go on at once when that one fails, few enough to be cheap.
WANT_HAVE_PEERS: Final = 4
#: After a DONT_HAVE within a session so many wants are made known to several of its peers: not all
#: of them have all blocks. Otherwise each answer would only cost both sides their time.
SCATTERED_WANTS: Final = 32

#: A peer that has said DONT_HAVE so often in a row is asked no more in the session once it does so
#: again (boxo's number); HAVE or a block brings it back.
MAX_DONT_HAVES: Final = 16

#: Wants that a session asks everybody about at once (boxo's number); the others wait.
MAX_BROADCAST_WANTS: Final = 64
#: Of the peers that have been of use or are near, so many are asked about a want at first.
MAX_BROADCAST_PEERS: Final = 64
#: And so many of the others; four times as many with each wave that has said no.
BROADCAST_STRANGERS: Final = 4

# How long a peer may be silent that owes blocks until they are looked for elsewhere: boxo's times.
#: Before anything is known of a peer.
DONT_HAVE_TIMEOUT: Final = 5.0
#: When the round-trip time is known; so many of those are added.
DONT_HAVE_TIMEOUT_BASE: Final = 2.0
DONT_HAVE_ROUND_TRIPS: Final = 3
#: When blocks have come; so many of its usual latencies.
DONT_HAVE_LATENCIES: Final = 2
#: Within these bounds: our own pauses are as long as the lower one, users as patient as the upper.
MIN_DONT_HAVE_TIMEOUT: Final = 0.05
MAX_DONT_HAVE_TIMEOUT: Final = 7.0
#: Longer times are an accident and say nothing of a peer's usual ones.
MAX_LATENCY_SECONDS: Final = 30.0

#: A silence so long is nothing unusual, even of a quick peer. After a longer one another peer takes
#: over what it would have delivered long since.
TAKEOVER_SECONDS: Final = 0.05
#: Peers that are gone and are named in the error of a block that does not come.
MAX_LOST_PEERS: Final = 32
#: Peers that are asked for one block at the same time, because the first is late.
MAX_COPIES: Final = 2
#: Blocks that have come twice because of that: at most these, and one of so many that have come.
#: Beyond, only the time-outs above make a block be asked of another peer.
FREE_DUPLICATES: Final = 4
DUPLICATE_SHARE: Final = 64
#: Blocks that a peer may still send although another one was quicker, or no session wants them any
#: more: to tell them from blocks that were never asked for. One costs about 300 bytes.
MAX_OWED: Final = 1024

#: A peer that promises blocks and sends nothing is asked last for this time, twice as long each
#: time, up to the second number.
LIAR_SECONDS: Final = 1.0
MAX_LIAR_SECONDS: Final = 600.0

#: What a peer is taken to deliver, in bytes per second, before it has shown it: little, so that
#: a new one gets more than a block or two only where the others are no better.
PRIOR_RATE: Final = 1024 * 1024
#: And how long a block is, before there is any.
PRIOR_BLOCK_SIZE: Final = 256 * 1024

#: A timer that goes off later than this means that we were busy ourselves and may not have read
#: what has come.
LATE_SECONDS: Final = 0.02

#: What has not been answered for the first time is said again, and again after the second: boxo's
#: times. A message may be lost in a peer that forgets.
REBROADCAST_AFTER: Final = 30.0
REBROADCAST_INTERVAL: Final = 15.0

#: A session that gets no block for so long asks around and searches for providers: boxo's times.
IDLE_SECONDS: Final = 1.0
#: Once blocks have come, this and so many of the peers' usual latencies.
IDLE_BASE_SECONDS: Final = 0.5
IDLE_LATENCIES: Final = 3
#: While it stays idle it searches for a block every so often.
SEARCH_INTERVAL_SECONDS: Final = 60.0

#: Searches for providers at once, of a session and of all of them (boxo's numbers, as the next).
MAX_SEARCHES: Final = 8
#: A search ends after this time or when so many providers are known; connecting is part of it.
SEARCH_SECONDS: Final = 10.0
MAX_PROVIDERS: Final = 10
#: What was found is remembered for this time: a provider that is lost is connected to again without
#: asking the router. py-libp2p's numbers.
PROVIDERS_TTL_SECONDS: Final = 300.0
MAX_REMEMBERED_SEARCHES: Final = 1000

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
#: Wants kept of all peers together, about 100 MiB. Beyond, a peer keeps what boxo would keep.
MAX_LEDGER_TOTAL: Final = 262_144
MIN_LEDGER_ENTRIES: Final = 1024
#: DONT_HAVEs queued for one peer when its next want is not kept: with the ones above as many as a
#: message may have wants. It gets no more until it reads some.
MAX_UNREMEMBERED_ANSWERS: Final = MAX_MESSAGE_PARTS

#: A want-have is answered by the block itself up to this size (boxo's number): a round trip saved
#: for less than the HAVE would cost. Above, every provider of a session would send a copy.
HAVE_REPLACE_SIZE: Final = 1024

#: Block bytes collected for one message. boxo's 16 KiB cost Python eight times the work for small
#: blocks, and one block of 256 KiB costs a tenth more than two of them. With half of
#: `MAX_OUTSTANDING_BYTES` the next reply can be read while one is being written.
REPLY_TARGET_BYTES: Final = 512 * 1024
#: What is collected for a peer that is slow or not known yet: a Go client asks elsewhere when it
#: hears nothing for 50 ms, and each message is a sign of life.
MIN_REPLY_TARGET_BYTES: Final = 32 * 1024
#: How long writing a reply should take at most.
REPLY_SECONDS: Final = 0.01
#: When blocks have waited for so long, or the one before them will take so long, their receiver
#: is told HAVE.
EARLY_HAVE_SECONDS: Final = 0.02
#: Blocks in one message, so that tiny ones do not make it unpleasant to parse.
MAX_REPLY_BLOCKS: Final = 1024
#: HAVEs and DONT_HAVEs in one message, about 160 KiB of them.
MAX_REPLY_PRESENCES: Final = 4096

#: Bytes read from the store for one peer and not yet written (boxo's number).
MAX_OUTSTANDING_BYTES: Final = 1024 * 1024
#: The same for all peers: beyond, no reply is read ahead while another one is being written.
MAX_READ_AHEAD_BYTES: Final = 64 * 1024 * 1024

#: Wants entered at once; what follows lets other tasks run first. A thousand take about 5 ms.
LEDGER_BATCH: Final = 1024

#: Wants that are answered where they arrive, in the connection's read loop, with so many bytes of
#: blocks, if nothing waits already and the store needs no time.
ANSWERS_NOW: Final = 8
ANSWER_NOW_BYTES: Final = 16 * 1024

#: Wants looked up in the store before an answer is sent, so that the first answers leave early.
LOOK_UP_BATCH: Final = 128

#: Where the store cannot tell sizes, blocks are read to be looked up, and kept for the reply: so
#: many bytes for a peer. With blocks of 256 KiB a store that takes 50 ms for each gives 80 MB/s.
MAX_KEPT_BYTES: Final = 4 * 1024 * 1024

#: A call of the store that takes longer has failed.
STORE_SECONDS: Final = 60.0
#: What the store has failed at is asked for again after this time, twice as long each time that it
#: goes on failing, up to the second number. The peer hears nothing meanwhile.
STORE_RETRY_SECONDS: Final = 1.0
MAX_STORE_RETRY_SECONDS: Final = 60.0
#: Doublings that are counted; the second number is reached before.
MAX_DOUBLINGS: Final = 10

#: Blocks of all peers that have been read and not written. Beyond, the writes that hold the most
#: for the longest time are given up: they are those of peers that do not read.
MAX_OUTGOING_REPLY_BYTES: Final = 64 * 1024 * 1024

#: The next reply is read while one is being written if reading takes longer than this: less is
#: saved than the task for it costs.
READ_AHEAD_SECONDS: Final = 0.0002

#: Peers that the store is asked for at once; `scheduler` says whose turn it is.
STORE_READERS: Final = 8
#: A peer that has waited for its turn for so long goes first (boxo's number).
STARVED_SECONDS: Final = 10.0
#: More work than this does not bring a peer's turn nearer (boxo's number).
MAX_WEIGHED_WORK: Final = 16

#: Peers whose bytes are counted, connected or not; the one not heard of for longest is forgotten.
MAX_ACCOUNTS: Final = 4096

#: Rules of all denylists of one filter, and the size of each file. The largest public list has
#: half a million rules in 30 MiB; a rule takes about 150 bytes of memory.
MAX_DENYLIST_RULES: Final = 4_000_000
MAX_DENYLIST_BYTES: Final = 256 * 1024 * 1024
#: The specification's limit for one line.
MAX_DENYLIST_LINE: Final = 2 * 1024 * 1024

#: Decisions that a filter remembers where it is told to, of about 200 bytes each.
MAX_FILTER_DECISIONS: Final = 65_536

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


# -- py-libp2p's names ----------------------------------------------------------------------------

#: py-libp2p's names; nothing was limited by them. What limits is `MAX_WANTS_PER_PEER`.
MAX_CONCURRENT_REQUESTS: Final = MAX_WANTS_PER_PEER
DEFAULT_WANTLIST_SIZE: Final = MAX_WANTS_PER_PEER
#: The version of CIDs that `libp2p.bitswap.cid.compute_cid` makes.
DEFAULT_CID_VERSION: Final = 0


def send_deadline(size: int) -> float:
    """Seconds that writing ``size`` bytes to a peer may take."""
    seconds = SEND_LATENCY_SECONDS + size / MIN_BYTES_PER_SECOND
    return min(max(seconds, MIN_SEND_SECONDS), MAX_SEND_SECONDS)


# -- what can be set for a client -----------------------------------------------------------------


@dataclass(frozen=True)
class BitswapConfig:
    """
    Limits and times of fetching and receiving; sizes are in bytes, times in seconds.

    Those of serving are `ServerLimits`, in `ServerOptions`. The budgets of all peers are those of
    the host: where two clients share a host, the one that is made first sets them.

    :param max_inbound_streams: of all peers; beyond, the peer that has most of them loses some.
    :param max_inbound_streams_per_peer: beyond, a new stream of the peer is reset.
    :param max_unfinished_bytes: messages of all peers that have not come whole.
    :param unfinished_seconds: after which an unfinished message is given up unless it grows.
    :param max_intake: messages and wantlists of all peers that wait.
    :param max_intake_per_peer: wantlists of one peer that wait for a request filter.
    :param max_unstored_bytes: received blocks that wait for the store.
    :param store_grace_seconds: that a call of the store may take yet when the client stops.
    :param want_send_seconds: that opening a stream and writing wants on it may take.
    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    max_inbound_streams: int = MAX_INBOUND_STREAMS_TOTAL
    max_inbound_streams_per_peer: int = MAX_INBOUND_STREAMS_PER_PEER
    max_unfinished_bytes: int = MAX_UNFINISHED_BYTES
    unfinished_seconds: float = UNFINISHED_SECONDS
    max_intake: int = MAX_INTAKE_TOTAL
    max_intake_per_peer: int = MAX_INTAKE_BYTES
    max_unstored_bytes: int = MAX_UNSTORED_BYTES
    store_grace_seconds: float = STORE_GRACE_SECONDS
    want_send_seconds: float = WANT_SEND_SECONDS

    def __post_init__(self) -> None:
        """Check every field."""
        arguments.check_numbers(self, least=1)


DEFAULT_CONFIG: Final = BitswapConfig()
