"""The modules of library/convs.nn, moments.nn, attention.nn and recurrent.nn in PyTorch: FAMILIES[program][case]() makes a model that takes the rows of
layers.npz. Parts are called as in the programs, so that a state_dict loads there; make_library.py trains them."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torchvision_blocks import BasicBlock, Bottleneck, InvertedResidual, PatchEmbedding, SeparableConv, SqueezeExcitation


class Part(nn.Module):
    """before, the part called `place`, after, and a linear layer."""

    def __init__(self, part, n, before=lambda x: x, after=lambda x: x, place="a", first=None):
        super().__init__()
        self.before, self.after, self.place, self.wide = before, after, place, first is not None
        if self.wide:
            self.a = first
        if part is not None:
            setattr(self, place, part)
        self.fc = nn.Linear(n, 3)

    def forward(self, rows):
        x = self.before(rows["image"])
        if self.wide:
            x = self.a(x)
        if self.place in self._modules:
            x = self._modules[self.place](x)
        return self.fc(self.after(x).flatten(1))


def sequence(x):
    return x.flatten(1, 2)


def volume(x):
    return x.unflatten(2, (3, 3))


def pools1d(x):
    return torch.cat([F.max_pool1d(x, 3, 2, 1), F.avg_pool1d(x, 3, 2, 1)], 2)


def pools3d(x):
    return torch.cat([F.max_pool3d(x, (1, 2, 3), (1, 1, 2)).flatten(1), F.avg_pool3d(x, 2).flatten(1)], 1)


def adaptive(x):
    flat = x.flatten(2)
    rows = x.flatten(1, 2)
    return torch.cat([F.adaptive_avg_pool2d(x, (4, 3)).flatten(1), F.adaptive_max_pool2d(x, 3).flatten(1), flat.mean(2),
                      F.adaptive_max_pool1d(rows, 4).flatten(1), F.adaptive_avg_pool1d(rows, 3).flatten(1), flat.mean(2),
                      flat.amax(2)], 1)


def larger(x):
    size = (10, 14)
    return torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), F.interpolate(x, size, mode="bilinear"),
                      F.interpolate(x, size, mode="bilinear", align_corners=True)], 1)


def padded(x):
    y = F.pad(F.pad(x, (0, 0, 2, 2), mode="reflect"), (1, 1, 0, 0), mode="replicate")
    y = F.pad(y, (2, 2, 0, 0), mode="circular")
    return torch.roll(y, 3, 3) * torch.roll(y, -2, 2)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.EmbeddingBag(11, 4), nn.EmbeddingBag(11, 4, mode="sum")
        self.c, self.d = nn.EmbeddingBag(11, 4, mode="max"), nn.EmbeddingBag(11, 4, padding_idx=3)
        self.mixed, self.slope, self.one, self.fc = nn.Bilinear(8, 8, 5), nn.PReLU(5), nn.PReLU(), nn.Linear(5, 3)

    def forward(self, rows):
        token = rows["token"]
        left = torch.cat([self.a(token), self.b(token, per_sample_weights=token.double() / 4.0)], 1)
        return self.one(self.fc(self.slope(self.mixed(left, torch.cat([self.c(token), self.d(token)], 1)))))


CONVS = {
    "conv1d": lambda: Part(nn.Conv1d(18, 4, 3, 2, 2, 2, 2), 16, sequence, torch.tanh),
    "conv3d": lambda: Part(nn.Conv3d(2, 3, (2, 3, 2), (1, 1, 2), (0, 1, 0)), 72, volume, torch.tanh),
    "conv_uneven": lambda: Part(nn.Conv2d(2, 3, (3, 2), (2, 1), (1, 0)), 105, after=torch.tanh),
    "transposed1d": lambda: Part(nn.ConvTranspose1d(18, 4, 3, 2, 1, 1, groups=2), 64, sequence, torch.tanh),
    "transposed2d": lambda: Part(nn.ConvTranspose2d(2, 3, (3, 2), (2, 1), (1, 0), dilation=(1, 2)), 510, after=torch.tanh),
    "separable": lambda: Part(SeparableConv(2, 3), 216, after=torch.tanh),
    "causal_conv": lambda: Part(nn.Conv1d(18, 4, 3, dilation=2), 32, lambda x: F.pad(sequence(x), (4, 0)), torch.tanh),
    "pools1d": lambda: Part(nn.Conv1d(18, 3, 2), 24, sequence, pools1d),
    "pools3d": lambda: Part(nn.Conv3d(2, 3, 1), 66, volume, pools3d),
    "uncounted": lambda: Part(nn.Conv2d(2, 3, 2), 48, after=lambda x: F.avg_pool2d(x, (3, 2), 2, 1, count_include_pad=False)),
    "adaptive": lambda: Part(nn.Conv2d(2, 2, 1), 174, after=adaptive),
    "larger": lambda: Part(nn.Conv2d(2, 1, 2, (2, 1), (1, 0)), 420, after=larger),
    "smaller": lambda: Part(nn.Conv2d(2, 2, 1), 30, after=lambda x: F.interpolate(x, (5, 3), mode="bilinear")),
    "shuffled": lambda: Part(nn.Conv2d(2, 4, 2), 224, after=lambda x: F.pixel_shuffle(x, 2)),
    "unfolded": lambda: Part(nn.Conv2d(2, 2, 1), 216, after=lambda x: F.unfold(x, 3, dilation=2, padding=1, stride=2)),
    "folded": lambda: Part(nn.Conv2d(2, 2, 1), 144, after=lambda x: F.fold(F.unfold(x, 3, 1, 1, 2) ** 2, (9, 8), 3, 1, 1, 2)),
    "padded": lambda: Part(nn.Conv2d(2, 1, 2), 156, after=padded),
    "basic_block": lambda: Part(nn.Sequential(BasicBlock(2, 4, 2), BasicBlock(4, 4)), 4, after=lambda x: x.mean((2, 3))),
    "bottleneck": lambda: Part(nn.Sequential(Bottleneck(2, 2, 2), Bottleneck(8, 2)), 8, after=lambda x: x.mean((2, 3))),
    "squeeze": lambda: Part(nn.Sequential(nn.Conv2d(2, 4, 2), SqueezeExcitation(4, 2, F.silu)), 4, after=lambda x: x.amax((2, 3))),
    "inverted": lambda: Part(nn.Sequential(InvertedResidual(2, 3, 2), InvertedResidual(3, 3, 1, 2)), 60),
    "patches": lambda: Part(PatchEmbedding(5, 3, 2), 30),
    "bags": Words,
}


def normed(part, n=48, after=lambda x: x):
    return Part(part, n, place="b", first=nn.Conv2d(2, 4, 3, 2), after=after)


def lengths(x):
    y = x.flatten(2)
    return torch.cat([F.normalize(y, dim=1).flatten(1), F.cosine_similarity(y[:, :2], y[:, 2:], 2), y.norm(dim=2), y.norm(1, 2),
                      y.norm(3, 2)], 1)


NORMS = {
    "group": lambda: normed(nn.GroupNorm(2, 4)),
    "group_plain": lambda: normed(nn.GroupNorm(1, 4, 1e-3, affine=False)),
    "instance1d": lambda: Part(nn.InstanceNorm1d(18), 144, sequence, place="b"),
    "instance1d_tracked": lambda: Part(nn.InstanceNorm1d(18, affine=True, track_running_stats=True), 144, sequence, place="b"),
    "instance2d": lambda: normed(nn.InstanceNorm2d(4, 1e-3, affine=True)),
    "instance2d_tracked": lambda: normed(nn.InstanceNorm2d(4, momentum=0.3, track_running_stats=True)),
    "batch3d": lambda: Part(nn.BatchNorm3d(2), 144, volume, place="b"),
    "rms": lambda: normed(nn.RMSNorm(3, 1e-5)),
    "local_response": lambda: normed(nn.LocalResponseNorm(3, 0.5, 0.75, 2.0)),
    "weight_norm_linear": lambda: Part(weight_norm(nn.Linear(8, 3)), 54, sequence, place="b"),
    "weight_norm1d": lambda: Part(weight_norm(nn.Conv1d(18, 4, 3, 2, 1, groups=2)), 16, sequence, place="b"),
    "weight_norm2d": lambda: normed(weight_norm(nn.Conv2d(4, 3, (2, 1))), 27),
    "lengths": lambda: normed(None, 62, lengths),
}


class Attends(nn.Module):
    """A part as function of the first rows of the image, the last ones, and of what is real."""

    def __init__(self, part, function):
        super().__init__()
        self.a, self.fc, self.function = part, nn.Linear(48, 3), function

    def forward(self, rows):
        image, token = rows["image"], rows["token"]
        present = torch.cat([token[:, :1] >= 0, token > 2], 1)
        return self.fc(self.function(self.a, image[:, :, :3].flatten(1, 2), image[:, :, 3:7].flatten(1, 2), present).flatten(1))


def heads(x, n):
    return x.unflatten(2, (n, -1)).transpose(1, 2)


def joined(x):
    return x.transpose(1, 2).flatten(2)


ALLOWED = (torch.arange(6)[:, None] * 2 + torch.arange(6)) % 3 != 1
CAUSAL = torch.ones(6, 6).tril().bool()
scaled = F.scaled_dot_product_attention


def attended(sizes=(8, 8, 8), counts=(4, 4, 4), q_and_k=lambda x: x, values=lambda x: x, **options):
    def function(qkv, x, other, present):
        q, k, v = (heads(part, n) for part, n in zip(qkv(x).split(sizes, 2), counts))
        given = {key: value(present) if callable(value) else value for key, value in options.items()}
        return joined(scaled(q_and_k(q), q_and_k(k), values(v), **given))
    return Attends(nn.Linear(8, sum(sizes)), function)


def alibi(present):
    slopes = 2.0 ** (-2.0 * torch.arange(1, 5, dtype=torch.float64))
    distance = (torch.arange(6)[:, None] - torch.arange(6)).abs()
    return (-slopes[:, None, None] * distance).masked_fill(~CAUSAL, -float("inf"))


def by_hand(qkv, x, other, present):
    q, k, v = (heads(part, 4) for part in qkv(x).split(8, 2))
    s = q @ k.transpose(2, 3)
    return joined((s.masked_fill(~CAUSAL, -float("inf")).softmax(-1) + s.tril(-1) * 0.1 + s.triu() * 0.2) @ v)


def turned(x, base=10000.0, offset=0, interleaved=False):
    """Complex numbers turned by the angle of their place."""
    half = x.shape[3] // 2
    angle = (torch.arange(x.shape[2]) + offset).double()[:, None] / base ** (torch.arange(half) / half)
    turn = torch.polar(torch.ones_like(angle), angle)
    if interleaved:
        return torch.view_as_real(torch.view_as_complex(x.unflatten(3, (half, 2)).contiguous()) * turn).flatten(3)
    y = torch.complex(x[..., :half], x[..., half:]) * turn
    return torch.cat([y.real, y.imag], 3)


def multihead(n, function, **options):
    return Attends(nn.MultiheadAttention(8, n, batch_first=True, **options), lambda m, x, o, p: function(m, x, o, p)[0])


def across_uneven(m, x, other, present):
    return m(x, other[:, :, :5], other[:, :, :3], attn_mask=torch.ones(6, 8).tril().bool().logical_not())


SMALL = {"dim_feedforward": 12, "dropout": 0.0, "batch_first": True}


def decoded(m, x, other, present):
    return m(x, other, tgt_mask=~(ALLOWED & CAUSAL))


def both_ways(m, x, other, present):
    return m(other[:, :6], x, tgt_mask=~CAUSAL, src_key_padding_mask=~present, memory_key_padding_mask=~present,
             tgt_key_padding_mask=~present)


def itself_masked(m, x, other, present):
    return m(x, src_mask=~ALLOWED, src_key_padding_mask=~present)


def itself_past(m, x, other, present):
    return m(x, src_mask=~CAUSAL)


class Sinusoid(nn.Module):
    def forward(self, x):
        angle = torch.arange(6)[:, None] / 10000.0 ** (torch.arange(0, 8, 2) / 8.0).double()
        return x + torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(7, 8))

    def forward(self, x):
        return x + self.weight[:6]


class Gated(nn.Module):
    def __init__(self, gate, bias):
        super().__init__()
        self.gate = gate
        self.w1, self.w2, self.w3 = nn.Linear(8, 12, bias), nn.Linear(12, 8, bias), nn.Linear(8, 12, bias)

    def forward(self, x):
        return self.w2(self.gate(self.w1(x)) * self.w3(x))


def itself(part):
    return Attends(part, lambda m, x, o, p: m(x))


def encoder(first):
    return nn.TransformerEncoderLayer(8, 2, norm_first=first, **SMALL)


ATTENTION = {
    "plain": attended,
    "past": lambda: attended(is_causal=True, scale=0.7),
    "masked": lambda: attended(attn_mask=lambda present: ALLOWED & present[:, None, None]),
    "biased": lambda: attended(attn_mask=alibi),
    "grouped_heads": lambda: attended((8, 4, 4), (4, 2, 2), is_causal=True, enable_gqa=True),
    "by_hand": lambda: Attends(nn.Linear(8, 24), by_hand),
    "rotary": lambda: attended(q_and_k=turned, values=lambda v: turned(v, 100.0, 2, True)),
    "multihead": lambda: multihead(2, lambda m, x, o, p: m(x, x, x, attn_mask=~ALLOWED, key_padding_mask=~p)),
    "multihead_past": lambda: multihead(4, lambda m, x, o, p: m(x, x, x, attn_mask=~CAUSAL), bias=False),
    "multihead_across": lambda: multihead(2, lambda m, x, o, p: m(x, o, o)),
    "multihead_uneven": lambda: multihead(2, across_uneven, kdim=5, vdim=3),
    "encoder_layer": lambda: Attends(encoder(False), itself_masked),
    "encoder_layer_first": lambda: Attends(nn.TransformerEncoderLayer(8, 2, activation="gelu", norm_first=True, layer_norm_eps=1e-3,
                                                                      bias=False, **SMALL), itself_past),
    "decoder_layer": lambda: Attends(nn.TransformerDecoderLayer(8, 2, **SMALL), decoded),
    "decoder_layer_first": lambda: Attends(nn.TransformerDecoderLayer(8, 2, norm_first=True, **SMALL), decoded),
    "encoder": lambda: Attends(nn.TransformerEncoder(encoder(True), 2, nn.LayerNorm(8), enable_nested_tensor=False),
                               lambda m, x, o, p: m(x, mask=~CAUSAL)),
    "decoder": lambda: Attends(nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, **SMALL), 2), decoded),
    "transformer": lambda: Attends(nn.Transformer(8, 2, 1, 2, **SMALL), both_ways),
    "sinusoid": lambda: itself(Sinusoid()),
    "learned": lambda: itself(Learned()),
    "swiglu": lambda: itself(Gated(F.silu, False)),
    "geglu": lambda: itself(Gated(F.gelu, True)),
}

class Recurs(nn.Module):
    """All outputs and all last states of a recurrent part, with lengths or beginning states of the batch."""

    def __init__(self, part, n, short=False, begins=False):
        super().__init__()
        self.a, self.fc, self.short, self.begins = part, nn.Linear(n, 3), short, begins

    def forward(self, rows):
        image, token = rows["image"], rows["token"]
        x, state = image[:, :, :3].flatten(1, 2), None
        if self.begins:
            state = tuple(image[:, :, i, :4].transpose(0, 1).contiguous() for i in (3, 4))
            state = state if isinstance(self.a, nn.LSTM) else state[0]
        if self.short:
            x = pack_padded_sequence(x, token[:, 0] % 6 + 1, batch_first=True, enforce_sorted=False)
        y, h = self.a(x, state)
        if self.short:
            y = pad_packed_sequence(y, batch_first=True, total_length=6)[0]
        h = torch.cat(h, 2) if isinstance(h, tuple) else h
        return self.fc(torch.cat([y.flatten(1), h.transpose(0, 1).flatten(1)], 1))


BOTH = {"num_layers": 2, "batch_first": True, "bidirectional": True}
RECURRENT = {
    "rnn": lambda: Recurs(nn.RNN(8, 4, batch_first=True), 28),
    "rnn_relu": lambda: Recurs(nn.RNN(8, 4, 2, "relu", bias=False, batch_first=True), 32, begins=True),
    "rnn_both": lambda: Recurs(nn.RNN(8, 4, **BOTH), 64, short=True),
    "gru": lambda: Recurs(nn.GRU(8, 4, 2, batch_first=True), 32, begins=True),
    "gru_both": lambda: Recurs(nn.GRU(8, 3, **BOTH), 48, short=True),
    "lstm": lambda: Recurs(nn.LSTM(8, 4, 2, batch_first=True), 40, begins=True),
    "lstm_both": lambda: Recurs(nn.LSTM(8, 3, **BOTH), 60, short=True),
    "lstm_proj": lambda: Recurs(nn.LSTM(8, 4, proj_size=2, bias=False, **BOTH), 48),
}

FAMILIES = {"recurrent": RECURRENT, "convs": CONVS, "moments": NORMS, "attention": ATTENTION}
