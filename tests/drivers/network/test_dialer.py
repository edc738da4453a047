"""Dialling a peer's addresses in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from multiaddr import Multiaddr
from trio.testing import wait_all_tasks_blocked

from libp2p.exceptions import DialError, OpenConnectionError, SwarmDialAllFailedError
from libp2p.network.config import SwarmConfig
from libp2p.network.dial_plan import PRIVATE_HEAD_START, PUBLIC_HEAD_START
from libp2p.network.dialer import Dialer, DialSlots
from libp2p.resources import Scope
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.peer.id import ID

PEER, OTHER_PEER = peer_id_of("peer"), peer_id_of("other peer")
#: In the order in which they are planned.
FAR = [Multiaddr(f"/ip4/1.2.3.4/tcp/{port}") for port in range(4001, 4009)]
NEAR = [Multiaddr(f"/ip4/192.168.1.1/tcp/{port}") for port in range(4001, 4004)]
ADDRESS_TIMEOUT, PEER_TIMEOUT = 15.0, 60.0


@dataclass
class Network:
    """What happens at each address: answers after a while, refuses after a while, or silence."""

    answers: dict[Multiaddr, float] = field(default_factory=dict)
    refuses: dict[Multiaddr, float] = field(default_factory=dict)
    #: (address, when), in the order of the dials.
    dialled: list[tuple[Multiaddr, float]] = field(default_factory=list)
    cancelled: list[Multiaddr] = field(default_factory=list)

    async def dial(self, address: Multiaddr, peer_id: ID) -> SwarmConn:
        self.dialled.append((address, trio.current_time()))
        try:
            if address in self.answers:
                await trio.sleep(self.answers[address])
                return self.connection(address, peer_id)
            if address in self.refuses:
                await trio.sleep(self.refuses[address])
                raise OpenConnectionError(f"{address} refused")
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled.append(address)
            raise
        raise AssertionError

    def connection(self, address: Multiaddr, peer_id: ID = PEER) -> SwarmConn:
        """What `dial` returned for ``address``."""
        return cast("SwarmConn", (peer_id, address))

    @property
    def order(self) -> list[Multiaddr]:
        return [address for address, _ in self.dialled]

    @property
    def times(self) -> list[float]:
        return [round(time, 3) for _, time in self.dialled]


def limited_dialer(
    dial: Callable[[Multiaddr, ID], Awaitable[SwarmConn]],
    slots: DialSlots | None = None,
    **limits: Any,
) -> Dialer:
    times = {"dial_timeout": ADDRESS_TIMEOUT, "dial_peer_timeout": PEER_TIMEOUT}
    config = SwarmConfig(**{**times, **limits})
    return Dialer(dial, config, slots or DialSlots(Scope("dials"), config.max_dials))


def dialer(network: Network) -> Dialer:
    return limited_dialer(network.dial)


async def test_the_first_connection_is_returned_and_the_rest_are_not_tried(
    autojump_clock: MockClock,
) -> None:
    network = Network(answers={FAR[0]: 0.1})
    assert await dialer(network).dial_peer(PEER, FAR) == network.connection(FAR[0])
    assert network.order == FAR[:1]
    assert trio.current_time() == pytest.approx(0.1)


async def test_the_first_success_cancels_the_other_attempts(autojump_clock: MockClock) -> None:
    network = Network(answers={FAR[2]: 0.1, FAR[1]: 5.0})
    assert await dialer(network).dial_peer(PEER, FAR) == network.connection(FAR[2])
    assert network.order == FAR[:3]
    assert sorted(map(str, network.cancelled)) == sorted(map(str, FAR[:2]))
    assert trio.current_time() == pytest.approx(2 * PUBLIC_HEAD_START + 0.1)


async def test_of_two_that_succeed_at_once_one_is_returned(autojump_clock: MockClock) -> None:
    network = Network(answers={FAR[0]: PUBLIC_HEAD_START + 1, FAR[1]: 1})
    connection = await dialer(network).dial_peer(PEER, FAR[:2])
    assert connection in [network.connection(address) for address in FAR[:2]]


async def test_silent_addresses_do_not_delay_the_others_beyond_their_head_start(
    autojump_clock: MockClock,
) -> None:
    network = Network()
    with pytest.raises(SwarmDialAllFailedError):
        await dialer(network).dial_peer(PEER, [*FAR[:3], *NEAR])
    assert network.order == [*NEAR, *FAR[:3]]
    near, far = PRIVATE_HEAD_START, PUBLIC_HEAD_START
    assert network.times == [
        pytest.approx(time)
        for time in (0, near, 2 * near, 3 * near, 3 * near + far, 3 * near + 2 * far)
    ]


async def test_a_refusal_ends_the_head_start_at_once(autojump_clock: MockClock) -> None:
    network = Network(refuses={FAR[0]: 0.01, FAR[1]: 0.01}, answers={FAR[2]: 0.01})
    assert await dialer(network).dial_peer(PEER, FAR) == network.connection(FAR[2])
    assert network.times == [0, 0.01, 0.02]


async def test_every_address_is_tried_before_giving_up(autojump_clock: MockClock) -> None:
    network = Network(refuses=dict.fromkeys(FAR[:-1], 0.01), answers={FAR[-1]: 1.0})
    assert await dialer(network).dial_peer(PEER, FAR) == network.connection(FAR[-1])
    assert network.order == FAR


async def test_a_silent_address_costs_its_timeout_and_no_more(autojump_clock: MockClock) -> None:
    network = Network()
    with pytest.raises(SwarmDialAllFailedError, match="no answer within 15 s"):
        await dialer(network).dial_peer(PEER, FAR[:1])
    assert trio.current_time() == pytest.approx(ADDRESS_TIMEOUT)


async def test_the_failure_lists_every_address_and_why(autojump_clock: MockClock) -> None:
    network = Network(refuses={FAR[0]: 0.01, FAR[1]: 3.0})
    with pytest.raises(SwarmDialAllFailedError) as caught:
        await dialer(network).dial_peer(PEER, FAR[:3])
    failure = caught.value
    assert failure.peer_id == PEER
    assert failure.num_addrs_tried == 3
    assert {error.address for error in failure.errors} == set(FAR[:3])
    reasons = {error.address: error.reason for error in failure.errors}
    assert "refused" in reasons[FAR[0]]
    assert "refused" in reasons[FAR[1]]
    assert "no answer" in reasons[FAR[2]]
    assert all(str(address) in str(failure) for address in FAR[:3])
    assert isinstance(failure.errors[0].__cause__, OpenConnectionError)


async def test_addresses_that_cannot_be_tried_are_named_beside_those_that_failed(
    autojump_clock: MockClock,
) -> None:
    network = Network(refuses=dict.fromkeys(FAR, 0.01))
    unfit = [DialError(f"/ip4/1.2.3.4/udp/{n}/quic-v1", "there is no transport") for n in range(9)]
    with pytest.raises(SwarmDialAllFailedError) as caught:
        await dialer(network).dial_peer(PEER, FAR, unfit)
    text = str(caught.value)
    assert f"{FAR[0]}: " in text
    assert " and 3 more; " in text
    assert f"{unfit[0].address}: there is no transport" in text
    assert text.endswith(" and 4 more")
    assert len(text) < 1000
    assert caught.value.num_addrs_tried == len(FAR)
    assert caught.value.errors[-len(unfit) :] == unfit


async def test_one_address_that_can_be_tried_is_enough(autojump_clock: MockClock) -> None:
    network = Network(answers={FAR[0]: 0.1})
    unfit = [DialError("/dnsaddr/x", "there is no transport for it")]
    assert await dialer(network).dial_peer(PEER, FAR[:1], unfit) == network.connection(FAR[0])


async def test_addresses_that_were_not_done_in_time_are_named(autojump_clock: MockClock) -> None:
    """They are known: "no address is known" would send the user the wrong way."""
    impatient = limited_dialer(Network().dial, dial_peer_timeout=2.0)
    with pytest.raises(SwarmDialAllFailedError) as caught:
        await impatient.dial_peer(PEER, FAR)
    assert {error.address for error in caught.value.errors} == set(FAR)
    assert f"{FAR[0]}: not connected within 2 s" in str(caught.value)


async def test_a_peer_without_addresses_fails_at_once_and_says_so(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(SwarmDialAllFailedError, match="no address is known"):
        await dialer(Network()).dial_peer(PEER, [])


async def test_a_peer_with_many_silent_addresses_costs_its_own_timeout(
    autojump_clock: MockClock,
) -> None:
    many = [Multiaddr(f"/ip4/1.2.3.4/tcp/{port}") for port in range(1, 301)]
    with pytest.raises(SwarmDialAllFailedError):
        await dialer(Network()).dial_peer(PEER, many)
    assert trio.current_time() == pytest.approx(PEER_TIMEOUT)


async def test_an_address_that_failed_is_tried_last_next_time(autojump_clock: MockClock) -> None:
    network = Network(refuses={FAR[0]: 0.01}, answers={FAR[1]: 0.01})
    ours = dialer(network)
    await ours.dial_peer(PEER, FAR[:2])
    await ours.dial_peer(PEER, FAR[:2])
    assert network.order == [FAR[0], FAR[1], FAR[1]]


async def test_a_failure_is_forgotten_after_a_while(autojump_clock: MockClock) -> None:
    network = Network(refuses={FAR[0]: 0.01}, answers={FAR[1]: 0.01})
    ours = dialer(network)
    await ours.dial_peer(PEER, FAR[:2])
    await trio.sleep(6)
    await ours.dial_peer(PEER, FAR[:2])
    assert network.order == [FAR[0], FAR[1], FAR[0], FAR[1]]


async def test_an_address_that_failed_for_one_peer_is_not_avoided_for_another(
    autojump_clock: MockClock,
) -> None:
    network = Network(refuses={FAR[0]: 0.01}, answers={FAR[1]: 0.01})
    ours = dialer(network)
    await ours.dial_peer(PEER, FAR[:2])
    await ours.dial_peer(OTHER_PEER, FAR[:2])
    assert network.order == [FAR[0], FAR[1], FAR[0], FAR[1]]


async def test_a_dial_that_lost_the_race_is_not_held_against_its_address(
    autojump_clock: MockClock,
) -> None:
    network = Network(answers={FAR[0]: 2.0, FAR[1]: 0.1})
    ours = dialer(network)
    await ours.dial_peer(PEER, FAR[:2])
    await ours.dial_peer(PEER, FAR[:2])
    assert network.order == [FAR[0], FAR[1], FAR[0], FAR[1]]


async def test_avoided_addresses_are_dialled_if_there_is_nothing_else(
    autojump_clock: MockClock,
) -> None:
    network = Network(refuses={FAR[0]: 0.01})
    ours = dialer(network)
    for _ in range(3):
        with pytest.raises(SwarmDialAllFailedError):
            await ours.dial_peer(PEER, FAR[:1])
    assert network.order == [FAR[0]] * 3


async def test_dialling_one_address_tells_why_it_failed(autojump_clock: MockClock) -> None:
    network = Network(refuses={FAR[0]: 0.01}, answers={FAR[1]: 0.01})
    ours = dialer(network)
    with pytest.raises(DialError, match="refused") as caught:
        await ours.dial_address(PEER, FAR[0])
    assert caught.value.address == FAR[0]
    with pytest.raises(DialError, match="no answer"):
        await ours.dial_address(PEER, FAR[2])
    assert await ours.dial_address(PEER, FAR[1]) == network.connection(FAR[1])


async def test_success_forgets_the_failures_of_an_address(autojump_clock: MockClock) -> None:
    network = Network(refuses={FAR[0]: 0.01})
    ours = dialer(network)
    with pytest.raises(DialError):
        await ours.dial_address(PEER, FAR[0])
    network.answers[FAR[0]] = network.answers[FAR[1]] = 0.01
    await ours.dial_address(PEER, FAR[0])
    await ours.dial_peer(PEER, FAR[:2])
    assert network.order[-1] == FAR[0]


async def test_cancelling_a_dial_cancels_every_attempt(autojump_clock: MockClock) -> None:
    network = Network()
    with trio.move_on_after(1) as scope:
        await dialer(network).dial_peer(PEER, FAR[:3])
    assert scope.cancelled_caught
    assert len(network.cancelled) == 3


async def test_so_many_addresses_of_a_peer_are_dialled_at_once(autojump_clock: MockClock) -> None:
    many = [Multiaddr(f"/ip4/192.168.1.1/tcp/{port}") for port in range(1, 501)]
    network = Network()
    limited = limited_dialer(network.dial, max_dials_per_peer=8)
    with trio.move_on_after(ADDRESS_TIMEOUT - 1):
        await limited.dial_peer(PEER, many)
    assert len(network.dialled) == 8
    network = Network()
    limited = limited_dialer(network.dial, max_dials_per_peer=8)
    with pytest.raises(SwarmDialAllFailedError) as caught:
        await limited.dial_peer(PEER, many)
    assert len(network.dialled) <= 8 * (1 + PEER_TIMEOUT // ADDRESS_TIMEOUT)
    assert len(str(caught.value)) < 1000
    assert len(caught.value.errors) == caught.value.num_addrs_tried >= 8


async def test_so_many_addresses_are_dialled_at_once_for_all_peers(
    autojump_clock: MockClock,
) -> None:
    network, scope = Network(), Scope("dials")
    limited = limited_dialer(network.dial, DialSlots(scope, 10))
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(limited.dial_address, peer_id_of(f"peer {number}"), FAR[0])
        await trio.sleep(1)
        assert len(network.dialled) == scope.held == 10
        nursery.cancel_scope.cancel()
    assert scope.held == 0


async def test_the_time_in_line_is_none_of_the_address(autojump_clock: MockClock) -> None:
    network = Network(answers={FAR[1]: ADDRESS_TIMEOUT - 1})
    limited = limited_dialer(network.dial, DialSlots(Scope("dials"), 1))
    async with trio.open_nursery() as nursery:

        async def fail() -> None:
            with pytest.raises(DialError):
                await limited.dial_address(OTHER_PEER, FAR[0])

        nursery.start_soon(fail)
        await wait_all_tasks_blocked()
        await limited.dial_address(PEER, FAR[1])
    assert trio.current_time() == pytest.approx(2 * ADDRESS_TIMEOUT - 1)


async def test_what_a_transport_raises_is_that_addresss_failure(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def dial(address: Multiaddr, _: ID) -> SwarmConn:
        if address == FAR[0]:
            raise KeyError("a bug")
        return cast("SwarmConn", address)

    ours = limited_dialer(dial)
    assert await ours.dial_peer(PEER, FAR[:2]) == FAR[1]
    assert caplog.text.count("Traceback") == 1
    with pytest.raises(DialError, match="a bug"):
        await ours.dial_address(PEER, FAR[0])
