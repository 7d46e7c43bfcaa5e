"""Accuracy of other tools' results at equal operations, beside ``spa-onnx bench criteria``.

    python models/peer_accuracy.py MODEL.onnx... --calib calib.npz
        --evaluate models/scores.py:cifar10

Each tool gets the smallest ratio at which its result has no more than the asked share of the
operations, all counted by our cost polynomials; nothing is fine-tuned. Calibration inputs go to
those that take some. Torch-Pruning works on PyTorch modules: onnx2torch makes one of the file, and
the result is exported again. Where it makes an invalid network it is tried again with the layers in
front of residual additions left whole, as its users do by hand. Needs ``bench`` and onnx2torch.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import onnx
import onnxruntime as ort
import torchvision_operators  # noqa: F401 - before what imports torchvision
from onnx import helper, numpy_helper

import spa_onnx
from spa_onnx.bench.criteria.evaluate import find_evaluation
from spa_onnx.cost.polynomial import costs

Inputs = dict[str, np.ndarray]
Tool = Callable[[onnx.ModelProto, float, Inputs], onnx.ModelProto]
ROUNDS = 10
"""Halvings of the interval in which the ratio lies."""
CONVERTIBLE_OPSET = 17


class NoResultError(Exception):
    """A tool has no valid result for a model."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one tool reached."""

    model: str
    tool: str
    share: float
    operations: float | None
    score: float | None
    dense: float
    failure: str = ""


def structured(model: onnx.ModelProto, ratio: float, inputs: Inputs) -> onnx.ModelProto:
    """Prune with onnxsim's L2 criterion."""
    from onnxsim import pruning

    return pruning.apply_structured_pruning(_simplified(model), sparsity=ratio)


def wanda(model: onnx.ModelProto, ratio: float, inputs: Inputs) -> onnx.ModelProto:
    """Prune with onnxsim's structured Wanda."""
    from onnxsim import pruning

    return pruning.apply_structured_wanda_pruning(
        _simplified(model), _batches(inputs), sparsity=ratio
    )


def refitted(model: onnx.ModelProto, pruned: onnx.ModelProto, inputs: Inputs) -> onnx.ModelProto:
    """Refit with onnxsim's ridge regression."""
    from onnxsim.finetune import apply_pruning_finetune

    return apply_pruning_finetune(_simplified(model), pruned, _batches(inputs))


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model as onnxsim's documentation advises to prune it."""
    import onnxsim

    return onnxsim.simplify(model)[0]


def torch_pruning_all(model: onnx.ModelProto, ratio: float, inputs: Inputs) -> onnx.ModelProto:
    """Prune with Torch-Pruning, every layer but the classifier."""
    return _torch_pruned(model, ratio, inputs, inner=False)


def torch_pruning_inner(model: onnx.ModelProto, ratio: float, inputs: Inputs) -> onnx.ModelProto:
    """Prune with Torch-Pruning; layers in front of additions stay whole."""
    return _torch_pruned(model, ratio, inputs, inner=True)


TOOLS: dict[str, Tool] = {
    "onnxsim structured": structured,
    "onnxsim Wanda": wanda,
    "Torch-Pruning L2": torch_pruning_all,
    "Torch-Pruning L2, residual stream whole": torch_pruning_inner,
}


def _batches(inputs: Inputs) -> list[Inputs]:
    count = len(next(iter(inputs.values())))
    return [{k: a[at : at + 64] for k, a in inputs.items()} for at in range(0, count, 64)]


