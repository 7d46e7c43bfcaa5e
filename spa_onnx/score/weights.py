"""The weights of one dim, as a pass sees them.

A *unit* is what is removed at once: a lane, or for dims with uneven rows a lane of one row. Tensors
are read block by block, each once for all dims that run along it, so neither memory nor time grows
with the number of dims.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Axes, Dim, IntArray, size_of
from spa_onnx.algebra.size import Polynomial
from spa_onnx.algebra.space import Space
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.analyse.members import Member, Role
from spa_onnx.errors import InternalError
from spa_onnx.load.source import CHUNK
from spa_onnx.load.store import PACKED_TYPES, byte_length, is_external
from spa_onnx.plan.lanes import KeptLanes
from spa_onnx.score.consumers import Consumer, ConsumerReader, Pair

FloatArray = NDArray[np.float64]
Saliency = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""An elementwise function of weights, such as ``np.abs``."""

SCORED = frozenset({1, 10, 11, 16, 2, 3, 21, 22})
"""TensorProto types that are scored: floats of two bytes and more, integers of a byte and less."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Which unit every weight of one member belongs to.

    Attributes:
        axes: one axis of the tensor, or two where rows and lanes lie on different ones.
        units: ``(length,)`` or ``(length, length)`` unit by position on these axes, -1 for none.
    """

    axes: tuple[int, ...]
    units: IntArray


@dataclass
class WeightReader:
    """Reads initializers once for all dims of a model and keeps only sums.

    Attributes:
        analysis: the dims.
        consumers: reads what activations tell; None where no pass asked for it.
    """

    analysis: Analysis
    consumers: ConsumerReader | None = None
    _wanted: dict[str, set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))
    _sums: dict[tuple[Saliency, str, tuple[int, ...]], FloatArray] = field(default_factory=dict)
    _labels: dict[tuple[Dim, Member], Labels | None] = field(default_factory=dict)
    _said: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for dim in self.analysis.dims:
            for member in dim.members:
                labels = self.labels(dim, member)
                if labels is not None:
                    self._wanted[member.tensor].add(labels.axes)

    @cached_property
    def scales(self) -> frozenset[str]:
        """Return the tensors that scale batch normalisations."""
        nodes = self.analysis.propagation.graph.nodes
        return frozenset(n.inputs[1] for n in nodes if n.op == "BatchNormalization")

    def note(self, text: str, dim: str) -> None:
        """Remember what a pass says of a dim."""
        self._said.setdefault(text, []).append(dim)

    def notes(self) -> tuple[str, ...]:
        """Return what passes said, each text once with the dims that it is about."""
        total = len(self.analysis.dims)
        return tuple(
            f"{text} ({len(names)} of {total} dims, such as {names[0]})"
            for text, names in self._said.items()
        )

    def weights(self, dim: PrunableDim) -> DimWeights:
        """Return the weights of a dim."""
        rows = 1 if dim.rows is None else dim.rows.size
        return DimWeights(dim.name, dim.dim.size, rows, dim, self)

    def labels(self, dim: PrunableDim, member: Member) -> Labels | None:
        """Return the units along a member; None for tensors that hold no stored floats."""
        key = (dim.dim, member)
        if key not in self._labels:
            self._labels[key] = self._find_labels(dim, member)
        return self._labels[key]

    def _find_labels(self, dim: PrunableDim, member: Member) -> Labels | None:
        tensor = self.analysis.propagation.graph.tensors.get(member.tensor)
        if tensor is None or tensor.data_type not in SCORED:
            return None
        axes = self.analysis.propagation.axes_of(member.tensor) or ()
        return labels_along(self.analysis.propagation.space, dim, axes, member.axis)

    def sums(self, saliency: Saliency, name: str, axes: tuple[int, ...]) -> FloatArray:
        """Return the saliency of a tensor summed over all but the given axes."""
        key = (saliency, name, axes)
        if key not in self._sums:
            self._read(saliency, name)
        return self._sums[key]

    def _read(self, saliency: Saliency, name: str) -> None:
        """Sum one tensor over everything that some dim wants to keep apart."""
        shape = tuple(self.analysis.propagation.graph.tensors[name].dims)
        totals = {axes: np.zeros([shape[k] for k in axes]) for axes in self._wanted[name]}
        for rows, block in _blocks(self.analysis, name):
            values = saliency(block)
            for axes, total in totals.items():
                others = tuple(k for k in range(values.ndim) if k not in axes)
                part = values.sum(axis=others) if others else values
                if axes[0] == 0:
                    total[rows] += part
                else:
                    total += part
        for axes, total in totals.items():
            self._sums[saliency, name, axes] = total


def labels_along(space: Space, dim: PrunableDim, axes: Axes, axis: int) -> Labels | None:
    """Return the units along an axis that holds a dim; None where its rows are on no axis."""
    lanes = KeptLanes(space, {})
    inside = lanes.lanes_by_position(axes[axis])
    lane = inside[dim.dim, 0]
    if dim.rows is None:
        return Labels((axis,), lane)
    row = inside.get((dim.rows, 0))
    if row is not None:
        return Labels((axis,), np.where(lane < 0, -1, row * dim.dim.size + lane))
    for k, other in enumerate(axes):
        if k == axis or isinstance(size_of(other), Polynomial):
            continue
        row = lanes.lanes_by_position(other).get((dim.rows, 0))
        if row is not None:
            units = np.where(lane[None] < 0, -1, row[:, None] * dim.dim.size + lane[None])
            return Labels((k, axis), units) if k < axis else Labels((axis, k), units.T)
    return None


