"""The report of a run: before and after, the proof, what stayed and why, time by stage."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from spa_onnx.prove.proof_values import Proof


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a model costs.

    Attributes:
        parameters: elements of floating-point initializers.
        operations: multiply-accumulate operations of one run at the nominal input size.
        bytes: bytes of all initializers.
    """

    parameters: int
    operations: int
    bytes: int


@dataclass(frozen=True, slots=True)
class DimReport:
    """Width of one dim before and after; ``uneven`` dims keep other lanes in every row."""

    name: str
    before: int
    after: int
    uneven: bool
    tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A weight axis that stayed whole, with the operators that fixed it."""

    tensor: str
    axis: int
    length: int
    parameters: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftAsCut:
    """Layers behind a cut, or products of activations that lost lanes, that were not repaired.

    Attributes:
        operator: their type.
        count: their number.
        reason: why.
    """

    operator: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did, and how far the outputs are from the original's.

    Attributes:
        layers: number of layers that were refitted; none without a compensation pass.
        samples: number of inputs that they were refitted on.
        origin: where these come from.
        before: distance of the pruned model's outputs to the original's on these inputs, squared,
            in shares of their variance.
        after: the same of the repaired model.
        coarse: layers whose second moments take more memory than allowed, so that of them the bias
            alone was repaired.
        plain: the distance of the model that plain L2 makes at the same budget, unrepaired; None
            where that could not be made.
        products: number of products of activations, such as queries with keys, whose layers make
            up for lanes that they lost.
        left: layers and products that were left as they were cut.
    """

    layers: int
    samples: int
    origin: str
    before: float
    after: float
    coarse: tuple[str, ...] = ()
    plain: float | None = None
    products: int = 0
    left: tuple[LeftAsCut, ...] = ()


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """How fast the result is on the machine that made it; times in seconds.

    Attributes:
        target: what was asked for.
        dense: of the original, median of its runs.
        estimated: of the result, from profiles of single nodes.
        measured: of the result: the original's times the median ratio of runs in turns.
        ratio: the same as a share of the original's.
        spread: distance of the quartiles of the result's runs, as a share of their median.
        runs: of each of the two behind ``measured``.
        rounds: models that were measured on the way.
        threads: that a node could use.
        shapes: of the inputs.
    """

    target: float
    dense: float
    estimated: float
    measured: float
    ratio: float
    spread: float
    runs: int
    rounds: int
    threads: int
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class PruneReport:
    """Everything that is known about a run.

    Attributes:
        model: where the model came from.
        before: cost of the original.
        after: cost of the result.
        dims: widths of the prunable dims.
        refusals: weight axes that stayed whole, heaviest first.
        unknown_operators: operator type -> nodes that no rule covers.
        proof: the comparison; None when it was switched off.
        seconds: wall-clock time of every stage.
        settings: options, passes and seed.
        versions: of spa-onnx and what it builds on.
        notes: what a user should know about this result.
        repair: what compensation did, and how far outputs are from the original's; None where no
            pass ran the model.
        latency: how a budget in latency was met; None for other budgets.
    """

    model: str
    before: Sizes
    after: Sizes
    dims: tuple[DimReport, ...]
    refusals: tuple[Refusal, ...]
    unknown_operators: Mapping[str, int]
    proof: Proof | None
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    notes: tuple[str, ...]
    repair: RepairReport | None = None
    latency: LatencyReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values; non-finite numbers as text, which JSON lacks."""
        content = asdict(self)
        if self.proof is not None:
            content["proof"] |= {"largest": self.proof.largest, "power": self.proof.power}
        return dict(_plain(content))

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def library_versions() -> dict[str, str]:
    """Return versions of what a result depends on."""
    found = {}
    for name in ("spa-onnx", "onnx", "onnxruntime", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
