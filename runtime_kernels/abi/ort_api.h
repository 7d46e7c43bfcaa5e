// The slice of ONNX Runtime's C ABI that these ops use.
//
// The runtime's Python wheel ships no headers, so the slots are declared here.
// The function table only ever grows: slot N means the same in every release
// that has it. All slots below but the last exist since 1.17, which is the
// oldest runtime that RegisterCustomOps accepts. Names are those of the
// runtime.

#ifndef SPA_ABI_ORT_API_H_
#define SPA_ABI_ORT_API_H_

#include <cstddef>
#include <cstdint>

extern "C" {

struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtShapeInferContext;
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;
struct OrtOpAttr;
struct OrtAllocator;
struct OrtMemoryInfo;

enum OrtErrorCode : int {
  ORT_FAIL = 1,
  ORT_INVALID_ARGUMENT = 2,
};

enum ONNXTensorElementDataType : int {
  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 = 10,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 = 16,
};

enum OrtCustomOpInputOutputCharacteristic : int {
  INPUT_OUTPUT_REQUIRED = 0,
  INPUT_OUTPUT_OPTIONAL = 1,
};

enum OrtMemType : int { OrtMemTypeCPUInput = -2, OrtMemTypeDefault = 0 };

enum OrtAllocatorType : int { OrtArenaAllocator = 1 };

enum OrtOpAttrType : int { ORT_OP_ATTR_INT = 1, ORT_OP_ATTR_INTS = 2 };

// Functions that return OrtStatus* return null on success.
struct OrtApi {
  OrtStatus* (*CreateStatus)(OrtErrorCode code, const char* message);  // slot 0
  void* unused_1[25];
  OrtStatus* (*CreateCustomOpDomain)(const char* domain,
                                     OrtCustomOpDomain** out);  // slot 26
  OrtStatus* (*CustomOpDomain_Add)(OrtCustomOpDomain* domain,
                                   const struct OrtCustomOp* op);  // slot 27
  OrtStatus* (*AddCustomOpDomain)(OrtSessionOptions* options,
                                  OrtCustomOpDomain* domain);  // slot 28
  void* unused_29[22];
  OrtStatus* (*GetTensorMutableData)(OrtValue* value, void** out);  // slot 51
  void* unused_52[7];
  OrtStatus* (*SetDimensions)(OrtTensorTypeAndShapeInfo* info,
                              const int64_t* dims, size_t count);  // slot 59
  void* unused_60[1];
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo* info,
                                   size_t* out);  // slot 61
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo* info,
                              int64_t* dims, size_t count);  // slot 62
  OrtStatus* (*GetSymbolicDimensions)(const OrtTensorTypeAndShapeInfo* info,
                                      const char** names,
                                      size_t count);  // slot 63
  void* unused_64[1];
  OrtStatus* (*GetTensorTypeAndShape)(
      const OrtValue* value, OrtTensorTypeAndShapeInfo** out);  // slot 65
  void* unused_66[3];
  OrtStatus* (*CreateCpuMemoryInfo)(OrtAllocatorType allocator, OrtMemType type,
                                    OrtMemoryInfo** out);  // slot 69
  void* unused_70[5];
  OrtStatus* (*AllocatorAlloc)(OrtAllocator* allocator, size_t size,
                               void** out);                       // slot 75
  OrtStatus* (*AllocatorFree)(OrtAllocator* allocator, void* p);  // slot 76
  void* unused_77[8];
  OrtStatus* (*KernelInfoGetAttribute_float)(const OrtKernelInfo* info,
                                             const char* name,
                                             float* out);  // slot 85
  OrtStatus* (*KernelInfoGetAttribute_int64)(const OrtKernelInfo* info,
                                             const char* name,
                                             int64_t* out);  // slot 86
  // With a null `out`, or too small a size, only the size is set.
  OrtStatus* (*KernelInfoGetAttribute_string)(const OrtKernelInfo* info,
                                              const char* name, char* out,
                                              size_t* size);  // slot 87
  OrtStatus* (*KernelContext_GetInputCount)(const OrtKernelContext* context,
                                            size_t* out);  // slot 88
  void* unused_89[1];
  OrtStatus* (*KernelContext_GetInput)(const OrtKernelContext* context,
                                       size_t index,
                                       const OrtValue** out);  // slot 90
  OrtStatus* (*KernelContext_GetOutput)(OrtKernelContext* context, size_t index,
                                        const int64_t* dims, size_t count,
                                        OrtValue** out);  // slot 91
  void* unused_92[1];
  void (*ReleaseStatus)(OrtStatus* status);        // slot 93
  void (*ReleaseMemoryInfo)(OrtMemoryInfo* info);  // slot 94
  void* unused_95[4];
  void (*ReleaseTensorTypeAndShapeInfo)(
      OrtTensorTypeAndShapeInfo* info);  // slot 99
  void* unused_100[25];
  OrtStatus* (*GetAvailableProviders)(char*** names, int* count);    // slot 125
  OrtStatus* (*ReleaseAvailableProviders)(char** names, int count);  // slot 126
  void* unused_127[5];
  void (*ReleaseAllocator)(OrtAllocator* allocator);  // slot 132
  void* unused_133[30];
  OrtStatus* (*KernelInfoGetAttributeArray_int64)(const OrtKernelInfo* info,
                                                  const char* name,
                                                  int64_t* out,
                                                  size_t* size);  // slot 163
  void* unused_164[29];
  OrtStatus* (*KernelContext_GetGPUComputeStream)(
      const OrtKernelContext* context, void** out);  // slot 193
  void* unused_194[43];
  OrtStatus* (*HasSessionConfigEntry)(const OrtSessionOptions* options,
                                      const char* key, int* out);  // slot 237
  OrtStatus* (*GetSessionConfigEntry)(const OrtSessionOptions* options,
                                      const char* key, char* out,
                                      size_t* size);  // slot 238
  void* unused_239[5];
  OrtStatus* (*KernelInfo_GetNodeName)(const OrtKernelInfo* info, char* out,
                                       size_t* size);  // slot 244
  void* unused_245[4];
  OrtStatus* (*KernelInfoGetConstantInput_tensor)(
      const OrtKernelInfo* info, size_t index, int* is_constant,
      const OrtValue** out);  // slot 249
  void* unused_250[3];
  OrtStatus* (*KernelContext_GetAllocator)(const OrtKernelContext* context,
                                           const OrtMemoryInfo* info,
                                           OrtAllocator** out);  // slot 253
  void* unused_254[14];
  OrtStatus* (*ShapeInferContext_GetInputTypeShape)(
      const OrtShapeInferContext* context, size_t index,
      OrtTensorTypeAndShapeInfo** info);  // slot 268
  OrtStatus* (*ShapeInferContext_GetAttribute)(
      const OrtShapeInferContext* context, const char* name,
      const OrtOpAttr** out);  // slot 269
  OrtStatus* (*ShapeInferContext_SetOutputTypeShape)(
      const OrtShapeInferContext* context, size_t index,
      const OrtTensorTypeAndShapeInfo* info);  // slot 270
  OrtStatus* (*SetSymbolicDimensions)(OrtTensorTypeAndShapeInfo* info,
                                      const char** names,
                                      size_t count);  // slot 271
  OrtStatus* (*ReadOpAttr)(const OrtOpAttr* attribute, OrtOpAttrType type,
                           void* data, size_t length,
                           size_t* out);  // slot 272
  void* unused_273[1];
  OrtStatus* (*KernelContext_ParallelFor)(
      const OrtKernelContext* context, void (*body)(void* user, size_t index),
      size_t total, size_t batches, void* user);  // slot 274
  void* unused_275[3];
  // Since 1.18, unlike all others.
  OrtStatus* (*KernelInfoGetAllocator)(const OrtKernelInfo* info,
                                       OrtMemType type,
                                       OrtAllocator** out);  // slot 278
};

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// A null member crashes the runtime unless its comment says that it may be.
struct OrtCustomOp {
  uint32_t version;
  // Null is fine for these where CreateKernelV2 and KernelComputeV2 are given.
  void* (*CreateKernel)(const OrtCustomOp* op, const OrtApi* api,
                        const OrtKernelInfo* info);
  const char* (*GetName)(const OrtCustomOp* op);
  const char* (*GetExecutionProviderType)(const OrtCustomOp* op);
  ONNXTensorElementDataType (*GetInputType)(const OrtCustomOp* op,
                                            size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp* op);
  ONNXTensorElementDataType (*GetOutputType)(const OrtCustomOp* op,
                                             size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp* op);
  void (*KernelCompute)(void* kernel, OrtKernelContext* context);  // as above
  void (*KernelDestroy)(void* kernel);
  OrtCustomOpInputOutputCharacteristic (*GetInputCharacteristic)(
      const OrtCustomOp* op, size_t index);
  OrtCustomOpInputOutputCharacteristic (*GetOutputCharacteristic)(
      const OrtCustomOp* op, size_t index);
  OrtMemType (*GetInputMemoryType)(const OrtCustomOp* op, size_t index);
  void* variadic[4];  // may be null
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp* op, const OrtApi* api,
                               const OrtKernelInfo* info, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext* context);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp* op,
                                   OrtShapeInferContext* context);  // may be
  int (*GetStartVersion)(const OrtCustomOp* op);
  int (*GetEndVersion)(const OrtCustomOp* op);
  // Since version 18; may be null. Returns how many inputs an output may take
  // the place of, and which; the other one frees the lists.
  size_t (*GetMayInplace)(int** inputs, int** outputs);
  void (*ReleaseMayInplace)(int* inputs, int* outputs);
  void* alias[2];  // may be null
};

}  // extern "C"

