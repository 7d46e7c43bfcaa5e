"""Time Torch-Pruning and spa-onnx on one model, interleaved: fresh modules, one thread."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import median

import torch
from isolated import Figures, Stages
from peer_hints import Hints
from peer_torch_pruning import check, fresh, output_layers, prune_in_place

import spa_onnx

OURS = ("analyse", "rewrite")
THEIRS = ("graph", "prune")


def time_beside(
    folder: str, name: str, file: Path, ratio: float, rounds: int, stages: Stages
) -> Figures:
    """Return seconds of both tools, and of their stages: medians over the rounds.

    Ours are ``analyse`` and ``rewrite``. Torch-Pruning's are graph building and pruning, in which
    it also ranks and slices, as we do in the stages ``score``, ``allocate`` and ``write``.

    Raises:
        InvalidResultError: what Torch-Pruning made is not valid, so its time says nothing.
    """
    torch.set_num_threads(1)
    spent: defaultdict[str, list[float]] = defaultdict(list)
    config = spa_onnx.PruneConfig(spa_onnx.Ratio(ratio), "l2", verify=False)
    for _ in range(rounds):
        with stages("ours"):
            report = spa_onnx.prune(file, config).report
        with stages("original"):
            model, inputs = fresh(folder, name)
            ignored = output_layers(model, inputs)
            with torch.no_grad():
                expected = model(*inputs)
        prune_in_place(model, inputs, ignored, ratio, stages, Hints())
        for stage, seconds in report.seconds.items():
            spent[stage].append(seconds)
        for stage in THEIRS:
            spent[stage].append(stages.seconds[stage])
        spent["spa-onnx"].append(sum(report.seconds[stage] for stage in OURS))
        spent["torch-pruning"].append(sum(stages.seconds[stage] for stage in THEIRS))
    with stages("check"):
        check(model, inputs, expected)
    medians = {stage: median(seconds) for stage, seconds in spent.items()}
    tools = {tool: medians.pop(tool) for tool in ("spa-onnx", "torch-pruning")}
    theirs = {stage: medians.pop(stage) for stage in THEIRS}
    return {**tools, "stages": {"spa-onnx": medians, "torch-pruning": theirs}}
