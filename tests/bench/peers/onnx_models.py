"""The inference rows as ONNX files, from the weights that nnc wrote:  onnx_models.py ROW FOLDER

FOLDER/model.onnx has standard operators only. FOLDER/fused.onnx has the models of texts with the operators that ONNX Runtime fuses them into
(attention, skip and norm, bias and gelu); for images it is not written. Both say their weights as they lie in weights.safetensors, and the
shape of the batch is fixed."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


class Net:
    """A graph that grows node by node. Values are names; arrays become constants; w("fc1.weight") is a weight."""

    def __init__(self, weights, fused):
        self.weights, self.fused, self.nodes, self.constants, self.count = weights, fused, [], {}, 0

    def w(self, name):
        self.constants.setdefault(name, self.weights[name])
        return name

    def constant(self, value):
        name = "constant.%d" % len(self.constants)
        self.constants[name] = value
        return name

    def op(self, kind, *inputs, outputs=1, domain="", **attributes):
        names = [self.constant(x) if isinstance(x, np.ndarray) else x for x in inputs]
        results = ["%s.%d" % (kind, self.count + i) for i in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(kind, names, results, domain=domain, **attributes))
        return results[0] if outputs == 1 else results

    def contrib(self, kind, *inputs, outputs=1, **attributes):
        return self.op(kind, *inputs, outputs=outputs, domain="com.microsoft", **attributes)

    def save(self, path, name, batch, answer):
        kind = TensorProto.INT32 if batch.dtype == np.int32 else TensorProto.FLOAT
        self.nodes.append(helper.make_node("Identity", [answer], ["answer"]))
        graph = helper.make_graph(
            self.nodes, "row", [helper.make_tensor_value_info(name, kind, batch.shape)],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(x, order="C"), name) for name, x in self.constants.items()])
        sets = [helper.make_opsetid("", 20)] + ([helper.make_opsetid("com.microsoft", 1)] if self.fused else [])
        onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), path)


# ---- images ----

def convolution(net, x, name, stride=1, groups=1):
    side = net.weights[name + ".weight"].shape[2]
    bias = [net.w(name + ".bias")] if name + ".bias" in net.weights else []
    return net.op("Conv", x, net.w(name + ".weight"), *bias, kernel_shape=[side] * 2, strides=[stride] * 2,
                  pads=[side // 2] * 4, group=groups)


def norm(net, x, name):
    parts = [net.w(name + "." + part) for part in ("weight", "bias", "running_mean", "running_var")]
    return net.op("BatchNormalization", x, *parts, epsilon=1e-5)


def linear(net, x, name):
    return net.op("Gemm", x, net.w(name + ".weight"), net.w(name + ".bias"), transB=1)


def averages(net, x):
    return net.op("Flatten", net.op("GlobalAveragePool", x), axis=1)


def lenet(net, x, _):
    for name in ("conv1", "conv2"):
        x = net.op("MaxPool", net.op("Relu", convolution(net, x, name)), kernel_shape=[2, 2], strides=[2, 2])
    return linear(net, net.op("Relu", linear(net, net.op("Flatten", x, axis=1), "fc1")), "fc2")


def residual_block(net, x, name, stride):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1: as many as there are weights."""
    y, deep = x, name + ".conv3.weight" in net.weights
    count = 3 if deep else 2
    for i in range(1, count + 1):
        strides = stride if i == (2 if deep else 1) else 1
        y = norm(net, convolution(net, y, "%s.conv%d" % (name, i), strides), "%s.bn%d" % (name, i))
        y = net.op("Relu", y) if i < count else y
    if name + ".downsample.0.weight" in net.weights:
        x = norm(net, convolution(net, x, name + ".downsample.0", stride), name + ".downsample.1")
    return net.op("Relu", net.op("Add", y, x))


def resnet(net, x, _):
    x = net.op("Relu", norm(net, convolution(net, x, "conv1", 2), "bn1"))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage in range(1, 5):
        block = 0
        while "layer%d.%d.conv1.weight" % (stage, block) in net.weights:
            x = residual_block(net, x, "layer%d.%d" % (stage, block), 2 if stage > 1 and block == 0 else 1)
            block += 1
    return linear(net, averages(net, x), "fc")


