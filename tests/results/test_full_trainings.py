"""Networks that were trained in full: of which images, in which order, by which names."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import validate_definition
from evomnas.problem.pretrained.baselines import pretrained_baselines
from evomnas.problem.published import fit_to_resolution, published
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Failure, FullTraining, Measurement, Score, Training
from evomnas.results.full_trainings import baseline_results, fully_trained
from evomnas.results.readers import baseline_alias, full_training_alias, trained_images_alias
from evomnas.results.records import Ask, RunRecord
from evomnas.results.run import Run

OWN = Architecture.parse("stem8_s1-conv_k3_s1_f8_n1-head16")
MEASURED = Measurement(Cost(10, 20, 3), 0.5, 0.4, 0.6, 1.25, (1.2,), 0.1)


@pytest.fixture
def run(tiny, tmp_path):
    archive = Archive(tmp_path / "evomnas.sqlite")
    record = RunRecord("r", "random", 1, tiny, archive.add_context({"data": "images"}), "d", "now")
    yield Run.create(tmp_path / "run", archive, record, 5, {"classes": 10, "channels": 1})
    archive.close()


def trained(correct: int) -> FullTraining:
    return FullTraining(Score(correct, 10), (1.0,), 2.0)


def test_pretrained_baselines_are_found_by_their_weights_and_rank_among_themselves(tiny, tmp_path):
    values = tiny.model_dump(mode="json", exclude={"space", "training", "full"})
    values |= {"space": "around donor", "weights": {"donor": "efficientnet-lite0"}}
    values["data"]["resolution"] = 64
    problem = validate_definition(values)
    archive = Archive(tmp_path / "evomnas.sqlite")
    record = RunRecord("r", "random", 1, problem, archive.add_context({"data": "images"}), "d", "now")
    run = Run.create(tmp_path / "run", archive, record, 5, {"classes": 10, "channels": 1, "validation": 100})
    assert baseline_results(run) == []
    scored = {}
    accuracies = {"efficientnet-lite0": (0.8, 0.5), "resnet18": (0.7, 0.6)}
    for name, (large, small) in accuracies.items():
        context = archive.add_context({"weights of": name})
        archive.add_alias(baseline_alias(problem.fine_tuning(name), "images"), context)
        scored[name] = archive.add_context({"test": "split", "weights of": name})
        archive.add_alias(full_training_alias(problem.fine_tuning(name), "images"), scored[name])
        for baseline in pretrained_baselines(problem, [name]):
            accuracy = {64: large, 32: small}.get(baseline.resolution)
            if accuracy is not None:
                archive.add_training(context, baseline, Training(accuracy, (1.0,), 1.0))
                latency = replace(MEASURED, latency_ms=accuracy)
                archive.add_measurement("d", baseline, latency)
    full = pretrained_baselines(problem, ["resnet18", "efficientnet-lite0"])[:6:5]
    for baseline in full:
        archive.add_full_training(scored[baseline.name], baseline, trained(9 if baseline.name == "resnet18" else 8))
    results = baseline_results(run)
    assert [(one.baseline.label, one.result.on_front) for one in results] == [
        ("efficientnet-lite0 at 32 px", True), ("resnet18 at 32 px", True), ("resnet18 at 64 px", True),
        ("efficientnet-lite0 at 64 px", True),
    ]  # fmt: skip
    assert [one.result.score and one.result.score.correct for one in results] == [None, None, 9, 8]
    assert results[0].to_dict()["accuracy"] == 0.5
    assert results[0].result.evaluation.score_error == pytest.approx(0.05, rel=0.02)
    names = [(network.name, network.result.score.correct) for network in fully_trained(run)]
    assert names == [("pretrained resnet18 at 64 px", 9), ("efficientnet-lite0 at 64 px", 8)]
    archive.close()


def test_the_most_accurate_come_first_with_names_that_people_know(run, tiny):
    shelf = fit_to_resolution(published("mnasnet-b1"), tiny.data.resolution)
    key = run.archive.add_context({"test": "split"})
    run.archive.add_alias(full_training_alias(tiny, "images"), key)
    run.archive.add_full_training(key, OWN, trained(7))
    run.archive.add_full_training(key, shelf, trained(9))
    run.archive.add_full_training(key, "torchvision:resnet18", trained(8))
    run.archive.add_full_training(key, "torchvision:resnet50", Failure("diverged", "NaN"))
    run.archive.add_measurement("d", OWN, MEASURED)
    run.archive.add_measurement("another device", shelf, MEASURED)
    networks = fully_trained(run)
    assert [network.name for network in networks] == ["mnasnet-b1", "resnet18", OWN.id]
    assert [network.notation for network in networks] == [str(shelf), "torchvision:resnet18", str(OWN)]
    assert [network.result for network in networks] == [trained(9), trained(8), trained(7)]
    assert [network.measurement for network in networks] == [None, None, MEASURED]


def test_only_scores_on_the_latest_test_split_are_compared(run, tiny):
    """Two contexts share the latest split, as of other training images; of two trainings the first counts."""
    alias = full_training_alias(tiny, "images")
    old, first, second = (
        run.archive.add_context({"test": test, "images": images}) for test, images in (("a", 1), ("b", 1), ("b", 2))
    )
    for key, correct in ((old, 9), (first, 6), (second, 5)):
        run.archive.add_alias(alias, key)
        run.archive.add_full_training(key, OWN, trained(correct))
    assert [network.result.score.correct for network in fully_trained(run)] == [6]
    run.archive.add_alias(alias, old)  # it is the latest again
    assert [network.result.score.correct for network in fully_trained(run)] == [9]


def test_without_a_full_training_there_is_none(run):
    assert fully_trained(run) == []


def test_the_key_follows_from_the_recipe_the_augmentation_and_the_images_and_from_nothing_else(tiny, tiny_values):
    def alias(images="images", **changes):
        values = {
            name: dict(section) if isinstance(section, dict) else section for name, section in tiny_values.items()
        }
        for place, value in changes.items():
            section, name = place.split("__")
            values[section] = values.get(section, {}) | {name: value}
        return full_training_alias(validate_definition(values), images)

    same = full_training_alias(tiny, "images")
    assert alias() == alias(training__epochs=3) == alias(latency__threads=2) == alias(data__validation=0.25) == same
    others = [alias("other"), alias(full__epochs=5), alias(data__augment=["flip"])]
    assert len({same, *others}) == 4


def test_a_network_of_the_list_is_a_value(run, tiny):
    key = run.archive.add_context({"test": "split"})
    run.archive.add_alias(full_training_alias(tiny, "images"), key)
    run.archive.add_full_training(key, OWN, trained(7))
    [network] = fully_trained(run)
    for value, name in ((network, "name"), (network.result, "seconds")):
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


def test_results_have_the_score_of_the_problem_s_own_recipe_or_else_of_the_latest_one(run, tiny):
    """`train` with other settings, or with a teacher, counts where the network was not trained by the run's recipe."""
    other = Architecture.parse("stem8_s1-conv_k5_s1_f8_n1-head16")
    archive = run.archive
    own, old, new, elsewhere = (
        archive.add_context({"test": test, "recipe": recipe})
        for test, recipe in (("split", 1), ("split", 2), ("split", 3), ("another", 4))
    )
    archive.add_asks("r", [Ask(0, 0, str(OWN)), Ask(1, 0, str(other))])
    assert [result.score for result in run.results()] == [None, None]
    for key, network, correct in ((old, OWN, 3), (old, other, 4), (new, other, 5), (elsewhere, other, 6)):
        archive.add_full_training(key, network, trained(correct))
    for key in (elsewhere, old, new):
        archive.add_alias(trained_images_alias("images"), key)
    assert [result.score for result in run.results()] == [Score(3, 10), Score(5, 10)]
    archive.add_full_training(own, OWN, trained(7))
    archive.add_alias(full_training_alias(tiny, "images"), own)
    first, second = run.results()
    assert (first.score, second.score) == (Score(7, 10), Score(5, 10))
    assert (first.to_dict()["test_accuracy"], first.to_dict()["test_interval"]) == (0.7, list(Score(7, 10).interval))
    assert [network.result.score for network in fully_trained(run)] == [Score(7, 10)]  # one recipe, comparable


def test_front_csv_has_test_scores_and_is_left_alone_where_nothing_changed(run, tiny):
    run.archive.add_asks("r", [Ask(0, 0, str(OWN))])
    run.archive.add_measurement("d", OWN, MEASURED)
    run.archive.add_training(run.record.training_context, OWN, Training(0.5, (1.0,), 1.0))
    path = run.folder / "front.csv"
    run.write_front(run.front())
    assert next(csv.DictReader(path.read_text().splitlines()))["test_accuracy"] == ""
    key = run.archive.add_context({"test": "split"})
    run.archive.add_alias(full_training_alias(tiny, "images"), key)
    run.archive.add_full_training(key, OWN, trained(7))
    run.write_front(run.front())
    row = next(csv.DictReader(path.read_text().splitlines()))
    assert (float(row["test_accuracy"]), float(row["test_low"])) == (0.7, Score(7, 10).interval[0])
    written = path.stat().st_mtime_ns
    run.write_front(run.front())
    assert path.stat().st_mtime_ns == written
