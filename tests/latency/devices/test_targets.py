"""Other machines, through a real OpenSSH client and a real sshd on the loopback address."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from waiting import assert_waits, wait_until

from evomnas.core.errors import InputError
from evomnas.core.system import lock
from evomnas.latency.devices import remote, ssh
from evomnas.latency.devices.factory import open_device
from evomnas.latency.devices.local import LocalDevice
from evomnas.latency.devices.ssh import SshDevice
from evomnas.latency.runtimes.base import PreparedNetwork, open_runtime
from evomnas.problem.target import RayTarget, SshTarget, parse_target
from evomnas.results.evaluation import Failure


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("local", None),
        ("ssh://pi", ("pi", None, None, "python3")),
        ("ssh://me@pi.local:2222", ("pi.local", "me", 2222, "python3")),
        ("ssh://me@pi/home/me/venv/bin/python", ("pi", "me", None, "/home/me/venv/bin/python")),
        ("ssh://pc/C:/Python312/python.exe", ("pc", None, None, "C:/Python312/python.exe")),
        ("ssh://[::1]:22", ("::1", None, 22, "python3")),
    ],
)
def test_targets_are_read(text, address):
    assert parse_target(text) == (None if address is None else SshTarget(text, *address))


def test_nodes_of_a_cluster_are_named_by_a_resource():
    assert parse_target("ray://pi4") == RayTarget("ray://pi4", "pi4")


def test_nodes_without_a_cluster_say_what_to_add(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(
        InputError, match="none was joined: add --executor ray to a search, or set RAY_ADDRESS"
    ) as caught:
        open_device("ray://pi4", "onnxruntime", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pi",
        "http://pi",
        "ssh://",
        "ssh://-oProxyCommand=x",
        "ssh://a b",
        "ssh://pi:0",
        "ssh://pi:99999",
        "ssh://a@b@c",
        "ray://",
        "ray://CPU",
        "ray://two words",
        "ray://-x",
        "adb://-x",
        "adb://a b",
        "adb://phone/tool;reboot",
    ],
)
def test_what_is_no_target_is_refused(text):
    with pytest.raises(
        InputError, match="write local, ssh://user@host:port, adb://SERIAL for an Android phone, or ray://NAME"
    ):
        parse_target(text)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An sshd of our own, and a client configuration that finds it as the host `device`."""
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh") is None:
        message = "needs OpenSSH: apt-get install openssh-server openssh-client"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication no\nUsePAM no\n"
        f"SetEnv TMPDIR={tempfile.gettempdir()}\n"  # where locks are, as here
    )
    (folder / "config").write_text(
        f"Host device\n HostName 127.0.0.1\n Port {port}\nHost *\n IdentityFile {folder}/user\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {folder}/known\n StrictHostKeyChecking accept-new\n"
    )
    real = shutil.which("ssh")
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {folder}/config "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd of some systems wants to be
    process = subprocess.Popen([sshd, "-D", "-f", folder / "sshd_config", "-E", folder / "log"])
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder / 'bin'}:{before}"

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    assert wait_until(listens, 60)
    yield port
    os.environ["PATH"] = before
    process.terminate()
    process.wait()


@pytest.fixture
def device(server):
    device = SshDevice(parse_target(f"ssh://device{sys.executable}"), threads=1)
    yield device
    device.close()


def agents() -> list[int]:
    """Agents of this session, which sshd told its temporary folder; not those of tests that run beside it."""
    found = subprocess.run(
        ["pgrep", "-f", "^[^ ]*python[^ ]* -c import sys;exec"], capture_output=True, text=True, check=False
    )
    own, pids = f"TMPDIR={tempfile.gettempdir()}".encode(), []
    for pid in found.stdout.split():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if own in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                pids.append(int(pid))
    return pids


def ratios(device, networks):
    reference, *candidates = networks
    results = dict(device.compare(candidates, reference, lambda: None))
    assert all(not isinstance(one, Failure) for one in results.values()), results
    return [results[index].ratio for index in range(len(candidates))]


def test_the_same_protocol_gives_the_same_ratios_there_and_here(device, networks):
    there = ratios(device, networks)
    here = ratios(LocalDevice(open_runtime("onnxruntime"), 1), networks)
    assert all(1 / 3 < one / other < 3 for one, other in zip(there, here, strict=True))  # no claim about its speed
    assert there[2] > 3 * there[0]
    calibration = device.calibrate(networks[0])
    assert calibration.latency_ms > 0
    described = device.describe()
    assert described["host"] == os.uname().nodename
    assert described["version"]


def test_nothing_stays_behind(device, networks, tmp_path):
    ratios(device, networks)
    assert agents()
    device.close()
    assert wait_until(lambda: not agents(), 60)


def test_a_connection_lost_in_the_middle_is_taken_up_again(device, networks, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1, 0.1))
    reference, *candidates = networks
    results = {}
    for index, result in device.compare(candidates, reference, lambda: None):
        results[index] = result
        if len(results) == 1:
            for pid in agents():
                os.kill(pid, 9)
    assert sorted(results) == [0, 1, 2]
    assert not any(isinstance(result, Failure) for result in results.values())


