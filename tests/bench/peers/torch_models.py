"""The programs of tests/bench/programs in PyTorch: same names of parameters, same work."""
import torch
import torch.nn.functional as F
from torch import nn


class Simple(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, batch):
        return F.mse_loss(self.fc2(F.relu(self.fc1(batch["x"]))), batch["y"])


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)

    def forward(self, batch):
        return F.cross_entropy(self.fc3(F.relu(self.fc2(F.relu(self.fc1(batch["x"]))))), batch["label"])


class TwoConvolutions(nn.Module):
    """lenet and imagenet-cnn."""

    def __init__(self, channels, first, second, dense, inside):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(dense, inside), nn.Linear(inside, 10)

    def answer(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))

    def forward(self, batch):
        return F.cross_entropy(self.answer(batch["x"]), batch["label"])


class BasicBlock(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    def __init__(self, inner, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = nn.Conv2d(channels, 4 * channels, 1, bias=False), nn.BatchNorm2d(4 * channels)
        self.downsample = None
        if stride != 1 or inner != 4 * channels:
            self.downsample = nn.Sequential(nn.Conv2d(inner, 4 * channels, 1, stride, bias=False),
                                            nn.BatchNorm2d(4 * channels))

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, block, wide, depths, small, classes):
        super().__init__()
        self.small, self.inner = small, 64
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for i, depth in enumerate(depths):
            setattr(self, "layer%d" % (i + 1), self.stage(block, wide, 64 << i, depth, 1 if i == 0 else 2))
        self.fc = nn.Linear(512 * wide, classes)

    def stage(self, block, wide, channels, depth, stride):
        blocks = []
        for i in range(depth):
            blocks.append(block(self.inner, channels, stride if i == 0 else 1))
            self.inner = channels * wide
        return nn.Sequential(*blocks)

    def answer(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if not self.small:
            x = F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))

    def forward(self, batch):
        return F.cross_entropy(self.answer(batch["x"]), batch["label"])


class InvertedResidual(nn.Module):
    def __init__(self, inner, outer, stride, expand):
        super().__init__()
        wide, parts = inner * expand, []
        if expand != 1:
            parts.append(nn.Sequential(nn.Conv2d(inner, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()))
        parts.append(nn.Sequential(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide),
                                   nn.ReLU6()))
        self.conv = nn.Sequential(*parts, nn.Conv2d(wide, outer, 1, bias=False), nn.BatchNorm2d(outer))
        self.adds = stride == 1 and inner == outer

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self):
        super().__init__()
        parts = [nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())]
        inner = 32
        for expand, outer, depth, stride in self.STAGES:
            for i in range(depth):
                parts.append(InvertedResidual(inner, outer, stride if i == 0 else 1, expand))
                inner = outer
        parts.append(nn.Sequential(nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def answer(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class LSTMClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10000, 128)
        self.lstm = nn.LSTM(128, 256, batch_first=True)
        self.out = nn.Linear(256, 2)

    def forward(self, batch):
        _, (last, _) = self.lstm(self.embedding(batch["token"]))
        return F.cross_entropy(self.out(last[0]), batch["label"])


class GPTBlock(nn.Module):
    def __init__(self, C, H):
        super().__init__()
        self.H = H
        self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(C, 3 * C), "c_proj": nn.Linear(C, C)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(C, 4 * C), "c_proj": nn.Linear(4 * C, C)})

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.H, C // self.H).transpose(1, 2)
                   for part in self.attn["c_attn"](self.ln_1(x)).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, V, T, C, L, H):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, C), nn.Embedding(T, C)
        self.h = nn.ModuleList(GPTBlock(C, H) for _ in range(L))
        self.ln_f = nn.LayerNorm(C)

    def answer(self, token):
        x = self.wte(token) + self.wpe.weight[:token.shape[1]]
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)

    def forward(self, batch):
        return F.cross_entropy(self.answer(batch["token"]).flatten(0, 1), batch["next"].flatten())


