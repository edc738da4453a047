"""What a denylist denies; the CIDs and rules are those of the specification and its test list."""

from __future__ import annotations

import time
from hashlib import sha256

import pytest

from libp2p.bitswap.errors import DenylistError
from libp2p.bitswap.serve.denylist import Denylist
from libp2p.ipld import multibase, multihash
from libp2p.ipld.cid import CID

SPECIFIED = """\
version: 1
name: Example IPFSCorp blocking list
hints:
  hint: value
---
# a comment
/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq

/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/* reason:none
/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test*
!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot
/ipns/domain.example
//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM
//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX
//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7
"""

FIRST = "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq"


@pytest.mark.parametrize(
    "text",
    [
        FIRST,
        "bafkreihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo",
        "QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8",
        "bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja",
        "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR",
        "bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e",
    ],
)
def test_a_cid_is_denied_under_every_name(text: str) -> None:
    assert Denylist(SPECIFIED).denies(CID.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2",
        "QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK",
        # The old form of a double hash is of one CID, codec and all.
        str(
            CID.from_digest(
                CID.parse("bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e").digest
            )
        ),
    ],
)
def test_a_rule_for_a_path_denies_no_block(text: str) -> None:
    assert not Denylist(SPECIFIED).denies(CID.parse(text))


def test_what_the_rules_do_not_need_is_no_error() -> None:
    denylist = Denylist(SPECIFIED)
    assert denylist.invalid == 0
    assert len(denylist) == 5
    assert denylist.passed_over == 3
    assert len(denylist.denied()) == 5


@pytest.mark.parametrize(
    "text",
    [
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
        "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa",
    ],
)
@pytest.mark.parametrize("doubled", [False, True])
def test_the_empty_blocks_that_programs_need_are_never_denied(text: str, doubled: bool) -> None:
    cid = CID.parse(text)
    assert not Denylist(f"/ipfs/{text}\n" + (double_hashed(cid) if doubled else "")).denies(cid)


def double_hashed(cid: CID, hash_name: str = "sha2-256", digest_bytes: int | None = None) -> str:
    name = multibase.encode_base58btc(cid.multihash).encode()
    digest = multihash.digest(hash_name, name, digest_bytes)
    return "//" + multibase.encode_base58btc(multihash.wrap(multihash.code_of(hash_name), digest))


def legacy(cid: CID) -> str:
    return "//" + sha256(f"{cid}/".encode()).hexdigest()


@pytest.mark.parametrize("kind", ["plain", "double", "legacy"])
def test_of_several_rules_the_last_one_counts(kind: str) -> None:
    cid = CID.for_block(b"x")
    make = {"plain": lambda c: f"/ipfs/{c}", "double": double_hashed, "legacy": legacy}
    rule = make[kind](cid)
    assert Denylist(rule).denies(cid)
    assert not Denylist(f"{rule}\n!{rule}").denies(cid)
    assert Denylist(f"!{rule}\n{rule}").denies(cid)
    # Also across the kinds.
    assert not Denylist(f"{rule}\n!/ipfs/{cid}").denies(cid)
    assert Denylist(f"!/ipfs/{cid}\n{rule}").denies(cid)


def test_double_hashes_of_several_functions_and_lengths_are_found() -> None:
    cids = [CID.for_block(b"%d" % number) for number in range(3)]
    rules = [
        double_hashed(cids[0], "sha2-512"),
        double_hashed(cids[1], "blake3", 32),
        double_hashed(cids[2], "blake3", 20),
    ]
    denylist = Denylist("\n".join(rules))
    assert all(map(denylist.denies, cids))
    assert not denylist.denies(CID.for_block(b"x"))


def test_a_multihash_can_stand_for_its_cids() -> None:
    cid = CID.for_block(b"x", hash="blake3")
    assert Denylist("/ipfs/" + multibase.encode_base58btc(cid.multihash)).denies(cid)


def test_a_later_list_overrides_an_earlier_one() -> None:
    cid = CID.for_block(b"x")
    denylist = Denylist(double_hashed(cid))
    assert denylist.denies(cid)
    denylist.add(f"version: 1\n---\n!/ipfs/{cid}")
    assert not denylist.denies(cid)


@pytest.mark.parametrize(
    "rule",
    [
        "nonsense",
        "  nonsense with a hint:value",
        "!",
        "/ipfs/nonsense",
        "/ipfs/",
        f"ipfs://{FIRST}",
        FIRST,
        "/ipfs/" + CID.parse(FIRST).buffer.hex(),  # as the docs had it
        "/ipfs/0OIl",
        "//0OIl",
        "//" + "g" * 64,
        "//" + multibase.encode_base58btc(b"\x00\x01x"),  # a hash that hides nothing
        "//" + multibase.encode_base58btc(b"\xff\xff\x03\x01x"),  # one that is not known
    ],
)
def test_what_is_no_rule_is_an_error_that_names_it(rule: str) -> None:
    text = f"\n{rule}\n/ipfs/{FIRST}"
    with pytest.raises(DenylistError) as caught:
        Denylist(text)
    assert str(caught.value) == f"line 2 is no rule: {rule.strip()!r}"
    denylist = Denylist(text, strict=False)
    assert denylist.invalid_lines == str(caught.value)
    assert denylist.denies(CID.parse(FIRST))


def test_an_error_names_the_first_of_many_lines_and_a_part_of_a_long_one() -> None:
    with pytest.raises(DenylistError, match=r"^line 1 .* line 5 is no rule: 'x' and 95 more$"):
        Denylist("x\n" * 100)
    for start in ("/ipfs/", "//"):
        begin = time.process_time()
        with pytest.raises(DenylistError) as caught:
            Denylist(start + "x" * 1_000_000)
        assert len(str(caught.value)) < 300
        assert time.process_time() - begin < 1  # decoding it would take most of a minute


def test_what_an_editor_puts_before_a_text_is_no_part_of_it() -> None:
    assert Denylist(f"\ufeff/ipfs/{FIRST}\r\n").denies(CID.parse(FIRST))


def test_a_list_without_a_header_may_start_with_its_end() -> None:
    assert Denylist(f"---\n/ipfs/{FIRST}\r\n").denies(CID.parse(FIRST))


def test_a_header_that_is_too_long_is_none() -> None:
    text = f"/ipfs/{FIRST}\n" + "#" * (1 << 20) + "\n---\n"
    denylist = Denylist(text, strict=False)
    assert denylist.denies(CID.parse(FIRST))
    assert denylist.invalid_lines == "line 3 is no rule: '---'"


def test_a_version_that_is_not_known_is_refused() -> None:
    assert len(Denylist("version: '1' # the first\n---\n")) == 0
    with pytest.raises(DenylistError, match="version 2"):
        Denylist("version: 2\n---\n")


def test_lists_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DenylistError, match="line 1 has"):
        Denylist("#" * (2 * 1024 * 1024 + 1))
    monkeypatch.setattr("libp2p.bitswap.serve.denylist.MAX_DENYLIST_RULES", 2)
    with pytest.raises(DenylistError, match="more than 2 rules"):
        Denylist("\n".join([f"/ipfs/{FIRST}"] * 3))
