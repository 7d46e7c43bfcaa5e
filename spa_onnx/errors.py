"""Every error raised on purpose. Each takes facts, builds its own text and knows its exit code.

A model that cannot be used, a configuration that contradicts itself, a proof that fails and a
budget that cannot be met are different classes. "This axis cannot be pruned" is no error: it is a
reason in the analysis.
"""

from collections.abc import Sequence
from typing import ClassVar


class SpaError(Exception):
    """Base of all errors that a user can act on; ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 3


class UsageError(SpaError):
    """Options or configuration contradict themselves."""

    exit_code = 2


class UnknownPassError(UsageError):
    """No installed pass has this name."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"no {kind} pass named {name!r}; installed: {', '.join(sorted(known)) or 'none'} "
            "(see `spa-onnx passes`)"
        )


class DuplicatePassError(UsageError):
    """Two distributions registered a pass under one name."""

    def __init__(self, kind: str, name: str, owners: Sequence[str]) -> None:
        super().__init__(
            f"{len(owners)} {kind} passes are named {name!r} ({', '.join(owners)}); "
            "uninstall or rename one"
        )


class RecipeError(UsageError):
    """A recipe cannot be used."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"recipe {name!r} {problem}")


class SamePathError(UsageError):
    """The output would overwrite the input."""

    def __init__(self, path: str) -> None:
        super().__init__(f"output {path!r} is the input model; give -o another path")


class InputShapeError(UsageError):
    """An ``--input-shape`` that does not fit the model."""

    def __init__(self, name: str, given: str, problem: str) -> None:
        super().__init__(f"--input-shape {name}:{given}: {problem}")


class ModelError(SpaError):
    """The model cannot be used."""


class ModelFileError(ModelError):
    """The file is missing, truncated or no ONNX protobuf."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}")


class TensorDataError(ModelError):
    """A tensor whose data inside the model does not fit its shape or type."""

    def __init__(self, tensor: str, problem: str) -> None:
        super().__init__(f"tensor {tensor!r} {problem}. Export the model again")


class ExternalDataError(ModelError):
    """A tensor's external data is missing, too short or outside the model's folder."""

    def __init__(self, tensor: str, location: str, problem: str, remedy: str) -> None:
        super().__init__(f"tensor {tensor!r}: external data {location!r} {problem}. {remedy}")


class GraphError(ModelError):
    """The graph contradicts itself or the ONNX specification."""

    def __init__(self, node: str, problem: str, remedy: str) -> None:
        super().__init__(f"{node}: {problem}. {remedy}")


class RuntimeRefusedError(ModelError):
    """ONNX Runtime itself does not load or run the original model."""

    def __init__(self, path: str, stage: str, message: str) -> None:
        super().__init__(
            f"{path}: ONNX Runtime cannot {stage} the original model: {message.strip()} "
            "Repair the export first, or use --no-verify to prune without the proof"
        )


class TimedModelError(ModelError):
    """A model that is to be timed cannot be loaded, fed or run."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"{path}: {problem.strip()} Leave it out, or make it again; `spa-onnx doctor` tells "
            "whether the runtime and the kernels are in order"
        )


class OpenShapeError(ModelError):
    """A run needs a number for a symbolic axis, and any guess would decide what is measured."""

    def __init__(self, path: str, name: str, shape: Sequence[object]) -> None:
        axes = ",".join(str(n) for n in shape)
        numbers = ",".join(str(n) if isinstance(n, int) else "N" for n in shape)
        super().__init__(
            f"{path}: input {name!r} has symbolic shape [{axes}]. Give numbers with "
            f"--input-shape {name}:{numbers}"
        )


class UnknownShapeError(ModelError):
    """A symbolic input length is needed as a number and no guess of ours ran."""

    def __init__(self, name: str, shape: Sequence[object], message: str) -> None:
        axes = ",".join(str(n) for n in shape)
        super().__init__(
            f"input {name!r} has symbolic shape [{axes}] and the model does not run at the sizes "
            f"tried ({message.strip()}). Give one with --input-shape {name}:"
            + ",".join(str(n) if isinstance(n, int) else "N" for n in shape)
        )


class NothingToPruneError(ModelError):
    """No dim of the model is prunable, or every prunable one is excluded."""

    def __init__(self, reasons: Sequence[str], kinds: Sequence[str] = ()) -> None:
        detail = "; ".join(reasons) if reasons else "the model holds no weight matrices"
        if kinds:
            detail = f"the granularity leaves out all that there is, {', '.join(kinds)}"
        super().__init__(
            f"nothing can be pruned: {detail}. `spa-onnx analyze MODEL --why` lists every axis"
        )


class NonFiniteWeightsError(ModelError):
    """Weights that no criterion can rank."""

    def __init__(self, dim: str, tensors: Sequence[str]) -> None:
        super().__init__(
            f"dim {dim}: weights of {', '.join(map(repr, tensors[:4]))} are NaN, infinite or too "
            "large to sum, so its lanes cannot be ranked. Repair the checkpoint, --exclude the "
            "tensors, or use --importance random"
        )


class BudgetError(SpaError):
    """The budget is below what the narrowest allowed model costs."""

    exit_code = 5

    def __init__(
        self,
        quantity: str,
        asked: float,
        reachable: float,
        least: str = "one lane left in every prunable dim",
    ) -> None:
        super().__init__(
            f"cannot keep only {asked:.3g} of the {quantity}: with {least} {reachable:.3g} "
            "remain; ask for at least that, exclude less or lower --align"
        )


class LatencyBudgetError(BudgetError):
    """Even the narrowest allowed model takes longer than the budget; all in seconds."""

    def __init__(self, asked: float, dense: float, reachable: float) -> None:
        super().__init__("latency", asked / dense, reachable / dense)
        self.args = (
            f"cannot run in {1e3 * asked:.4g} ms: the original takes {1e3 * dense:.4g} ms here, "
            "and with one lane left in every prunable dim, or what --align allows, it still takes "
            f"{1e3 * reachable:.4g} ms ({reachable / dense:.1%}); ask for at least that, exclude "
            "less or lower --align",
        )


class ProofFailedError(SpaError):
    """The pruned model does not equal the masked original."""

    exit_code = 4

    def __init__(self, tensor: str, difference: float, tolerance: float, node: str) -> None:
        super().__init__(
            f"the pruned model differs from the masked original: tensor {tensor!r} "
            f"(made by {node}) by {difference:.3g} of its scale, tolerance {tolerance:.3g}"
        )
        self.tensor, self.difference, self.tolerance, self.node = (
            tensor,
            difference,
            tolerance,
            node,
        )


class PrunedModelRefusedError(ProofFailedError):
    """ONNX Runtime refuses the pruned model although it accepts the original."""

    def __init__(self, message: str) -> None:
        super().__init__("", float("inf"), 0.0, "ONNX Runtime")
        self.args = (f"ONNX Runtime refuses the pruned model: {message.strip()}",)


class AlreadyLoweredError(ModelError):
    """The model has operators for packed weights already."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path}: is lowered already. Lower the model that it was made of, or get a standard "
            "model back with --undo first"
        )


