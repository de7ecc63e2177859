"""Detectors in runtimes: boxes and scores are PyTorch's, and the suppression node leaves what suppression leaves."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import pytest
import torch

from evomnas.latency.runtimes.base import open_runtime
from evomnas.latency.runtimes.detection.onnx_detector import detector_to_onnx
from evomnas.networks.detection.detector import build_detector
from evomnas.networks.detection.object_detector import JoinedAnswers, ObjectDetector
from evomnas.networks.detection.suppression import suppress
from evomnas.problem.architecture import Architecture
from evomnas.problem.published import published

NETWORKS = {  # by how the last layer with a stride is tapped
    "expansion": "stem8_s2-mbconv3_k3_s2_f8_n2_se0.25_id-mbconv3_k5_s2_f16_n2_se0.5_id-head24",
    "pooling skip": "stem8_s2-mbconv3_k3_s2_f8_n2_id-mbconv3_k3_s2_f16_n2_pool-head24",
    "no expansion": "stem8_s2-mbconv3_k3_s2_f8_n2_id-dconv_k3_s2_f16_n1_se0.25_pool-head24",
    "no stride": "stem8_s4-mbconv3_k3_s1_f8_n2_id-head24",
    "single map": "stem8_s2-mbconv3_k3_s1_f8_n1-mbconv3_k3_s48_f8_n1-head24",
    "traits": "stem8_s2-mbconv3_k3_s2_f8_n2_id-mbconv3_k5_s2_f16_n1-head24-relu6_same_eps0.00001",
}


def shipped(notation: str, side: int = 96, classes: int = 3) -> tuple[ObjectDetector, torch.Tensor]:
    """A detector with the statistics of random pictures, so that its answers vary, and such a picture."""
    detector = build_detector(Architecture.parse(notation), classes, side, bn_momentum=1.0, seed=1)
    network = ObjectDetector(detector, [127, 120, 110], [60, 61, 62], [f"class {number}" for number in range(classes)])
    pictures = torch.randint(256, (8, 3, side, side), generator=torch.Generator().manual_seed(2)).float()
    with torch.inference_mode():
        network.train()(pictures)
    return network.eval(), pictures[:1]


def check(network: ObjectDetector, picture: torch.Tensor, boxes: np.ndarray, scores: np.ndarray) -> None:
    with torch.inference_mode():
        expected_boxes, expected_scores = network(picture)
    assert expected_scores.std() > 0.03 * expected_scores.mean()
    assert np.abs(boxes - expected_boxes.numpy()).max() < 1e-3
    assert np.abs(scores - expected_scores.numpy()).max() < 1e-3


@pytest.mark.parametrize("notation", NETWORKS.values(), ids=NETWORKS)
def test_onnx_files_answer_as_pytorch(notation):
    network, picture = shipped(notation)
    session = onnxruntime.InferenceSession(detector_to_onnx(network, picture))
    assert [output.name for output in session.get_outputs()] == ["boxes", "scores"]
    check(network, picture, *session.run(None, {"image": picture.numpy()}))


@pytest.mark.parametrize("notation", NETWORKS.values(), ids=NETWORKS)
def test_litert_files_answer_as_pytorch(notation):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    from evomnas.latency.runtimes.detection.litert_detector import detector_to_litert
    from evomnas.latency.runtimes.litert_graph import read_metadata

    network, picture = shipped(notation)
    model = detector_to_litert(network, picture, {"classes": "[]"})
    assert read_metadata(model) == {"classes": "[]"}
    run = interpreter.Interpreter(model_content=model).get_signature_runner()
    found = run(image=np.ascontiguousarray(picture.numpy().transpose(0, 2, 3, 1)))
    check(network, picture, found["boxes"], found["scores"])


@pytest.mark.thorough
def test_executorch_programs_answer_as_pytorch():
    pytest.importorskip("executorch")
    from evomnas.latency.runtimes.executorch_xnnpack import load_program, lower

    network, picture = shipped(NETWORKS["expansion"])
    boxes, scores = load_program(lower(network, picture)).load_method("forward").execute([picture])
    check(network, picture, boxes.numpy(), scores.numpy())


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["mnasnet-a1", "mobilenet-v2"])
def test_published_detectors_answer_as_pytorch_at_the_paper_s_resolution(name):
    network, picture = shipped(str(published(name)), 320, 90)
    session = onnxruntime.InferenceSession(detector_to_onnx(network, picture))
    check(network, picture, *session.run(None, {"image": picture.numpy()}))


def test_the_suppression_node_leaves_what_suppression_leaves():
    """Of each class; the node knows no limit of all classes together."""
    network, picture = shipped(NETWORKS["expansion"])
    session = onnxruntime.InferenceSession(detector_to_onnx(network, picture, suppress=True))
    boxes, scores, kept = session.run(None, {"image": picture.numpy()})
    images, classes, anchors = kept.T
    assert not images.any()
    for label in range(3):
        alone = torch.zeros(scores.shape[1:])
        alone[:, label] = torch.from_numpy(scores[0, :, label])
        corners, _, labels = suppress(torch.from_numpy(boxes[0]), alone)
        assert (labels == label).all()
        assert np.array_equal(boxes[0, anchors[classes == label]], corners.numpy())


@pytest.mark.parametrize("name", ["onnxruntime", "litert"])
def test_runtimes_measure_the_joined_answers(name):
    if name == "litert":
        pytest.importorskip("ai_edge_litert")
    joined = JoinedAnswers(shipped(NETWORKS["expansion"])[0].detector).eval()
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    runtime = open_runtime(name)
    output = runtime.load(runtime.convert(joined, images), images.numpy(), 1)()
    with torch.inference_mode():
        assert np.abs(output - joined(images).numpy()).max() < 1e-3


def test_a_file_of_a_detector_can_be_read_by_onnx():
    onnx = pytest.importorskip("onnx")
    model = onnx.load(io.BytesIO(detector_to_onnx(*shipped(NETWORKS["expansion"]), suppress=True)))
    onnx.checker.check_model(model, full_check=True)
    assert [output.name for output in model.graph.output] == ["boxes", "scores", "kept"]
