"""Limits of control groups: written down as the versions of Linux write them, and one that is real."""

from __future__ import annotations

import sys

import pytest
from control_groups import control_group, output

from evomnas.core.system.container import Allowance, read_allowance

GIB = 2**30
V1_UNLIMITED = "9223372036854771712"
V1_MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 {top} /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory
"""
V2_MOUNTS = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_GROUPS = "9:name=systemd:{path}\n4:memory:{path}\n2:cpu,cpuacct:{path}\n"
V1_LIMIT = {
    "memory/memory.limit_in_bytes": 3 * GIB,
    "memory/memory.usage_in_bytes": 2 * GIB,
    "memory/memory.stat": f"cache {GIB}\ninactive_file 17\ntotal_inactive_file {GIB // 2}\n",
    "cpu,cpuacct/cpu.cfs_quota_us": 150_000,
    "cpu,cpuacct/cpu.cfs_period_us": 100_000,
}
V1_NO_LIMIT = {
    "memory/memory.limit_in_bytes": V1_UNLIMITED,
    "memory/memory.usage_in_bytes": 2 * GIB,
    "memory/memory.stat": f"total_inactive_file 0\nhierarchical_memory_limit {V1_UNLIMITED}\n",
    "cpu,cpuacct/cpu.cfs_quota_us": -1,
    "cpu,cpuacct/cpu.cfs_period_us": 100_000,
}
V2_LIMIT = {
    "memory.max": 3 * GIB,
    "memory.high": "max",
    "memory.current": 2 * GIB,
    "memory.stat": f"anon {GIB}\ninactive_file {GIB // 2}\nactive_file 9\n",
    "cpu.max": "50000 100000",
}
V2_NO_LIMIT = {"memory.max": "max", "memory.high": "max", "memory.current": GIB, "cpu.max": "max 100000"}


def below(path: str, files: dict[str, object]) -> dict[str, object]:
    """The files of a group, by their paths; of version 1 the controller's folder comes first."""
    split = {name: name.rpartition("/") for name in files}
    return {f"{split[name][0]}{path}/{split[name][2]}": content for name, content in files.items()}


