// All kernels for the emulator.

#include "kernels/finish_all/finish_all.cu"
#include "kernels/fragments_gemm/bfloat16_planes.cu"
#include "kernels/fragments_gemm/bfloat16_tokens.cu"
#include "kernels/fragments_gemm/float16_planes.cu"
#include "kernels/fragments_gemm/float16_tokens.cu"
#include "kernels/fragments_gemv/bfloat16.cu"
#include "kernels/fragments_gemv/float16.cu"
#include "kernels/read_bytes/read_bytes.cu"
