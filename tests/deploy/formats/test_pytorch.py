"""Files for PyTorch without evomnas: the same logits, from any layer that evomnas builds."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from evomnas.core.errors import InputError
from evomnas.deploy.formats.pytorch.catalogue import PYTORCH_FORMATS
from evomnas.deploy.formats.pytorch.exported_program import write_program
from evomnas.deploy.formats.pytorch.python_module import write_module
from evomnas.networks.channels import ChannelSelection
from evomnas.networks.classifier import Classifier
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture

EVERY_KIND = (  # operations, gates, identity and pooling skips, and TensorFlow's padding with ReLU6
    "stem8_s2-dconv_k3_s1_f8_n2_id-mbconv3_k5_s2_f16_n2_se0.25_pool-conv_k3_s1_f8_n1_se0.25_pool-head16-relu6_same"
)
OTHER_KINDS = (  # what puts channels in another order or side by side, hard swish, and a head behind the pooling
    "stem8_s1-shuffle4_k3_s2_f16_n2-fire8_k3_s1_f16_n1_se0.25-condense4_k3_s1_f16_n2-pass_k3_s2_f24_n1_pool-"
    "uib4a5_k3_s1_f24_n1_id-head16-hswish_late"
)
CLASSES = ('a "b"', "c\\d", "é\n", '"""')
WORDS = {"network": EVERY_KIND, "input": 'RGB, """squares"""', "module": "model_float"}


def classifier(notation: str = EVERY_KIND) -> Classifier:
    """A network whose batch norms have seen something, so that no statistic is left out unnoticed."""
    network, generator = build_network(Architecture.parse(notation), 4, 3, seed=1), torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return Classifier(network, [120.5, 110.0, 100.0], [50.0, 60.0, 70.25], CLASSES, 16).eval()


def pixels(images: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (images, 3, 16, 16), generator=torch.Generator().manual_seed(3)).float()


@pytest.mark.parametrize("notation", [EVERY_KIND, OTHER_KINDS])
def test_a_python_file_has_the_same_logits_state_and_classes_without_evomnas(notation, tmp_path):
    ours = classifier(notation)
    for module in ours.modules():
        if isinstance(module, ChannelSelection):
            module.index.copy_(module.index.flip(0))  # as a training may have chosen
    path = tmp_path / PYTORCH_FORMATS["python"].file_name("float")
    path.write_bytes(write_module(ours, WORDS))
    found = runpy.run_path(str(path))
    network = found["load"]()
    torch.testing.assert_close(network(pixels()).detach(), ours(pixels()).detach(), rtol=1e-5, atol=1e-6)
    assert tuple(found["CLASSES"]) == CLASSES
    expected = {name.removeprefix("network."): value for name, value in ours.state_dict().items()}
    theirs = network.state_dict()
    assert list(theirs) == list(expected)
    assert all(torch.equal(theirs[name], value) for name, value in expected.items() if "num_batches" not in name)
    assert path.name == "model_float.py"
    homes = {type(module).__module__.partition(".")[0] for module in network.modules()}
    assert homes == {"torch", "<run_path>"}


def test_a_pruned_network_keeps_its_weights_in_their_places(tmp_path):
    """Pruning registers weights anew, behind their biases."""
    ours = classifier()
    for module in [one for one in ours.network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]:
        parametrize.register_parametrization(module, "weight", nn.Identity())
        parametrize.remove_parametrizations(module, "weight")
    assert list(ours.network.classifier.state_dict()) == ["bias", "weight"]
    path = tmp_path / "model_pruned.py"
    path.write_bytes(write_module(ours, WORDS))
    network = runpy.run_path(str(path))["load"]()
    torch.testing.assert_close(network(pixels()).detach(), ours(pixels()).detach(), rtol=1e-5, atol=1e-6)


def test_other_libraries_networks_are_refused_in_one_line():
    other = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), [1.0] * 3, [1.0] * 3, CLASSES, 16)
    with pytest.raises(InputError, match="takes a network of the search space"):
        write_module(other, WORDS)
    strange = classifier()
    strange.network.head.append(nn.GELU())
    with pytest.raises(InputError, match="does not know GELU: choose --to torch-export"):
        write_module(strange, WORDS)


@pytest.mark.thorough
def test_an_exported_program_takes_any_number_of_images_in_a_process_without_evomnas(tmp_path):
    path = tmp_path / "model-float.pt2"
    path.write_bytes(write_program(classifier(), {"classes": "[1]"}))
    torch.save(pixels(5), tmp_path / "pixels.pt")
    code = (
        "import sys, torch\n"
        "extra = {'classes.txt': ''}\n"
        "network = torch.export.load(sys.argv[1], extra_files=extra).module()\n"
        "pixels = torch.load(sys.argv[2])\n"
        "assert extra['classes.txt'] == '[1]' and 'evomnas' not in sys.modules\n"
        "torch.save([network(pixels), network(pixels[:1])], sys.argv[3])\n"
    )
    places = [str(path), str(tmp_path / "pixels.pt"), str(tmp_path / "logits.pt")]
    subprocess.run([sys.executable, "-c", code, *places], check=True, cwd=tmp_path)
    several, one = torch.load(tmp_path / "logits.pt")
    expected = classifier()(pixels(5)).detach()
    torch.testing.assert_close(several.detach(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.detach(), expected[:1], rtol=1e-5, atol=1e-6)
