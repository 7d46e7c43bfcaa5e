// Names of activations, as attributes and tests give them.

#ifndef SPA_LAYERS_ACTIVATION_H_
#define SPA_LAYERS_ACTIVATION_H_

#include <string>

#include "kernels/epilogue.h"

namespace spa {

// Throws InvalidInput if there is no such activation.
Activation ActivationOf(const std::string& name);

}  // namespace spa

#endif  // SPA_LAYERS_ACTIVATION_H_
