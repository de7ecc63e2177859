"""Limits: counted in closed form, checked before any work, told to every algorithm, and against the space first."""

from __future__ import annotations

import itertools
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import architectures

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.core.resolution import sides
from evomnas.loop.launch import resume, search
from evomnas.networks.layer_costs import count_cost
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture, smallest_architecture
from evomnas.problem.loading import load_definition
from evomnas.problem.published import published
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.sections import ConstraintsSection
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.report.words import goal_lines
from evomnas.results.constraints import Limits
from evomnas.results.evaluation import Cost, Measurement, NetworkEvaluation, TabularEvaluation, Training
from evomnas.training.proxy_task import ProxyTask

SHAPE = {"classes": 10, "channels": 3, "resolution": 32}


@settings(max_examples=10)
@given(architectures, st.sampled_from([1, 3]), st.sampled_from([32, 45, (40, 33)]))
def test_counts_are_those_of_the_built_network(architecture, channels, resolution):
    """ptflops, which counts on modules, is the oracle."""
    assume(architecture.total_stride <= min(sides(resolution)))
    cost = count_cost(architecture, 10, channels, resolution)
    counts = count_architecture(architecture, 10, channels, resolution)
    assert (counts.params, counts.macs) == (cost.params, cost.macs)


@pytest.mark.parametrize(
    ("name", "params", "macs"), [("mnasnet-a1", 3_887_038, 311.3), ("mnasnet-b1", 4_383_312, 314.4)]
)
def test_counts_are_the_published_ones(name, params, macs):
    counts = count_architecture(published(name), 1000, 3, 224)
    assert counts.params == params
    assert counts.macs / 1e6 == pytest.approx(macs, abs=0.05)


@pytest.mark.parametrize("quantity", ["params", "macs"])
@pytest.mark.parametrize("filters", [(8, 8), (16, 8), (24, 40)])
def test_the_smallest_network_is_that_of_an_enumeration(quantity, filters):
    space = SearchSpace(
        filters=filters, layers=(1, 2), strides=(2, 1), stem=8, head=16, ops=("conv", "mbconv3", "dconv")
    )
    genomes = itertools.product(*(range(int(size)) for size in space.gene_sizes[:6]))
    found = smallest_architecture(space, attrgetter(quantity), **SHAPE)
    least = attrgetter(quantity)(count_architecture(found, **SHAPE))
    # block by block, since an enumeration of both would take long: the second block's genes of the smallest one
    tail = space.encode(found)[6:]
    assert least == min(
        attrgetter(quantity)(count_architecture(space.decode([*genome, *tail]), **SHAPE)) for genome in genomes
    )
    head = space.encode(found)[:6]
    tails = itertools.product(*(range(int(size)) for size in space.gene_sizes[6:]))
    assert least == min(attrgetter(quantity)(count_architecture(space.decode([*head, *t]), **SHAPE)) for t in tails)


ARCHITECTURE = Architecture.parse("stem8_s1-conv_k3_s1_f8_n1-head16")
MEASURED = Measurement(Cost(3000, 900_000, 0), 0.5, 0.4, 0.6, 1.25, (1.2, 1.3), 0.1)


def test_a_violation_is_the_sum_of_relative_excesses_and_takes_the_losses_away():
    limits = Limits(ConstraintsSection(max_latency_ms=0.4, max_params=2000, max_macs=10**6), SHAPE)
    evaluation = limits.apply(NetworkEvaluation(ARCHITECTURE, MEASURED, Training(0.9, (), 1.0)))
    assert evaluation.violation == pytest.approx((0.5 / 0.4 - 1) + (3000 / 2000 - 1))
    assert (evaluation.status, evaluation.losses, evaluation.relative_losses) == ("infeasible", None, None)
    assert not evaluation.ended
    fine = Limits(ConstraintsSection(max_latency_ms=0.5), SHAPE).apply(evaluation.__class__(ARCHITECTURE, MEASURED))
    assert (fine.violation, fine.status) == (0.0, "stopped")


def test_a_limit_that_is_just_kept_is_kept_and_one_within_makes_up_for_no_other():
    kept = ConstraintsSection(max_latency_ms=0.5, max_params=3000, max_macs=900_000)
    evaluation = NetworkEvaluation(ARCHITECTURE, MEASURED, Training(0.9, (), 1.0))
    assert Limits(kept, SHAPE).apply(evaluation) == evaluation
    one_beyond = ConstraintsSection(max_latency_ms=5.0, max_params=2999, max_macs=9_000_000)
    assert Limits(one_beyond, SHAPE).apply(evaluation).violation == pytest.approx(1 / 2999)
    assert Limits(ConstraintsSection(), SHAPE).apply(evaluation) == evaluation


