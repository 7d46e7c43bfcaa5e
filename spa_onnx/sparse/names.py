"""Names of the passes that ``sparsify`` takes unless told otherwise; light enough for the command line."""

SELECTION = "admm"
ALLOCATION = "rate-distortion"
