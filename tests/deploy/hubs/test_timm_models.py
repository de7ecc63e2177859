"""Networks as models of timm: their logits, their features, and new classifiers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from printed_code import code_blocks

from evomnas.core.errors import InputError

SHIPPING = Path(__file__).parents[3] / "docs" / "shipping.md"
NOTATION = "stem8_s2-dconv_k3_s1_f8_n1-mbconv3_k3_s2_f16_n2_id-conv_k3_s2_f24_n1-dconv_k3_s1_f24_n1-head32"


@pytest.fixture(scope="module")
def timm():
    timm = pytest.importorskip("timm")
    import evomnas.timm  # noqa: F401 it registers the model

    return timm


def test_features_have_the_channels_and_strides_that_timm_says(timm):
    model = timm.create_model("evomnas", network=NOTATION, features_only=True)
    assert (model.feature_info.channels(), model.feature_info.reduction()) == ([8, 16, 24], [2, 4, 8])
    features = model(torch.zeros(2, 3, 32, 32))
    assert [tuple(one.shape) for one in features] == [(2, 8, 16, 16), (2, 16, 8, 8), (2, 24, 4, 4)]
    some = timm.create_model("evomnas", network=NOTATION, features_only=True, out_indices=(0, 2))
    assert some.feature_info.channels() == [8, 24]


def test_a_trained_network_has_its_logits_classes_and_normalisation(timm, trained, task):
    from evomnas.deploy.saving import load_network

    model = timm.create_model("evomnas", pretrained=True, network=str(trained.folder)).eval()
    config, images = timm.data.resolve_data_config({}, model=model), torch.from_numpy(task.test.images[:4])
    mean, std = (torch.tensor(config[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = load_network(trained.folder)(images)
        torch.testing.assert_close(model((images / 255 - mean) / std), expected, rtol=1e-4, atol=1e-4)
    assert config["input_size"] == (1, 8, 8)
    assert model.num_classes == 10
    for classes, outputs in ((3, 3), (0, model.num_features)):
        changed = timm.create_model("evomnas", network=str(trained.folder), num_classes=classes)
        assert changed(torch.zeros(2, 1, 8, 8)).shape == (2, outputs)


def test_a_head_behind_the_pooling_stays_there(timm):
    from evomnas.networks.network import build_network
    from evomnas.problem.architecture import Architecture

    notation, images = f"{NOTATION}-hswish_late", torch.rand(2, 3, 32, 32)
    model = timm.create_model("evomnas", network=notation, num_classes=7).eval()
    expected = build_network(Architecture.parse(notation), 7).eval()
    torch.testing.assert_close(model(images), expected(images))
    assert model.forward_features(images).shape == (2, 24, 4, 4)


def test_the_code_of_the_page_runs(timm, trained, capsys):
    code = next(block for block in code_blocks(SHIPPING.read_text()) if "create_model" in block)
    exec(re.sub(r'"runs/.*?"', lambda match: repr(str(trained.folder)), code), {})
    assert capsys.readouterr().out.startswith("[8")


def test_it_is_a_backbone_for_torchvision(timm):
    from torchvision.models.feature_extraction import create_feature_extractor

    model = timm.create_model("evomnas", network=NOTATION)
    found = create_feature_extractor(model, {"blocks.1": "middle", "blocks.3": "last"})(torch.zeros(1, 3, 32, 32))
    assert {name: tuple(one.shape) for name, one in found.items()} == {"middle": (1, 16, 8, 8), "last": (1, 24, 4, 4)}


def test_what_cannot_be_made_is_one_line(timm, trained):
    with pytest.raises(InputError, match="has no weights: name the folder of a trained network"):
        timm.create_model("evomnas", pretrained=True, network=NOTATION)
    with pytest.raises(InputError, match="takes images of 1 channels, not 3"):
        timm.create_model("evomnas", network=str(trained.folder), in_chans=3)


def test_without_timm_one_line_says_how_to_install_it(monkeypatch):
    for name in [name for name in sys.modules if name == "timm" or name.startswith("timm.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    for name in ("evomnas.timm", "evomnas.deploy.hubs.timm_models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(InputError, match=r"evomnas.timm needs timm: pip install 'evomnas\[timm\]'"):
        import evomnas.timm  # noqa: F401
