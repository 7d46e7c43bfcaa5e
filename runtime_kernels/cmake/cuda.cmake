# The CUDA library, where nvcc is, and the same sources for the emulator, which
# tests run without a GPU: cmake --build ... --target spa_onnx_cuda_emulated.
set(SPA_CUDA AUTO CACHE STRING "Build the CUDA library: ON, OFF, or AUTO for where nvcc is")
set_property(CACHE SPA_CUDA PROPERTY STRINGS AUTO ON OFF)

set(SPA_CUDA_HOST_SOURCES
  abi/cuda_direct.cc
  abi/cuda_layer.cc
  abi/cuda_register.cc
  bench/dense_runner.cc
  bench/layer_runner.cc
  bench/random_numbers.cc
  bench/read_runner.cc
  bench/runner.cc
  custom_ops/attributes.cc
  custom_ops/cuda/node.cc
  custom_ops/cuda/session_device.cc
  custom_ops/cuda/sparse_conv.cc
  custom_ops/cuda/sparse_linear.cc
  custom_ops/tensor.cc
  custom_ops/weight.cc
  kernels/packed/check_fragments.cc
  kernels/packed/header.cc
  kernels/packed/packed.cc
  layers/activation.cc
  layers/cuda/choice.cc
  layers/cuda/cusparselt_layer.cc
  layers/cuda/cusparselt_plan.cc
  layers/cuda/device_weight.cc
  layers/cuda/extent.cc
  layers/cuda/layer.cc
  layers/cuda/unpack_two_of_four.cc
  libraries/cublaslt.cc
  libraries/cusparselt.cc
  libraries/shared_library.cc
  support/crc32.cc
  support/huge_pages.cc)
set(SPA_CUDA_KERNEL_SOURCES
  kernels/finish_all/finish_all.cu
  kernels/fragments_gemm/bfloat16_planes.cu
  kernels/fragments_gemm/bfloat16_tokens.cu
  kernels/fragments_gemm/float16_planes.cu
  kernels/fragments_gemm/float16_tokens.cu
  kernels/fragments_gemv/bfloat16.cu
  kernels/fragments_gemv/float16.cu
  kernels/read_bytes/read_bytes.cu)

function(spa_cuda_target name)
  target_include_directories(${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}" include)
  target_compile_definitions(${name} PRIVATE SPA_VERSION="${SKBUILD_PROJECT_VERSION}")
  target_link_libraries(${name} PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
endfunction()

add_library(spa_onnx_cuda_emulated MODULE
  ${SPA_CUDA_HOST_SOURCES}
  simt/device_emulated.cc
  simt/emulated_kernels.cc
  simt/emulator.cc
  simt/shadow.cc)
spa_cuda_target(spa_onnx_cuda_emulated)
target_compile_definitions(spa_onnx_cuda_emulated PRIVATE SPA_EMULATED)
if(NOT SPA_BUILD_TESTS)
  set_target_properties(spa_onnx_cuda_emulated PROPERTIES EXCLUDE_FROM_ALL ON)
endif()

# The first release with mma.sp::ordered_metadata. An older one must not cost the CPU its kernels.
set(SPA_OLDEST_CUDA 12.5)
set(SPA_HAS_CUDA OFF)
if(SPA_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    find_package(CUDAToolkit ${SPA_OLDEST_CUDA} QUIET)
    set(SPA_HAS_CUDA ${CUDAToolkit_FOUND})
  endif()
  if(NOT SPA_HAS_CUDA)
    message(STATUS "No CUDA toolkit ${SPA_OLDEST_CUDA} or newer: no kernels for GPUs are built")
  endif()
endif()
if(SPA_CUDA STREQUAL "ON" OR SPA_HAS_CUDA)
  # Before the language is known, so that this is what is built for.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 89-real 90)  # 90: code, and PTX for newer ones
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 17)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
  find_package(CUDAToolkit ${SPA_OLDEST_CUDA} REQUIRED)
  add_library(spa_onnx_cuda MODULE
    ${SPA_CUDA_HOST_SOURCES} ${SPA_CUDA_KERNEL_SOURCES} simt/device_cuda.cc)
  spa_cuda_target(spa_onnx_cuda)
  target_link_libraries(spa_onnx_cuda PRIVATE CUDA::cudart_static)
  set(SPA_CUDA_OPTIONS -Xcompiler=-Wall,-Wextra)
  if(SPA_WERROR)
    list(APPEND SPA_CUDA_OPTIONS -Xcompiler=-Werror --Werror=all-warnings)
  endif()
  target_compile_options(spa_onnx_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${SPA_CUDA_OPTIONS}>")
  install(TARGETS spa_onnx_cuda LIBRARY DESTINATION _kernels RUNTIME DESTINATION _kernels)
endif()
