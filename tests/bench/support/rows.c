/* FLOPs are those of the shapes: forward 2mnk for a product, and twice that for its two gradients
 * where both are needed. */
#include "tests/bench/support/rows.h"

#include <stddef.h>

const BenchRow bench_rows[] = {
    {"simple", "simple", {0}, 3e-6, TRAINS | TINY, 0},
    {"mlp", "mlp", {0}, .411, TRAINS, 0},
    {"lenet-b64", "lenet", {"rows=64"}, 1.60, TRAINS | IMAGES, 0},
    {"lenet-b128", "lenet", {"rows=128"}, 3.20, TRAINS | IMAGES, 0},
    {"gpt-nano", "gpt", {0}, 3.96, TRAINS, 0},
    {"lstm", "lstm", {0}, 9.66, TRAINS, 0},
    {"resnet18-32", "resnet18", {"side=32"}, 107, TRAINS | IMAGES | WILD, 2},
    {"resnet18-224", "resnet18", {"side=224"}, 341, TRAINS | IMAGES | WILD, 6},
    {"gpt-char", "gpt", {"rows=16", "T=256", "C=384", "L=6", "H=6"}, 291, TRAINS, 4},
    {"transformer", "transformer", {0}, 303, TRAINS, 3},
    {"gpt2-T64", "gpt", {"rows=4", "T=64", "V=50257", "C=768", "L=12", "H=12"}, 192, TRAINS, 4},
    {"gpt2-T256", "gpt", {"rows=4", "T=256", "V=50257", "C=768", "L=12", "H=12"}, 788, TRAINS, 8},
    {"imagenet-cnn", "imagenet_cnn", {0}, 268, TRAINS | IMAGES, 16},
    {"lenet-infer-b1", "lenet", {"rows=1"}, .0083, INFERS | IMAGES, 0},
    {"lenet-infer-b32", "lenet", {"rows=32"}, .267, INFERS | IMAGES, 0},
    {"mobilenet_v2-infer-b1", "infer_mobilenet_v2", {"rows=1"}, .60, INFERS | IMAGES, 0},
    {"mobilenet_v2-infer-b32", "infer_mobilenet_v2", {"rows=32"}, 19.3, INFERS | IMAGES, 1},
    {"resnet18-infer-b1", "resnet18", {"rows=1", "side=224"}, 3.63, INFERS | IMAGES, 0},
    {"resnet18-infer-b32", "resnet18", {"rows=32", "side=224"}, 116, INFERS | IMAGES, 1},
    {"resnet50-infer-b1", "infer_resnet50", {"rows=1"}, 8.18, INFERS | IMAGES, 0},
    {"resnet50-infer-b32", "infer_resnet50", {"rows=32"}, 262, INFERS | IMAGES, 2},
    {"bert-infer-b1", "infer_bert", {"rows=1"}, 22.4, INFERS | TEXTS, 1},
    {"bert-infer-b4", "infer_bert", {"rows=4"}, 89.5, INFERS | TEXTS, 1},
    {"gpt2-infer-T64-b1",
     "gpt",
     {"rows=1", "T=64", "V=50257", "C=768", "L=12", "H=12"},
     16.0,
     INFERS | TEXTS,
     1},
    {"gpt2-infer-T64-b4",
     "gpt",
     {"rows=4", "T=64", "V=50257", "C=768", "L=12", "H=12"},
     64.0,
     INFERS | TEXTS,
     1},
    {"gpt2_text-T64", "infer_gpt2_text", {"rows=1"}, 15.9, WRITES, 1},
    {0},
};

const BenchEngine bench_engines[] = {
    {"torch eager", "torch", "torch_worker.py", "eager", NULL, 0, TRAINS | INFERS | WRITES},
    {"torch fused", "torch", "torch_worker.py", "eager-fused", NULL, 0, TRAINS},
    {"torch fused nhwc", "torch", "torch_worker.py", "eager-fused-nhwc", NULL, IMAGES, TRAINS},
    {"torch nhwc", "torch", "torch_worker.py", "eager-nhwc", NULL, IMAGES, INFERS},
    {"torch compile", "torch", "torch_worker.py", "compile", NULL, 0, TRAINS | INFERS | WRITES},
    {"torch compile nhwc", "torch", "torch_worker.py", "compile-nhwc", NULL, IMAGES,
     TRAINS | INFERS},
    {"jax jit", "jax", "jax_worker.py", "jit", NULL, 0, TRAINS},
    {"jax scan", "jax", "jax_worker.py", "scan", NULL, TINY, TRAINS},
    {"tensorflow", "tensorflow", "tensorflow_worker.py", "function", NULL, 0, TRAINS},
    {"tensorflow xla", "tensorflow", "tensorflow_worker.py", "compile", NULL, 0, TRAINS},
    {"onnxruntime", "onnxruntime", "onnxruntime_worker.py", "model", "onnx_models.py", 0, INFERS},
    {"onnxruntime fused", "onnxruntime", "onnxruntime_worker.py", "fused", "onnx_models.py", TEXTS,
     INFERS},
    {"openvino", "openvino", "openvino_worker.py", "model", "onnx_models.py", 0, INFERS},
    {0},
};

bool engine_applies(const BenchEngine *engine, const BenchRow *row)
{
    return (engine->flags & row->flags) == engine->flags && (engine->kinds & row->flags) != 0;
}
