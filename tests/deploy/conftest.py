"""A network of the finished run, trained in full and exported, once for all tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def task(finished_run):
    """The images and the recipe of the finished run's problem."""
    from evomnas.deploy.full_training import FullTask

    return FullTask(finished_run.definition, "cpu")


@pytest.fixture(scope="session")
def exports(finished_run, trained):
    """The trained network's ONNX files, all options given, by variant."""
    from evomnas.deploy.export import Request, export_network

    request = Request(("onnx",), quantize=True, prune=0.5, factorize=0.9, huffman=True)
    _, _, exported = export_network(finished_run, trained.network, request, device="cpu")
    return {one.variant: one for one in exported}
