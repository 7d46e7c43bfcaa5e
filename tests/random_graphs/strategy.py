"""Random models for hypothesis; fewer blocks is simpler."""

import onnx
from hypothesis import strategies as st

from tests.random_graphs.generate import MOST_BLOCKS, random_model

# A seed is a name, not a size, so their range only needs to be large.
SEEDS = st.integers(0, 10**6)


def models() -> st.SearchStrategy[onnx.ModelProto]:
    """Return a strategy of valid models, which shrinks towards a stem and a head."""
    return st.builds(random_model, seed=SEEDS, blocks=st.integers(0, MOST_BLOCKS))
