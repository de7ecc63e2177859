"""The pixels from which batches are taken: on the device, in this computer's memory, or in a mapped file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from evomnas.data.rows import ImageRows, Images, resize_array

AHEAD = 2  # batches for a GPU that are under way or ready at a time


class Pixels:
    """Images that batches are taken from.

    They are on the device where that has room for them beside a training. Otherwise they stay where they are, and are
    copied batch by batch.

    Attributes:
        images: The images.
        device: The device on which batches are wanted.
    """

    def __init__(self, images: ImageRows, device: torch.device) -> None:
        """Copy images to a GPU, if they have room there.

        Args:
            images: The images.
            device: The device.
        """
        self.images, self.device = images, device
        self._rows = torch.from_numpy(images.rows)
        self._all: Tensor | None = None  # on a GPU
        if device.type == "cpu" or images.nbytes >= torch.cuda.mem_get_info(device)[0] / 2:
            self._source = _tensor(images.array)
        else:
            self._all, done = torch.empty(images.shape, dtype=torch.uint8, device=device), 0
            for chunk in images.chunks():
                self._all[done : done + len(chunk)] = torch.from_numpy(chunk).to(device)
                done += len(chunk)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def nbytes(self) -> int:
        """The memory that the images take, in bytes; those of a mapped file take none of their own."""
        return self.images.nbytes if self._all is not None or self.images.path is None else 0

    @property
    def is_on_device(self) -> bool:
        """Whether no batch has to travel."""
        return self._all is not None or self.device.type == "cpu"

    def take(self, places: Tensor) -> Tensor:
        """Return some images.

        Args:
            places: Their numbers, wherever they are, shape (k,).

        Returns:
            A copy on the device, uint8, shape (k, channels, h, w).
        """
        if self._all is not None:
            return self._all.index_select(0, places.to(self.device))
        return self.gather(places.cpu()).to(self.device)

    def gather(self, places: Tensor, out: Tensor | None = None) -> Tensor:
        """Return some images in this computer's memory. Indexing by `[]` takes ten times as long as this.

        Args:
            places: Their numbers, on the CPU, shape (k,).
            out: A tensor for them, of the result's shape and type; None for a new one.
        """
        rows = self._rows.index_select(0, places)
        if self.images.resolution is None and out is None:  # numpy takes three quarters of the time of index_select
            return torch.from_numpy(self.images.array[rows.numpy()])
        if self.images.resolution is None:
            return torch.index_select(self._source, 0, rows, out=out)
        resized = torch.from_numpy(resize_array(self._source.index_select(0, rows).numpy(), self.images.resolution))
        return resized if out is None else out.copy_(resized)

    def in_turn(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Take batches one after the other. Those that travel to a GPU are under way while others are used.

        Args:
            batches: The numbers of the images of each, on the CPU.

        Yields:
            Each on the device, as `take` returns it.
        """
        return map(self.take, batches) if self.is_on_device else travel(self, batches)


class _Load(NamedTuple):
    """A batch under way, and what says when it has come."""

    pixels: Tensor
    arrived: torch.cuda.Event | None


def travel(pixels: Pixels, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Take batches in a thread, through memory that a GPU reads by itself, while others are used.

    Args:
        pixels: The images.
        batches: The numbers of the images of each, on the CPU.

    Yields:
        Each on the device of the images, in the order of the batches.
    """
    is_gpu = pixels.device.type == "cuda"
    stream = torch.cuda.Stream(pixels.device) if is_gpu else None  # type: ignore[no-untyped-call]
    buffers: list[_Load | None] = [None] * AHEAD

    def load(number: int, places: Tensor) -> _Load:
        before = buffers[number % AHEAD]
        if before is not None and before.arrived is not None:
            before.arrived.synchronize()
        shape = (len(places), *pixels.images.shape[1:])
        if before is not None and before.pixels.shape == shape:
            host = before.pixels
        else:
            host = torch.empty(shape, dtype=torch.uint8, pin_memory=is_gpu)
        pixels.gather(places, out=host)
        if stream is None:
            return _Load(host.clone(), None)
        with torch.cuda.stream(stream):
            sent = host.to(pixels.device, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(stream)
        buffers[number % AHEAD] = _Load(host, arrived)
        return _Load(sent, arrived)

    def use(future: Future[_Load]) -> Tensor:
        sent, arrived = future.result()
        if arrived is not None:
            current = torch.cuda.current_stream(pixels.device)
            current.wait_event(arrived)
            sent.record_stream(current)
        return sent

    with ThreadPoolExecutor(1) as thread:
        under_way: list[Future[_Load]] = []
        for number, places in enumerate(batches):
            under_way.append(thread.submit(load, number, places))
            if len(under_way) >= AHEAD:
                yield use(under_way.pop(0))
        for future in under_way:
            yield use(future)


def _tensor(images: Images) -> Tensor:
    """Return an array as a tensor, without a copy; nobody writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images)
