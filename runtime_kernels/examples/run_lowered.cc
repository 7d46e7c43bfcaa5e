// Runs a lowered model on ones and prints the first output's shape and sum.
//
//   g++ -std=c++17 run_lowered.cc -I HEADERS -L LIBRARIES -lonnxruntime
//   ./a.out model.onnx libspa_onnx_kernels.so
//
// `spa_onnx.runtime.library_path()` prints where an installation keeps the
// second file. The model must have one float input of static shape.

#include <onnxruntime_cxx_api.h>

#include <iostream>
#include <numeric>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: run_lowered MODEL LIBRARY\n";
    return 2;
  }
  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "run_lowered");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  try {
    options.RegisterCustomOpsLibrary(argv[2]);
    Ort::Session session(env, argv[1], options);

    Ort::AllocatorWithDefaultOptions allocator;
    const auto input = session.GetInputNameAllocated(0, allocator);
    const auto output = session.GetOutputNameAllocated(0, allocator);
    const std::vector<int64_t> shape =
        session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();

    const int64_t count = std::accumulate(shape.begin(), shape.end(),
                                          int64_t{1}, std::multiplies<>());
    std::vector<float> x(static_cast<size_t>(count), 1.0f);
    const auto memory =
        Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const Ort::Value tensor = Ort::Value::CreateTensor<float>(
        memory, x.data(), x.size(), shape.data(), shape.size());
    const char* const input_name = input.get();
    const char* const output_name = output.get();
    const auto outputs = session.Run(Ort::RunOptions{}, &input_name, &tensor, 1,
                                     &output_name, 1);

    const auto info = outputs[0].GetTensorTypeAndShapeInfo();
    const float* y = outputs[0].GetTensorData<float>();
    for (const int64_t length : info.GetShape()) std::cout << length << ' ';
    std::cout << std::accumulate(y, y + info.GetElementCount(), 0.0) << '\n';
  } catch (const Ort::Exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
