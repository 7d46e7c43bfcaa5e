# Everything runs in .venv, which only needs python3 and a C++ compiler on the machine.

PYTHON ?= python3
BIN := .venv/bin
CMAKE := $(shell command -v cmake || echo $(BIN)/cmake)

.PHONY: prune test emulated lint kernels-sanitize runtimes clean gpu-check

# A user's way: a fresh environment, a plain install, a pruned model, its accuracy.
prune:
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet .
	mkdir -p build
	$(BIN)/spa-onnx prune models/digits/digits.onnx -o build/digits_pruned.onnx --keep-flops 0.7
	$(BIN)/python models/digits/evaluate.py models/digits/digits.onnx build/digits_pruned.onnx

# A developer's way: an editable install. Without the kernels half of the tests would be
# skipped, so their absence is an error here. Kernels for GPUs run on the CPU, by the emulator.
test: $(BIN)/python emulated
	$(BIN)/python -m pip install --quiet -e '.[test]'
	$(BIN)/python -c 'from spa_onnx.runtime.library import library_path; print(library_path())'
	SPA_ONNX_CUDA_KERNELS="$(CURDIR)/build/emulated/libspa_onnx_cuda_emulated.so" $(BIN)/pytest -n 2

emulated: $(BIN)/python
	test -x "$(CMAKE)" || $(BIN)/python -m pip install --quiet cmake
	$(CMAKE) -S runtime_kernels -B build/emulated -DSPA_WERROR=ON -DSPA_CUDA=OFF
	$(CMAKE) --build build/emulated --parallel 2 --target spa_onnx_cuda_emulated

lint: $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	find runtime_kernels tests -name '*.h' -o -name '*.cc' -o -name '*.cu' | xargs $(BIN)/clang-format --dry-run --Werror

# The kernel tests with every read and write checked. The sanitizers are those of gcc.
kernels-sanitize: $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[test]'
	test -x "$(CMAKE)" || $(BIN)/python -m pip install --quiet cmake
	$(CMAKE) -S runtime_kernels -B build/sanitize -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	  -DSPA_SANITIZE=ON -DSPA_WERROR=ON -DSPA_BUILD_TESTS=ON -DSPA_CUDA=OFF \
	  -DPython3_EXECUTABLE="$(CURDIR)/$(BIN)/python"
	$(CMAKE) --build build/sanitize --parallel 2
	cd build/sanitize && $(dir $(CMAKE))ctest --output-on-failure

# What only a machine with an NVIDIA GPU can show: builds with nvcc and CMake, tests, times and
# sanitizes the kernels, runs whole models, and writes one report. Takes the machine's own Python as
# it is and fetches nothing. For some steps: make gpu-check GPU_CHECK="--step build --step tests"
gpu-check:
	PYTHONPATH="$(CURDIR)" $(PYTHON) -m tests.end_to_end.gpu_check $(GPU_CHECK)

# The operators' tests with other releases of ONNX Runtime, old and new.
runtimes: $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[test]'
	$(BIN)/python tests/end_to_end/runtimes.py build/runtimes

clean:
	rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv .venv
