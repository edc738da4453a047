"""
Lists of content that is not served (sans-I/O), in the compact denylist format of IPIP-383.

https://specs.ipfs.tech/compact-denylist-format/. A server of blocks sees no paths and no names, so
only rules for a CID have an effect:

    /ipfs/CID, /ipfs/CID/*   the block, under any version and codec of its CID
    //DOUBLE-HASH            the block whose multihash in base58 hashes to this multihash; or, 64
                             hex digits, the CID whose base32 form and a slash have this SHA-256
    !RULE                    an exception; of several rules that fit, the last one counts

Rules for paths below a CID and for ``/ipns`` are passed over, as are hints. Only the version of the
header is read. A rule for a well-known empty block or folder is ignored: programs need them. A line
that is not a rule is an error, since the content that it was meant to deny would be served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final

from libp2p.bitswap.config import MAX_DENYLIST_LINE, MAX_DENYLIST_RULES
from libp2p.bitswap.errors import MAX_QUOTED, DenylistError
from libp2p.exceptions import HashNotSupported, InvalidCID, InvalidMultibase, ParseError
from libp2p.ipld import multibase, multihash
from libp2p.ipld.cid import CID, MAX_TEXT_CHARACTERS
from libp2p.ipld.multihash import IDENTITY, SHA2_256

_MAX_HEADER: Final = 1024 * 1024
_HEX_DIGITS: Final = 64
#: Remembered decisions about CIDs while there are double-hashed rules: each costs several hashes.
_MAX_DECISIONS: Final = 65_536
_MAX_TOLD: Final = 5

#: The empty block; the empty folder and file in dag-pb; the empty map in dag-cbor and dag-json.
_NEEDED: Final = frozenset(
    multihash.wrap(SHA2_256, sha256(data).digest())
    for data in (b"", b"\n\x02\x08\x01", b"\n\x04\x08\x02\x18\x00", b"\xa0", b"{}")
)


class Denylist:
    """
    The rules of one list or of several; later ones override earlier ones.

    :param text: the contents of a ``.deny`` file.
    :param strict: False to pass over lines that are no rules; `invalid_lines` has them.
    :raises DenylistError: if a line is no rule, or if the list is of a version that is not known or
        too large.
    """

    def __init__(self, text: str = "", *, strict: bool = True) -> None:
        self.invalid = 0
        """How many lines are no rules."""
        self._first_invalid: list[str] = []
        self.passed_over = 0
        """Rules for paths and names, which say nothing of a block."""
        self._strict = strict
        self._lines = 0  # of all lists, to number their rules
        # Keys and hashes with the numbers of their rules; the number of an exception is negative.
        self._plain: dict[bytes, int] = {}
        self._double: dict[tuple[int, int], dict[bytes, int]] = {}  # by function and length
        self._legacy: dict[bytes, int] = {}
        self._hashers: dict[tuple[int, int], Callable[[bytes], bytes]] = {}
        self._decide = lru_cache(_MAX_DECISIONS)(self._rule_for)
        self.add(text)

    def __len__(self) -> int:
        """Count the rules that concern blocks."""
        return len(self._plain) + len(self._legacy) + sum(map(len, self._double.values()))

    def denies(self, cid: CID) -> bool:
        """Return whether a block is not to be served."""
        if self._double or self._legacy:
            return self._decide(cid) > 0
        return self._plain.get(cid.multihash, 0) > 0

    def denied(self) -> set[bytes | tuple[object, bytes]]:
        """Return the denied multihashes and double hashes, to be compared with another list's."""
        found: set[bytes | tuple[object, bytes]] = {
            key for key, number in self._plain.items() if number > 0
        }
        for function, rules in (*self._double.items(), ("legacy", self._legacy)):
            found.update((function, key) for key, number in rules.items() if number > 0)
        return found

    def add(self, text: str) -> None:
        """
        Add the rules of another list, which override the earlier rules.

        :raises DenylistError: as the class. Rules before the bad line may have been added then.
        """
        lines = text.removeprefix("\ufeff").split("\n")
        start = _header_lines(lines)
        invalid = self.invalid
        for number, line in enumerate(lines[start:], start + 1):
            if len(line) > MAX_DENYLIST_LINE:
                raise DenylistError(f"line {number} has {len(line)} characters")
            rule = line.strip()
            if rule and not rule.startswith("#") and not self._add_rule(rule.split()[0]):
                self._note_invalid(number, rule)
        self._decide.cache_clear()
        if self.invalid > invalid and self._strict:
            raise DenylistError(self.invalid_lines)

    @property
    def invalid_lines(self) -> str:
        """The first lines that are no rules: ``line 7 is no rule: 'nonsense'``, counted from 1."""
        text = ", ".join(self._first_invalid)
        more = self.invalid - len(self._first_invalid)
        return f"{text} and {more} more" if more else text

    def _note_invalid(self, number: int, rule: str) -> None:
        self.invalid += 1
        if len(self._first_invalid) < _MAX_TOLD:
            text = rule if len(rule) <= MAX_QUOTED else f"{rule[:MAX_QUOTED]}…"
            self._first_invalid.append(f"line {number} is no rule: {text!r}")

    def _add_rule(self, rule: str) -> bool:
        """Add one rule; return False if the text is not a rule."""
        self._lines += 1
        if self._lines > MAX_DENYLIST_RULES:
            raise DenylistError(f"more than {MAX_DENYLIST_RULES} rules")
        number = self._lines
        if rule.startswith("!"):
            number, rule = -number, rule[1:]
        if rule.startswith("//"):
            return self._add_double_hash(rule[2:], number)
        if rule.startswith("/ipfs/"):
            name, _, path = rule[6:].partition("/")
            key = _multihash_of(name)
            if key is None:
                return False
            if path not in ("", "*"):
                self.passed_over += 1
            elif key not in _NEEDED:
                self._plain[key] = number
            return True
        self.passed_over += (is_name := rule.startswith("/ipns/"))
        return is_name

    def _add_double_hash(self, text: str, number: int) -> bool:
        known = False
        if len(text) > MAX_TEXT_CHARACTERS:
            return False
        if len(text) == _HEX_DIGITS:
            try:
                self._legacy[bytes.fromhex(text)] = number
                known = True
            except ValueError:
                pass
        # Hex digits may be base58 too; then both are denied, as the specification asks.
        try:
            doubled = multibase.decode_base58btc(text)
            code, digest = multihash.unwrap(doubled)
            if code == IDENTITY:
                return known
            function = code, len(digest)
            self._hashers.setdefault(function, multihash.hasher(*function))
        except (InvalidMultibase, ParseError, HashNotSupported):
            return known
        self._double.setdefault(function, {})[digest] = number
        return True

    def _rule_for(self, cid: CID) -> int:
        """Return the number of the last rule that fits (negative: an exception); 0 if none."""
        key = cid.multihash
        if key in _NEEDED:
            return 0
        found = [self._plain.get(key, 0)]
        if self._legacy:
            v1 = CID.from_digest(cid.digest, cid.codec_code, hash=cid.hash_code)
            found.append(self._legacy.get(sha256(f"{v1}/".encode()).digest(), 0))
        if self._double:
            name = multibase.encode_base58btc(key).encode()
            for function, rules in self._double.items():
                found.append(rules.get(self._hashers[function](name), 0))
        return max(found, key=abs)


def _header_lines(lines: Iterable[str]) -> int:
    """
    Count the lines of the header with its last line; 0 if there is no header.

    :raises DenylistError: if the header has another version than 1.
    """
    size = 0
    version = "1"
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "---":
            if version != "1":
                raise DenylistError(f"denylist of version {version}, only 1 is known")
            return number
        if line.startswith("version:"):
            version = line.partition(":")[2].partition("#")[0].strip().strip("\"'")
        size += len(line) + 1
        if size > _MAX_HEADER:
            break
    return 0


def _multihash_of(text: str) -> bytes | None:
    """Return the multihash of a CID in text, or of a multihash in base58; None if it is neither."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return None  # base58 takes time quadratic in the length
    try:
        return CID.parse(text).multihash
    except InvalidCID:
        pass
    try:
        raw = multibase.decode_base58btc(text)
        multihash.unwrap(raw)
    except (InvalidMultibase, ParseError):
        return None
    return raw
