"""Blocks of image networks in PyTorch, with the names of torchvision's parts."""
import torch
from torch import nn
from torch.nn import functional as F


def conv(i, o, k, stride=1, groups=1):
    return nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False)


class SeparableConv(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.depthwise, self.pointwise = nn.Conv2d(i, i, 3, padding=1, groups=i), nn.Conv2d(i, o, 1)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class Residual(nn.Module):
    """relu(branch(x) + x), where x may need a convolution of its own."""

    def shortcut(self, i, o, stride):
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.branch(x) + (self.downsample(x) if "downsample" in self._modules else x))


class BasicBlock(Residual):
    def __init__(self, i, c, stride=1):
        super().__init__()
        self.conv1, self.bn1 = conv(i, c, 3, stride), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = conv(c, c, 3), nn.BatchNorm2d(c)
        self.shortcut(i, c, stride)

    def branch(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


class Bottleneck(Residual):
    def __init__(self, i, c, stride=1):
        super().__init__()
        self.conv1, self.bn1 = conv(i, c, 1), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = conv(c, c, 3, stride), nn.BatchNorm2d(c)
        self.conv3, self.bn3 = conv(c, 4 * c, 1), nn.BatchNorm2d(4 * c)
        self.shortcut(i, 4 * c, stride)

    def branch(self, x):
        return self.bn3(self.conv3(F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))))


class SqueezeExcitation(nn.Module):
    def __init__(self, c, squeezed, act):
        super().__init__()
        self.fc1, self.fc2, self.act = nn.Conv2d(c, squeezed, 1), nn.Conv2d(squeezed, c, 1), act

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True)))))


class InvertedResidual(nn.Module):
    def __init__(self, i, o, stride=1, expand=6):
        super().__init__()
        wide = i * expand
        first = [] if expand == 1 else [nn.Sequential(conv(i, wide, 1), nn.BatchNorm2d(wide), nn.ReLU6())]
        second = nn.Sequential(conv(wide, wide, 3, stride, wide), nn.BatchNorm2d(wide), nn.ReLU6())
        self.conv = nn.Sequential(*first, second, conv(wide, o, 1), nn.BatchNorm2d(o))
        self.same = stride == 1 and i == o

    def forward(self, x):
        return x + self.conv(x) if self.same else self.conv(x)


class PatchEmbedding(nn.Module):
    def __init__(self, c, k, i):
        super().__init__()
        self.proj = nn.Conv2d(i, c, k, k)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)
