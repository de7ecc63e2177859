"""NASNet-A.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, figure 4 and table 2: the
mobile network, 4 @ 1056, has 5.3 million parameters. What the paper leaves open is that of the published code
(tensorflow/models, research/slim/nets/nasnet).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evomnas.networks.network import SamePad

_EPSILON = 1e-3
_LAST_FILTERS = 24  # filters of the last cell's output, relative to those of the first cells


@dataclass(frozen=True, slots=True)
class NASNetSize:
    """The numbers of a NASNet-A.

    Attributes:
        cells: Normal cells in a row, three times.
        filters: Filters of a branch in the first cells.
        stem: Filters of the first convolution.
        skips_reduction: Whether the cell behind a reduction reads what the reduction's predecessor read; else it reads
            the reduction's input.
    """

    cells: int
    filters: int
    stem: int
    skips_reduction: bool


MOBILE = NASNetSize(4, 44, 32, skips_reduction=False)
LARGE = NASNetSize(6, 168, 96, skips_reduction=True)


def _norm(filters: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(filters, eps=_EPSILON)


def _conv(in_filters: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution with TensorFlow's padding."""
    pad: list[nn.Module] = [SamePad(kernel, stride)] if stride > 1 else []
    padding = 0 if pad else kernel // 2
    return [*pad, nn.Conv2d(in_filters, filters, kernel, stride, padding, groups=groups, bias=False)]


def _pointwise(in_filters: int, filters: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), *_conv(in_filters, filters, 1), _norm(filters))


def _separable(in_filters: int, filters: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return two depthwise separable convolutions, each behind an activation; the first has the stride."""
    modules: list[nn.Module] = []
    for inputs, step in ((in_filters, stride), (filters, 1)):
        depthwise = _conv(inputs, inputs, kernel, step, inputs)
        modules += [nn.ReLU(), *depthwise, *_conv(inputs, filters, 1), _norm(filters)]
    return nn.Sequential(*modules)


class _Pool(nn.Module):
    """Pooling over 3x3 pixels, with stride 2 and TensorFlow's padding or with stride 1."""

    def __init__(self, pool: Callable[..., Tensor], stride: int) -> None:
        super().__init__()
        self.pool, self.pad = pool, SamePad(3, stride)
        self.stride, self.edge = stride, float("-inf") if pool is F.max_pool2d else 0.0

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return self.pool(F.pad(x, self.pad.around(x), value=self.edge), 3, 2)


class _Halve(nn.Module):
    """Halves height and width without losing half of the pixels' positions: two convolutions, one pixel apart."""

    def __init__(self, in_filters: int, filters: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(in_filters, filters // 2, 1, bias=False) for _ in range(2))
        self.norm = _norm(filters // 2 * 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = F.pad(x, (-1, 1, -1, 1))
        halves = [conv(one[:, :, ::2, ::2]) for conv, one in zip(self.convs, (x, shifted), strict=True)]
        result: Tensor = self.norm(torch.cat(halves, 1))
        return result


class _Cell(nn.Module):
    """A normal cell or a reduction: both inputs are brought to the cell's filters and size.

    Attributes:
        filters: The filters of a branch.
        adjust_before: What the input before the last one passes.
        adjust: What the last input passes.
    """

    def __init__(self, before: int, inputs: int, filters: int, halves: bool) -> None:
        super().__init__()
        self.filters = filters
        self.adjust_before: nn.Module = _Halve(before, filters) if halves else _pointwise(before, filters)
        self.adjust = _pointwise(inputs, filters)

    def inputs(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        return self.adjust(x), self.adjust_before(before)


class _NormalCell(_Cell):
    def __init__(self, before: int, inputs: int, filters: int, halves: bool) -> None:
        super().__init__(before, inputs, filters, halves)
        kernels = (5, 3, 5, 3, 3)
        self.branches = nn.ModuleList(_separable(filters, filters, kernel) for kernel in kernels)
        self.average = _Pool(F.avg_pool2d, 1)
        self.out_filters = 6 * filters

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        x, before = self.inputs(x, before)
        branches, averaged = self.branches, self.average(before)
        sums = [
            branches[0](x) + branches[1](before),
            branches[2](before) + branches[3](before),
            self.average(x) + before,
            averaged + averaged,
            branches[4](x) + x,
        ]
        return torch.cat([before, *sums], 1)


class _Reduction(_Cell):
    def __init__(self, before: int, inputs: int, filters: int, halves: bool = False, is_first: bool = False) -> None:
        super().__init__(before, inputs, filters, halves)
        wide = filters
        if is_first:  # reads the first convolution as it is
            self.adjust_before, wide = nn.Identity(), before
        self.branches = nn.ModuleList(
            [
                _separable(filters, filters, 5, 2), _separable(wide, filters, 7, 2), _separable(wide, filters, 7, 2),
                _separable(wide, filters, 5, 2), _separable(filters, filters, 3),
            ]
        )  # fmt: skip
        self.largest, self.mean, self.average = _Pool(F.max_pool2d, 2), _Pool(F.avg_pool2d, 2), _Pool(F.avg_pool2d, 1)
        self.out_filters = 4 * filters

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        x, before = self.inputs(x, before)
        branches, largest = self.branches, self.largest(x)
        first = branches[0](x) + branches[1](before)
        second = largest + branches[2](before)
        sums = [
            second,
            self.mean(x) + branches[3](before),
            self.average(first) + second,
            branches[4](first) + largest,
        ]
        return torch.cat(sums, 1)


class NASNetA(nn.Module):
    """NASNet-A without its auxiliary head."""

    def __init__(self, classes: int, channels: int, size: NASNetSize = MOBILE) -> None:
        """Create the network with weights of PyTorch's own initialisation.

        Args:
            classes: The number of logits.
            channels: The channels of the images.
            size: Its size.
        """
        super().__init__()
        self.skips_reduction = size.skips_reduction
        stem, filters = size.stem, size.filters
        self.stem = nn.Sequential(nn.Conv2d(channels, stem, 3, 2, bias=False), _norm(stem))
        first = _Reduction(stem, stem, filters // 4, is_first=True)
        second = _Reduction(stem, first.out_filters, filters // 2, halves=True)
        cells: list[_NormalCell | _Reduction] = [first, second]
        before, inputs = first.out_filters, second.out_filters
        for stage in range(3):
            if stage:
                reduction = _Reduction(before, inputs, filters * 2**stage)
                before = before if size.skips_reduction else inputs
                inputs = reduction.out_filters
                cells.append(reduction)
            for number in range(size.cells):
                cell = _NormalCell(before, inputs, filters * 2**stage, halves=number == 0)
                before, inputs = inputs, cell.out_filters
                cells.append(cell)
        self.cells = nn.ModuleList(cells)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(_LAST_FILTERS * filters, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits.

        Args:
            x: Normalised images, shape (n, channels, h, w), of at least 3 pixels.

        Returns:
            The logits, shape (n, classes).
        """
        x = before = self.stem(x)
        for number, cell in enumerate(self.cells):
            output = cell(x, before)
            is_late_reduction = number > 1 and isinstance(cell, _Reduction)
            before = before if is_late_reduction and self.skips_reduction else x
            x = output
        logits: Tensor = self.classifier(self.pool(F.relu(x)).flatten(1))
        return logits
