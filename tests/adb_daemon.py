"""A stand-in for the daemon of an Android phone, which the stock `adb` takes for one.

It speaks adb's transport protocol over TCP: CNXN, AUTH, OPEN, OKAY, WRTE and CLSE, shells of version 2, and the file
transfers STAT, SEND and RECV of version 1. Shells run here, with a folder of stand-in commands first on their path.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

HEADER, SIZED = struct.Struct("<4sIIIII"), struct.Struct("<BI")
VERSION, MAX_DATA = 0x01000001, 1 << 16
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class AdbDaemon:
    """A phone on a port of this machine.

    Attributes:
        port: The port.
        is_known: Whether the phone has allowed the computer.
        room: How many bytes fit on it; None for any number.
        drops: How many more times the connection is cut at the next `cut_at` in a shell's input.
        cut_at: The text at which it is cut.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.is_known, self.room, self.drops, self.cut_at = True, None, 0, b"--num_runs"
        self._environment = environment
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as adb's own side does
                self._connections.append(connection)
                threading.Thread(target=_Transport(self, connection).serve, daemon=True).start()

    def unplug(self) -> None:
        """Cut all connections."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def close(self) -> None:
        """End."""
        self._listener.close()
        self.unplug()


class _Transport:
    """One connection, with its streams."""

    def __init__(self, daemon: AdbDaemon, connection: socket.socket) -> None:
        self.daemon, self.connection = daemon, connection
        self.streams: dict[int, _Stream] = {}
        self._sending = threading.Lock()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        magic = int.from_bytes(command, "little") ^ 0xFFFFFFFF
        with self._sending, contextlib.suppress(OSError):
            self.connection.sendall(
                HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, magic) + data
            )

    def read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self.connection.recv(size - len(content))
            if not part:
                raise EOFError
            content += part
        return content

    def serve(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                command, first, second, length, _, _ = HEADER.unpack(self.read(HEADER.size))
                self.handle(command, first, second, self.read(length))
        for stream in list(self.streams.values()):
            stream.lost()

    def handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command in (b"CNXN", b"AUTH"):
            if self.daemon.is_known:
                banner = b"device::ro.product.name=stand-in;ro.product.model=Stand-in;features=shell_v2,cmd"
                self.send(b"CNXN", VERSION, MAX_DATA, banner)
            elif first != 3:  # not the public key, at which a phone asks its owner
                self.send(b"AUTH", 1, 0, bytes(20))
        elif command == b"OPEN":
            number, service = len(self.streams) + 1, data.rstrip(b"\0").decode()
            kind = _Shell if service.startswith("shell") else _Sync
            self.streams[number] = kind(self, number, first, service)
        elif command == b"OKAY":
            self.streams[second].may_send.put(None)
        elif command == b"WRTE":
            self.send(b"OKAY", second, first)
            self.streams[second].receive(data)
        elif command == b"CLSE" and second in self.streams:
            self.streams[second].lost()


class _Stream:
    """A service of the phone. What it sends waits until the computer has taken what came before."""

    def __init__(self, transport: _Transport, number: int, peer: int) -> None:
        self.transport, self.number, self.peer = transport, number, peer
        self.may_send: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.may_send.put(None)
        self._sending = threading.Lock()
        transport.send(b"OKAY", number, peer)

    def send(self, data: bytes) -> None:
        with self._sending:
            for start in range(0, len(data), MAX_DATA):
                self.may_send.get()
                self.transport.send(b"WRTE", self.number, self.peer, data[start : start + MAX_DATA])

    def close(self) -> None:
        with self._sending:
            self.may_send.get()
            self.transport.send(b"CLSE", self.number, self.peer)

    def receive(self, data: bytes) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        """Do what a phone does when the computer is gone."""


class _Shell(_Stream):
    def __init__(self, transport: _Transport, number: int, peer: int, service: str) -> None:
        super().__init__(transport, number, peer)
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", service.partition(":")[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=transport.daemon._environment, start_new_session=True,
        )  # fmt: skip
        self._input = b""
        self._readers = [
            threading.Thread(target=self._forward, args=(kind, stream), daemon=True)
            for kind, stream in ((STDOUT, self._process.stdout), (STDERR, self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._finish, daemon=True).start()

    def _forward(self, kind: int, stream) -> None:
        while data := os.read(stream.fileno(), 4096):
            self.send(SIZED.pack(kind, len(data)) + data)

    def _finish(self) -> None:
        for reader in self._readers:
            reader.join()
        self.send(SIZED.pack(EXIT, 1) + bytes([self._process.wait() & 255]))
        self.close()

    def receive(self, data: bytes) -> None:
        self._input += data
        while len(self._input) >= SIZED.size:
            kind, length = SIZED.unpack_from(self._input)
            if len(self._input) < SIZED.size + length:
                return
            content, self._input = self._input[SIZED.size :][:length], self._input[SIZED.size + length :]
            with contextlib.suppress(OSError, ValueError):
                if kind == STDIN:
                    daemon = self.transport.daemon
                    if daemon.drops and daemon.cut_at in content:
                        daemon.drops -= 1
                        daemon.unplug()
                        return
                    self._process.stdin.write(content)
                    self._process.stdin.flush()
                elif kind == CLOSE_STDIN:
                    self._process.stdin.close()

    def lost(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGHUP)


class _Sync(_Stream):
    def __init__(self, transport: _Transport, number: int, peer: int, service: str) -> None:
        super().__init__(transport, number, peer)
        self._input = b""
        self._file: Path | None = None
        self._content = b""

    def receive(self, data: bytes) -> None:
        self._input += data
        while len(self._input) >= 8:
            name, length = self._input[:4], int.from_bytes(self._input[4:8], "little")
            size = 8 if name == b"DONE" else 8 + length
            if len(self._input) < size:
                return
            content, self._input = self._input[8:size], self._input[size:]
            self._handle(name, content)

    def _handle(self, name: bytes, content: bytes) -> None:
        if name == b"STAT":
            path = Path(content.decode())
            found = path.stat() if path.exists() else None
            values = (0, 0, 0) if found is None else (found.st_mode, found.st_size, int(found.st_mtime))
            self.send(b"STAT" + struct.pack("<III", *values))
        elif name == b"SEND":
            self._file, self._content = Path(content.decode().rpartition(",")[0]), b""
        elif name == b"DATA":
            self._content += content
        elif name == b"DONE":
            room = self.transport.daemon.room
            if room is not None and len(self._content) > room:
                message = b"No space left on device"
                self.send(b"FAIL" + len(message).to_bytes(4, "little") + message)
            else:
                self._file.write_bytes(self._content)
                self.send(b"OKAY" + bytes(4))
        elif name == b"QUIT":
            self.close()
