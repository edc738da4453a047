"""Host names in addresses, typed by people and sent by strangers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr, codecs

from libp2p.exceptions import InvalidAddrError
from libp2p.peer.addresses import address_from_text, address_from_wire, text_of
from libp2p.peer.host_names import (
    MAX_LABEL_BYTES,
    MAX_NAME_BYTES,
    HostNameCodec,
    ascii_name,
    set_up_multiaddr,
)
from libp2p.peer.peerinfo import info_from_p2p_addr

PEER = "12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv"
LONGEST = ".".join(["a" * MAX_LABEL_BYTES] * 3 + ["a" * 61])

NAMES = [
    "my_node",
    "_bitswap._tcp.example.org",
    "ab--node",
    "r3---sn-4g5e6nez.example.com",
    "Node.Example.COM",
    "x",
    "node.",
    "1.2.3.4",
    "a" * MAX_LABEL_BYTES,
    LONGEST,
    f"{LONGEST}.",
    "xn--mnchen-3ya.de",
]
NO_NAMES = [
    "",
    ".",
    "..",
    "x..y",
    ".x",
    "x..",
    "a" * (MAX_LABEL_BYTES + 1),
    f"{LONGEST}a",
    "a b",
    "a\tb",
    "a\0b",
    "a\n",
    "a\x1b[31m",
    "a%b",
    "-",
    "-x",
    "x-",
    "x.-y",
    "a:b",
    "user@host",
    "\u0378",
    "a\u202eb",
    "ä" * 70,
    "ä b",
    "\udcff",
]


@pytest.mark.parametrize("protocol", ["dns", "dns4", "dns6", "dnsaddr"])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_resolvers_know_are_read(protocol: str, name: str) -> None:
    text = f"/{protocol}/{name}/tcp/4001"
    address = address_from_text(text)
    assert str(address) == text
    assert address_from_wire(address.to_bytes()) == address == Multiaddr(text)
    assert info_from_p2p_addr(f"{text}/p2p/{PEER}").addrs == [address]
    assert ascii_name(name) == name


def test_the_longest_name_is_as_long_as_may_be() -> None:
    assert len(LONGEST) == MAX_NAME_BYTES


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InvalidAddrError, match="is no host name: "):
        ascii_name(name)
    with pytest.raises(InvalidAddrError) as caught:
        address_from_text(f"/dns4/{name}/tcp/4001")
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [*NO_NAMES[:-1], "münchen.de"])
def test_strangers_names_are_names_in_ascii(name: str) -> None:
    value = name.encode()
    wire = b"\x36" + bytes((len(value) & 0x7F,)) + value[:127] + b"\x06\x0f\xa1"
    with pytest.raises(InvalidAddrError):
        address_from_wire(wire)


def test_names_in_other_scripts_become_what_resolvers_know() -> None:
    assert ascii_name("münchen.de") == "xn--mnchen-3ya.de"
    assert ascii_name("MÜNCHEN.de") == "xn--mnchen-3ya.de"
    assert str(address_from_text("/dns/münchen.de/tcp/1")) == "/dns/münchen.de/tcp/1"


@given(st.text(max_size=80))
def test_a_name_is_returned_in_ascii_or_refused(name: str) -> None:
    try:
        text = ascii_name(name)
    except InvalidAddrError:
        return
    assert text.isascii()
    assert ascii_name(text) == text


def test_an_address_with_a_name_that_is_none_is_shown_as_bytes() -> None:
    address = Multiaddr(b"\x36\x02-x\x06\x0f\xa1")
    assert text_of(address) == "36022d78060fa1"
    assert text_of(Multiaddr("/dns4/my_node/tcp/1")) == "/dns4/my_node/tcp/1"


def test_a_multiaddr_without_a_table_of_codecs_does_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_up_multiaddr()
    assert isinstance(codecs.codec_by_name("domain"), HostNameCodec)
    monkeypatch.delattr(codecs, "CODEC_CACHE")
    set_up_multiaddr()
