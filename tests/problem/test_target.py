"""How devices are named. What is done with the names is tested in tests/latency/devices."""

from __future__ import annotations

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.target import RayTarget, SshTarget, parse_target


def test_this_machine_has_no_address():
    assert parse_target("local") is None


@pytest.mark.parametrize(
    ("text", "host", "user", "port", "python"),
    [
        ("ssh://pi", "pi", None, None, "python3"),
        ("ssh://pi/", "pi", None, None, "python3"),
        ("ssh://me@pi", "pi", "me", None, "python3"),
        ("ssh://pi:1", "pi", None, 1, "python3"),
        ("ssh://pi:65535", "pi", None, 65535, "python3"),
        ("ssh://me@10.0.0.7:2222/opt/python", "10.0.0.7", "me", 2222, "/opt/python"),
        ("ssh://[fe80::1%eth0]:22", "fe80::1%eth0", None, 22, "python3"),
    ],
)
def test_an_ssh_address_leaves_what_it_does_not_say_to_openssh(text, host, user, port, python):
    assert parse_target(text) == SshTarget(text, host, user, port, python)


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_does_not_exist_is_refused(port):
    with pytest.raises(InputError, match="cannot read the target"):
        parse_target(f"ssh://pi:{port}")


def test_nodes_are_named_by_a_resource_of_their_own_and_not_by_one_that_all_have():
    assert parse_target("ray://pi4") == RayTarget("ray://pi4", "pi4")
    for resource in ("CPU", "GPU", "memory", "object_store_memory"):
        with pytest.raises(InputError, match="write local, ssh://user@host:port, adb://SERIAL .*, or ray://NAME"):
            parse_target(f"ray://{resource}")


@pytest.mark.parametrize(
    "text", ["", "Local", "pi", "http://pi", "ssh://", "ssh://-o", "ssh://a b", "ray://", "ray://a/b"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match=r"cannot read the target .*: write local"):
        parse_target(text)


def test_addresses_are_values():
    """They are keys of open devices."""
    assert {parse_target("ssh://pi"), parse_target("ssh://pi")} == {SshTarget("ssh://pi", "pi")}
    assert {parse_target("ray://pi"), parse_target("ray://pi")} == {RayTarget("ray://pi", "pi")}
    with pytest.raises(AttributeError):
        parse_target("ssh://pi").port = 22
    with pytest.raises(AttributeError):
        parse_target("ray://pi").resource = "other"


@pytest.mark.parametrize("text", ["ssh://me@pi", "adb://phone", "ray://pi4"])
def test_a_target_is_a_value_that_can_be_a_key(text):
    assert {parse_target(text): 1}[parse_target(text)] == 1
