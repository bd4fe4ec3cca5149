"""Built-in neighbourhood kernels."""
