"""From a graph to dims: who is coupled with whom, what may be cut, and why the rest may not."""