#define SPA_ORT_SLOT(table, member, slot)                        \
  static_assert(offsetof(table, member) == slot * sizeof(void*), \
                #table "::" #member " is not in its slot")
SPA_ORT_SLOT(OrtApi, CreateStatus, 0);
SPA_ORT_SLOT(OrtApi, CreateCustomOpDomain, 26);
SPA_ORT_SLOT(OrtApi, CustomOpDomain_Add, 27);
SPA_ORT_SLOT(OrtApi, AddCustomOpDomain, 28);
SPA_ORT_SLOT(OrtApi, GetTensorMutableData, 51);
SPA_ORT_SLOT(OrtApi, SetDimensions, 59);
SPA_ORT_SLOT(OrtApi, GetDimensionsCount, 61);
SPA_ORT_SLOT(OrtApi, GetDimensions, 62);
SPA_ORT_SLOT(OrtApi, GetSymbolicDimensions, 63);
SPA_ORT_SLOT(OrtApi, GetTensorTypeAndShape, 65);
SPA_ORT_SLOT(OrtApi, CreateCpuMemoryInfo, 69);
SPA_ORT_SLOT(OrtApi, AllocatorAlloc, 75);
SPA_ORT_SLOT(OrtApi, AllocatorFree, 76);
SPA_ORT_SLOT(OrtApi, KernelInfoGetAttribute_float, 85);
SPA_ORT_SLOT(OrtApi, KernelInfoGetAttribute_int64, 86);
SPA_ORT_SLOT(OrtApi, KernelInfoGetAttribute_string, 87);
SPA_ORT_SLOT(OrtApi, KernelContext_GetInputCount, 88);
SPA_ORT_SLOT(OrtApi, KernelContext_GetInput, 90);
SPA_ORT_SLOT(OrtApi, KernelContext_GetOutput, 91);
SPA_ORT_SLOT(OrtApi, ReleaseStatus, 93);
SPA_ORT_SLOT(OrtApi, ReleaseMemoryInfo, 94);
SPA_ORT_SLOT(OrtApi, ReleaseTensorTypeAndShapeInfo, 99);
SPA_ORT_SLOT(OrtApi, GetAvailableProviders, 125);
SPA_ORT_SLOT(OrtApi, ReleaseAvailableProviders, 126);
SPA_ORT_SLOT(OrtApi, ReleaseAllocator, 132);
SPA_ORT_SLOT(OrtApi, KernelInfoGetAttributeArray_int64, 163);
SPA_ORT_SLOT(OrtApi, KernelContext_GetGPUComputeStream, 193);
SPA_ORT_SLOT(OrtApi, HasSessionConfigEntry, 237);
SPA_ORT_SLOT(OrtApi, GetSessionConfigEntry, 238);
SPA_ORT_SLOT(OrtApi, KernelInfo_GetNodeName, 244);
SPA_ORT_SLOT(OrtApi, KernelInfoGetConstantInput_tensor, 249);
SPA_ORT_SLOT(OrtApi, KernelContext_GetAllocator, 253);
SPA_ORT_SLOT(OrtApi, ShapeInferContext_GetInputTypeShape, 268);
SPA_ORT_SLOT(OrtApi, ShapeInferContext_GetAttribute, 269);
SPA_ORT_SLOT(OrtApi, ShapeInferContext_SetOutputTypeShape, 270);
SPA_ORT_SLOT(OrtApi, SetSymbolicDimensions, 271);
SPA_ORT_SLOT(OrtApi, ReadOpAttr, 272);
SPA_ORT_SLOT(OrtApi, KernelContext_ParallelFor, 274);
SPA_ORT_SLOT(OrtApi, KernelInfoGetAllocator, 278);
SPA_ORT_SLOT(OrtCustomOp, CreateKernel, 1);
SPA_ORT_SLOT(OrtCustomOp, GetInputType, 4);
SPA_ORT_SLOT(OrtCustomOp, KernelDestroy, 9);
SPA_ORT_SLOT(OrtCustomOp, GetInputMemoryType, 12);
SPA_ORT_SLOT(OrtCustomOp, variadic, 13);
SPA_ORT_SLOT(OrtCustomOp, CreateKernelV2, 17);
SPA_ORT_SLOT(OrtCustomOp, InferOutputShapeFn, 19);
SPA_ORT_SLOT(OrtCustomOp, GetEndVersion, 21);
SPA_ORT_SLOT(OrtCustomOp, GetMayInplace, 22);
#undef SPA_ORT_SLOT

#endif  // SPA_ABI_ORT_API_H_
