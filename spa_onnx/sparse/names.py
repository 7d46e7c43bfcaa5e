"""Names of the passes that ``sparsify`` takes unless told otherwise."""

SELECTION = "admm"
ALLOCATION = "rate-distortion"
