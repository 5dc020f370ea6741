"""Which addresses are out on the internet."""

from __future__ import annotations

import ipaddress

import pytest

from django_smtpauth.sending.public import forms, is_public

PUBLIC = """
    1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0
    198.17.255.255 198.20.0.0 223.255.255.255
    2000:: 2606:4700::1111 2001:200::1 2001:db7:ffff::1 2001:db9:: 3ffe::1
    ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101::1 2001:0:101:101::fefe:fefe
"""
NOT_PUBLIC = """
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255
    127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.192 192.0.2.1
    192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
    239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::ffff:0:7f00:1 100::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 feb0::1
    fec0::1 feff::1 ff02::1 ff0e::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1 4000::1
    5f00::1 1fff::1 2606:4700::1111%eth0
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0.0.0.0 64:ff9b::10.0.0.1 64:ff9b::127.0.0.1
    64:ff9b:1::1.1.1.1 2002:a00:1::1 2002:7f00:1::1 2002:c0a8:101::
    2001:0:a00:1::fefe:fefe 2001:0:101:101::f5ff:fffe
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", [*NOT_PUBLIC.split(), "", "localhost", "127.1", "[::1]"])
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:10.0.0.5", "::ffff:10.0.0.5 10.0.0.5"),
        ("0.0.0.0", "0.0.0.0 127.0.0.1"),
        ("::", ":: ::1"),
        ("::ffff:0.0.0.0", "::ffff:0.0.0.0 0.0.0.0 127.0.0.1"),
    ],
)
def test_forms(address: str, expected: str) -> None:
    assert forms(address) == tuple(map(ipaddress.ip_address, expected.split()))
