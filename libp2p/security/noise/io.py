"""py-libp2p's reader and writer of Noise's framing; the handshake and the cipher have their own."""

from __future__ import annotations

from typing import ClassVar, Final

from libp2p.io.msgio import FixedSizeLenMsgReadWriter
from libp2p.security.noise.cipher import MAX_RECORD_BYTES

SIZE_NOISE_MESSAGE_LEN: Final = 2
#: What a length of two bytes can say.
MAX_NOISE_MESSAGE_LEN: Final = MAX_RECORD_BYTES


class NoisePacketReadWriter(FixedSizeLenMsgReadWriter):
    """Messages with a length of two bytes in front."""

    size_len_bytes: ClassVar[int] = SIZE_NOISE_MESSAGE_LEN
