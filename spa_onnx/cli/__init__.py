"""The command line: parse, call, print. Nothing heavy is imported before a command runs."""

from spa_onnx.cli.group import main

__all__ = ["main"]
