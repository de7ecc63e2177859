"""The model card of a detector: what it finds and how well, and the code that draws boxes on a picture."""

from __future__ import annotations

from collections.abc import Sequence

from evomnas.data.photographs import Preprocessing
from evomnas.deploy.cards.card import format_share
from evomnas.deploy.cards.front_matter import detector_front_matter
from evomnas.deploy.cards.markdown import escape_markdown, markdown_table
from evomnas.deploy.detection.detector_files import DetectorManifest, Interval

RANDOM_WEIGHTS = "random weights"  # from which a detector that a search found starts
SHOWN_CLASSES = 20  # names on the card

SNIPPET = """\
import evomnas
from PIL import Image, ImageDraw, ImageOps

detector = evomnas.load_detector(".")  # a torch module: the detector of this folder
picture = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
draw = ImageDraw.Draw(picture)
for found in detector.find("photo.jpg"):  # the surest first
    if found.score < 0.5:
        break
    left, upper, right, lower = found.box
    box = (left * picture.width, upper * picture.height, right * picture.width, lower * picture.height)
    draw.rectangle(box, outline="red", width=3)
    draw.text(box[:2], f"{found.name} {found.score:.0%}", fill="red")
picture.save("found.png")
"""


def detector_card(title: str, problem: str, manifest: DetectorManifest) -> str:
    """Return the model card of a trained detector.

    Args:
        title: Its title.
        problem: The name of the problem.
        manifest: All that is known of the detector.

    Returns:
        The card in Markdown.
    """
    test, classes, recipe = manifest.test, manifest.classes, manifest.recipe
    names = ", ".join(map(escape_markdown, classes[:SHOWN_CLASSES]))
    more = f" and {len(classes) - SHOWN_CLASSES} more" if len(classes) > SHOWN_CLASSES else ""
    preprocessing = Preprocessing(channels=manifest.channels, resolution=manifest.resolution, fit=manifest.fit)
    rows = [
        ("Task", f"find objects of {len(classes)} classes: {names}{more}"),
        ("Input", f"{preprocessing.describe()}; pixel values from 0 to 255; normalisation is part of the network"),
        ("Parameters, MACs", f"{manifest.params:,}, {manifest.macs:,}"),
        ("Test AP (COCO's, 0.5 to 0.95)", _share(test.ap, test.ap_interval)),
        ("Test AP50", _share(test.ap50, test.ap50_interval)),
        ("Test images", f"{test.images:,}; intervals are bootstrapped over them"),
        *([("Latency", _latency(manifest))] if manifest.latency else []),
        *([("Found by", escape_markdown(manifest.origin))] if manifest.origin else []),
        ("Started from", escape_markdown(manifest.start)),
        ("Trained on", f"{manifest.trained_on:,} images, {recipe['epochs']} epochs, {recipe['optimizer']}, batch "
                       f"{recipe['batch']}, learning rate {recipe['learning_rate']:g}"),
        ("Software", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]  # fmt: skip
    by_class = [(escape_markdown(name), "-" if ap is None else format_share(ap)) for name, ap in test.by_class.items()]
    started_from = None if manifest.start == RANDOM_WEIGHTS else manifest.start
    head = detector_front_matter(title, problem, test.ap, test.ap50, started_from)
    return f"""{head}
# {escape_markdown(title)}

`{manifest.network}` with SSDLite

{markdown_table(("", ""), rows, left=2)}

{usage_section()}
## By class

{markdown_table(("class", "test AP"), by_class)}

## Limits

- The test images were read once, after the training had ended, and come from the same source as the training images. On
  images of another camera, light or subject the precision is unknown and probably lower.
- Scores are not calibrated probabilities. From which score on a box counts is up to the use.
- Latencies are without suppression, whose time depends on the image.
"""


def usage_section(files: Sequence[Sequence[str]] = ()) -> str:
    """Return the section of a model card that says how the detector is used, with its exported files.

    Args:
        files: A row of cells for each file: name, AP, AP50, agreement with PyTorch, latency in milliseconds, KiB.

    Returns:
        The section in Markdown, from its heading on.
    """
    header = ("file", "test AP", "AP50", "as PyTorch", "latency ms", "KiB")
    listed = f"""
{markdown_table(header, list(files))}

They take one image of pixel values from 0 to 255, and return `boxes` from 0 to 1 and `scores` of the classes at every
anchor. Names of classes and the way of a picture to its pixels are in their metadata. "As PyTorch": boxes that are
found in the same place. `evomnas predict FILE photo.jpg` runs any of them.
"""
    return f"""## Use

This runs as it stands in this folder, with evomnas, on a picture `photo.jpg` of yours. It draws what was found into
`found.png`. On the command line, `evomnas predict . photo.jpg` prints classes, scores and boxes.

```python
{SNIPPET}```

`detector(pixels)` itself returns a box and scores at every anchor. `evomnas.networks.detection.suppression.suppress`
leaves one box for each object.
{listed if files else ""}"""


def _share(value: float, interval: Interval) -> str:
    if interval is None:
        return "the test images have nothing to find"
    low, high = interval
    return f"{format_share(value, 1)} (95 % interval {format_share(low, 1)} to {format_share(high, 1)})"


def _latency(manifest: DetectorManifest) -> str:
    latency = manifest.latency
    assert latency is not None
    return (
        f"{latency.ms:.4f} ms (95 % interval {latency.interval[0]:.4f} to {latency.interval[1]:.4f}): {latency.setting}"
    )
