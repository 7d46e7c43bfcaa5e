"""``python -m spa_onnx.cli`` is the command ``spa-onnx``."""

from spa_onnx.cli import main

if __name__ == "__main__":
    main(prog_name="spa-onnx")
