"""Open a model: parse everything but the weights, which stay where they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from spa_onnx.errors import GraphError, ModelFileError
from spa_onnx.graph.tensors import all_graphs, all_tensors
from spa_onnx.load.source import FileSource, MemorySource, Scanned, Source
from spa_onnx.load.store import WeightStore, is_external
from spa_onnx.load.wire import WireError, strip_payloads

MEMORY = "model-in-memory"
"""Location under which the weights of a ModelProto are found."""

MINIMUM_OPSET = 7
"""Oldest opset of the default domain that ONNX Runtime still runs."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model whose large tensors are references.

    Attributes:
        skeleton: the whole model; tensors above a kilobyte are external, those that were inside the
            model file refer to that file itself.
        weights: resolves the references.
        path: where it came from; None for a ModelProto.
        location: the reference under which the model's own bytes are found.
        bytes: size of the model with its weights.
        has_external_data: whether the model itself keeps weights in other files.
    """

    skeleton: onnx.ModelProto
    weights: WeightStore
    path: Path | None
    location: str
    bytes: int
    has_external_data: bool

    @property
    def label(self) -> str:
        """Name the model in messages."""
        return str(self.path) if self.path else "the model"


def load(source: str | Path | onnx.ModelProto | bytes) -> LoadedModel:
    """Open a model file, or take a ModelProto or its bytes; only the graph itself is copied.

    Raises:
        ModelFileError: missing, truncated or no ONNX model.
        ExternalDataError: weights are missing or outside the model's folder.
        GraphError: no graph, or an opset that ONNX Runtime does not run.
    """
    if isinstance(source, onnx.ModelProto):
        return _load_proto(source)
    if isinstance(source, bytes):
        return _load_bytes(memoryview(source))
    path = Path(source)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise ModelFileError(str(path), problem, "Give the path of an .onnx file")
    try:
        data = FileSource(path)
    except OSError as failure:
        remedy = "Check that it is readable"
        raise ModelFileError(str(path), f"cannot be opened ({failure})", remedy) from failure
    weights = WeightStore(path.parent, {path.name: data})
    return _finish(_parse(data, str(path), path.name), weights, path, path.name, data.size)


def _load_proto(model: onnx.ModelProto) -> LoadedModel:
    try:
        data = memoryview(model.SerializeToString())
    except (ValueError, DecodeError) as failure:
        remedy = "Save it with external data and give the path"
        raise ModelFileError("the model", f"cannot be serialised ({failure})", remedy) from failure
    return _load_bytes(data)


def _load_bytes(data: memoryview) -> LoadedModel:
    source = MemorySource(data)
    weights = WeightStore(None, {MEMORY: source})
    return _finish(_parse(source, "the model", MEMORY), weights, None, MEMORY, source.size)


def _parse(data: Source, label: str, location: str) -> onnx.ModelProto:
    if data.size == 0:
        raise ModelFileError(label, "the file is empty", "Export the model again")
    try:
        skeleton: onnx.ModelProto = onnx.ModelProto.FromString(
            strip_payloads(Scanned(data), location)
        )
    except (WireError, DecodeError, RecursionError, OSError) as failure:
        remedy = "It is truncated or no ONNX model; copy or export it again"
        raise ModelFileError(label, f"not a readable protobuf ({failure})", remedy) from failure
    if not skeleton.HasField("graph") or not skeleton.opset_import:
        remedy = "Give an .onnx file of a whole model"
        raise ModelFileError(label, "holds no ONNX graph", remedy)
    return skeleton


def _check_equations(model: onnx.ModelProto) -> None:
    """Refuse Einsum equations with characters that onnx's own shape inference never ends on.

    Raises:
        GraphError: names the node.
    """
    for graph in all_graphs(model.graph):
        for node in graph.node:
            if node.op_type != "Einsum":
                continue
            for attribute in node.attribute:
                if attribute.name == "equation" and not EQUATION.fullmatch(attribute.s):
                    label = f"Einsum '{node.name or next(iter(node.output), '')}'"
                    problem = f"equation {attribute.s!r} is malformed"
                    raise GraphError(label, problem, "Repair the model")


EQUATION = re.compile(rb"[A-Za-z .,]*(->[A-Za-z .]*)?")


def _finish(
    skeleton: onnx.ModelProto, weights: WeightStore, path: Path | None, location: str, size: int
) -> LoadedModel:
    opset = next((o.version for o in skeleton.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is not None and opset < MINIMUM_OPSET:
        remedy = "Convert it with onnx.version_converter or export it again"
        raise GraphError("model", f"opset {opset} is older than {MINIMUM_OPSET}", remedy)
    _check_equations(skeleton)
    foreign: set[str] = set()
    for tensor in all_tensors(skeleton):
        if is_external(tensor):
            weights.place(tensor)
            foreign |= {e.value for e in tensor.external_data if e.key == "location"}
    foreign.discard(location)
    if skeleton.functions:
        from onnx import inliner

        skeleton = inliner.inline_local_functions(skeleton)
    total = size + sum(weights.sources[name].size for name in foreign)
    return LoadedModel(skeleton, weights, path, location, total, bool(foreign))
