"""The passes that come with spa-onnx; each is registered in pyproject.toml as a user's would be."""
