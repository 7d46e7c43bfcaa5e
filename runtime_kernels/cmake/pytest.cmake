# ctest runs the pytest kernel suite, with a minute of fuzzing, against the
# library of this build. The interpreter, -DPython3_EXECUTABLE=..., needs the
# package's test requirements.
enable_testing()
find_package(Python3 COMPONENTS Interpreter REQUIRED)
cmake_path(GET CMAKE_CURRENT_SOURCE_DIR PARENT_PATH SPA_ROOT)

add_test(NAME pytest_kernels
  COMMAND "${Python3_EXECUTABLE}" -m pytest -q -s
    tests/runtime_kernels tests/spa_onnx/runtime tests/spa_onnx/doctor
  WORKING_DIRECTORY "${SPA_ROOT}")
set(environment
  "SPA_ONNX_KERNELS=$<TARGET_FILE:spa_onnx_kernels>"
  "SPA_ONNX_CUDA_KERNELS=$<TARGET_FILE:spa_onnx_cuda_emulated>"
  "SPA_ONNX_FUZZ_PACKED=$<TARGET_FILE:fuzz_packed>"
  "PYTHONPATH=${SPA_ROOT}")

if(SPA_SANITIZE)
  # The interpreter is not instrumented, so the sanitizers must be there before
  # it. Leaks are not looked for: the interpreter itself would report its own.
  foreach(name asan ubsan)
    execute_process(
      COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=lib${name}.so
      OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    list(APPEND preload "${path}")
  endforeach()
  list(JOIN preload ":" preload)
  list(APPEND environment "LD_PRELOAD=${preload}"
    "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1")
endif()
set_tests_properties(pytest_kernels PROPERTIES ENVIRONMENT "${environment}")
