"""From a file or a ModelProto to a skeleton with mapped weights."""
