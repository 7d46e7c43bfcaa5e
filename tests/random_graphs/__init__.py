"""Random ONNX models composed of the blocks that networks are made of."""

from tests.random_graphs.catalogue import BLOCKS, STEMS, Block
from tests.random_graphs.generate import (
    OPSETS,
    RandomGraph,
    graph_of_block,
    random_graph,
    random_model,
)
from tests.random_graphs.strategy import models

__all__ = [
    "BLOCKS",
    "OPSETS",
    "STEMS",
    "Block",
    "RandomGraph",
    "graph_of_block",
    "models",
    "random_graph",
    "random_model",
]
