"""Processes of this one and below it."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAMILY = """
import os, signal, time
from evomnas.core.system.processes import peak_memory_gib
before = peak_memory_gib()
shared = bytearray(os.urandom(1)) * 2**29  # half a GiB
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        own = bytearray(os.urandom(1)) * 2**28
        del own
        open(f"ready-{os.getpid()}", "w").close()
        time.sleep(60)
    children.append(child)
while len([name for name in os.listdir() if name.startswith("ready")]) < 3:
    time.sleep(0.01)
print(peak_memory_gib() - before)
for child in children:
    os.kill(child, signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_memory_that_processes_share_counts_once_and_what_they_have_freed_as_well(tmp_path):
    done = subprocess.run([sys.executable, "-c", FAMILY], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 0.5 + 3 * 0.25 < float(done.stdout) < 0.5 + 3 * 0.25 + 0.2
