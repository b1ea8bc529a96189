"""The training loss: cross-entropy of every map of every level (CNIF Eq. 18)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hparse_jax.config import LossConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE, Hierarchy
from hparse_jax.joints import structure_error
from hparse_jax.models import ParserOutput
from hparse_jax.models.ops import interpolate, resize


def parsing_loss(
    output: ParserOutput,
    labels: UInt8[Array | np.ndarray, "b h w"],
    hierarchy: Hierarchy,
    config: LossConfig,
    valid_pixels: Float[Array, "*levels"] | None = None,
    class_weights: Float[Array | np.ndarray, "levels 256"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Eq. 18 summed over the levels, and its terms by name ("parts/fused", "auxiliary", ...).

    Logits are resized to the labels; each term is the mean over the batch's valid pixels (label not
    255) and 0 when there are none. A level with direct inference alone has one term.
    valid_pixels: divide by this count instead of the batch's own, so that the losses of
    micro-batches add up to the loss of the whole. Labels must be the hierarchy's: the data stream
    checks them.
    class_weights: of each pixel at each level by its leaf id, as `class_weights` makes them; the
    means over the pixels are then weighted means: the sum of weight * cross-entropy over the sum of
    the weights (`count_valid` with the same weights gives it). Lovasz-softmax averages over the
    classes anyway and is not weighted.
    With config.structure every pixel's cross-entropy, in all terms, is multiplied by the joint
    error of its image (see `structure_weights`), through which no gradient flows.
    Raises InputError when config.level_weights does not fit the levels of the output, and for a
    structure loss without joints.
    """
    levels = output.levels
    weights = config.level_weights or (1.0,) * len(levels)
    if len(weights) != len(levels):
        raise InputError(
            f"config.loss.level_weights={weights}: give {len(levels)} weights, finest level first"
        )
    pixels = count_valid(labels, class_weights)
    divisors = pixels if valid_pixels is None else valid_pixels
    divisors = jnp.where(divisors > 0, divisors, 1.0)
    if class_weights is None:
        of_pixels = [None] * len(levels)
        pixels, divisors = [pixels] * len(levels), [divisors] * len(levels)
    else:
        of_pixels = [jnp.asarray(of_level)[labels] for of_level in class_weights]
    size = labels.shape[1:3]
    terms = {}
    weights_of_images = None
    if config.structure != "none":
        weights_of_images = structure_weights(levels[0].fused, labels, hierarchy, config)
        # of the mean pixel, not the mean image: pieces of a batch add up to it
        counted = labels != IGNORE if of_pixels[0] is None else of_pixels[0]
        pixels_of_images = jnp.sum(counted, (1, 2), dtype=jnp.float32)
        terms["structure"] = (weights_of_images * pixels_of_images).sum() / divisors[0]

    def mean_cross_entropy(logits, targets, depth):
        sums = cross_entropy(resize(logits, size), targets, of_pixels[depth])
        if weights_of_images is not None:
            sums = sums * weights_of_images
        return sums.sum() / divisors[depth]

    total = jnp.zeros(())
    for depth, (level, weight) in enumerate(zip(levels, weights, strict=True)):
        targets = jnp.asarray(hierarchy.table(depth))[labels]
        maps = {"direct": level.direct, "top_down": level.top_down, "bottom_up": level.bottom_up}
        maps = {source: logits for source, logits in maps.items() if logits is not None}
        if len(maps) > 1:
            maps["fused"] = level.fused
        name = hierarchy.levels[depth].name
        for source, logits in maps.items():
            term = mean_cross_entropy(logits, targets, depth)
            terms[f"{name}/{source}"] = term
            total = total + weight * term
        if config.lovasz_weight:
            # A ratio of areas, not a mean over pixels: pieces of a batch are weighted by theirs.
            every = config.lovasz_stride
            probabilities = jax.nn.softmax(at_stride(level.fused, size, every))
            term = lovasz_softmax(probabilities, targets[:, ::every, ::every])
            term = term * (pixels[depth] / divisors[depth])
            terms[f"{name}/lovasz"] = term
            total = total + weight * config.lovasz_weight * term
    for name, logits in (output.auxiliary or {}).items():
        term = mean_cross_entropy(logits, labels, 0)
        terms[name] = term
        total = total + config.auxiliary_weight * term
    return total, terms


def structure_weights(
    logits: Float[Array, "b h2 w2 nodes"],
    labels: UInt8[Array | np.ndarray, "b h w"],
    hierarchy: Hierarchy,
    config: LossConfig,
) -> Float[Array, " b"]:
    """The structure-sensitive loss's factor on each image's cross-entropy (LIP Eq. 2).

    Joints of the predicted leaves and of the labels are computed on every
    `config.structure_stride`-th pixel, the first one included; where a label is 255 the prediction
    is ignored too. An image whose joints are perfect has error 0: with "product" it has no
    gradient.
    """
    stride = config.structure_stride
    grid = labels[:, ::stride, ::stride]
    logits = at_stride(logits, labels.shape[1:3], stride)
    predicted = jnp.argmax(logits, -1).astype(jnp.uint8)
    predicted = jnp.where(grid == IGNORE, jnp.uint8(IGNORE), predicted)
    error = structure_error(predicted, grid, hierarchy, config.structure_constants)
    return jax.lax.stop_gradient(error + (config.structure == "one_plus_error"))


