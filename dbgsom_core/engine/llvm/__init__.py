"""Instructions that numba does not write itself, as LLVM: vectors of samples and prototypes."""
