"""Random compositions of blocks, as valid ONNX models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from tests.builders import GraphBuilder
from tests.random_graphs.canvas import Canvas
from tests.random_graphs.catalogue import BLOCKS, STEMS, Block, Kind, Stem
from tests.random_graphs.ends import head

OPSETS = (9, 11, 13, 17, 18, 21)
MOST_BLOCKS = 7
# Wider features are projected before the next block, larger images pooled.
WIDEST, LARGEST = 48, 12


@dataclass(frozen=True, slots=True)
class RandomGraph:
    """A model and the labels of the blocks and variants it was made from."""

    model: onnx.ModelProto
    used: frozenset[str]


def random_model(seed: int, blocks: int | None = None) -> onnx.ModelProto:
    """Return the model of a seed; ``blocks`` cuts it after so many blocks."""
    return random_graph(seed, blocks).model


def random_graph(seed: int, blocks: int | None = None) -> RandomGraph:
    """Return the graph of a seed.

    Block k draws from a generator of its own, so that a graph of fewer blocks is a prefix of the
    graph of more.
    """
    random = np.random.default_rng([seed, 0])
    count = int(random.integers(1, MOST_BLOCKS + 1))
    canvas = _canvas(seed, random, int(random.choice(OPSETS)))
    stem = STEMS[random.integers(len(STEMS))]
    return _compose(canvas, seed, stem, [None] * (count if blocks is None else blocks))


def graph_of_block(block: Block, seed: int, opset: int | None = None) -> RandomGraph:
    """Return the smallest graph around one block: a stem, the block and a head."""
    # The name goes in too, or all blocks would share a seed's opset and kind of axes.
    random = np.random.default_rng([seed, *block.name.encode()])
    legal = [version for version in OPSETS if version >= block.since]
    canvas = _canvas(seed, random, opset or int(random.choice(legal)))
    canvas.symbolic &= not block.needs_length
    stems = [stem for stem in STEMS if stem.makes == block.reads]
    return _compose(canvas, seed, stems[random.integers(len(stems))], [block])


def _canvas(seed: int, random: np.random.Generator, opset: int) -> Canvas:
    ir_version = 3 if opset == 9 and random.random() < 0.6 else None
    graph = GraphBuilder(opset, seed, ir_version=ir_version, sizes={"N": 2, "T": 5, "S": 3})
    return Canvas(graph, random, symbolic=bool(random.random() < 0.35))


def _compose(canvas: Canvas, seed: int, stem: Stem, blocks: Sequence[Block | None]) -> RandomGraph:
    """Build stem, blocks (``None`` picks one at random), and a head or several."""
    canvas.used.add(stem.name)
    x, kind = stem.build(canvas), stem.makes
    outputs: list[str] = []
    for number, given in enumerate(blocks, 1):
        canvas.random = np.random.default_rng([seed, number])
        if given is None and canvas.chance(0.1):
            outputs.append(head(canvas, x))
        x = _limit(canvas, x, kind)
        block = given or _pick(canvas, kind)
        canvas.used.add(block.name)
        x, kind = block.build(canvas, x), block.makes
    outputs.append(head(canvas, x))
    model = canvas.graph.model(*outputs, seed=str(seed), blocks=str(len(blocks)))
    return RandomGraph(model, frozenset(canvas.used))


def _pick(canvas: Canvas, kind: Kind) -> Block:
    """Choose among the blocks that can follow here."""
    legal = [
        block
        for block in BLOCKS
        if block.reads == kind
        and block.since <= canvas.graph.opset
        and not (block.needs_length and canvas.token_axis_is_symbolic)
    ]
    return legal[canvas.random.integers(len(legal))]


def _limit(canvas: Canvas, x: str, kind: Kind) -> str:
    """Keep features small, so that hundreds of models run in seconds."""
    if kind != "image":
        return canvas.linear(x, canvas.width()) if canvas.features(x) > WIDEST else x
    if canvas.channels(x) > WIDEST:
        x = canvas.conv(x, canvas.width())
    return canvas.graph.max_pool(x) if min(canvas.shape(x)[2:]) > LARGEST else x
