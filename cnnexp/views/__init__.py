"""What a network sees: the outputs of its layers and its kernels, as tensors and as pictures."""
