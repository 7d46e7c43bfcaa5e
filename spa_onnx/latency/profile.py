"""What ONNX Runtime's profiler says about single nodes of a model.

The runtime fuses nodes, renames them and puts new ones between. So nodes and the tensors that they
make are given names with a number in them before the model is opened; the runtime derives its names
from these. What has no number in its name (a change of layout, say) belongs to the node that ran
before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from spa_onnx.graph.tensors import all_graphs, captured_names

TAG = re.compile(r"spa#(\d+)#")
INSIDE = "spa-inside"
"""Name of nodes inside control flow, whose time is part of that of the node around them."""


def tag_nodes(model: onnx.ModelProto, numbers: Mapping[str, int]) -> None:
    """Rename nodes and tensors of a model in place, by the number of each node's first output."""
    graph = model.graph
    fixed = {v.name for v in graph.output}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                fixed |= captured_names(attribute.g)
    names: dict[str, str] = {}
    for position, node in enumerate(graph.node):
        number = next((numbers[name] for name in node.output if name in numbers), None)
        tag = f"spa-new#{position}#" if number is None else f"spa#{number}#"
        node.name = tag
        names |= {name: f"{tag}{k}" for k, name in enumerate(node.output) if name}
    for name in fixed:
        names.pop(name, None)
    for node in graph.node:
        for tensors in (node.input, node.output):
            for k, name in enumerate(tensors):
                tensors[k] = names.get(name, name)
    for entry in graph.value_info:
        entry.name = names.get(entry.name, entry.name)
    for body in list(all_graphs(graph))[1:]:
        for k, node in enumerate(body.node):
            node.name = f"{INSIDE}#{k}#"


def read_profile(path: Path, runs: int, warm_up: int) -> dict[int, float]:
    """Return the microseconds of one run by the number of a node, from a profile of some runs.

    Nodes that ran before the first one with a number count for it. The runtime rounds to
    microseconds, so it is the mean of the middle half that is taken, not the median.
    """
    events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    times: dict[str, list[float]] = {}
    owners: dict[str, int] = {}
    untold: list[str] = []
    latest: int | None = None
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or name.startswith(INSIDE):
            continue
        times.setdefault(name, []).append(float(event["dur"]))
        found = TAG.search(name)
        latest = int(found[1]) if found else latest
        if latest is None:
            untold.append(name)
        else:
            owners.setdefault(name, latest)
            owners |= dict.fromkeys(untold, latest)
            untold.clear()
    total: dict[int, float] = {}
    for name, owner in owners.items():
        taken = times[name][round(len(times[name]) * warm_up / (runs + warm_up)) :]
        total[owner] = total.get(owner, 0.0) + _middle(taken) * len(taken) / runs
    return total


def _middle(taken: list[float]) -> float:
    """Return the mean of the middle half."""
    if not taken:
        return 0.0
    ordered = np.sort(taken)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())
