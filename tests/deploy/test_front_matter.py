"""The head of a model card, read as the Hugging Face Hub's own library reads it."""

from __future__ import annotations

import pytest

from evomnas.deploy.cards.front_matter import front_matter

hub = pytest.importorskip("huggingface_hub")


def test_the_hub_reads_task_and_score_from_a_card(trained):
    card = (trained.folder / "README.md").read_text()
    read = hub.ModelCard(card)
    assert (read.data.library_name, read.data.pipeline_tag) == ("pytorch", "image-classification")
    assert "evomnas" in read.data.tags
    [score] = read.data.eval_results
    assert score.dataset_name == "tiny"
    assert score.metric_type == "accuracy"
    assert score.metric_value == pytest.approx(trained.result.score.accuracy, abs=1e-6)
    assert read.text.lstrip().startswith("# ")


@pytest.mark.parametrize("title", ["plain", 'quo"ted: # [x]', "häuser 🏠", "a\x7fb\x85c", "- ---\n---"])
def test_any_title_can_be_read(title):
    read = hub.ModelCard(front_matter(title, "photos", 0.5, "weights of EfficientNet-Lite0") + "\n# text\n")
    assert read.data.model_name == "".join(letter for letter in title if letter.isprintable()) or "\n" in title
    assert "fine-tuned" in read.data.tags


def test_the_licence_is_the_owners_choice():
    assert "# license: mit  # choose one that suits your images: https://" in front_matter("t", "p", 0.5, None)
