"""The published backbones in PyTorch, under the names that their files use. Needs torch."""

import torch
from torch import nn

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
VGG16 = (64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M")


def conv(inputs, outputs, side, stride=1, dilation=1):
    padding = dilation * (side // 2)
    return nn.Conv2d(inputs, outputs, side, stride, padding, dilation, bias=False)


class Unit(nn.Module):
    """A residual unit; the sides of its convolutions are (3, 3) or (1, 3, 1)."""

    def __init__(self, inputs, channels, sides, stride, dilation):
        super().__init__()
        outputs = channels * (1 if len(sides) == 2 else 4)
        strided = sides.index(3) + 1
        self.count, c = len(sides), inputs
        for i, side in enumerate(sides, 1):
            d = channels if i < len(sides) else outputs
            step = stride if i == strided else 1
            setattr(self, f"conv{i}", conv(c, d, side, step, dilation if side == 3 else 1))
            setattr(self, f"bn{i}", nn.BatchNorm2d(d))
            c = d
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = torch.relu(y) if i < self.count else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """stem: "conv7", "flat" (conv1, bn1, conv2, ...) or "nested" (conv1.0, conv1.1, conv1.3, ...).

    The four blocks; at output stride 16 or 8 later strides become dilations of whole blocks.
    """

    def __init__(self, depth, stem, output_stride=16, width=64):
        super().__init__()
        self.stem, c = stem, width if stem == "conv7" else 2 * width
        if stem == "conv7":
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        elif stem == "flat":
            self.conv1, self.bn1 = conv(3, width, 3, 2), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = conv(width, c, 3), nn.BatchNorm2d(c)
        else:
            self.conv1 = nn.Sequential(
                *(conv(3, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU()),
                *(conv(width, width, 3), nn.BatchNorm2d(width), nn.ReLU()),
                conv(width, c, 3),
            )
        if stem != "flat":
            self.bn1 = nn.BatchNorm2d(c)
        sides = (3, 3) if depth < 50 else (1, 3, 1)
        plan = {16: ((1, 2, 2, 1), (1, 1, 1, 2)), 8: ((1, 2, 1, 1), (1, 1, 2, 4))}
        for block, (stride, dilation) in enumerate(zip(*plan[output_stride], strict=True)):
            units = []
            for unit in range(UNITS[depth][block]):
                channels = width * 2**block
                units.append(Unit(c, channels, sides, stride if unit == 0 else 1, dilation))
                c = channels * (1 if depth < 50 else 4)
            setattr(self, f"layer{block + 1}", nn.Sequential(*units))
        self.fc = nn.Linear(c, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.stem == "flat":
            x = torch.relu(self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(x))))))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        outputs = []
        for block in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = block(x)
            outputs.append(x)
        return outputs


class VGG(nn.Module):
    """VGG-16; the five blocks, each before its pooling."""

    def __init__(self, width=64):
        super().__init__()
        layers, c = [], 3
        for size in VGG16:
            if size == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(c, size * width // 64, 3, padding=1), nn.ReLU()]
                c = size * width // 64
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(c, 10))

    def forward(self, x):
        outputs = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                outputs.append(x)
            x = layer(x)
        return outputs


def build(name, depth, output_stride=16, width=64):
    """The network of a format."""
    if name == "torchvision-vgg16":
        return VGG(width)
    stems = {"torchvision-resnet": "conv7", "pytorch-encoding": "nested"}
    return ResNet(depth, stems.get(name, "flat"), output_stride, width)


def randomise(network):
    """Weights under which a signal keeps its size through a hundred layers, and no two norms and
    statistics are alike; inference mode."""
    generator = torch.Generator().manual_seed(0)
    for key, x in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            x.fill_(5)
        elif x.ndim > 1:
            gain = 2.0 if "features" in key else 1.5
            x.normal_(0, (gain / x[0].numel()) ** 0.5, generator=generator)
        elif key.endswith(("bias", "running_mean")):
            x.normal_(0, 0.1, generator=generator)
        else:
            last = ".bn3." in key or (".bn2." in key and "layer" in key)
            low, high = (0.1, 0.3) if last and key.endswith("weight") else (0.5, 1.5)
            x.uniform_(low, high, generator=generator)
    return network.eval()


@torch.no_grad()
def outputs_of(network, images):
    """The blocks [b, h, w, c] of images [b, h, w, 3]."""
    return [x.permute(0, 2, 3, 1).numpy() for x in network(torch.from_numpy(images).movedim(3, 1))]
