"""Files for devices: how each format is written, what it holds, and the code that runs it.

- `base`: the interface of a format.
- `onnx_format`, `executorch_format`, `litert_format`: the formats, in float and int8.
- `any_size`: files that take images of any size, or any number of them.
- `checking`: files that are run on a folder of images, by their runtime alone.
- `pytorch/`: files for PyTorch without evomnas.
- `exported_files`: the table of a network's files, with their figures.
- `request`: the files that an export is asked for.
- `gains`: what each file brings against the float one.

`FORMATS` has all of them by name. Reading a file needs its runtime alone; torch is imported when a file is written.
"""

from evomnas.deploy.formats.base import ExportFormat, FlexibleFormat
from evomnas.deploy.formats.executorch_format import ExecuTorchFormat
from evomnas.deploy.formats.litert_format import LiteRTFormat
from evomnas.deploy.formats.onnx_format import OnnxFormat

FORMATS: dict[str, ExportFormat] = {kind.name: kind for kind in (OnnxFormat(), ExecuTorchFormat(), LiteRTFormat())}

__all__ = ["FORMATS", "ExportFormat", "FlexibleFormat"]