def mobilenet_v2(net, x, _):
    def unit(x, name, stride=1, groups=1):
        y = norm(net, convolution(net, x, name + ".0", stride, groups), name + ".1")
        return net.op("Clip", y, np.array(0, np.float32), np.array(6, np.float32))

    x, inner, index = unit(x, "features.0", 2), 32, 1
    for expand, outer, depth, first in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                        (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(depth):
            name, stride, part, y = "features.%d.conv" % index, first if i == 0 else 1, 0, x
            if expand != 1:
                y, part = unit(y, name + ".0"), 1
            y = unit(y, "%s.%d" % (name, part), stride, inner * expand)
            y = norm(net, convolution(net, y, "%s.%d" % (name, part + 1)), "%s.%d" % (name, part + 2))
            x = net.op("Add", x, y) if stride == 1 and inner == outer else y
            inner, index = outer, index + 1
    return linear(net, averages(net, unit(x, "features.18")), "classifier.1")


# ---- texts ----

def dense(net, x, weight, bias):
    return net.op("Add", net.op("MatMul", x, weight), bias)


def attention(net, x, weight, bias, heads, causal, length):
    """weight [C, 3C] and bias [3C] of query, key and value side by side -> [B, T, C] before the last projection."""
    if net.fused:
        return net.contrib("Attention", x, weight, bias, num_heads=heads, unidirectional=int(causal))
    wide = net.constants[weight].shape[0]
    parts = net.op("Split", dense(net, x, weight, bias), outputs=3, axis=2, num_outputs=3)
    shape = np.array([0, 0, heads, wide // heads], np.int64)
    orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    q, k, v = (net.op("Transpose", net.op("Reshape", part, shape), perm=order) for part, order in zip(parts, orders))
    scores = net.op("Mul", net.op("MatMul", q, k), np.array((wide // heads) ** -0.5, np.float32))
    if causal:
        mask = np.triu(np.full((length, length), np.finfo(np.float32).min, np.float32), 1)
        scores = net.op("Add", scores, mask)
    y = net.op("Transpose", net.op("MatMul", net.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    return net.op("Reshape", y, np.array([0, 0, wide], np.int64))


def layer_norm(net, x, name, epsilon):
    return net.op("LayerNormalization", x, net.w(name + ".weight"), net.w(name + ".bias"), axis=-1, epsilon=epsilon)


def skip_norm(net, x, weight, bias, skip, name, epsilon):
    """x @ weight + bias + skip, and its norm."""
    if net.fused:
        y, _, _, total = net.contrib("SkipLayerNormalization", net.op("MatMul", x, weight), skip, net.w(name + ".weight"),
                                     net.w(name + ".bias"), bias, outputs=4, epsilon=epsilon)
        return total, y
    total = net.op("Add", dense(net, x, weight, bias), skip)
    return total, layer_norm(net, total, name, epsilon)


def gelu(net, x, weight, bias, tanh):
    if net.fused:
        return net.contrib("FastGelu" if tanh else "BiasGelu", net.op("MatMul", x, weight), bias)
    return net.op("Gelu", dense(net, x, weight, bias), approximate="tanh" if tanh else "none")


def bert(net, token, batch):
    turned = lambda name: net.constant(net.weights[name + ".weight"].T)
    e, length = "embeddings.", batch.shape[1]
    places = net.weights[e + "position_embeddings.weight"][:length] + net.weights[e + "token_type_embeddings.weight"][0]
    x = net.op("Add", net.op("Gather", net.w(e + "word_embeddings.weight"), token, axis=0), places)
    x = layer_norm(net, x, e + "LayerNorm", 1e-12)
    for i in range(12):
        name = "encoder.layer.%d." % i
        parts = [name + "attention.self." + part for part in ("query", "key", "value")]
        weight = net.constant(np.concatenate([net.weights[part + ".weight"] for part in parts]).T)
        bias = net.constant(np.concatenate([net.weights[part + ".bias"] for part in parts]))
        y, out = attention(net, x, weight, bias, 12, False, length), name + "attention.output."
        _, x = skip_norm(net, y, turned(out + "dense"), net.w(out + "dense.bias"), x, out + "LayerNorm", 1e-12)
        y, inside, out = x, name + "intermediate.dense", name + "output."
        y = gelu(net, y, turned(inside), net.w(inside + ".bias"), False)
        _, x = skip_norm(net, y, turned(out + "dense"), net.w(out + "dense.bias"), x, out + "LayerNorm", 1e-12)
    first = net.op("Gather", x, np.array(0, np.int64), axis=1)
    return net.op("Tanh", linear(net, first, "pooler.dense"))


def gpt2(net, token, batch):
    length = batch.shape[1]
    x = net.op("Gather", net.w("wte.weight"), token, axis=0)
    x = net.op("Add", x, net.weights["wpe.weight"][:length])
    y = layer_norm(net, x, "h.0.ln_1", 1e-5)
    for i in range(12):
        name = "h.%d." % i
        pair = lambda part: (net.w(name + part + ".weight"), net.w(name + part + ".bias"))
        y = attention(net, y, *pair("attn.c_attn"), 12, True, length)
        x, y = skip_norm(net, y, *pair("attn.c_proj"), x, name + "ln_2", 1e-5)
        y = gelu(net, y, *pair("mlp.c_fc"), True)
        x, y = skip_norm(net, y, *pair("mlp.c_proj"), x, "h.%d.ln_1" % (i + 1) if i < 11 else "ln_f", 1e-5)
    words, wide = net.weights["wte.weight"].shape
    rows = net.op("Reshape", y, np.array([-1, wide], np.int64))
    logits = net.op("Gemm", rows, net.w("wte.weight"), transB=1)
    return net.op("Reshape", logits, np.array([*batch.shape, words], np.int64))


# first word of a row -> (model, name of the input, whether ONNX Runtime has operators of its own for it)
MODELS = {
    "lenet": (lenet, "x", False),
    "mobilenet_v2": (mobilenet_v2, "x", False),
    "resnet18": (resnet, "x", False),
    "resnet50": (resnet, "x", False),
    "bert": (bert, "token", True),
    "gpt2": (gpt2, "token", True),
}


def main():
    row, folder = sys.argv[1:]
    build, name, fuses = MODELS[row.split("-")[0]]
    weights, batch = load_file(folder + "/weights.safetensors"), load_file(folder + "/batch.safetensors")[name]
    for fused in (False, True) if fuses else (False,):
        net = Net(weights, fused)
        net.save("%s/%s.onnx" % (folder, "fused" if fused else "model"), name, batch, build(net, name, batch))


main()