def test_a_table_s_networks_are_not_counted_and_lose_their_losses():
    row = TabularEvaluation(TabularArchitecture("0"), (0.1, 5.0), (0.1, 0.5), {"latency_ms": 5.0})
    beyond = Limits(ConstraintsSection(max_latency_ms=4.0, max_params=1)).apply(row)
    assert (beyond.violation, beyond.losses) == (pytest.approx(0.25), None)
    unknown = TabularEvaluation(TabularArchitecture("1"), None, None, {})
    assert Limits(ConstraintsSection(max_latency_ms=4.0)).apply(unknown) == unknown


def test_a_space_is_checked_by_its_smallest_network_exactly():
    space = SearchSpace(filters=(8, 8), layers=(1, 1), strides=(2, 1), stem=8, head=16)
    for name in ("params", "macs"):
        quantity = attrgetter(name)
        least = quantity(count_architecture(smallest_architecture(space, quantity, **SHAPE), **SHAPE))
        Limits(ConstraintsSection(**{f"max_{name}": least}), SHAPE).check(space)
        with pytest.raises(InputError, match=f"no network of the space meets constraints.max_{name} = {least - 1:,}"):
            Limits(ConstraintsSection(**{f"max_{name}": least - 1}), SHAPE).check(space)
        Limits(ConstraintsSection(**{f"max_{name}": 1})).check(space)  # without a shape nothing can be counted


def test_a_limit_that_cannot_be_met_is_refused_with_the_closest_network_and_its_distance():
    limits = Limits(ConstraintsSection(max_latency_ms=0.5, max_params=2000))
    limits.refuse("latency_ms", 0.5, "x")
    message = (
        r"constraints.max_params = 2,000: the closest one has 3,000 parameters, 50% more \(x\); raise the limit, "
        r"or make the space smaller \(space.width\)"
    )
    with pytest.raises(InputError, match=message):
        limits.refuse("params", 3000, "x")
    with pytest.raises(InputError, match="max_latency_ms = 0.5: the closest one has 0.75 milliseconds, 50% more"):
        limits.refuse("latency_ms", 0.75, "x")


def test_parameters_and_macs_count_before_anything_was_measured():
    counts = count_architecture(ARCHITECTURE, **SHAPE)
    unknown = NetworkEvaluation(ARCHITECTURE)
    assert Limits(ConstraintsSection(max_params=counts.params), SHAPE).apply(unknown).status == "stopped"
    assert Limits(ConstraintsSection(max_params=counts.params - 1), SHAPE).apply(unknown).status == "infeasible"
    assert Limits(ConstraintsSection(max_macs=counts.macs - 1), SHAPE).apply(unknown).status == "infeasible"


def test_no_minute_goes_into_a_network_that_cannot_count(tiny_file, tmp_path, monkeypatch):
    from evomnas.latency.devices import local

    trained, measured = [], []
    original_train, original_compare = ProxyTask.train, local.compare

    def compare(candidates, *rest):
        measured.append(len(candidates))
        return original_compare(candidates, *rest)

    monkeypatch.setattr(ProxyTask, "train", lambda self, one: trained.append(one) or original_train(self, one))
    monkeypatch.setattr(local, "compare", compare)
    shape = {"classes": 10, "channels": 1, "resolution": 8}
    space = load_definition(tiny_file).space
    limit = count_architecture(space.mobilenet_v2(), **shape).params
    overrides = [f"constraints.max_params={limit}"]
    run = search(tiny_file, "nsga2", overrides=overrides, budget=6, seed=1, out=tmp_path / "run")
    assert len(trained) == 6 == sum(measured)
    assert all(count_architecture(one, **shape).params <= limit for one in trained)
    rows = [result.to_dict() for result in run.results()]
    assert {row["status"] for row in rows} == {"ok", "infeasible"}
    assert all(row["losses"] is None and not row["on_front"] for row in rows if row["status"] == "infeasible")
    assert run.manifest.evaluations == 6


