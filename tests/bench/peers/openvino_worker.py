"""A row in OpenVINO:  openvino_worker.py infer ROW MODE THREADS FOLDER

The graph of standard operators that onnx_models.py wrote, in one stream, in f32, pinned."""
import sys

import openvino
from safetensors.numpy import load_file

from protocol import means, serve


def main():
    _, _, _, threads, folder = sys.argv[1:]
    settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": int(threads),
                "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": True}
    model = openvino.Core().compile_model(folder + "/model.onnx", "CPU", settings)
    batch = load_file(folder + "/batch.safetensors")
    x = openvino.Tensor(batch[model.inputs[0].get_any_name()], shared_memory=True)
    request = model.create_infer_request()
    request.set_input_tensor(x)

    def step():
        request.infer(share_outputs=True)

    def first():
        step()
        return lambda: means(request.get_output_tensor().data)

    serve(int(threads), first, step)


main()