def test_a_connection_that_stays_lost_is_a_recorded_failure(device, networks, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1, 0.1))
    monkeypatch.setattr(device, "_address", parse_target("ssh://no.such.host.invalid"))
    for pid in agents():
        os.kill(pid, 9)
    results = dict(device.compare(networks[1:], networks[0], lambda: None))
    assert sorted(results) == [0, 1, 2]
    assert {result.kind for result in results.values()} == {"connection"}
    assert "2 times it could not be taken up again" in results[0].message
    with pytest.raises(InputError, match="cannot reach ssh://no.such.host.invalid"):  # and no more networks are spent
        dict(device.compare(networks[1:], networks[0], lambda: None))


@pytest.mark.thorough
def test_a_machine_that_comes_back_is_used_again(device, networks, monkeypatch):
    """What failed while it was away has failed; what comes later is measured."""
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1,))
    address = device._address
    monkeypatch.setattr(device, "_address", parse_target("ssh://no.such.host.invalid"))
    for pid in agents():
        os.kill(pid, 9)
    assert {one.kind for _, one in device.compare(networks[1:], networks[0], lambda: None)} == {"connection"}
    with pytest.raises(InputError, match="could not be taken up again"):
        device.calibrate(networks[0])
    monkeypatch.setattr(device, "_address", address)
    assert len(ratios(device, networks)) == 3


@pytest.mark.thorough
def test_a_connection_lost_while_calibrating_is_taken_up_again(device, networks, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1,))
    for pid in agents():
        os.kill(pid, 9)
    assert device.calibrate(networks[0]).latency_ms > 0


def test_a_host_that_never_answers_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(ssh, "GREETING_TIMEOUT_S", 1.0)
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(InputError, match="gave no answer for 1 s"):
        open_device(f"ssh://device{silent}", "onnxruntime", 1)


@pytest.mark.thorough
def test_an_interrupt_while_connecting_leaves_no_client_behind(server, tmp_path, monkeypatch):
    clients = []
    start = ssh.subprocess.Popen

    def remembered(*arguments, **options):
        clients.append(start(*arguments, **options))
        return clients[-1]

    def interrupted(self):
        raise KeyboardInterrupt("stop here")

    monkeypatch.setattr(ssh.subprocess, "Popen", remembered)
    monkeypatch.setattr(SshDevice, "_await_greeting", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stop here"):
        SshDevice(parse_target(f"ssh://device{sys.executable}"), threads=1)
    assert len(clients) == 1
    assert clients[0].poll() is not None


def test_a_network_that_ends_the_agent_twice_fails_alone(device, networks, monkeypatch):
    """As one does that needs more memory than the device has."""
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1, 0.1, 0.1))
    load = device._load

    def fatal(prepared):
        if prepared is networks[2]:
            for pid in agents():
                os.kill(pid, 9)
        return load(prepared)

    monkeypatch.setattr(device, "_load", fatal)
    results = dict(device.compare(networks[1:], networks[0], lambda: None))
    assert results[1].kind == "connection"
    assert not isinstance(results[0], Failure)
    assert not isinstance(results[2], Failure)


def test_a_network_with_other_logits_fails_alone(device, networks):
    wrong = PreparedNetwork(networks[1].model, networks[1].images, networks[1].logits * 2)
    broken = PreparedNetwork(b"no model", networks[1].images, networks[1].logits)
    results = dict(device.compare([wrong, networks[2], broken], networks[0], lambda: None))
    assert results[0].kind == "mismatch"
    assert results[2].kind == "error"
    assert not isinstance(results[1], Failure)


@pytest.mark.thorough
def test_one_latency_at_a_time_there_as_well(device, networks):
    """The agent waits for the lock of the machine that it runs on, which is this one."""
    assert_waits(device, networks, lock.measuring())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ssh://device/no/such/python", "has no /no/such/python: name one"),
        ("ssh://no.such.host.invalid", "cannot reach ssh://no.such.host.invalid: .*resolve"),
        ("ssh://127.0.0.1:1", "cannot reach ssh://127.0.0.1:1: .*refused"),
        ("ssh://nobody-at-all@device", "cannot reach .*denied.*ssh-copy-id"),
    ],
)
def test_a_machine_that_cannot_be_used_is_one_clear_line(server, target, message):
    with pytest.raises(InputError, match=message) as caught:
        open_device(target, "onnxruntime", 1)
    assert "\n" not in str(caught.value)


def test_a_machine_without_onnxruntime_is_told_what_to_type(server, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    with pytest.raises(InputError, match="lacks numpy .*: type there: .*pip install numpy onnxruntime"):
        open_device(f"ssh://device{bare}/bin/python", "onnxruntime", 1)


@pytest.mark.thorough
def test_what_a_login_script_prints_does_no_harm(server, networks, tmp_path):
    noisy = tmp_path / "python"
    noisy.write_text(f'#!/bin/sh\necho "Welcome to this machine"\nexec {sys.executable} "$@"\n')
    noisy.chmod(0o755)
    device = open_device(f"ssh://device{noisy}", "onnxruntime", 1)
    assert len(ratios(device, networks)) == 3
    device.close()


def test_what_is_sent_runs_on_older_pythons():
    import ast
    from importlib import resources

    for name in ssh.AGENT_MODULES:
        source = resources.files("evomnas").joinpath(f"{name.replace('.', '/')}.py").read_text("utf-8")
        tree = ast.parse(source, feature_version=(3, 9))
        names = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
        assert not names & {"slots", "strict", "kw_only"}, name  # of Python 3.10
