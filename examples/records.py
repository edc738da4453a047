"""A record of IPNS, made and checked; and the rules for records of one's own."""

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.ipns import Name, decode_record, make_record
from libp2p.records.ipns import IPNSValidator
from libp2p.records.validator import NamespacedValidator, Validator


class Newest(Validator):
    """Values begin with eight digits; the highest number is the best."""

    def validate(self, key: str, value: bytes) -> None:
        int(value[:8])

    def select(self, key: str, values: list[bytes]) -> int:
        return values.index(max(values))


key = Ed25519PrivateKey.new()
name = Name.of(key)
record = make_record(key, "/ipfs/bafkqaaa", sequence=0, expires=1_900_000_000)
decode_record(record.encoded).verify(name.peer_id, now=1_800_000_000)
print(record.value.decode(), "until", record.expiry)

rules = NamespacedValidator({"ipns": IPNSValidator(), "news": Newest()})
rules.validate(b"/news/today", b"00000007 rain")
print("the best is", rules.select("/news/today", [b"00000007 rain", b"00000009 sun"]))
