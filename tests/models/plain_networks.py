"""LIP's baselines again, layer by layer from their papers, as plain functions.

Slow and simple on purpose: nothing is shared with the package but the names of the weights.
Bilinear values come from SciPy's map_coordinates as JAX has it, unpooling from loops.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.ndimage import map_coordinates


def conv(x, p, dilation=1, relu=True):
    pad = dilation * (p["kernel"].shape[0] // 2)
    x = lax.conv_general_dilated(
        x,
        p["kernel"],
        (1, 1),
        ((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x = x + p.get("bias", 0.0)
    return jnp.maximum(x, 0.0) if relu else x


def conv_norm(x, p, stats, dilation=1):
    x = conv(x, {"kernel": p["kernel"]}, dilation, relu=False)
    x = (x - stats["norm"]["mean"]) / jnp.sqrt(stats["norm"]["var"] + 1e-5)
    return jnp.maximum(x * p["norm"]["scale"] + p["norm"]["bias"], 0.0)


def pool(x, side, stride, padding):
    """Largest of every window; what lies beyond the map does not count."""
    after = [max(0, (-n // stride * -stride) - stride + side - padding - n) for n in x.shape[1:3]]
    pads = ((0, 0), (padding, after[0]), (padding, after[1]), (0, 0))
    window, strides = (1, side, side, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads)


def at(x, rows, columns):
    """x [b, h, w, c] at these positions, bilinear, the edges continued."""
    grid = jnp.meshgrid(jnp.asarray(rows), jnp.asarray(columns), indexing="ij")
    maps = [
        [map_coordinates(image[..., c], grid, 1, mode="nearest") for c in range(x.shape[-1])]
        for image in x
    ]
    return jnp.stack([jnp.stack(m, -1) for m in maps])


def corners_together(x, size):
    return at(x, *(np.linspace(0, n - 1, m) for n, m in zip(x.shape[1:3], size, strict=True)))


def deeplab_block5(x, p):
    """VGG-16 to pool5, as DeepLab has it: 3x3 pooling, strides 2 2 2 1 1, block 5 dilated."""
    for block, layers in enumerate((2, 2, 3, 3, 3), 1):
        for layer in range(1, layers + 1):
            x = conv(x, p[f"conv{block}_{layer}"], dilation=2 if block == 5 else 1)
        x = pool(x, 3, 2 if block < 4 else 1, 1)
    return x


def classifier(x, p, dilation):
    fc7 = conv(conv(x, p["fc6"], dilation), p["fc7"])
    return conv(fc7, p["fc8"], relu=False), fc7


def deeplab_largefov(images, variables):
    p = variables["params"]
    return classifier(deeplab_block5(images, p["vgg"]), p["classifier"], 12)[0]


def at_share(images, share):
    sides = images.shape[1:3]
    if share < 1:
        sides = [int((side - 1) * share) // 8 * 8 + 1 for side in sides]
    return corners_together(images, sides)


def deeplab_v2(images, variables, shares=(1.0, 0.75, 0.5)):
    p = variables["params"]
    fine = [-(-side // 8) for side in images.shape[1:3]]
    largest = -jnp.inf
    for share in shares:
        x = deeplab_block5(at_share(images, share), p["vgg"])
        scores = sum(classifier(x, p[f"rate{rate}"], rate)[0] for rate in (6, 12, 18, 24))
        largest = jnp.maximum(largest, corners_together(scores, fine))
    return largest


def attention(images, variables, stride=1):
    """stride: the weights are the paper's at such points, and bilinear between them."""
    p = variables["params"]
    logits, features = [], []
    for share in (1.0, 0.75, 0.5):
        x = deeplab_block5(at_share(images, share), p["vgg"])
        scores, fc7 = classifier(x, p["classifier"], 12)
        logits.append(scores)
        features.append(fc7)
    fine = logits[0].shape[1:3]
    x = jnp.concatenate([corners_together(f, fine) for f in features], -1)
    x = conv(conv(x, p["attention1"]), p["attention2"], relu=False)[:, ::stride, ::stride]
    x = at(x, *(np.arange(n) / stride for n in fine))
    weights = jnp.exp(x - x.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True)
    return sum(weights[..., i, None] * corners_together(s, fine) for i, s in enumerate(logits))


def double(x, kernel, size):
    """Transposed convolution 4x4, stride 2: every value spreads over 4x4; cropped by one edge."""
    b, h, w, _ = x.shape
    spread = np.zeros((b, 2 * h + 2, 2 * w + 2, kernel.shape[-1]), np.float32)
    for u in range(4):
        for v in range(4):
            spread[:, u : u + 2 * h : 2, v : v + 2 * w : 2] += x @ kernel[3 - u, 3 - v]
    return spread[:, 1 : 1 + size[0], 1 : 1 + size[1]]


def fcn8s(images, variables):
    p = variables["params"]
    x, pools = images, []
    for block, layers in enumerate((2, 2, 3, 3, 3), 1):
        for layer in range(1, layers + 1):
            x = conv(x, p["vgg"][f"conv{block}_{layer}"])
        x = pool(x, 2, 2, 0)
        pools.append(x)
    fc7 = conv(conv(x, p["fc6"]), p["fc7"])
    x = conv(fc7, p["score_fc7"], relu=False)
    for name, skip in (("pool4", pools[3]), ("pool3", pools[2])):
        kernel = p["double_fc7" if name == "pool4" else "double_pool4"]["kernel"]
        x = double(np.asarray(x), np.asarray(kernel), skip.shape[1:3])
        x = x + conv(skip, p[f"score_{name}"], relu=False)
    # the middle of the first 8 x 8 pixels is 3.5 pixels from the first pixel
    return at(x, *((8 * np.arange(-(-side // 8)) - 3.5) / 8 for side in images.shape[1:3]))


def segnet(images, variables):
    p, stats = variables["params"], variables["batch_stats"]
    x, kept = images, []
    for block, layers in enumerate((2, 2, 3, 3, 3), 1):
        for layer in range(1, layers + 1):
            name = f"conv{block}_{layer}"
            x = conv_norm(x, p["vgg"][name], stats["vgg"][name])
        kept.append(np.asarray(x))
        x = pool(x, 2, 2, 0)
    for block, layers in reversed(list(enumerate((2, 2, 3, 3, 3), 1))):
        x = jnp.asarray(unpooled(np.asarray(x), kept[block - 1]))
        for layer in range(layers, 0, -1):
            name = f"conv{block}_{layer}"
            if name == "conv1_1":
                return conv(x, p["decoder"][name], relu=False)
            x = conv_norm(x, p["decoder"][name], stats["decoder"][name])


def unpooled(values, before):
    """Zeros but for the first largest of each 2x2 window of `before`, which gets the value."""
    spread = np.zeros_like(before)
    for b, i, j, c in np.ndindex(values.shape):
        window = before[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        y, z = np.unravel_index(window.argmax(), window.shape)
        spread[b, 2 * i + y, 2 * j + z, c] = values[b, i, j, c]
    return spread