class NotLoweredError(ModelError):
    """There is nothing to undo in a model."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: has no operators for packed weights, so nothing can be undone")


class NothingToLowerError(ModelError):
    """No weight of a model has zeros that a kernel could skip."""

    def __init__(self, path: str, least: float, reasons: Sequence[str]) -> None:
        why = f" ({'; '.join(reasons)})" if reasons else ""
        super().__init__(
            f"{path}: no product that can be lowered has {least:.0%} of zeros in its weight{why}. "
            "Make some with `spa-onnx sparsify` first"
        )


class OriginalRefusedError(ModelError):
    """ONNX Runtime does not run the model that is to be lowered."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(
            f"{path}: ONNX Runtime cannot run it on the inputs that were made up: "
            f"{message.strip()} Give their sizes with --input-shape, or repair the export"
        )


class LoweredDiffersError(ProofFailedError):
    """A lowered model computes something else than the model that it was made of."""

    def __init__(self, tensor: str, difference: float, tolerance: float) -> None:
        super().__init__(tensor, difference, tolerance, "")
        self.args = (
            f"the lowered model differs from the original: output {tensor!r} by {difference:.3g} "
            f"of its scale, tolerance {tolerance:.3g}. Nothing was written; this is a defect of "
            "spa-onnx, please report the model",
        )


class LoweredRefusedError(ProofFailedError):
    """ONNX Runtime refuses a lowered model although it accepts the original."""

    def __init__(self, message: str) -> None:
        super().__init__("", float("inf"), 0.0, "ONNX Runtime")
        self.args = (f"ONNX Runtime refuses the lowered model: {message.strip()}",)


class OtherWeightsError(ProofFailedError):
    """A weight of the pruned model has another shape or type than its plan gives it."""

    def __init__(self, tensor: str, problem: str) -> None:
        """Say what is wrong."""
        Exception.__init__(self, f"weight {tensor!r} {problem}")


class PassLoadError(UsageError):
    """An installed pass that cannot be imported or made."""

    def __init__(self, kind: str, name: str, target: str, problem: str) -> None:
        super().__init__(f"{kind} pass {name!r} ({target}) cannot be loaded: {problem}")


class PlanError(SpaError):
    """A plan file that is broken or belongs to another model."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"plan {source}: {problem}")


class BenchFileError(SpaError):
    """A list of models, a file of results or a line in one that cannot be used."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")


class InternalError(SpaError):
    """A result of ours that broke its own contract; nothing was written."""


class CalibrationError(SpaError):
    """Calibration inputs do not fit the model, or hold nothing to learn from."""


class CalibrationInputError(CalibrationError):
    """What one input is given does not fit it."""

    def __init__(self, name: str, problem: str, remedy: str) -> None:
        super().__init__(f"calibration input {name!r} {problem}. {remedy}")


class CalibrationFileError(CalibrationError):
    """A file or folder of calibration inputs that cannot be used."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}")


class PreprocessError(UsageError):
    """A description of preprocessing that is broken or does not fit the model."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"preprocessing {source}: {problem}".replace("  ", " "))


class EvaluationError(UsageError):
    """A user's function that scores models cannot be used."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"evaluation {name!r} {problem}")


class ClusterError(UsageError):
    """A cluster cannot be used."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(f"scheduler {address!r} {problem}")