def _torch_pruned(
    model: onnx.ModelProto, ratio: float, inputs: Inputs, *, inner: bool
) -> onnx.ModelProto:
    import torch
    import torch_pruning
    from onnx2torch import convert
    from torch import nn

    network = convert(_older(model)).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    layers = {n: m for n, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    ignored = [m for m in layers.values() if isinstance(m, nn.Linear)][-1:]
    if inner:
        ignored += [layers[n] for n in _before_additions(model) & set(layers)]
    (name, values), *_ = inputs.items()
    example = torch.from_numpy(values[:2])
    pruner = torch_pruning.pruner.BasePruner(
        network,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        ignored_layers=ignored,
        in_channel_groups={},
        out_channel_groups={},
    )
    pruner.step()
    traced = torch.jit.trace(network.eval(), example)  # Slice of onnx2torch cannot be exported
    target = io.BytesIO()
    torch.onnx.export(
        traced, (example,), target, input_names=[name], dynamo=False, dynamic_axes={name: {0: "n"}},
        opset_version=CONVERTIBLE_OPSET,
    )  # fmt: skip
    return onnx.load_from_string(target.getvalue())


def _older(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model at an opset that onnx2torch knows; ONNX's own converter lacks adapters."""
    old = onnx.ModelProto()
    old.CopyFrom(model)
    values = {t.name: numpy_helper.to_array(t) for t in old.graph.initializer}
    for entry in old.opset_import:
        if entry.domain == "" and entry.version > CONVERTIBLE_OPSET:
            entry.version = CONVERTIBLE_OPSET
    for node in old.graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for node in old.graph.node:
        for attribute in node.attribute:
            if attribute.name == "allowzero":
                attribute.i = 0
        if node.op_type == "ReduceMean" and len(node.input) == 2:
            node.attribute.append(helper.make_attribute("axes", values[node.input.pop()].tolist()))
    return old


def _before_additions(model: onnx.ModelProto) -> set[str]:
    """Return onnx2torch's names of layers whose outputs reach an Add through lane-wise nodes."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found, todo = set(), [n for a in model.graph.node if a.op_type == "Add" for n in a.input]
    seen = set()
    while todo:
        node = makers.get(todo.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in {"Conv", "Gemm", "MatMul"}:
            found.add(node.name.strip("/").replace(".", "/"))
        else:
            todo += node.input
    return found


def operations(model: onnx.ModelProto) -> float:
    """Return the multiply-adds of a model at its nominal input."""
    return costs(spa_onnx.analyze(model).propagation, [], {}).operations.at(np.zeros(0))


def at_share(
    tool: Tool, model: onnx.ModelProto, share: float, inputs: Inputs
) -> tuple[onnx.ModelProto, float]:
    """Return the largest result within a share of the operations, and its share.

    Raises:
        NoResultError: the tool fails, or cannot cut that much.
    """
    whole = operations(model)
    low, high = 0.0, 0.98
    best: tuple[onnx.ModelProto, float] | None = None
    for step in range(ROUNDS + 1):
        ratio = high if step == 0 else (low + high) / 2
        try:
            made = tool(model, ratio, inputs)
            _check(made, inputs)
            reached = operations(made) / whole
        except Exception as failure:  # any of a foreign tool's; the row says which
            raise NoResultError(f"{type(failure).__name__}: {failure}") from failure
        if reached <= share:
            high = ratio
            if best is None or reached > best[1]:
                best = made, reached
        elif step == 0:
            raise NoResultError(f"cuts no further than {100 * reached:.0f} % of the operations")
        else:
            low = ratio
    assert best is not None
    return best


def _check(model: onnx.ModelProto, inputs: Inputs) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    session.run(None, {k: a[:2] for k, a in inputs.items()})


def rows_of(
    path: Path,
    shares: Sequence[float],
    inputs: Inputs,
    evaluate: Callable[[str], float],
    tools: Collection[str],
) -> Iterator[Row]:
    """Yield what tools reach on a model."""
    model = onnx.load(path)
    inputs = {model.graph.input[0].name: next(iter(inputs.values()))}
    with TemporaryDirectory(prefix="spa-onnx-") as folder:
        output = Path(folder, "pruned.onnx")

        def scored(made: onnx.ModelProto) -> float:
            onnx.save(made, output)
            return evaluate(str(output))

        dense = evaluate(str(path))
        for share in shares:
            for name, tool in TOOLS.items():
                if name not in tools:
                    continue
                try:
                    made, reached = at_share(tool, model, share, inputs)
                    yield Row(path.stem, name, share, reached, scored(made), dense)
                    if name.startswith("onnxsim"):
                        again = refitted(model, made, inputs)
                        yield Row(
                            path.stem, f"{name} + refit", share, reached, scored(again), dense
                        )
                except NoResultError as failure:
                    yield Row(path.stem, name, share, None, None, dense, str(failure)[:200])


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--calib", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--evaluate", required=True, metavar="FILE.py:FUNCTION")
@click.option("--keep-flops", "shares", multiple=True, default=(0.7, 0.5), show_default=True)
@click.option("--tool", "tools", multiple=True, type=click.Choice(list(TOOLS)), default=list(TOOLS))
@click.option("-o", "--output", type=click.Path(path_type=Path), default="peer_accuracy.jsonl")
def main(
    models: tuple[Path, ...],
    calib: Path,
    evaluate: str,
    shares: tuple[float, ...],
    tools: tuple[str, ...],
    output: Path,
) -> None:
    """Prune every MODEL with tools, all unless some are named, and print the scores."""
    warnings.filterwarnings("ignore")
    with np.load(calib) as stored:
        inputs = {name: stored[name] for name in stored.files}
    measure = find_evaluation(evaluate)
    with output.open("a", encoding="utf-8") as file:
        for path in models:
            for row in rows_of(path, shares, inputs, measure, tools):
                file.write(json.dumps(asdict(row)) + "\n")
                file.flush()
                score = row.failure if row.score is None else f"{row.score:.2f} of {row.dense:.2f}"
                click.echo(f"{row.model}  {row.share}  {row.tool}: {score}")


if __name__ == "__main__":
    main()
