"""Worker processes of programs whose main module must not, or cannot, be imported again."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import zipapp
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import spawn

import pytest

from evomnas.core.errors import InputError
from evomnas.core.system import start_methods
from evomnas.core.system.start_methods import check_may_start_processes

CONTEXTS = [name for name in ("SpawnContext", "ForkServerContext") if hasattr(start_methods, name)]
SCRIPT = """
from evomnas.core.system.start_methods import CONTEXT
print("the script runs", flush=True)
process = CONTEXT().Process(target=print, args=("the worker runs",))
process.start()
process.join()
print("exit code", process.exitcode)
"""
OUTPUT = ["the script runs", "the worker runs", "exit code 0"]


def output(*command, **options) -> list[str]:
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False, **options)
    return (done.stdout + done.stderr).splitlines()


@pytest.fixture(params=CONTEXTS)
def script(request, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace("CONTEXT", request.param))
    return path


def test_a_script_needs_no_guard(script):
    assert output(script) == OUTPUT


def test_a_program_may_have_no_file(script):
    text = script.read_text()
    assert output("-", input=text) == OUTPUT
    assert output("-c", text) == OUTPUT
    assert output("-i", input=text)[:2] == OUTPUT[:2]  # an interactive session also prints what it is asked


def test_a_program_may_run_another_one(script):
    assert output("-c", f"exec(open({str(script)!r}).read())") == OUTPUT
    assert output("-c", f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')") == OUTPUT
    assert output("-m", "script", cwd=script.parent) == OUTPUT


def test_a_program_may_be_an_archive(script, tmp_path):
    (tmp_path / "app").mkdir()
    script.rename(tmp_path / "app" / "__main__.py")
    zipapp.create_archive(tmp_path / "app")
    assert output(tmp_path / "app.pyz") == OUTPUT
    assert output(tmp_path / "app") == OUTPUT


def test_a_script_may_be_gone_when_a_worker_starts(script):
    script.write_text("import os; os.remove(__file__)\n" + script.read_text())
    assert output(script) == OUTPUT


def test_other_processes_of_the_program_know_its_main_module_as_ever(script):
    """A function of the script is found in its own process of multiprocessing."""
    script.write_text(
        "import multiprocessing\ndef say():\n    print('its own process runs')\n"
        "if __name__ == '__main__':\n"
        "    from evomnas.core.system import start_methods\n"
        "    method = multiprocessing.get_context('spawn')\n"
        "    with start_methods._main_left_out():\n"
        "        import threading\n"
        "        own = method.Process(target=say)\n"
        "        thread = threading.Thread(target=lambda: (own.start(), own.join()))\n"
        "        thread.start(); thread.join()\n"
    )
    assert output(script) == ["its own process runs"]


def test_what_starts_processes_is_as_before_afterwards():
    before = spawn.get_preparation_data
    with pytest.raises(ZeroDivisionError, match="within"), start_methods._main_left_out():
        raise ZeroDivisionError("within")
    assert spawn.get_preparation_data is before


def test_a_daemon_process_is_told_that_it_may_have_no_workers():
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(InputError, match="use workers=0"):
        pool.apply(check_may_start_processes)


def test_any_other_process_and_thread_may_have_workers():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as processes, ThreadPoolExecutor(1) as threads:
        assert processes.submit(check_may_start_processes).result() is None
        assert threads.submit(check_may_start_processes).result() is None


def test_a_script_that_another_process_of_it_runs_again_is_told_to_guard_its_body(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(
        "import multiprocessing\nfrom evomnas.core.system.start_methods import check_may_start_processes\n"
        "check_may_start_processes()\n"
        "if __name__ == '__main__':\n"
        "    own = multiprocessing.get_context('spawn').Process(target=print)\n    own.start()\n    own.join()\n"
    )
    assert "put its body under if __name__" in output(path)[-1]
