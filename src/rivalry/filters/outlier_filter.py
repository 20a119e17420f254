from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.answers import classify
from rivalry.filters._filter import Screened, filtering
from rivalry.types import OpenFraction, Reference
from rivalry.victims import load_victim


@filtering(source="turner2019")
def outlier_filter(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    judge: Annotated[str, Reference("victims")],
    removed: OpenFraction = 0.05,
) -> Screened:
    """Outlier filter: an image whose label a classifier of clean data finds unlikely is suspicious.

    It is the simple filter by which Turner, Tsipras and Madry show that relabelled images give a backdoor away. The
    victim itself is not asked. The judge must have seen no poison, so it may be weak; images that are hard for it are
    suspicious too.

    Parameters
    ----------
    judge : str
        The victim that judges: one of clean data. For use without a configuration, its folder.
    removed : float
        Share of all images that is taken out, the least likely ones.
    """
    scores = cross_entropy(classify(load_victim(judge).eval(), images, batch_size).double(), labels, reduction="none")
    return Screened(scores, scores > scores.quantile(1 - removed) if len(scores) else scores > 0)
