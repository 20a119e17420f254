"""What an attack may ask of a victim, and what each question costs.

Three oracles over one victim: decisions, scores, gradients. An attack that declares that it sees decisions is
handed an oracle that has nothing else. Each counts, per image, what was asked of it; attacks count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from rivalry.answers import NO_ANSWER, answers
from rivalry.attacks._goals import Goal
from rivalry.attacks._progress import Progress

Victim = Callable[[Tensor], Tensor]
"""Maps images (N,C,H,W) to logits (N,K)."""
UNLIKELY = 100.0
"""By how much a logit of minus infinity falls behind the others: a probability of e^-100 is as good as none."""
DENIED = 1e6
"""The logit of an image's own class where a question is not answered: no score is worse for an attack."""


class Ledger:
    """Per-image counts of what an oracle was asked, each (N,).

    `watch`, if given, is called after every question with the images' number of forward passes so far. `labels`, if
    given, are what images whose answer is NaN count as, so that this is never a success. `draws` is over how many draws
    an answer with gradients is the mean, of a victim that draws random numbers. `limit`, if given, is how many
    questions about an image are answered. `progress`, if given, is told of every answer.
    """

    def __init__(
        self,
        n: int,
        watch: Callable[[int], None] | None = None,
        labels: Tensor | None = None,
        draws: int | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.watch = watch
        self.labels = labels
        self.certain = draws is None
        """Whether the same question has the same answer: the victim draws no random numbers."""
        self.passes = draws or 1
        """Of an answer with gradients."""
        self.limit = limit
        self.progress = progress
        self.iterations = torch.zeros(n, dtype=torch.int64)
        """Calls for gradients, or what an attack that asks for none declared with `count_iteration`."""
        self.queries = torch.zeros(n, dtype=torch.int64)
        """Forward passes."""
        self.gradients = torch.zeros(n, dtype=torch.int64)
        """Backward passes; a Jacobian over k classes costs k."""
        self.flat = torch.zeros(n, dtype=torch.bool)
        """An all-zero gradient was met where the goal was not reached: an attack has nowhere to go."""
        self.broken = torch.zeros(n, dtype=torch.bool)
        """A gradient or a score was not finite; minus infinity is a score, the least."""
        self.classes = 0
        """How many classes the latest answer told apart."""
        self.kept: tuple[Tensor, Tensor, Tensor] | None = None
        """Rows, images and logits of the latest question whose answers were to be kept."""


@dataclass(frozen=True)
class Decisions:
    """Answers with the predicted class.

    `rows` says which images of the ledger the images of the next question are; `on` narrows or repeats them.
    """

    _victim: Victim
    _ledger: Ledger
    _rows: Tensor
    batch: int
    """Most images that the victim is given at once; attacks build no more candidates than that at a time."""

    def on(self, rows: Tensor) -> Self:
        """The same oracle for some of its images, in the order of `rows`; repeated rows count repeatedly."""
        return replace(self, _rows=self._rows[rows.cpu()])

    @property
    def certain(self) -> bool:
        """Whether an image that reaches its goal has done so for good: the victim draws no random numbers."""
        return self._ledger.certain

    @property
    def left(self) -> int | None:
        """How many more questions are answered about any of its images, at least; None: as many as are asked.

        An attack may plan with it. What is asked beyond is answered as if the image were far from the goal.
        """
        limit = self._ledger.limit
        asked = self._ledger.queries[self._rows]
        return None if limit is None else limit - (int(asked.max()) if len(asked) else 0)

    @property
    def classes(self) -> int:
        """How many classes the victim told apart in its latest answer."""
        return self._ledger.classes

    def decisions(self, images: Tensor) -> Tensor:
        """Predicted classes, int64 (N,), of images (N,C,H,W)."""
        return self._forward(images).argmax(dim=1)

    def clean_decisions(self, images: Tensor) -> Tensor:
        """The very first question, about a batch of clean images: classes, or `NO_ANSWER` for an answer of NaN."""
        return self.decisions(images).masked_fill(self._ledger.broken.to(images.device), NO_ANSWER)

    def handed(self, images: Tensor, rows: Tensor) -> tuple[Self, Tensor]:
        """What an attack on some of the clean images is handed: the oracle for them, and these images."""
        return self.on(rows), images[rows]

    def outcome(self, images: Tensor) -> Tensor:
        """Logits (N,K) of what an attack made of all images of the ledger; they count as nobody's query."""
        if self._ledger.kept is None:
            with torch.no_grad():
                return self._victim(images)
        rows, asked, answers = self._ledger.kept
        same = (images[rows] == asked).flatten(1).all(dim=1) & ~self._ledger.broken[rows].to(images.device)
        logits = answers.new_empty(len(images), answers.shape[1])
        known = rows.to(images.device)[same]
        logits[known] = answers[same]
        others = torch.ones(len(images), dtype=torch.bool, device=images.device)
        others[known] = False
        if bool(others.any()):
            with torch.no_grad():
                logits[others] = self._victim(images[others])
        return logits

    def count_iteration(self) -> None:
        """Note that each of its images begins another iteration of an attack that asks for no gradients."""
        self._count(self._ledger.iterations)

    def _count(self, field: Tensor, times: int = 1) -> None:
        field.index_add_(0, self._rows, torch.full_like(self._rows, times))
        if self._ledger.watch is not None and field is self._ledger.queries:
            self._ledger.watch(int(self._ledger.queries.sum()))

    def _forward(self, images: Tensor) -> Tensor:
        limit, progress = self._ledger.limit, self._ledger.progress
        if limit is None and progress is None:
            return self._answered(images)
        numbers = self._numbers()
        told = torch.arange(len(numbers)) if limit is None else (numbers <= limit).nonzero().squeeze(1)
        if len(told) < len(numbers):
            assert self._ledger.labels is not None
            own = self._ledger.labels[self._rows.to(images.device), None]
            logits = images.new_zeros(len(images), self._ledger.classes).scatter_(1, own, DENIED)
            if len(told):
                logits[told.to(images.device)] = self.on(told)._answered(images[told.to(images.device)])
        else:
            logits = self._answered(images)
        if progress is not None:
            progress.note(self._rows, numbers, images, logits.argmax(dim=1))
        return logits

    def _numbers(self) -> Tensor:
        """The how-manieth question about its image each of the next questions is, int64 (n,)."""
        order = self._rows.argsort(stable=True)
        ordered = self._rows[order]
        before = torch.empty_like(order)
        before[order] = torch.arange(len(order)) - torch.searchsorted(ordered, ordered)
        return self._ledger.queries[self._rows] + before + 1

    def _answered(self, images: Tensor) -> Tensor:
        self._count(self._ledger.queries)
        with torch.no_grad():
            logits = [self._victim(part) for part in images.split(self.batch)]
        return self._finite_logits(logits[0] if len(logits) == 1 else torch.cat(logits), self._rows)

    def _finite_logits(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Logits (n,K) as attacks are given them, for rows (n,) of the ledger: finite ones.

        An image whose logits say nothing counts as its label. Beside finite ones, minus infinity stays the least.
        """
        self._ledger.classes = logits.shape[1]
        if math.isfinite(logits.detach().sum().item()):
            return logits
        given = logits.detach()
        least = given.masked_fill(given == -torch.inf, torch.inf).amin(dim=1, keepdim=True) - UNLIKELY
        sound = torch.where(given == -torch.inf, least, logits)
        silent = answers(given)[0] == NO_ANSWER
        self._ledger.broken[rows[silent.cpu()]] = True
        blank = torch.zeros_like(given)
        if self._ledger.labels is not None:
            blank.scatter_(1, self._ledger.labels.to(given.device)[rows.to(given.device), None], 1)
        return torch.where(silent[:, None], blank, sound)

    def _finite_gradients(self, answer: Tensor) -> Tensor:
        """Gradients with non-finite entries zeroed and recorded."""
        if math.isfinite(answer.sum().item()):
            return answer
        finite = answer.flatten(1).isfinite().all(dim=1)
        self._ledger.broken[self._rows[~finite.cpu()]] = True
        return answer.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True)
class Scores(Decisions):
    """Answers with the logits."""

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N,K) of images (N,C,H,W)."""
        return self._forward(images)

    def final_logits(self, images: Tensor) -> Tensor:
        """`logits`, kept: images that the attack returns just as they are here are not classified again."""
        logits = self._forward(images)
        if self._ledger.limit is None:  # or some may be no answers
            self._ledger.kept = (self._rows, images.clone(), logits)
        return logits


@dataclass(frozen=True)
class _Clean:
    """The forward pass that told which clean images there are to attack, ready to be differentiated.

    An attack whose first question is about the very tensor it was handed has its answer from here, at no query. That
    is a property of the attack: whether images are equal would hold for some batches and not for others.
    """

    leaf: Tensor
    logits: Tensor
    rows: Tensor
    """Which of them the attack was handed,"""
    handed: Tensor
    """and that tensor, which no attack may write to."""


@dataclass(frozen=True)
class Gradients(Scores):
    """Answers with gradients: the white box."""

    _clean: list[_Clean] = field(default_factory=list)
    """At most one: what the first question for gradients may use, and clears away."""

    def clean_decisions(self, images: Tensor) -> Tensor:
        if not self.certain:
            return super().clean_decisions(images)  # what one draw says, as whenever no gradients are asked for
        self._count(self._ledger.queries)
        leaf = images.detach().requires_grad_(True)
        logits = self._finite_logits(self._victim(leaf), self._rows)
        self._clean.append(_Clean(leaf, logits, torch.arange(len(images), device=images.device), images))
        return logits.argmax(dim=1).masked_fill(self._ledger.broken.to(images.device), NO_ANSWER)

    def handed(self, images: Tensor, rows: Tensor) -> tuple[Self, Tensor]:
        oracle, chosen = super().handed(images, rows)
        self._clean[:] = [replace(clean, rows=rows, handed=chosen) for clean in self._clean]
        return oracle, chosen

    def loss_gradient(
        self, images: Tensor, goal: Goal, loss_of: Callable[[Goal, Tensor], Tensor] = Goal.loss
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A loss at `images` and its gradient.

        Parameters
        ----------
        images : Tensor
            (N,C,H,W).
        goal : Goal
            The images' goal.
        loss_of : function
            Maps a goal and its images' logits (n,K) to losses (n,); the goal's own loss when left out.

        Returns
        -------
        logits, loss, gradient : Tensor
            (N,K), (N,) and (N,C,H,W).
        """
        self._count(self._ledger.gradients, self._ledger.passes)
        self._count(self._ledger.iterations)
        passes: list[tuple[Tensor, ...]] = []
        for rows, leaf, logits, mine in self._passes(images):
            loss = loss_of(goal[rows], logits)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            passes.append((logits.detach(), loss.detach(), gradient[mine]))
        logits, loss, gradient = _joined(passes)
        return logits, loss, self._checked_gradients(gradient, lambda: goal.reached(logits.argmax(dim=1)))

    def jacobian(self, images: Tensor, weights_of: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and the gradients of weighted sums of them, each image its own.

        Parameters
        ----------
        images : Tensor
            (N,C,H,W).
        weights_of : function
            Maps some of the images' rows, int64 (n,), and their logits (n,K) to weights, float (n,k,K): k sums.

        Returns
        -------
        logits, jacobian : Tensor
            (N,K) and (N,k,C,H,W).
        """
        self._count(self._ledger.iterations)
        passes: list[tuple[Tensor, ...]] = []
        for rows, leaf, logits, mine in self._passes(images):
            weights = weights_of(rows, logits.detach())
            # One after the other: on a CPU faster than all sums at once, for all but a handful of images.
            gradients = [
                torch.autograd.grad(logits, leaf, sums, retain_graph=True)[0][mine] for sums in weights.unbind(1)
            ]
            passes.append((logits.detach(), torch.stack(gradients, dim=1)))
        logits, jacobian = _joined(passes)
        self._count(self._ledger.gradients, jacobian.shape[1] * self._ledger.passes)
        return logits, self._checked_gradients(jacobian)

    def _passes(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | slice]]:
        """Forward passes to differentiate, a batch at a time.

        Which of the images they are, what to differentiate by, the images' logits, and the images' places in what is
        differentiated by.
        """
        everything = torch.arange(len(images), device=images.device)
        if self._clean:
            clean = self._clean.pop()
            if images is clean.handed:
                yield everything, clean.leaf, clean.logits[clean.rows], clean.rows
                return
        self._count(self._ledger.queries, self._ledger.passes)
        for rows in everything.split(self.batch):
            whole = len(rows) == len(images)
            part = (images if whole else images[rows]).detach().requires_grad_(True)
            mine = self._rows if whole else self._rows[rows.cpu()]
            yield rows, part, self._finite_logits(self._victim(part), mine), slice(None)

    def _checked_gradients(self, gradient: Tensor, arrived: Callable[[], Tensor] | None = None) -> Tensor:
        """Finite gradients, what was wrong recorded; a zero one is no fault where an image has reached its goal."""
        steepest = gradient.flatten(1).abs().amax(dim=1)
        if bool(((steepest > 0) & (steepest < torch.inf)).all()):
            return gradient
        flat = (steepest == 0) & ~self._ledger.broken[self._rows].to(gradient.device)
        if arrived is not None:
            flat &= ~arrived()
        self._ledger.flat[self._rows[flat.cpu()]] = True
        return self._finite_gradients(gradient)


def _joined(answers: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The batches' answers, put together."""
    return answers[0] if len(answers) == 1 else tuple(torch.cat(parts) for parts in zip(*answers, strict=True))


ORACLES: dict[str, type[Decisions]] = {
    "nothing": Decisions,
    "decisions": Decisions,
    "scores": Scores,
    "gradients": Gradients,
}