def at_stride(
    logits: Float[Array, "b h2 w2 c"], size: tuple[int, int], stride: int
) -> Float[Array, "b h w c"]:
    """Logits at every `stride`-th pixel of images of that size, the first pixel included."""
    # where these pixels lie between the logits, whose corners are the image's
    rows, columns = (
        np.linspace(0.0, points - 1.0, side)[::stride]
        for points, side in zip(logits.shape[1:3], size, strict=True)
    )
    return interpolate(logits, rows, columns)


def count_valid(
    labels: UInt8[Array | np.ndarray, "..."],
    class_weights: Float[Array | np.ndarray, "levels 256"] | None = None,
) -> Float[Array, "*levels"]:
    """The number of labels that are not 255; with class weights the sum of theirs at each level."""
    if class_weights is None:
        return jnp.sum(labels != IGNORE, dtype=jnp.float32)
    return jnp.stack([jnp.sum(jnp.asarray(of_level)[labels]) for of_level in class_weights])


def class_weights(
    pixels: Mapping[str, int], hierarchy: Hierarchy, rule: str
) -> Float[np.ndarray, "levels 256"]:
    """The weight of a pixel in the cross-entropy of each level, by its leaf id; 0 for 255.

    pixels: the training split's count for each leaf by name (`metadata["pixels"]` of a built
    dataset). A coarser node has the count of its leaves together. rule, with n the count of a node:
    "median_frequency": median / n over the nodes of the level that occur (Eigen and Fergus 2015,
    used by SegNet; there n is relative to the photos that show the class);
    "inverse_log": 16 / log(n), as `dataset/weights.py` of CNIF's follow-up computes them (their
    released training leaves them out). A node that does not occur has weight 0.
    Raises InputError when a leaf has no count.
    """
    leaves = hierarchy.levels[0].nodes
    missing = [leaf for leaf in leaves if leaf not in pixels]
    if missing:
        raise InputError(
            f"class weights: no count of pixels for {', '.join(missing)}; build the dataset again, "
            "with this hierarchy"
        )
    weights = np.zeros((len(hierarchy.levels), 256), np.float32)
    for depth, of_level in enumerate(weights):
        nodes = hierarchy.table(depth)[: len(leaves)]
        counts = np.bincount(nodes, [pixels[leaf] for leaf in leaves])
        present = counts[counts > 0]
        with np.errstate(divide="ignore"):
            if rule == "median_frequency":
                of_nodes = np.median(present) / counts if len(present) else counts
            else:
                of_nodes = 16.0 / np.log(np.maximum(counts, 2))
        of_level[: len(leaves)] = np.where(counts > 0, of_nodes, 0.0)[nodes]
    return weights


def cross_entropy(
    logits: Float[Array, "b h w c"],
    targets: UInt8[Array | np.ndarray, "b h w"],
    weights: Float[Array, "b h w"] | None = None,
) -> Float[Array, " b"]:
    """For each image the sum over its valid pixels of -log softmax(logits)[target], times the
    weights of the pixels."""
    # The target's logit is selected by a comparison, not by an index: the gradient of an index is a
    # scatter, which XLA on a CPU does not fuse with the resize before it.
    target = targets[..., None] == jnp.arange(logits.shape[-1], dtype=jnp.uint8)
    shifted = logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    losses = jnp.log(jnp.exp(shifted).sum(-1)) - jnp.where(target, shifted, 0.0).sum(-1)
    losses = jnp.where(targets != IGNORE, losses, 0.0)
    return jnp.sum(losses if weights is None else weights * losses, (1, 2))


def lovasz_softmax(
    probabilities: Float[Array, "b h w c"], targets: UInt8[Array | np.ndarray, "b h w"]
) -> Float[Array, ""]:
    """Lovasz-softmax (Berman et al. 2018, Eq. 9): a surrogate of 1 - IoU, averaged over the
    classes that occur in the batch."""
    classes = probabilities.shape[-1]
    valid = (targets != IGNORE).reshape(-1)
    truth = (targets.reshape(-1)[:, None] == jnp.arange(classes)) & valid[:, None]
    errors = jnp.abs(truth - probabilities.reshape(-1, classes)) * valid[:, None]
    # Ignored pixels have error 0 and sort last, where they carry no weight.
    order = jnp.argsort(-errors, axis=0)
    sorted_errors = jnp.take_along_axis(errors, order, 0)
    sorted_truth = jnp.take_along_axis(truth, order, 0).astype(jnp.float32)
    sorted_valid = jnp.take_along_axis(valid[:, None], order, 0)
    positives = sorted_truth.sum(0)
    intersection = positives - jnp.cumsum(sorted_truth, 0)
    union = positives + jnp.cumsum((1.0 - sorted_truth) * sorted_valid, 0)
    jaccard = 1.0 - intersection / jnp.maximum(union, 1.0)
    gradient = jnp.diff(jaccard, axis=0, prepend=jnp.zeros((1, classes)))
    losses = jnp.sum(sorted_errors * jax.lax.stop_gradient(gradient), 0)
    present = positives > 0
    return jnp.sum(jnp.where(present, losses, 0.0)) / jnp.maximum(jnp.sum(present), 1)
