"""Pushing a trained network, to a stand-in of the Hub on this machine."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from typer.testing import CliRunner

from evomnas.cli.app import app
from evomnas.cli.hubs import push  # noqa: F401 it registers itself
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.core.errors import InputError
from evomnas.deploy.hubs.pushing import files_to_push, push_files
from evomnas.deploy.hubs.repositories import check_repository


@contextmanager
def hub(status: int = 200):
    """A server with the three answers of the Hub that a push needs; it keeps what it was sent."""
    received: list[tuple[str, bytes]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            chunked = self.headers.get("Transfer-Encoding") == "chunked"
            body = self.chunks() if chunked else self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, body))
            answer: object = {
                "url": f"{address}/someone/birds", "commitUrl": f"{address}/someone/birds/commit/1", "commitOid": "1",
                "success": True, "id": "someone/birds", "name": "someone/birds",
            }  # fmt: skip
            if "/preupload/" in self.path:
                asked = json.loads(body)["files"]
                answer = {"files": [one | {"uploadMode": "regular", "shouldIgnore": False} for one in asked]}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield address, received
    server.shutdown()
    server.server_close()


@pytest.fixture
def signed_in(monkeypatch):
    """A word that only the stand-in sees."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_TOKEN", "for-the-stand-in")


@pytest.mark.usefixtures("signed_in")
def test_card_weights_and_exports_arrive_in_one_commit(trained, exports):
    files = files_to_push(trained.folder, "apache-2.0")
    with hub() as (address, received):
        assert push_files(files, "someone/birds", private=True, endpoint=address) == f"{address}/someone/birds/commit/1"
    made = json.loads(received[0][1])
    assert (received[0][0], made["name"], made["organization"]) == ("/api/repos/create", "birds", "someone")
    [commit] = [body for path, body in received if "/commit/" in path]
    lines = [json.loads(line) for line in commit.splitlines()]
    sent = {one["value"]["path"]: base64.b64decode(one["value"]["content"]) for one in lines if one["key"] == "file"}
    assert sent == files
    assert {
        "README.md",
        "model.json",
        "weights.safetensors",
        exports["int8"].file,
        "exports.json",
        "exports.svg",
    } <= sent.keys()
    assert sent["README.md"].startswith(b"---\nlicense: apache-2.0\n")
    assert b"# license" not in sent["README.md"]
    assert b"# license" in (trained.folder / "README.md").read_bytes()  # what is here stays as it is


@pytest.mark.usefixtures("signed_in")
def test_a_refusal_of_the_hub_is_one_line():
    with hub(403) as (address, _), pytest.raises(InputError, match="the Hub took nothing: .*; hf auth login"):
        push_files({"README.md": b"x"}, "someone/birds", endpoint=address)


def test_a_dry_run_lists_the_files_and_loads_no_library_of_the_hub(finished_run, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    words = ["push", str(finished_run.folder), trained.network.id, "someone/birds"]
    done = CliRunner().invoke(app, [*words, "--dry-run"])
    assert done.exit_code == 0
    assert "weights.safetensors" in done.output
    assert "These would go to someone/birds. Nothing was sent." in done.output
    assert "The card names no licence: --license NAME" in done.output
    done = CliRunner().invoke(app, [*words, "--dry-run", "--epochs", "9"])
    assert f"is not trained yet: evomnas train {finished_run.folder} {trained.network.id}" in done.output
    assert " --set full.epochs=9; it was trained with no option" in done.output
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "evomnas push needs huggingface_hub: pip install 'evomnas[hub]'" in done.output


@pytest.mark.parametrize("name", ["birds", "a/b/c", "a b/c", "https://x/y", "a--b/c", f"a/{'b' * 100}", ""])
def test_names_of_repositories_are_checked_before_anything_is_sent(name):
    with pytest.raises(InputError, match="REPO is OWNER/NAME"):
        check_repository(name)


def test_what_is_no_trained_network_and_what_is_no_licence_are_one_line(trained, tmp_path):
    with pytest.raises(InputError, match="holds no trained network"):
        files_to_push(tmp_path)
    with pytest.raises(InputError, match="--license takes a name of the Hub"):
        files_to_push(trained.folder, "MIT: mine")
    folder = shutil.copytree(trained.folder, tmp_path / "copy")
    (folder / "README.md").write_text("# Mine\n")
    assert files_to_push(folder)["README.md"] == b"# Mine\n"
    with pytest.raises(InputError, match="does not begin with what the Hub reads"):
        files_to_push(folder, "mit")
