"""The rooms of the package: which may import which, and what the light ones load.

Every import counts, lazy ones and those for type checkers as well.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import evomnas

PACKAGE = Path(evomnas.__file__).parent
ROOMS = (
    "core", "problem", "algorithms", "data", "results", "networks", "training", "latency", "evaluation", "loop",
    "deploy", "report", "cli",
)  # fmt: skip
MAX_MODULES = 12  # of a room, its `__init__.py` and its sub-rooms aside
WITHOUT_TORCH = ("core", "problem", "algorithms", "data", "results", "evaluation", "loop", "report", "cli")
MAY_IMPORT_TORCH = {  # modules of those rooms that do, and are imported by nobody before torch is wanted
    "evomnas.algorithms.policy.monas",
    "evomnas.algorithms.progressive.dpp_net",
    "evomnas.algorithms.progressive.recurrent_predictor",
    "evomnas.algorithms.policy.rena",
    "evomnas.algorithms.policy.search",
    "evomnas.algorithms.rl_weighted",
    "evomnas.algorithms.rnn_controller",
    "evomnas.core.seeding",
    "evomnas.data.splits",
    "evomnas.evaluation.executors.worker",
}


@cache
def modules() -> dict[str, ast.Module]:
    """The modules of the package by their dotted names, parsed."""
    paths = {path: path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")}
    names = {path: ".".join(part for part in name.parts if part != "__init__") for path, name in paths.items()}
    return {names[path]: ast.parse(path.read_text()) for path in paths}


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a part of a module imports, at whatever place in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules() else str(node.module)


@cache
def graph() -> dict[str, set[str]]:
    """The modules that each module of the package imports from it."""
    return {name: {one for one in imports(tree) if one in modules()} for name, tree in modules().items()}


def room(module: str) -> str | None:
    """The room of a module; None of the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def printed(code: str) -> Any:
    """The last line that a fresh process prints when it runs some code, as a value."""
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout.strip().splitlines()[-1])


def test_every_package_is_a_room_and_every_room_is_a_package():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - {"problems", "reports"} == set(ROOMS)  # folders of the repository, within an installed package


def test_rooms_import_from_rooms_above_them_only():
    upwards = [
        f"{module} imports {imported}"
        for module, found in graph().items()
        for imported in found
        if room(module) and room(imported) and ROOMS.index(room(imported)) > ROOMS.index(room(module))
    ]
    assert upwards == []


def test_no_room_imports_the_package_itself():
    assert [module for module, found in graph().items() if room(module) and "evomnas" in found] in (
        [],
        ["evomnas.deploy.cards.card"],
    )


def test_no_module_imports_itself_in_a_circle():
    """Modules that import nothing but modules already taken away are taken away; what is left is in a circle."""
    left = {module: set(found) - {module} for module, found in graph().items()}
    while free := [module for module, found in left.items() if not found & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_no_room_is_crowded():
    sizes: dict[str, int] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py" and path.parent != PACKAGE:
            folder = str(path.parent.relative_to(PACKAGE))
            sizes[folder] = sizes.get(folder, 0) + 1
    assert {folder: size for folder, size in sizes.items() if size > MAX_MODULES} == {}
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "timm.py"}


def test_every_room_says_what_is_in_it():
    """An `__init__.py` is the index of its room: it names every module and sub-room."""
    for init in PACKAGE.glob("*/**/__init__.py"):
        index = ast.get_docstring(ast.parse(init.read_text())) or ""
        files = {path.stem for path in init.parent.glob("*.py")} - {"__init__"}
        folders = {path.parent.name for path in init.parent.glob("*/__init__.py")}
        unnamed = {name for name in files | folders if f"`{name}`" not in index and f"`{name}/`" not in index}
        assert not unnamed, f"{init} does not name {unnamed}"


def test_rooms_without_torch_import_it_nowhere_but_where_it_is_said():
    """Imports within functions aside: those come when torch is wanted."""
    importing = set()
    for name, tree in modules().items():
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = {one.split(".")[0] for node in top for one in imports(node)}
        if room(name) in WITHOUT_TORCH and found & {"torch", "torchvision"}:
            importing.add(name)
    assert importing <= MAY_IMPORT_TORCH


LIGHT = (
    "import evomnas",
    "import evomnas; evomnas.load_definition('digits')",
    "import evomnas.algorithms.nsga2, evomnas.algorithms.surrogate.nsga2_surrogate, evomnas.algorithms.evolution",
    "import evomnas.data, evomnas.data.sources",
    "import evomnas.results.run, evomnas.results.full_trainings",
    "import evomnas.loop.launch, evomnas.evaluation.factory",
    "import evomnas.latency.meter, evomnas.latency.doctor",
    "import evomnas.report.run_report, evomnas.report.comparison.page",
    "import evomnas.cli.show, evomnas.cli.search",
)


def test_what_is_light_loads_no_torch_ray_or_ssh_client():
    """In one process, one after the other. Nor does it load what reads test images."""
    heavy = (
        "torch", "torchvision", "ray", "executorch", "evomnas.latency.devices.ssh", "evomnas.deploy.testsplit",
    )  # fmt: skip
    code = f"""
found = {{}}
for code in {LIGHT!r}:
    exec(code)
    found[code] = [name for name in {heavy!r} if name in sys.modules]
print(found)
"""
    assert printed(code) == {code: [] for code in LIGHT}


