# The fuzz target over packed weights, with a driver of its own.
add_executable(fuzz_packed fuzz/driver.cc fuzz/fuzz_packed.cc fuzz/read_for_cuda.cc)
target_link_libraries(fuzz_packed PRIVATE spa_kernel_objects Threads::Threads)
