"""What a user can ask of a pruning run, and the checks that need no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spa_onnx.allocate.budget import Budget, Ratio
from spa_onnx.errors import RecipeError, UsageError
from spa_onnx.granularity import chosen_kinds
from spa_onnx.latency.vector import vector_lanes
from spa_onnx.recipe import VECTOR, Recipe, find_recipe

PROOF_MEMORY = 1_500_000_000
"""Default of ``PruneConfig.proof_memory``; a proof takes about half a gigabyte beside it."""

STATISTICS_MEMORY = 1_500_000_000
"""Default of ``PruneConfig.statistics_memory``."""


@dataclass(frozen=True, slots=True)
class PruneConfig:
    """Options of :func:`spa_onnx.prune`.

    Attributes:
        budget: how much may stay or must go.
        importance: name of an installed importance pass, or a pass object. Where neither this nor
            another pass nor a recipe is given, a run takes the recipe ``calibrated`` if there are
            calibration inputs, else ``data-free``, or ``magnitude`` for models that do not run;
            where only others are given, ``l2``.
        allocation: name of an installed allocation pass, or a pass object; None takes ``uniform``
            for a ratio and ``global`` for a cost budget.
        align: kept widths are multiples of this where a dim is long enough; None takes what the
            recipe says, or 1.
        exclude: shell patterns of node, tensor and dim names that stay whole.
        granularity: kinds of dims that may be cut, all if none is named; ``no-`` in front of a kind
            leaves its dims whole.
        input_shapes: numbers for inputs with symbolic axes, by input name.
        seed: for passes that draw numbers, and for the inputs of the proof.
        verify: prove the result before it is written.
        proof_memory: bytes that weights may take in one session of the proof; models above are
            proved piece by piece.
        compensation: name of an installed compensation pass, or a pass object, that repairs what
            stays; None leaves it as it is.
        calibration: inputs for passes that run the model: a path (``.npz``, ``.npy``, ``.jsonl``,
            a folder of images), arrays by input name, one array, an iterable of these, or
            :class:`~spa_onnx.inputs.batches.Batches`.
        samples: most items that are used; None takes 512, or of inputs that are made up as many as
            their size allows.
        preprocess: what makes inputs of images and tokens: the path of a description, the name of a
            preset, or a :class:`~spa_onnx.inputs.preprocess.Preprocess`.
        recipe: text of the recipe that the passes come from, for reports; see :meth:`of_recipe`.
        statistics_memory: bytes that what is collected from runs may take at once.
        threads: that ONNX Runtime may use within a node where latency is measured.
    """

    budget: Budget = field(default_factory=lambda: Ratio(0.5))
    importance: Any = None
    allocation: Any = None
    align: int | None = None
    exclude: tuple[str, ...] = ()
    granularity: tuple[str, ...] = ()
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    verify: bool = True
    proof_memory: int = PROOF_MEMORY
    compensation: Any = None
    calibration: Any = None
    samples: int | None = None
    preprocess: Any = None
    statistics_memory: int = STATISTICS_MEMORY
    recipe: str = ""
    threads: int = 1

    @staticmethod
    def of_recipe(recipe: Recipe | str, **options: Any) -> PruneConfig:
        """Return a configuration with the passes of a recipe, by name or read from a file.

        ``options`` are attributes of this class; what is among them goes before the recipe's. For a
        :class:`Ratio`, which says how wide every dim stays, the recipe's allocation is left out.

        Raises:
            RecipeError: there is no such recipe, or it names options that a pass does not have.
        """
        chosen = find_recipe(recipe) if isinstance(recipe, str) else recipe
        given = {key: value for key, value in options.items() if value is not None}
        if chosen.inputs == "given" and "calibration" not in given:
            problem = "needs calibration inputs (--calib); data-free makes some up"
            raise RecipeError(chosen.name, problem)
        if chosen.inputs == "made up" and "calibration" in given:
            problem = "makes up its inputs; for those of --calib there is calibrated"
            raise RecipeError(chosen.name, problem)
        made: dict[str, Any] = {k: chosen.make(k) for k in chosen.passes if k not in given}
        if isinstance(given.get("budget", Ratio(0.5)), Ratio):
            made.pop("allocation", None)
        if chosen.align is not None and "align" not in given:
            made["align"] = vector_lanes() if chosen.align == VECTOR else chosen.align
        return PruneConfig(**made, **given, recipe=chosen.text)

    def __post_init__(self) -> None:
        if self.align is not None and self.align < 1:
            raise UsageError(f"align {self.align} is not a positive number")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} is negative")
        if self.proof_memory < 1:
            raise UsageError(f"proof memory {self.proof_memory} is not a positive number of bytes")
        if self.statistics_memory < 1:
            text = f"statistics memory {self.statistics_memory} is not a positive number of bytes"
            raise UsageError(text)
        if self.threads < 1:
            raise UsageError(f"threads {self.threads} is not a positive number")
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples {self.samples} is not a positive number")
        if self.calibration is None and self.preprocess is not None:
            raise UsageError("preprocess describes calibration inputs; give these too")
        chosen_kinds(self.granularity)
        for name, shape in self.input_shapes.items():
            if any(n < 1 for n in shape):
                raise UsageError(f"input shape {name}:{shape} has a length below one")
