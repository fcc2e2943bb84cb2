"""A row in ONNX Runtime:  onnxruntime_worker.py infer ROW MODE THREADS FOLDER

MODE model: the graph of standard operators; fused: the one with the operators that ONNX Runtime has of its own (onnx_models.py writes both). All
optimisations of graphs are on, input and output lie where they are, each thread is tied to a processor."""
import os
import sys

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

from protocol import means, serve


def main():
    _, _, mode, threads, folder = sys.argv[1:]
    threads, processors = int(threads), sorted(os.sched_getaffinity(0))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    if 1 < threads <= len(processors):
        options.add_session_config_entry("session.intra_op_thread_affinities",
                                         ";".join(str(cpu + 1) for cpu in processors[1:threads]))
    session = onnxruntime.InferenceSession("%s/%s.onnx" % (folder, mode), options, providers=["CPUExecutionProvider"])
    if threads > 1:
        os.sched_setaffinity(0, processors[:1])
    name = session.get_inputs()[0].name
    x = load_file(folder + "/batch.safetensors")[name]
    shape = session.run(None, {name: x})[0].shape
    answer = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cpu")
    binding = session.io_binding()
    binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(x, "cpu"))
    binding.bind_ortvalue_output("answer", answer)

    def first():
        session.run_with_iobinding(binding)
        return lambda: means(answer.numpy())

    serve(threads, first, lambda: session.run_with_iobinding(binding))


main()
