from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rivalry.architectures._classifier import architecture
from rivalry.architectures._estimator import Estimator, log_shares
from rivalry.types import Count, Few


@architecture(source="breiman1984", epochs=False, gradients=False)
def decision_tree(shape: Sequence[int], classes: int, *, depth: Few = 30, leaf: Count = 1) -> Estimator:
    """Decision tree (CART); logits are the log shares of the classes in the leaf that an image falls into.

    The logits are constant around almost every image: their gradient is zero.

    Parameters
    ----------
    depth : int
        Most questions asked about an image.
    leaf : int
        Fewest training images in a leaf.
    """
    return Tree(classes, depth, leaf)


class Tree(Estimator):
    rows = ("feature", "threshold", "left", "right", "logits")
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    logits: Tensor

    def __init__(self, classes: int, depth: int, leaf: int) -> None:
        super().__init__(classes)
        self.depth, self.leaf = depth, leaf
        node = torch.zeros(1, dtype=torch.int64)
        self.set(
            feature=node,
            threshold=torch.zeros(1),
            left=node.clone(),
            right=node.clone(),
            logits=torch.zeros(1, classes),
        )

    def fit(self, pixels: Tensor, labels: Tensor, seed: int) -> None:
        from sklearn.tree import DecisionTreeClassifier

        found = DecisionTreeClassifier(max_depth=self.depth, min_samples_leaf=self.leaf, random_state=seed % 2**32).fit(
            pixels.numpy(), labels.numpy()
        )
        tree, nodes = found.tree_, np.arange(found.tree_.node_count)
        shares = torch.from_numpy(tree.value[:, 0]).float()
        self.set(
            feature=torch.from_numpy(tree.feature.clip(min=0)),
            threshold=torch.from_numpy(_rounded_down(tree.threshold)),
            # A leaf leads to itself, so that all images can take the same number of steps.
            left=torch.from_numpy(np.where(tree.children_left < 0, nodes, tree.children_left)),
            right=torch.from_numpy(np.where(tree.children_right < 0, nodes, tree.children_right)),
            logits=log_shares(shares / shares.sum(1, keepdim=True)),
        )

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        node = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
        for _ in range(self.depth):
            asked = pixels.gather(1, self.feature[node, None]).squeeze(1)
            node = torch.where(asked <= self.threshold[node], self.left[node], self.right[node])
        # Nothing of the pixels, so that asking for a gradient gives zero and not an error.
        return self.logits[node] + 0 * pixels.sum(dim=1, keepdim=True)


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is at most each float64: splits float32 pixels in the same two parts."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)
