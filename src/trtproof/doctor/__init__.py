"""`trtproof doctor`: what works on this machine and what does not, step by step.

steps      the list of steps: name, title, what each needs, its time limit
base       what a step finds
runner     every step in a process of its own, with a time limit; none stops another
step       that process
machine    driver, GPU, packages, libraries, the project
cuda       memory, streams, graphs on the GPU
tensorrt   bindings, libraries in use, constructors
graphs     tiny ONNX graphs, made here, and what ONNX Runtime says they compute
engines    the graphs through TensorRT: build, inspect, load, run, compare
behaviour  replay, profiles, streams, output shapes, refused plans, trtexec
table      the readable answer
command    arguments, files, exit code
"""
