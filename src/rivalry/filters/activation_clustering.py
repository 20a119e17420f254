from __future__ import annotations

import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from torch import Tensor, nn

from rivalry.filters._filter import Screened, filtering, hidden
from rivalry.types import Few, OpenFraction

STARTS = 10
"""Beginnings of k-means; the best end counts."""
SAMPLED = 2000
"""Images of a class on which a silhouette is measured, at most."""


@filtering(source="chen2018clustering")
def activation_clustering(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    components: Few = 10,
    small: OpenFraction = 0.35,
) -> Screened:
    """Activation clustering: images of a class fall into two clusters, and the smaller one is suspicious.

    The features are what the victim's last layer is given. They are reduced to independent components, class by class,
    and parted in two by k-means. Independent components are principal ones, whitened and turned; k-means does not see
    the turn, so that it is left out here.

    An image's score is the share of its class that is in the other cluster; among images of one cluster, those farther
    from the other one have more.

    Parameters
    ----------
    components : int
        Components of the features, at most.
    small : float
        A cluster with less than this share of its class is taken out.
    """
    features, layer = hidden(victim, images, batch_size)
    scores, flagged = torch.zeros(len(images), dtype=torch.float64), torch.zeros(len(images), dtype=torch.bool)
    shares: dict[str, float] = {}
    silhouettes: dict[str, float] = {}
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().squeeze(1)
        own = features[rows].double().numpy()
        varied = own[:, own.std(axis=0) > 0]
        most = min(components, *varied.shape)
        if len(rows) < 3 or most < 1:
            continue
        reduced = PCA(most, whiten=True, svd_solver="full").fit_transform(varied)
        found = KMeans(2, n_init=STARTS, random_state=seed % 2**32).fit(reduced)
        distances = torch.from_numpy(found.transform(reduced))
        second = torch.from_numpy(found.labels_) == 1
        share = float(second.double().mean())
        smaller = second if share <= 0.5 else ~second
        share = min(share, 1 - share)
        nearer = (distances[:, 0] - distances[:, 1]) / distances.sum(dim=1).clamp_min(1e-12)  # to the second one
        inside = torch.where(smaller, nearer if smaller is second else -nearer, 0.0).clamp(0, 1)
        # Ties are broken within a cluster: shares differ by more than a thousandth, or hardly at all.
        scores[rows] = torch.where(smaller, 1 - share, share) + 1e-3 * inside
        flagged[rows[smaller]] = share < small
        shares[str(label)] = share
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:SAMPLED].numpy()
        if len(set(found.labels_[chosen])) == 2:
            silhouettes[str(label)] = float(silhouette_score(reduced[chosen], found.labels_[chosen]))
    return Screened(scores, flagged, {"layer": layer, "smaller": shares, "silhouette": silhouettes})
