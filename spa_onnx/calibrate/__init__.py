"""What a model does with real or made-up inputs: layers as matrices, and sums over their inputs."""
