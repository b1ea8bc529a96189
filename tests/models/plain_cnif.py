"""CNIF Eq. 10 to 17 again, for the whole tree, as NumPy loops over levels and nodes.

Nothing is shared with the package but the names of the weights.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def conv(x, kernel):
    """x [b, h, w, i], kernel [k, k, i, o] -> [b, h, w, o], zero padding."""
    k = kernel.shape[0]
    x = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    out = 0
    for i in range(k):
        for j in range(k):
            rows = slice(i, x.shape[1] - (k - 1 - i))
            columns = slice(j, x.shape[2] - (k - 1 - j))
            out = out + x[:, rows, columns] @ kernel[i, j]
    return out


def node_weights(params, stats, node, hidden):
    """The weights of one node of a NodeHead, wherever they are kept: own or shared."""

    def own(kernel):
        return kernel[:, :, :, node if kernel.shape[3] > 1 else 0]

    def norm(name):
        part = slice(None)
        if len(stats[name]["mean"]) > hidden:
            part = slice(node * hidden, (node + 1) * hidden)
        values = {**params[name], **stats[name]}
        return [values[k][part] for k in ("scale", "bias", "mean", "var")]

    bias = params["logit_bias"]
    return own, norm, bias[node if len(bias) > 1 else 0]


def head(params, stats, node, embedding, message):
    """Eq. 11, 12 or 14 of one node: three convolutions over [message, h_v]."""
    hidden = params["hidden_kernel"].shape[2]
    own, norm, bias = node_weights(params, stats, node, hidden)

    def relu_norm(x, name):
        scale, shift, mean, var = norm(name)
        return np.maximum((x - mean) / np.sqrt(var + 1e-5) * scale + shift, 0)

    kernel, x = own(params["embedding_kernel"]), embedding
    if message is not None:
        kernel = np.concatenate([own(params["message_kernel"]), kernel], 2)
        x = np.concatenate([message[..., None], embedding], -1)
    x = relu_norm(conv(x, kernel), "norm1")
    x = relu_norm(conv(x, own(params["hidden_kernel"])), "norm2")
    return conv(x, own(params["logit_kernel"]))[..., 0] + bias


def reference(hierarchy, params, stats, level_maps, messages):
    """(maps, fused, gates) of every level from the level embeddings of Eq. 9."""
    levels, direct, embeddings = hierarchy.levels, [], []
    for level, level_map in zip(levels, level_maps, strict=True):
        se = params[f"{level.name}_attention"]
        mean, maps, own_embeddings = level_map.mean((1, 2)), [], []
        for v in range(len(level.nodes)):
            hidden = np.maximum(mean @ se["squeeze_kernel"][v] + se["squeeze_bias"][v], 0)
            gate = sigmoid(hidden @ se["excite_kernel"][v] + se["excite_bias"][v])
            own_embeddings.append(level_map * gate[:, None, None, :])  # Eq. 10
            name = f"{level.name}_direct"
            maps.append(head(params[name], stats[name], v, own_embeddings[v], None))  # Eq. 11
        direct.append(np.stack(maps, -1))
        embeddings.append(own_embeddings)
    sent = [softmax(d) if messages == "probabilities" else d for d in direct]
    cap = [[h.mean((1, 2)) for h in level] for level in embeddings]

    outputs = []
    for depth, level in enumerate(levels):
        nodes = range(len(level.nodes))
        maps = {"direct": direct[depth]}
        if depth + 1 < len(levels):
            name = f"{level.name}_top_down"
            logits = [direct[depth][..., 0]]
            for v in nodes[1:]:
                message = sent[depth + 1][..., level.parents[v]]
                logits.append(head(params[name], stats[name], v - 1, embeddings[depth][v], message))
            maps["top_down"] = np.stack(logits, -1)
        if depth > 0:
            name = f"{level.name}_bottom_up"
            logits = [direct[depth][..., 0]]
            for v in nodes[1:]:
                children = [w for w, u in enumerate(levels[depth - 1].parents) if u == v]
                message = np.max([sent[depth - 1][..., w] for w in children], 0)  # Eq. 13
                logits.append(head(params[name], stats[name], v - 1, embeddings[depth][v], message))
            maps["bottom_up"] = np.stack(logits, -1)

        gates = {source: np.zeros((len(direct[0]), len(level.nodes))) for source in maps}
        kernels = params[f"{level.name}_gates"]
        for v in nodes:
            gates["direct"][:, v] = sigmoid(cap[depth][v] @ kernels["direct_kernel"][v])  # Eq. 15
            if v > 0 and "top_down" in maps:  # Eq. 16
                u = level.parents[v]
                gates["top_down"][:, v] = sigmoid(cap[depth + 1][u] @ kernels["top_down_kernel"][u])
            if v > 0 and "bottom_up" in maps:
                children = [w for w, u in enumerate(levels[depth - 1].parents) if u == v]
                together = np.concatenate([cap[depth - 1][w] for w in children], -1)
                weights = np.concatenate([kernels["bottom_up_kernel"][w] for w in children])
                gates["bottom_up"][:, v] = sigmoid(together @ weights)

        fusion, fused = params[f"{level.name}_fusion"], []
        for v in nodes:  # Eq. 17
            x = np.stack([maps[s][..., v] * gates[s][:, None, None, v] for s in maps], -1)
            if v == 0:
                x[..., 1:] = 0
            for layer in range(3):
                kernel, bias = fusion[f"kernel{layer}"], fusion[f"bias{layer}"]
                own = v if kernel.shape[3] > 1 else 0
                x = np.maximum(x, 0) if layer else x
                x = x @ kernel[0, 0, :, own] + bias[own]
            fused.append(x[..., 0])
        outputs.append((maps, np.stack(fused, -1), gates))
    return outputs
