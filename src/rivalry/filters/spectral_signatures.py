from __future__ import annotations

import torch
from torch import Tensor, nn

from rivalry.filters._filter import Screened, filtering, hidden
from rivalry.types import OpenFraction, Positive


@filtering(source="tran2018")
def spectral_signatures(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    expected: OpenFraction = 0.1,
    excess: Positive = 1.5,
) -> Screened:
    """Spectral signatures: images of a class that stand out along the direction in which its features vary most.

    The features are what the victim's last layer is given. An image's score is the square of its distance from the
    class's mean along the first principal direction of the class. Poisoned images that are a small part of their class
    and that the victim tells from the others stand out there.

    Parameters
    ----------
    expected : float
        Share of a class that may be poisoned, at most.
    excess : float
        Of each class, so many times that share is taken out; the paper takes 1.5.
    """
    features, layer = hidden(victim, images, batch_size)
    features = features.double()
    scores, flagged = torch.zeros(len(images), dtype=torch.float64), torch.zeros(len(images), dtype=torch.bool)
    for label in labels.unique():
        rows = (labels == label).nonzero().squeeze(1)
        centred = features[rows] - features[rows].mean(dim=0)
        direction = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
        scores[rows] = (centred @ direction) ** 2
        count = min(len(rows), round(excess * expected * len(rows)))
        flagged[rows[scores[rows].topk(count).indices]] = True
    return Screened(scores, flagged, {"layer": layer})