class Writer(GPT):
    """Writes as many tokens as x has, each the most likely one after those before, with a cache of keys and values; gives their logits."""

    def __init__(self, V, T, C, L, H):
        super().__init__(V, T, C, L, H)
        self.caches = [torch.zeros(2, H, T, C // H) for _ in range(L)]

    def after(self, token, t):
        """token [1], t [1] -> the largest logit and its token."""
        x = self.wte(token) + self.wpe(t)
        C, seen = x.shape[1], (torch.arange(self.wpe.weight.shape[0]) <= t)[None]
        for block, cache in zip(self.h, self.caches):
            q, k, v = block.attn["c_attn"](block.ln_1(x)).view(3, block.H, 1, C // block.H)
            cache[0].index_copy_(1, t, k)
            cache[1].index_copy_(1, t, v)
            y = F.scaled_dot_product_attention(q[None], cache[0][None], cache[1][None], seen)
            x = x + block.attn["c_proj"](y.view(1, C))
            x = x + block.mlp["c_proj"](F.gelu(block.mlp["c_fc"](block.ln_2(x)), approximate="tanh"))
        return F.linear(self.ln_f(x), self.wte.weight).max(1)

    def answer(self, token):
        here, made = token[0, :1], []
        for t in range(token.shape[1]):
            best, here = self.step(here, torch.tensor([t]))
            made.append(best)
        return torch.stack(made, 1)


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.write = nn.Embedding(8000, 512), nn.Embedding(8000, 512)
        self.core = nn.Transformer(512, 8, 6, 6, 2048, dropout=0.0, batch_first=True)
        self.head = nn.Linear(512, 8000)

    def forward(self, batch):
        target = batch["target"]
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        y = self.core(self.read(batch["source"]), self.write(target), tgt_mask=mask, tgt_is_causal=True)
        return F.cross_entropy(self.head(y).flatten(0, 1), batch["next"].flatten())


class BERTLayer(nn.Module):
    def __init__(self, C, H, inside):
        super().__init__()
        self.H = H
        self.attention = nn.ModuleDict({
            "self": nn.ModuleDict({name: nn.Linear(C, C) for name in ("query", "key", "value")}),
            "output": nn.ModuleDict({"dense": nn.Linear(C, C), "LayerNorm": nn.LayerNorm(C, eps=1e-12)})})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(C, inside)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inside, C), "LayerNorm": nn.LayerNorm(C, eps=1e-12)})

    def forward(self, x):
        B, T, C = x.shape
        heads = [self.attention["self"][name](x).view(B, T, self.H, C // self.H).transpose(1, 2)
                 for name in ("query", "key", "value")]
        y = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(B, T, C)
        x = self.attention["output"]["LayerNorm"](self.attention["output"]["dense"](y) + x)
        y = self.output["dense"](F.gelu(self.intermediate["dense"](x)))
        return self.output["LayerNorm"](y + x)


class BERT(nn.Module):
    def __init__(self, V=30522, C=768, L=12, H=12):
        super().__init__()
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(V, C), "position_embeddings": nn.Embedding(512, C),
            "token_type_embeddings": nn.Embedding(2, C), "LayerNorm": nn.LayerNorm(C, eps=1e-12)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(BERTLayer(C, H, 4 * C) for _ in range(L))})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(C, C)})

    def answer(self, token):
        e = self.embeddings
        x = e["word_embeddings"](token) + e["position_embeddings"].weight[:token.shape[1]]
        x = e["LayerNorm"](x + e["token_type_embeddings"].weight[0])
        for layer in self.encoder["layer"]:
            x = layer(x)
        return torch.tanh(self.pooler["dense"](x[:, 0]))


def sgd(rate, **more):
    return lambda p, fused: torch.optim.SGD(p, rate, fused=fused, **more)


def adam(rate):
    return lambda p, fused: torch.optim.Adam(p, rate, fused=fused)


def adamw(decay, betas=(0.9, 0.999)):
    return lambda p, fused: torch.optim.AdamW(p, 1e-3, betas=betas, weight_decay=decay, fused=fused)


# program -> (model, optimizer)
TRAINING = {
    "simple": (Simple, sgd(0.01)),
    "mlp": (MLP, adamw(0.01)),
    "lenet": (lambda: TwoConvolutions(1, 32, 64, 3136, 128), adam(1e-3)),
    "imagenet_cnn": (lambda: TwoConvolutions(3, 64, 128, 401408, 1024), adam(1e-3)),
    "resnet18": (lambda **c: ResNet(BasicBlock, 1, (2, 2, 2, 2), **c), sgd(0.1, momentum=0.9, weight_decay=5e-4)),
    "lstm": (LSTMClassifier, adam(1e-3)),
    "gpt": (GPT, adamw(0.1, (0.9, 0.99))),
    "transformer": (Translator, adam(1e-4)),
}

# first word of an inference row -> (model, name of the input)
INFERENCE = {
    "lenet": (lambda: TwoConvolutions(1, 32, 64, 3136, 128), "x"),
    "mobilenet_v2": (MobileNetV2, "x"),
    "resnet18": (lambda: ResNet(BasicBlock, 1, (2, 2, 2, 2), False, 1000), "x"),
    "resnet50": (lambda: ResNet(Bottleneck, 4, (3, 4, 6, 3), False, 1000), "x"),
    "bert": (BERT, "token"),
    "gpt2": (lambda: GPT(50257, 64, 768, 12, 12), "token"),
    "gpt2_text": (lambda: Writer(50257, 64, 768, 12, 12), "token"),
}

# Dense layers that the program keeps as [in, out].
TURNED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def load(model, weights):
    """Every parameter and running statistic has the value of the file; nothing is left over on either side."""
    state = {name: w.t().contiguous() if name.endswith(TURNED) else w for name, w in weights.items()}
    for name in model.state_dict():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.tensor(0))
    model.load_state_dict(state)