CASES = {
    "version 2, as a container with a namespace sees it": (
        V2_MOUNTS.format(top="/"), "0::/\n", V2_LIMIT, Allowance(3 * GIB, 3 * GIB // 2, 0.5),
    ),
    "version 2, a group below others": (
        V2_MOUNTS.format(top="/"), "0::/a/b\n", below("/a/b", V2_LIMIT) | below("/a", V2_NO_LIMIT),
        Allowance(3 * GIB, 3 * GIB // 2, 0.5),
    ),
    "version 2, the limits are those of a group above, and of two groups": (
        V2_MOUNTS.format(top="/"), "0::/a/b/c\n",
        below("/a", V2_LIMIT) | {"a/b/memory.max": 4 * GIB}
        | below("/a/b/c", V2_NO_LIMIT | {"cpu.max": "20000 100000"}),
        Allowance(3 * GIB, 3 * GIB // 2, 0.2),
    ),
    "version 2, a limit above which all are held up": (
        V2_MOUNTS.format(top="/"), "0::/\n", V2_LIMIT | {"memory.high": 5 * GIB // 2},
        Allowance(5 * GIB // 2, GIB, 0.5),
    ),
    "version 2, mounted from the group on": (
        V2_MOUNTS.format(top="/docker/1f"), "0::/docker/1f\n", V2_LIMIT, Allowance(3 * GIB, 3 * GIB // 2, 0.5),
    ),
    "version 2, a namespace hides where the group is": (
        V2_MOUNTS.format(top="/../.."), "0::/\n", V2_LIMIT, Allowance(3 * GIB, 3 * GIB // 2, 0.5),
    ),
    "version 2, the group is outside of the namespace": (
        V2_MOUNTS.format(top="/"), "0::/../other\n", V2_LIMIT, Allowance(3 * GIB, 3 * GIB // 2, 0.5),
    ),
    "version 2, the group was removed": (
        V2_MOUNTS.format(top="/"), "0::/a/b (deleted)\n", below("/a", V2_LIMIT),
        Allowance(3 * GIB, 3 * GIB // 2, 0.5),
    ),
    "version 2, no limit": (V2_MOUNTS.format(top="/"), "0::/\n", V2_NO_LIMIT, Allowance()),
    "version 2, more is used than may be": (
        V2_MOUNTS.format(top="/"), "0::/\n", V2_LIMIT | {"memory.current": 4 * GIB}, Allowance(3 * GIB, 0, 0.5),
    ),
    "version 1, mounted from the group on": (
        V1_MOUNTS.format(top="/docker/1f"), V1_GROUPS.format(path="/docker/1f"), V1_LIMIT,
        Allowance(3 * GIB, 3 * GIB // 2, 1.5),
    ),
    "version 1, a group below others": (
        V1_MOUNTS.format(top="/"), V1_GROUPS.format(path="/a/b"), below("/a/b", V1_NO_LIMIT) | below("/a", V1_LIMIT),
        Allowance(3 * GIB, 3 * GIB // 2, 1.5),
    ),
    "version 1, a limit of a group that is not visible": (
        V1_MOUNTS.format(top="/"), V1_GROUPS.format(path="/"),
        V1_NO_LIMIT | {"memory/memory.stat": f"total_inactive_file 0\nhierarchical_memory_limit {3 * GIB}\n"},
        Allowance(3 * GIB, GIB, None),
    ),
    "version 1, no limit": (
        V1_MOUNTS.format(top="/"), V1_GROUPS.format(path="/"), V1_NO_LIMIT, Allowance(),
    ),
    "both versions, the controllers are those of version 1": (
        V1_MOUNTS.format(top="/") + V2_MOUNTS.format(top="/").replace("cgroup rw", "cgroup/unified rw"),
        V1_GROUPS.format(path="/a") + "0::/a\n", below("/a", V1_LIMIT), Allowance(3 * GIB, 3 * GIB // 2, 1.5),
    ),
    "both versions, memory is that of version 2": (
        V1_MOUNTS.format(top="/").replace("memory", "pids")
        + V2_MOUNTS.format(top="/").replace("/sys/fs/cgroup rw", "/sys/fs/cgroup/unified rw"),
        "4:pids:/a\n2:cpu,cpuacct:/a\n0::/b\n",
        below("/a", {name: content for name, content in V1_LIMIT.items() if name.startswith("cpu")})
        | {f"unified/b/{name}": content for name, content in V2_LIMIT.items() if name.startswith("memory")},
        Allowance(3 * GIB, 3 * GIB // 2, 1.5),
    ),
    "a mount with spaces in its name": (
        V2_MOUNTS.format(top="/").replace("/sys/fs/cgroup rw", "/sys/fs/cgroup/my\\040groups rw"), "0::/\n",
        {f"my groups/{name}": content for name, content in V2_LIMIT.items()}, Allowance(3 * GIB, 3 * GIB // 2, 0.5),
    ),
    "nonsense": (
        V2_MOUNTS.format(top="/") + "words\n1 2 - cgroup\n", "0::/\nwords\n",
        {"memory.max": "lots", "memory.high": -1, "memory.current": "", "memory.stat": "x\n\n", "cpu.max": "1"},
        Allowance(),
    ),
    "quotas of nothing": (
        V2_MOUNTS.format(top="/"), "0::/\n", {"memory.max": 0, "cpu.max": "0 0"}, Allowance(),
    ),
    "a limit without what is used": (
        V2_MOUNTS.format(top="/"), "0::/\n", {"memory.max": GIB}, Allowance(GIB, GIB, None),
    ),
    "no control groups": ("", "", {}, Allowance()),
    "control groups that are not mounted": ("", "0::/a\n", {}, Allowance()),
}  # fmt: skip


@pytest.mark.parametrize(("mounts", "groups", "files", "expected"), CASES.values(), ids=CASES)
def test_limits_are_read_as_every_version_of_linux_writes_them(tmp_path, mounts, groups, files, expected):
    written = {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in {"proc/self/mountinfo": mounts, "proc/self/cgroup": groups, **written}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n" if isinstance(content, int) else str(content))
    assert read_allowance(tmp_path) == expected


def test_what_cannot_be_read_limits_nothing(tmp_path):
    assert read_allowance(tmp_path) == Allowance()
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").mkdir()
    (tmp_path / "proc" / "self" / "mountinfo").write_bytes(b"\xff\x00")
    assert read_allowance(tmp_path) == Allowance()


PROBE = """
from evomnas.core.system import machine
print(machine.memory_gib(), machine.usable_cores(), 0.9 < machine.free_memory_gib() < 1.0)
"""


def test_a_process_in_a_real_group_sees_its_limits():
    with control_group(gib=1, cores=0.5) as within:
        assert output([*within, sys.executable, "-c", PROBE]).split() == ["1.0", "1", "True"]
