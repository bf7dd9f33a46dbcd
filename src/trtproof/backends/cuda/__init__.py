"""What backends on an NVIDIA GPU share: memory, streams, events, graphs, and a runner's buffers.

Straight on cuda-python's runtime API (cuda.bindings.runtime), whose calls have the same names and
results in cuda-python 12.9 and 13. It works in the device's primary context, which PyTorch, ONNX
Runtime and TensorRT use as well. cuda.core is left alone: cuda-python does not bring it, its
allocators keep memory in pools, which would falsify the memory measured, and it doubles the time
that a worker needs to start.
"""
