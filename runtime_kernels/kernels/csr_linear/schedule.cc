// Cuts Y into tasks: blocks of tokens times ranges of rows. All panels are
// packed first, so that several row ranges can share one.

#include <algorithm>
#include <memory>
#include <new>

#include "kernels/csr_linear/csr_view.h"

namespace spa {
namespace {

// About 2-5 microseconds of work, where handing out a task costs up to 0.2.
constexpr size_t kNonzerosPerTask = 4096;
// A whole number of the row bands of every kernel.
constexpr size_t kRowStep = 16;

struct FreePanels {
  void operator()(float* panels) const noexcept {
    ::operator delete(panels, std::align_val_t{64});
  }
};
using Panels = std::unique_ptr<float, FreePanels>;

Panels AllocatePanels(size_t floats) {
  return Panels(static_cast<float*>(
      ::operator new(floats * sizeof(float), std::align_val_t{64})));
}

size_t RowsPerTask(const CsrLinear& problem) {
  const size_t nonzeros = std::max<size_t>(1, RowStart(problem, problem.rows));
  const size_t wanted = problem.rows * kNonzerosPerTask / nonzeros;
  return std::max(kRowStep, wanted - wanted % kRowStep);
}

struct Schedule {
  const CsrLinearKernel& kernel;
  const CsrLinear& problem;
  size_t rows_per_task;
  size_t row_tasks;
  float* panels;

  size_t FirstToken(size_t block) const { return block * kernel.lanes; }

  bool HasPanel(size_t block) const {
    return BlockTokens(problem, FirstToken(block), kernel.lanes) >=
           kernel.fewest_panel_tokens;
  }

  float* Panel(size_t block) const {
    return HasPanel(block) ? panels + FirstToken(block) * problem.columns
                           : nullptr;
  }

  void Pack(size_t block) const {
    if (HasPanel(block)) {
      kernel.pack(&problem, FirstToken(block), Panel(block));
    }
  }

  void Multiply(size_t task) const {
    const size_t block = task / row_tasks;
    const size_t first_row = task % row_tasks * rows_per_task;
    kernel.multiply(&problem, FirstToken(block), Panel(block), first_row,
                    std::min(problem.rows, first_row + rows_per_task));
  }
};

template <void (Schedule::*kStep)(size_t) const>
void CallStep(void* schedule, size_t index) {
  (static_cast<const Schedule*>(schedule)->*kStep)(index);
}

}  // namespace

void RunCsrLinear(const CsrLinearKernel& kernel, const CsrLinear& problem,
                  const Parallel& parallel) {
  if (problem.tokens == 0) return;
  const size_t blocks = (problem.tokens + kernel.lanes - 1) / kernel.lanes;
  const size_t rows_per_task = RowsPerTask(problem);
  Schedule schedule{kernel, problem, rows_per_task,
                    (problem.rows + rows_per_task - 1) / rows_per_task,
                    nullptr};
  Panels panels;
  if (schedule.HasPanel(0)) {
    panels = AllocatePanels(blocks * kernel.lanes * problem.columns);
    schedule.panels = panels.get();
    parallel.Run(blocks, CallStep<&Schedule::Pack>, &schedule);
  }
  parallel.Run(blocks * schedule.row_tasks, CallStep<&Schedule::Multiply>,
               &schedule);
}

}  // namespace spa
