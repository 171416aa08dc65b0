"""Who may send: AE title and address together."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from node.peers import Peers
from node.settings import SourceSettings


def source(ae_title: str = "UNIT1", host: str = "10.1.2.3", **more: Any) -> SourceSettings:
    return SourceSettings(ae_title=ae_title, host=host, **more)


@pytest.mark.parametrize(
    ("host", "address", "is_known"),
    [
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.3", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "10.1.255.255", True),
        ("10.1.0.0/16", "::ffff:10.1.0.1", True),
        ("10.1.0.0/16", "10.2.0.0", False),
        ("10.1.0.0/16", "fd00::1", False),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "fe80::1", False),
        ("fd00::/8", "10.1.2.3", False),
        ("fe80::1", "fe80::1%eth0", True),
        ("::1", "::1", True),
    ],
)
def test_addresses_and_networks(host: str, address: str, is_known: bool) -> None:
    peers = Peers([source(host=host)])
    assert peers.knows_host(address) is is_known
    assert peers.admits("UNIT1", address) is is_known


def test_title_and_address_must_be_of_the_same_source() -> None:
    peers = Peers([source("UNIT1", "10.0.0.1"), source("UNIT2", "10.0.0.2")])
    assert peers.admits("UNIT1", "10.0.0.1")
    assert peers.admits("UNIT2", "10.0.0.2")
    assert not peers.admits("UNIT1", "10.0.0.2")
    assert not peers.admits("UNIT3", "10.0.0.1")
    assert peers.knows_host("10.0.0.2"), "its title is not known before it has sent something"


def test_padding_of_a_title_does_not_count_but_its_case_does() -> None:
    peers = Peers([source("UNIT1")])
    assert peers.admits(" UNIT1   ", "10.1.2.3")
    assert not peers.admits("unit1", "10.1.2.3")


def test_the_first_source_that_fits_counts() -> None:
    special, general = source(host="10.1.2.3", quiet_s=5), source(host="10.0.0.0/8", quiet_s=50)
    peers = Peers([special, general])
    assert peers.source_of("UNIT1", "10.1.2.3") is special
    assert peers.source_of("UNIT1", "10.9.9.9") is general
    assert peers.source_of("UNIT1", "192.0.2.1") is None


def test_a_name_stands_for_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, _port: None) -> list[Any]:
        assert host == "unit1.hospital.example"
        found = (("10.1.2.3", 0), ("fd00::3", 0, 0, 0))
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 0, "", address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    peers = Peers([source(host="unit1.hospital.example")])
    assert peers.admits("UNIT1", "10.1.2.3")
    assert peers.admits("UNIT1", "::ffff:10.1.2.3")
    assert peers.admits("UNIT1", "fd00::3")
    assert not peers.admits("UNIT1", "10.1.2.4")


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b"])
def test_a_name_that_does_not_resolve_lets_nobody_in_and_keeps_nobody_out(name: str) -> None:
    peers = Peers([source("GONE", name), source("UNIT1", "10.1.2.3")])
    assert not peers.admits("GONE", "10.1.2.3")
    assert peers.admits("UNIT1", "10.1.2.3")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_without_any_source_only_this_machine_may_send(address: str) -> None:
    peers = Peers(())
    assert peers.knows_host(address)
    assert peers.admits("ANYONE", address)
    assert peers.source_of("ANYONE", address) is None


@pytest.mark.parametrize("address", ["10.0.0.1", "192.0.2.1", "fd00::1", "::ffff:10.0.0.1", "0.0.0.0"])
def test_without_any_source_no_other_machine_may(address: str) -> None:
    assert not Peers(()).knows_host(address)
    assert not Peers(()).admits("ANYONE", address)


def test_with_a_source_this_machine_has_no_rights_of_its_own() -> None:
    assert not Peers([source()]).knows_host("127.0.0.1")