def test_a_network_beyond_the_latency_limit_is_measured_and_not_trained(tiny_file, tmp_path, monkeypatch):
    options = {"population": 10}
    free = search(tiny_file, "nsga2", options=options, budget=10, seed=1, out=tmp_path / "free")
    latencies = {str(r.evaluation.architecture): r.to_dict()["latency_ms"] for r in free.results()}
    limit = sorted(latencies.values())[5]
    monkeypatch.setattr(ProxyTask, "train", lambda *_: pytest.fail("was trained"))
    overrides = [f"constraints.max_latency_ms={limit}"]
    run = search(tiny_file, "nsga2", options=options, overrides=overrides, budget=6, seed=1, out=tmp_path / "run")
    assert [r.evaluation.status for r in run.results()][:10].count("ok") == 6
    assert max(r.evaluation.losses[1] for r in run.results() if r.evaluation.losses) <= limit


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.thorough if name == "rl-weighted" else ())  # it asks 20 times as much
        for name in sorted(registry.available("algorithms"))
    ],
)
def test_every_algorithm_finds_what_meets_the_limits(name, tabular_file, tmp_path):
    """Of 243 networks 15 take at most 2 ms."""
    overrides = ["constraints.max_latency_ms=2.0"]
    run = search(tabular_file, name, overrides=overrides, budget=15, seed=1, out=tmp_path / "run")
    good = [result for result in run.results() if result.evaluation.status == "ok"]
    assert len(good) == 15 or (name == "rl-weighted" and len(good) > 3)  # the controller settles on few networks
    assert all(result.evaluation.losses[1] <= 2.0 for result in good)
    assert run.manifest.evaluations == len(good)
    assert resume(run.folder, budget=15).manifest.hypervolume == run.manifest.hypervolume


def test_the_true_front_is_that_of_the_networks_within_the_limits(tabular_file, tmp_path):
    overrides = ["constraints.max_latency_ms=2.0"]
    run = search(tabular_file, "random", overrides=overrides, budget=243, out=tmp_path / "run")
    assert run.manifest.evaluations == 15
    assert run.true_share() == pytest.approx(1.0)


def test_a_hard_goal_takes_any_allowed_network_before_all_beyond_a_limit(tabular_file, tmp_path):
    """With a target far below what there is, allowed networks miss it by more than others miss the limit."""
    overrides, options = ["constraints.max_latency_ms=3.0"], {"target_ms": 0.5}
    run = search(
        tabular_file, "evo-constrained", options=options, overrides=overrides, budget=40, seed=2, out=tmp_path / "run"
    )
    latencies = [result.evaluation.losses[1] for result in run.results() if result.evaluation.losses]
    assert np.mean(latencies[-10:]) < np.mean(latencies[:10])
    [goal] = run.manifest.goals
    assert goal.best.losses[1] == min(latencies)
    assert "none within the target; closest: " in goal_lines(run)[1]
    assert ", score -" in goal_lines(run)[1]


def test_what_others_found_beyond_the_limits_does_not_matter(tabular_file, tmp_path):
    overrides = ["constraints.max_latency_ms=3.0"]
    alone = search(tabular_file, overrides=overrides, budget=30, seed=3, out=tmp_path / "a" / "run")
    search(tabular_file, "random", budget=243, out=tmp_path / "b" / "all")
    beside = search(tabular_file, overrides=overrides, budget=30, seed=3, out=tmp_path / "b" / "run")
    assert [ask.architecture for ask in beside.asks] == [ask.architecture for ask in alone.asks]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "constraints.max_params=100",
            r"no network of the space meets constraints.max_params = 100: .* parameters, \d+% ",
        ),
        ("constraints.max_macs=1000", "no network of the space meets constraints.max_macs = 1,000: .* MACs"),
        ("constraints.max_latency_ms=0.0000001", "no network of the space meets constraints.max_latency_ms = 1e-07"),
        ("constraints.max_latency=1", "did you mean constraints.max_latency_ms"),
        ("constraints.max_params=0", "greater than or equal to 1"),
    ],
)
def test_limits_that_no_network_meets_are_named_before_the_search(override, message, tiny_file, tmp_path):
    with pytest.raises(InputError, match=message):
        search(tiny_file, overrides=[override], budget=2, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_limits_that_no_row_of_a_table_meets_are_named_before_the_search(tabular_file, tmp_path):
    with pytest.raises(InputError, match="meets the constraints: 00000 comes closest .*exceeds them by 100%"):
        search(tabular_file, overrides=["constraints.max_latency_ms=0.5"], budget=2, out=tmp_path / "run")
    with pytest.raises(InputError, match="constraints.max_params = 5: no objective of the table has that quantity"):
        search(tabular_file, overrides=["constraints.max_params=5"], budget=2, out=tmp_path / "run")