def _blocks(analysis: Analysis, name: str) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """Yield a tensor in slices of its first axis, as float32 or wider."""
    graph = analysis.propagation.graph
    tensor = graph.tensors[name]
    if not is_external(tensor) or not tensor.dims or tensor.data_type in PACKED_TYPES:
        yield slice(None), _wide(graph.array(name), tensor.data_type)
        return
    step = max(1, CHUNK // max(1, byte_length(tensor) // tensor.dims[0]))
    for start in range(0, tensor.dims[0], step):
        stop = min(tensor.dims[0], start + step)
        yield slice(start, stop), _wide(graph.weights.rows(tensor, start, stop), tensor.data_type)


UNSIGNED_MIDDLE: dict[int, int] = {onnx.TensorProto.UINT8: 128, onnx.TensorProto.UINT4: 8}
"""What unsigned weights are counted from: quantisers put the real zero in the middle."""


def _wide(array: NDArray[np.generic], element: int) -> NDArray[np.floating]:
    """Return weights as float32, or float64 where they are."""
    if element == onnx.TensorProto.DOUBLE:
        return array.astype(np.float64, copy=False)
    wide: NDArray[np.float32] = array.astype(np.float32, copy=False)
    middle = UNSIGNED_MIDDLE.get(element)
    return wide if middle is None else wide - np.float32(middle)


@dataclass(frozen=True, slots=True)
class DimWeights:
    """Everything stored that would go with a lane.

    Attributes:
        name: stable name of the dim.
        lanes: number of lanes.
        rows: number of rows that keep lanes of their own, 1 where all keep the same.
    """

    name: str
    lanes: int
    rows: int
    _dim: PrunableDim
    _reader: WeightReader

    @property
    def units(self) -> int:
        """Return the number of units, ``rows * lanes``."""
        return self.rows * self.lanes

    @property
    def matrix_count(self) -> int:
        """Return along how many axes of weights lanes are made or summed over."""
        return sum(member.role != "follows" for member in self._dim.members)

    def total(self, saliency: Saliency, *roles: Role) -> FloatArray:
        """Return the sum of an elementwise saliency over all weights of each unit.

        Args:
            saliency: maps an array of weights to one of the same shape. Pass a function with an
                identity of its own (``np.abs``, not a new lambda a dim): sums are kept for it.
            roles: members to see; all when none is named.
        """
        total = np.zeros(self.units)
        for member in self._dim.members:
            labels = self._reader.labels(self._dim, member)
            if labels is None or (roles and member.role not in roles):
                continue
            sums = self._reader.sums(saliency, member.tensor, labels.axes)
            held = labels.units >= 0
            total += np.bincount(labels.units[held], sums[held], self.units)
        return total

    def norm_scales(self) -> FloatArray | None:
        """Return the absolute scales of batch normalisations, summed, shape ``(units,)``.

        None where no BatchNormalization runs along the dim.
        """
        total = np.zeros(self.units)
        found = False
        for member in self._dim.members:
            labels = self._reader.labels(self._dim, member)
            if labels is None or member.tensor not in self._reader.scales:
                continue
            found = True
            sums = self._reader.sums(np.abs, member.tensor, labels.axes)
            held = labels.units >= 0
            total += np.bincount(labels.units[held], sums[held], self.units)
        return total if found else None

    def note(self, text: str) -> None:
        """Tell the user something of this dim, such as by what it was scored instead.

        Texts are told once, with the number of dims that they are about, so use the same one.
        """
        self._reader.note(text, self.name)

    def consumers(self) -> Sequence[Consumer]:
        """Return the layers that sum over the dim, for passes that need ``moments``.

        Empty where no stored weight does, as for lanes of queries and keys.

        Raises:
            InternalError: the pass did not declare that it needs them.
        """
        if self._reader.consumers is None:
            raise InternalError("a pass asks for consumers without declaring needs = {'moments'}")
        return self._reader.consumers.consumers(self._dim)

    def pairs(self) -> Sequence[Pair]:
        """Return the products of activations that sum over the dim, such as queries with keys.

        For passes that need ``moments``, as :meth:`consumers` is.

        Raises:
            InternalError: the pass did not declare that it needs them.
        """
        if self._reader.consumers is None:
            raise InternalError("a pass asks for pairs without declaring needs = {'moments'}")
        return self._reader.consumers.pairs(self._dim)

    def matrices(self, *roles: Role) -> Iterator[NDArray[np.floating]]:
        """Yield for every member its weights as ``(units, weights per unit)``, a tensor at a time.

        For criteria that compare units with each other; a whole member is in memory.
        """
        graph = self._reader.analysis.propagation.graph
        for member in self._dim.members:
            labels = self._reader.labels(self._dim, member)
            if labels is None or (roles and member.role not in roles):
                continue
            array = graph.array(member.tensor)
            element = graph.tensors[member.tensor].data_type
            front = np.moveaxis(_wide(array, element), labels.axes, range(len(labels.axes)))
            flat = front.reshape(labels.units.size, -1)
            units = labels.units.reshape(-1)
            order = np.argsort(units, kind="stable")[np.count_nonzero(units < 0) :]
            yield flat[order].reshape(self.units, -1).astype(np.float64)
