"""What a problem with a donor has by default, and what it may change."""

from __future__ import annotations

import pytest
from tiny_problem import TINY

from evomnas.core.errors import InputError
from evomnas.problem.loading import builtin_problems, load_definition, validate_definition
from evomnas.problem.pretrained.donors import find_donor
from evomnas.problem.pretrained.heritage import check_space
from evomnas.problem.pretrained.space import space_around

LITE0 = find_donor("efficientnet-lite0")


def test_a_donor_takes_the_place_of_a_problem_s_own_space_and_recipes():
    definition = load_definition("images", donor="efficientnet-lite0")
    assert definition.space == space_around(LITE0, 96)
    assert (definition.training.optimizer, definition.training.learning_rate) == ("adamw", 3e-4)
    assert (definition.training.epochs, definition.training.batch) == (3, 32)  # docs/pretrained-recipes.md
    assert (definition.training.head_rate, definition.training.statistics) == (3.0, "frozen")
    assert (definition.full.schedule, definition.full.statistics, definition.full.optimizer) == (
        "cosine",
        "frozen",
        "adamw",
    )
    assert definition.data.augment == load_definition("images").data.augment
    assert definition.words.reference == "efficientnet-lite0"
    assert definition.reference({}) == definition.space.reference_network()


def test_a_setting_says_the_same_as_the_option():
    by_option = load_definition("images", ["data.resolution=64", "training.epochs=2"], donor="efficientnet-lite0")
    assert (
        load_definition("images", ["training.epochs=2", "weights.donor=efficientnet-lite0", "data.resolution=64"])
        == by_option
    )
    assert by_option.training.epochs == 2
    assert max(by_option.space.resolutions) == 64


def test_single_choices_of_the_preset_space_can_be_changed():
    definition = load_definition(
        "images", ["space.resolutions=[64, 96]", "space.se_ratios=[0, 0.25]"], donor="mobilenet-v2"
    )
    assert definition.space.resolutions == (64, 96)
    assert definition.space.se_ratios == (0.0, 0.25)
    assert str(definition.space.traits) == "relu6_eps0.00001"


def test_a_problem_file_may_say_it_all(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nspace = "around donor"\n[data]\ndataset = "image-folder"\npath = "photos"\nresolution = 64\n'
        '[weights]\ndonor = "efficientnet-lite0"\nfile = "weights/lite0.pth"\n[training]\nepochs = 9\n'
    )
    definition = load_definition(path)
    assert definition.space == space_around(LITE0, 64)
    assert (definition.training.epochs, definition.training.optimizer) == (9, "adamw")
    assert definition.weights.file == (tmp_path / "weights" / "lite0.pth").resolve()


@pytest.mark.parametrize(
    ("name", "donor"),
    [("coco", None)]
    + [
        (name, donor)
        for name in sorted(set(builtin_problems()) - {"nas-bench-macro", "coco"})
        for donor in (None, "efficientnet-lite0")
    ],
)
def test_definitions_are_read_as_they_are_written(name, donor):
    """A run keeps its problem in this form."""
    definition = load_definition(name, ["data.resolution=96"], donor=donor)
    assert validate_definition(definition.model_dump(mode="json")) == definition


@pytest.mark.parametrize("name", ["training", "full"])
def test_the_recipe_of_a_problem_without_a_donor_has_the_context_of_older_versions(name):
    context = getattr(validate_definition(dict(TINY)), "full_recipe" if name == "full" else name).context
    assert set(context).isdisjoint({"head_rate", "statistics", "schedule", "class_weights"})
    ours = getattr(load_definition("images", donor="efficientnet-lite0"), name).context
    assert (ours["head_rate"], ours["statistics"]) == (3.0, "frozen")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": "around donor"}, "space = 'around donor' needs a donor: --donor NAME"),
        ({"space": {"preset": "around donor"}}, "needs a donor"),
        (
            {"space": {"preset": "around donor", "traits": {}}, "weights": {"donor": "mnasnet-b1"}},
            "weights work with the traits eps0.00001, and the network has the default ones",
        ),
        ({"space": "everything"}, "unknown space 'everything': there are 'around donor'"),
        ({"weights": {"donor": "lite0"}}, "unknown donor 'lite0'"),
        ({"weights": {}}, "weights.donor is missing"),
        ({"weights": {"donor": "efficientnet-lite0", "path": "x"}}, "unknown key 'weights.path'"),
        ({"weights": {"donor": "efficientnet-lite0"}}, "the donor has 7 blocks, and the space 2"),
        (
            {"space": {"preset": "around donor", "ops": ["conv"], "block_ops": []}, "weights": {"donor": "mnasnet-b1"}},
            "block 1 .conv_k3.* has nothing to inherit",
        ),
        (
            {"space": {"preset": "around donor", "skips": ["pool"]}, "weights": {"donor": "mnasnet-b1"}},
            "leave pool out of space.skips",
        ),
    ],
)
def test_wrong_donors_and_spaces_are_one_line(values, message):
    data = TINY["data"] | {"resolution": 64}
    with pytest.raises(InputError, match=message):
        validate_definition({**TINY, "data": data, **values})


def test_a_donor_that_is_named_twice_or_for_a_table_is_refused():
    with pytest.raises(InputError, match="the donor is named twice, by --donor and by --set"):
        load_definition("images", ["weights.donor=mnasnet-b1"], donor="mnasnet-b1")
    with pytest.raises(InputError, match="the networks of a table are not trained, and have no donor"):
        load_definition("nas-bench-macro", donor="mnasnet-b1")


def test_a_space_with_other_blocks_than_the_donor_is_refused():
    with pytest.raises(InputError, match="the donor has 7 blocks, and the space 2"):
        check_space(
            find_donor("mnasnet-b1").architecture,
            validate_definition({**TINY, "space": {**TINY["space"], "traits": {"epsilon": 1e-5}}}).space,
        )