MISTYPED = (
    ("train RUN nonsense", "has no network 'nonsense'"),
    ("train RUN", "train takes networks"),
    ("train RUN --knee --device tpu", "unknown device 'tpu'"),
    ("train RUN --knee --set full.epoch=3", "unknown key 'full.epoch'"),
    ("export RUN nonsense", "has no network 'nonsense'"),
    ("export RUN NETWORK --to tflite", "unknown export format 'tflite'"),
    ("export RUN NETWORK --prune 3", "--prune takes a share"),
    ("export RUN NETWORK --epochs 0", "full.epochs"),
    ("detect RUN nonsense --data .", "has no network 'nonsense'"),
    ("detect RUN NETWORK --data nowhere", "there is nothing at nowhere"),
    ("push RUN NETWORK 'bad repo'", "REPO is OWNER/NAME"),
    ("push RUN nonsense someone/birds", "has no network 'nonsense'"),
)


def test_what_is_mistyped_is_said_before_torch_is_loaded(finished_run):
    """Whoever waits ten seconds for a typing error types the next line elsewhere."""
    network = finished_run.results()[0].evaluation.architecture.id
    lines = [line.replace("RUN", str(finished_run.folder)).replace("NETWORK", network) for line, _ in MISTYPED]
    code = f"""
import shlex
from typer.testing import CliRunner
from evomnas.cli import deploy
from evomnas.cli.app import app
from evomnas.cli.detection import detect
from evomnas.cli.hubs import push
from evomnas.cli.shipping import export
found = []
for line in {lines!r}:
    result = CliRunner().invoke(app, shlex.split(line))
    found.append((result.exit_code, result.stderr, "torch" in sys.modules))
print(found)
"""
    for (line, message), (exit_code, stderr, has_torch) in zip(MISTYPED, printed(code), strict=True):
        assert (exit_code, has_torch) == (2, False), line
        assert message in stderr


def test_help_loads_nothing_heavy():
    heavy = ("torch", "numpy", "ray", "rich", "pydantic", "pymoo", "evomnas.latency.devices.ssh")
    code = f"""
sys.argv = ["evomnas", "--help"]
from evomnas.cli import main
try:
    main()
except SystemExit:
    pass
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert printed(code) == []


def test_only_what_ships_can_read_test_images():
    """A search cannot reach the module that reads them, whatever it calls."""
    reader = "evomnas.deploy.testsplit"
    for start in (name for name in modules() if room(name) in ("algorithms", "evaluation", "loop")):
        reached, queue = set(), [start]
        while queue:
            module = queue.pop()
            if module not in reached:
                reached.add(module)
                queue += graph()[module]
        assert reader not in reached, f"{start} reaches {reader}"


ONLY_SOME_SYSTEMS_HAVE = {
    "modules": {
        *("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "readline", "posix", "ctypes"),
        *("msvcrt", "winreg", "_winapi", "nt"),
    },
    "os": {
        *(
            "fork",
            "forkpty",
            "register_at_fork",
            "getuid",
            "geteuid",
            "getgid",
            "setsid",
            "setpgid",
            "getpgid",
            "killpg",
        ),
        *("sched_getaffinity", "sched_setaffinity", "sysconf", "nice", "pread", "pwrite", "uname", "chown", "fchmod"),
        *("kill", "mkfifo", "statvfs", "name", "O_CLOEXEC", "O_NOFOLLOW", "getloadavg", "wait", "waitpid", "WNOHANG"),
    },
    "signal": {
        *("SIGALRM", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGQUIT", "SIGPIPE", "SIGXFSZ", "SIGBREAK"),
        *("setitimer", "getitimer", "alarm", "pause", "sigwait", "pthread_sigmask", "pthread_kill", "ITIMER_REAL"),
    },
    "sys": {"platform", "getwindowsversion"},
    "platform": {"system", "libc_ver", "mac_ver", "win32_ver", "freedesktop_os_release"},
}


def system_dependent(tree: ast.AST) -> set[str]:
    """The parts of a module that some systems lack, and its questions for the system."""
    found = set(imports(tree)) & ONLY_SOME_SYSTEMS_HAVE["modules"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ONLY_SOME_SYSTEMS_HAVE.get(node.value.id, ()):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            names = ONLY_SOME_SYSTEMS_HAVE.get(str(node.module), ())
            found |= {f"{node.module}.{alias.name}" for alias in node.names if alias.name in names}
        elif isinstance(node, ast.Constant) and str(node.value).startswith(("/proc", "/sys/", "/dev/", "/etc/")):
            found.add(str(node.value))
    return found


def test_what_some_systems_lack_is_used_in_core_system_alone():
    """There each has a fallback; tests/cli/test_other_systems.py runs commands without them."""
    elsewhere = {
        name: found
        for name, tree in modules().items()
        if not name.startswith("evomnas.core.system.") and (found := system_dependent(tree))
    }
    assert elsewhere == {"evomnas.latency.devices.android.phone": {"/sys/devices/system/cpu"}}  # of a phone
    within = set().union(*(system_dependent(tree) for name, tree in modules().items() if "core.system" in name))
    assert {"os.kill", "sys.platform", "/proc/stat", "ctypes"} <= within  # they would be found


def test_public_names_are_listed_once():
    """The names for type checkers are those that are loaded when they are first used."""
    tree = modules()["evomnas"]
    typed = {
        alias.asname: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == evomnas._HOMES
    assert evomnas.__all__ == sorted(typed)


def test_a_checkout_adds_nothing_to_the_package():
    """Neither setup.py nor the tests can be imported as a part of evomnas."""
    assert len(evomnas.__path__) == 1
    for name in ("setup", "tests", "evomnas"):
        with pytest.raises(ModuleNotFoundError, match=name):
            __import__(f"evomnas.{name}")
