"""The models of library/whole.nn in PyTorch, small: NETS[case]() takes the rows of layers.npz and gives its loss."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torchvision_blocks import BasicBlock, Bottleneck, InvertedResidual, SqueezeExcitation, conv


def heads(x, n):
    return x.unflatten(2, (n, -1)).transpose(1, 2)


def attend(q, k, v, n, **options):
    return F.scaled_dot_product_attention(heads(q, n), heads(k, n), heads(v, n), **options).transpose(1, 2).flatten(2)


class Tree(nn.Module):
    """Parts by name."""

    def __init__(self, /, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class Mlp(Tree):
    def __init__(self):
        super().__init__(layers=nn.ModuleList([nn.Linear(144, 6), nn.Linear(6, 5), nn.Linear(5, 3)]))

    def forward(self, rows):
        a, b, c = self.layers
        return F.cross_entropy(c(F.relu(b(F.relu(a(rows["image"].flatten(1)))))), rows["label"])


def double(i, o):
    return Tree(double_conv=nn.Sequential(conv(i, o, 3), nn.BatchNorm2d(o), nn.ReLU(), conv(o, o, 3), nn.BatchNorm2d(o), nn.ReLU()))


class Unet(Tree):
    def __init__(self):
        super().__init__(inc=double(2, 1), outc=nn.Conv2d(1, 3, 1))
        for i in range(4):
            setattr(self, f"down{i + 1}", Tree(conv=double(2 ** i, 2 ** (i + 1))))
            up = Tree(up=nn.ConvTranspose2d(2 ** (4 - i), 2 ** (3 - i), 2, 2), conv=double(2 ** (4 - i), 2 ** (3 - i)))
            setattr(self, f"up{i + 1}", up)

    def forward(self, x):
        levels = [self.inc.double_conv(x)]
        for i in range(4):
            levels.append(self._modules[f"down{i + 1}"].conv.double_conv(F.max_pool2d(levels[-1], 2)))
        y = levels.pop()
        for i in range(4):
            up = self._modules[f"up{i + 1}"]
            y = up.conv.double_conv(torch.cat([levels.pop(), up.up(y)], 1))
        return self.outc(y)


class Everywhere(Tree):
    def __init__(self):
        super().__init__(net=Unet())

    def forward(self, rows):
        square = rows["image"][:, :, :8]
        x = torch.cat([square, square.flip(2)], 3)
        return F.cross_entropy(self.net(torch.cat([x, x.flip(3)], 2)).mean((2, 3)), rows["label"])


class Dense(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.weight, self.bias = nn.Parameter(0.3 * torch.randn(i, o)), nn.Parameter(0.1 * torch.randn(o))

    def forward(self, x):
        return x @ self.weight + self.bias


class Gpt2(Tree):
    def __init__(self):
        block = lambda: Tree(ln_1=nn.LayerNorm(8), ln_2=nn.LayerNorm(8), attn=Tree(c_attn=Dense(8, 24), c_proj=Dense(8, 8)),
                             mlp=Tree(c_fc=Dense(8, 32), c_proj=Dense(32, 8)))
        super().__init__(wte=nn.Embedding(11, 8), wpe=nn.Embedding(6, 8), h=nn.ModuleList([block(), block()]), ln_f=nn.LayerNorm(8))

    def forward(self, rows):
        token = rows["token"]
        x = self.wte(token[:, :4]) + self.wpe.weight[:4]
        for b in self.h:
            x = x + b.attn.c_proj(attend(*b.attn.c_attn(b.ln_1(x)).split(8, 2), 2, is_causal=True))
            x = x + b.mlp.c_proj(F.gelu(b.mlp.c_fc(b.ln_2(x)), approximate="tanh"))
        return F.cross_entropy((self.ln_f(x) @ self.wte.weight.T).flatten(0, 1), token[:, 1:].flatten())


class Bert(Tree):
    def __init__(self):
        norm = lambda: nn.LayerNorm(8, 1e-12)
        part = lambda i: Tree(dense=nn.Linear(i, 8), LayerNorm=norm())
        three = lambda: Tree(query=nn.Linear(8, 8), key=nn.Linear(8, 8), value=nn.Linear(8, 8))
        layer = lambda: Tree(attention=Tree(self=three(), output=part(8)), intermediate=Tree(dense=nn.Linear(8, 12)), output=part(12))
        words = Tree(word_embeddings=nn.Embedding(11, 8), position_embeddings=nn.Embedding(6, 8),
                     token_type_embeddings=nn.Embedding(2, 8), LayerNorm=norm())
        super().__init__(bert=Tree(embeddings=words, encoder=Tree(layer=nn.ModuleList([layer(), layer()])),
                                   pooler=Tree(dense=nn.Linear(8, 8))), classifier=nn.Linear(8, 3))

    def forward(self, rows):
        token, bert, real = rows["token"], self.bert, (rows["token"] != 3)[:, None, None]
        e = bert.embeddings
        x = e.LayerNorm(e.word_embeddings(token) + e.position_embeddings.weight[:5] + e.token_type_embeddings(token % 2))
        for b in bert.encoder.layer:
            parts = b.attention._modules
            three = parts["self"]
            seen = attend(three.query(x), three.key(x), three.value(x), 2, attn_mask=real)
            x = parts["output"].LayerNorm(parts["output"].dense(seen) + x)
            x = b.output.LayerNorm(b.output.dense(F.gelu(b.intermediate.dense(x))) + x)
        return F.cross_entropy(self.classifier(torch.tanh(bert.pooler.dense(x[:, 0]))), rows["label"])


class Vit(Tree):
    def __init__(self):
        norm = lambda: nn.LayerNorm(8, 1e-6)
        block = lambda: Tree(norm1=norm(), norm2=norm(), attn=Tree(qkv=nn.Linear(8, 24), proj=nn.Linear(8, 8)),
                             mlp=Tree(fc1=nn.Linear(8, 32), fc2=nn.Linear(32, 8)))
        super().__init__(patch_embed=Tree(proj=nn.Conv2d(2, 8, 4, 4)), blocks=nn.ModuleList([block(), block()]), norm=norm(),
                         head=nn.Linear(8, 3))
        self.cls_token, self.pos_embed = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))

    def forward(self, rows):
        patches = self.patch_embed.proj(rows["image"][:, :, :8]).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(patches), 1, 8), patches], 1) + self.pos_embed
        for b in self.blocks:
            x = x + b.attn.proj(attend(*b.attn.qkv(b.norm1(x)).split(8, 2), 2))
            x = x + b.mlp.fc2(F.gelu(b.mlp.fc1(b.norm2(x))))
        return F.cross_entropy(self.head(self.norm(x)[:, 0]), rows["label"])


class Ncf(Tree):
    def __init__(self):
        super().__init__(user_gmf=nn.Embedding(11, 3), item_gmf=nn.Embedding(11, 3), user_mlp=nn.Embedding(11, 4),
                         item_mlp=nn.Embedding(11, 4), layers=nn.ModuleList([nn.Linear(8, 4)]), out=nn.Linear(7, 1))

    def forward(self, rows):
        user, item = rows["token"][:, 0], rows["token"][:, 1]
        y = F.relu(self.layers[0](torch.cat([self.user_mlp(user), self.item_mlp(item)], 1)))
        logit = self.out(torch.cat([self.user_gmf(user) * self.item_gmf(item), y], 1))[:, 0]
        return F.binary_cross_entropy_with_logits(logit, (rows["label"] == 1).double())


class TwoTower(Tree):
    def __init__(self):
        tower = lambda: Tree(layers=nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 3)]))
        super().__init__(user=nn.Embedding(11, 4), item=nn.Embedding(11, 4), user_tower=tower(), item_tower=tower())

    def forward(self, rows):
        token = rows["token"]
        up = lambda layers, x: F.normalize(layers[1](F.relu(layers[0](x))), dim=1)
        who, what = up(self.user_tower.layers, self.user(token[:, 0])), up(self.item_tower.layers, self.item(token[:, 1]))
        return F.cross_entropy(who @ what.T / 0.5, torch.arange(len(token)))


class Seq2seq(Tree):
    def __init__(self):
        super().__init__(source=nn.Embedding(11, 8), target=nn.Embedding(11, 8), out=nn.Linear(8, 11),
                         transformer=nn.Transformer(8, 2, 1, 1, 12, 0.0, batch_first=True))

    def forward(self, rows):
        token = rows["token"]
        angle = torch.arange(5)[:, None] / 10000.0 ** (torch.arange(0, 8, 2) / 8.0).double()
        places = torch.stack([angle.sin(), angle.cos()], 2).flatten(1)
        x, y = self.source(token) * 8 ** 0.5 + places, self.target(token[:, :4]) * 8 ** 0.5 + places[:4]
        past, empty = torch.ones(4, 4).triu(1).bool(), token == 0
        y = self.transformer(x, y, tgt_mask=past, src_key_padding_mask=empty, memory_key_padding_mask=empty)
        return F.cross_entropy(self.out(y).flatten(0, 1), token[:, 1:].flatten())


class Mbconv(Tree):
    def __init__(self):
        layer = lambda i, o, k, s=1, g=1: nn.Sequential(conv(i, o, k, s, g), nn.BatchNorm2d(o))
        super().__init__(block=nn.Sequential(layer(2, 4, 1), layer(4, 4, 3, 2, 4), SqueezeExcitation(4, 1, F.silu), layer(4, 3, 1)))

    def forward(self, rows):
        a, b, squeeze, c = self.block
        return F.cross_entropy(c(squeeze(F.silu(b(F.silu(a(rows["image"])))))).mean((2, 3)), rows["label"])


class LstmText(Tree):
    """A language model, or with `classes` a classifier of texts with lengths."""

    def __init__(self, h=5, layers=2, tied=False, classes=0):
        both = classes > 0
        super().__init__(embedding=nn.Embedding(11, 4), lstm=nn.LSTM(4, h, layers, batch_first=True, bidirectional=both))
        self.classes = classes
        if not tied:
            self.out = nn.Linear(2 * h if both else h, classes or 11)

    def forward(self, rows):
        token = rows["token"]
        if self.classes:
            x = pack_padded_sequence(self.embedding(token), token[:, 0] % 5 + 1, batch_first=True, enforce_sorted=False)
            h = self.lstm(x)[1][0]
            return F.cross_entropy(self.out(torch.cat([h[2], h[3]], 1)), rows["label"])
        y = self.lstm(self.embedding(token[:, :4]))[0]
        y = self.out(y) if "out" in self._modules else y @ self.embedding.weight.T
        return F.cross_entropy(y.flatten(0, 1), token[:, 1:].flatten())


class Wavenet(Tree):
    def __init__(self):
        block = lambda i: Tree(gated=nn.Conv1d(3, 6, 2, dilation=2 ** (i % 2)), skip=nn.Conv1d(3, 4, 1),
                               **({} if i == 3 else {"residual": nn.Conv1d(3, 3, 1)}))
        super().__init__(embedding=nn.Embedding(11, 3), blocks=nn.ModuleList([block(i) for i in range(4)]), first=nn.Conv1d(4, 4, 1),
                         last=nn.Conv1d(4, 11, 1))

    def forward(self, rows):
        token, total = rows["token"], 0
        x = self.embedding(token[:, :4]).transpose(1, 2)
        for i, b in enumerate(self.blocks):
            a, c = b.gated(F.pad(x, (2 ** (i % 2), 0))).split(3, 1)
            y = torch.tanh(a) * torch.sigmoid(c)
            total = total + b.skip(y)
            x = x + b.residual(y) if i < 3 else x
        y = self.last(F.relu(self.first(F.relu(total)))).transpose(1, 2)
        return F.cross_entropy(y.flatten(0, 1), token[:, 1:].flatten())


class Ctc(nn.Linear):
    def __init__(self, last):
        super().__init__(8, 4)
        self.last = last

    def forward(self, rows):
        token, image = rows["token"], rows["image"]
        logp = F.log_softmax(super().forward(image[:, 0, :4] if self.last else image.flatten(1, 2)), -1).transpose(0, 1)
        if self.last:
            steps, letters = (torch.full([len(token)], 4) for _ in range(2))
            return F.ctc_loss(logp, token[:, :4] % 3, steps, letters, 3, zero_infinity=True)
        return F.ctc_loss(logp, token[:, :3] % 3 + 1, token[:, 3] % 8 + 10, token[:, 4] % 4)


def larger(x, n):
    return x.repeat_interleave(n, 2).repeat_interleave(n, 3)


class Lenet(Tree):
    def __init__(self):
        super().__init__(conv1=nn.Conv2d(1, 6, 5, padding=2), conv2=nn.Conv2d(6, 16, 5), fc1=nn.Linear(400, 120),
                         fc2=nn.Linear(120, 84), fc3=nn.Linear(84, 3))

    def forward(self, rows):
        x = larger(rows["image"], 4)[:, :1, :28, :28]
        x = F.avg_pool2d(torch.tanh(self.conv2(F.avg_pool2d(torch.tanh(self.conv1(x)), 2))), 2).flatten(1)
        return F.cross_entropy(self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x))))), rows["label"])


class Images(Tree):
    """Logits of larger images."""

    times = 8

    def forward(self, rows):
        return F.cross_entropy(self.logits(larger(rows["image"], self.times)), rows["label"])


class Vgg(Images):
    times = 4

    def __init__(self, c=2, hidden=6):
        layers, before = [], 2
        for size, n in ((c, 1), (2 * c, 1), (4 * c, 2), (8 * c, 2), (8 * c, 2)):
            for _ in range(n):
                layers += [nn.Conv2d(before, size, 3, padding=1), nn.ReLU()]
                before = size
            layers.append(nn.MaxPool2d(2))
        super().__init__(features=nn.Sequential(*layers), classifier=nn.Sequential(
            nn.Linear(8 * c * 49, hidden), nn.ReLU(), nn.Identity(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Identity(),
            nn.Linear(hidden, 3)))

    def logits(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 7).flatten(1))


class Resnet(Images):
    def __init__(self, block, wide, depths, c=2):
        super().__init__(conv1=nn.Conv2d(2, c, 7, 2, 3, bias=False), bn1=nn.BatchNorm2d(c), fc=nn.Linear(8 * c * wide, 3))
        before = c
        for i, n in enumerate(depths):
            size = c * 2 ** i
            blocks = [block(before if k == 0 else size * wide, size, 2 if i and k == 0 else 1) for k in range(n)]
            setattr(self, f"layer{i + 1}", nn.ModuleList(blocks))
            before = size * wide

    def logits(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for i in range(4):
            for block in self._modules[f"layer{i + 1}"]:
                x = block(x)
        return self.fc(x.mean((2, 3)))


class Layered(Images):
    """Parts one after the other, the mean over places, and a dense layer."""

    def __init__(self, parts, width):
        super().__init__(features=nn.ModuleList(parts), classifier=nn.ModuleList([nn.Identity(), nn.Linear(width, 3)]))

    def logits(self, x):
        for part in self.features:
            x = part(x)
        return self.classifier[1](x.mean((2, 3)))


def normed(i, o, k, stride, groups, act):
    return nn.Sequential(conv(i, o, k, stride, groups), nn.BatchNorm2d(o), *act)


def mobilenet(c=4):
    parts, before = [normed(2, c, 3, 2, 1, [nn.ReLU6()])], c
    for size, n, stride, expand in ((c // 2, 1, 1, 1), (c * 3 // 4, 2, 2, 6), (c, 3, 2, 6), (2 * c, 4, 2, 6), (3 * c, 3, 1, 6),
                                    (5 * c, 3, 2, 6), (10 * c, 1, 1, 6)):
        for i in range(n):
            parts.append(InvertedResidual(before, size, stride if i == 0 else 1, expand))
            before = size
    return Layered(parts + [normed(before, 40 * c, 1, 1, 1, [nn.ReLU6()])], 40 * c)


class MobileConv(Tree):
    """A block of EfficientNet, nothing left out."""

    def __init__(self, i, o, k, stride, expand):
        wide, act = i * expand, [nn.SiLU()]
        first = [] if expand == 1 else [normed(i, wide, 1, 1, 1, act)]
        super().__init__(block=nn.Sequential(*first, normed(wide, wide, k, stride, wide, act),
                                             SqueezeExcitation(wide, max(1, i // 4), F.silu), normed(wide, o, 1, 1, 1, [])))
        self.same = stride == 1 and i == o

    def forward(self, x):
        return x + self.block(x) if self.same else self.block(x)


def efficientnet(c=2):
    parts, before = [normed(2, c, 3, 2, 1, [nn.SiLU()])], c
    for size, k, n, stride, expand in ((c // 2, 3, 1, 1, 1), (c * 3 // 4, 3, 2, 2, 6), (c * 5 // 4, 5, 2, 2, 6),
                                       (c * 5 // 2, 3, 3, 2, 6), (c * 7 // 2, 5, 3, 1, 6), (6 * c, 5, 4, 2, 6), (10 * c, 3, 1, 1, 6)):
        blocks = [MobileConv(before if i == 0 else size, size, k, stride if i == 0 else 1, expand) for i in range(n)]
        parts.append(nn.Sequential(*blocks))
        before = size
    return Layered(parts + [normed(before, 40 * c, 1, 1, 1, [nn.SiLU()])], 40 * c)


class Vae(Tree):
    def __init__(self):
        super().__init__(fc1=nn.Linear(144, 6), fc21=nn.Linear(6, 3), fc22=nn.Linear(6, 3), fc3=nn.Linear(3, 6), fc4=nn.Linear(6, 144))

    def forward(self, rows):
        x, noise = rows["image"].flatten(1) / 4 + 0.5, rows["image"][:, 0, 0, :3]
        h = F.relu(self.fc1(x))
        m, logvar = self.fc21(h), self.fc22(h)
        code = m + noise * (0.5 * logvar).exp() if self.training else m
        again = F.binary_cross_entropy_with_logits(self.fc4(F.relu(self.fc3(code))), x, reduction="sum")
        return (again - 0.5 * (1 + logvar - m * m - logvar.exp()).sum()) / len(x)


class Generates(Tree):
    def __init__(self):
        layers, before = [nn.ConvTranspose2d(3, 8, 4, bias=False), nn.BatchNorm2d(8), nn.ReLU()], 8
        for size in (4, 2, 1):
            layers += [nn.ConvTranspose2d(before, size, 4, 2, 1, bias=False), nn.BatchNorm2d(size), nn.ReLU()]
            before = size
        super().__init__(main=nn.Sequential(*layers, nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False), nn.Tanh()))

    def forward(self, rows):
        image = rows["image"]
        return F.mse_loss(self.main(image[:, 0, 0, :3, None, None]), larger(image, 8)[:, :1, :64] / 2)


class Discriminates(Tree):
    def __init__(self):
        layers, before = [nn.Conv2d(2, 1, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], 1
        for size in (2, 4, 8):
            layers += [nn.Conv2d(before, size, 4, 2, 1, bias=False), nn.BatchNorm2d(size), nn.LeakyReLU(0.2)]
            before = size
        super().__init__(main=nn.Sequential(*layers, nn.Conv2d(8, 1, 4, bias=False)))

    def forward(self, rows):
        logit = self.main(larger(rows["image"], 8)[:, :, :64]).flatten()
        return F.binary_cross_entropy_with_logits(logit, (rows["label"] == 1).double())


NETS = {"lstm_lm": LstmText, "lstm_tied": lambda: LstmText(4, 1, True), "lstm_class": lambda: LstmText(3, 2, classes=3),
        "wavenet": Wavenet, "ctc": lambda: Ctc(False), "ctc_last": lambda: Ctc(True),
        "mlp": Mlp, "unet": Everywhere, "gpt2": Gpt2, "bert": Bert, "vit": Vit, "ncf": Ncf, "two_tower": TwoTower, "seq2seq": Seq2seq,
        "mbconv": Mbconv, "lenet": Lenet, "vgg": Vgg, "vae": Vae,
        "generator": Generates, "discriminator": Discriminates}

DEEP = {"resnet18": lambda: Resnet(BasicBlock, 1, [2, 2, 2, 2]), "resnet50": lambda: Resnet(Bottleneck, 4, [3, 4, 6, 3]),
        "mobilenet": mobilenet, "efficientnet": efficientnet}
# Chaotic: batch norms of few values make errors a hundred times larger in a step of usual size.
DEEP_RATES = {"resnet18": 1e-3, "efficientnet": 1e-3, "mobilenet": 1e-7, "resnet50": 1e-8}
