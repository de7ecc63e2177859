"""Files of weights from anywhere: read without pickle's powers, and refused with a reason where they are wrong."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping

import pytest
import safetensors.torch
import torch
import torchvision

from evomnas.core.errors import InputError
from evomnas.networks.network import build_network
from evomnas.networks.pretrained.weights import load_donor, read_state_dict
from evomnas.problem.pretrained.donors import find_donor
from evomnas.problem.pretrained.files import DonorFile, read_weights


def donor_file(name: str, content: bytes) -> DonorFile:
    return DonorFile(name, content, hashlib.sha256(content).hexdigest())


def saved(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


@pytest.fixture(scope="module")
def half() -> Mapping[str, torch.Tensor]:
    torch.manual_seed(4)
    return torchvision.models.mnasnet0_5(num_classes=7).state_dict()


@pytest.mark.parametrize(
    "write", [saved, lambda state: safetensors.torch.save({**state})], ids=["torch", "safetensors"]
)
def test_both_formats_give_the_network_that_was_saved(half, write):
    donor = load_donor(donor_file("mnasnet-b1@0.5", write(half)))
    theirs = torchvision.models.mnasnet0_5(num_classes=7).eval()
    theirs.load_state_dict(half)
    ours = build_network(donor.architecture, 7).eval()
    ours.load_state_dict(donor.state)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs(images)
        assert (ours(images) - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


def test_the_package_s_weights_are_read_by_their_names():
    file = read_weights(find_donor("efficientnet-lite0"))
    state = read_state_dict(file.content)
    assert (len(state), sum(value.numel() for value in state.values())) == (296, 4_652_008 + 2 * 21_008 + 49)
    assert load_donor(file).sha256 == file.sha256


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", [saved({"weight": Evil()}), pickle.dumps(Evil())], ids=["torch", "pickle"])
def test_nothing_in_a_file_is_executed(content, capsys):
    with pytest.raises(InputError, match="cannot read a file of weights: "):
        load_donor(donor_file("mnasnet-b1@0.5", content))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda half: b"", "cannot read a file of weights"),
        (lambda half: b"PK nothing", "cannot read a file of weights"),
        (lambda half: saved(half)[:1000], "cannot read a file of weights"),
        (lambda half: saved([half]), "holds more than tensors by their names"),
        (lambda half: saved({"state_dict": half}), "holds more than tensors by their names"),
        (lambda half: saved({}), "holds no weights of mnasnet-b1@0.5: it has no classifier"),
        (lambda half: saved({**half, "extra.weight": torch.ones(1)}), "has no place for extra.weight"),
        (
            lambda half: saved({**half, "layers.0.weight": torch.full((16, 3, 3, 3), torch.nan)}),
            "stem.0.weight is not finite everywhere",
        ),
        (
            lambda half: saved(torchvision.models.mnasnet1_0().state_dict()),
            "weights of another network: layers.0.weight",
        ),
        (lambda half: saved(torchvision.models.resnet18().state_dict()), "it has no classifier"),
    ],
)
def test_wrong_files_are_refused_with_a_reason(half, spoil, message):
    with pytest.raises(InputError, match=message):
        load_donor(donor_file("mnasnet-b1@0.5", spoil(half)))


def test_a_file_of_safetensors_may_begin_with_any_byte():
    """The length of its header comes first, and its lowest byte may be that of an old file of torch, or a P."""
    firsts = set()
    for length in range(1, 130):
        content = safetensors.torch.save({"a" * length: torch.ones(2)})
        firsts.add(content[0])
        assert read_state_dict(content)["a" * length].tolist() == [1.0, 1.0]
    assert {0x80, 0x50} <= firsts
