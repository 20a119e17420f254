"""Whether images that were crafted on one victim fool others."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patches import Rectangle

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import ALARM
from rivalry.figures._results import Results, each, label
from rivalry.figures._style import WIDTH, matrix
from rivalry.formatting import percent
from rivalry.statistics import marks
from rivalry.statistics.headlines import at_headline


@figure
def transfer(data: Results) -> list[Drawn]:
    """Who fools whom: a source per row, a victim per column, one figure per attack."""
    if data.transfers.empty:
        raise Absent("nothing was replayed on other victims")
    rows: list[Any] = data.transfers.to_dict("records")
    shown = pd.DataFrame(at_headline(rows, data.worst_cases))
    drawn = []
    for attack, part in shown.groupby("attack", sort=False):
        victims = [name for name in data.victims if name in set(part["victim"])]
        sources = [name for name in data.victims if name in set(part["source"])]
        cells = part.pivot_table(index="source", columns="victim", values="transfer_rate", dropna=False)
        cells = cells.reindex(index=sources, columns=victims)
        figure, axes = plt.subplots(figsize=(WIDTH, 1.35 + 0.36 * len(sources)))
        signs = cells.astype(object)
        replayed: list[Any] = part.to_dict("records")
        for one in replayed:
            signs.loc[one["source"], one["victim"]] = marks.sign(marks.of_transfer(data.checks, one))
        matrix(axes, cells, signs, {(one["source"], one["victim"]): one["transfer_rate_seeds"] for one in replayed})
        for row, source in enumerate(sources):
            axes.add_patch(
                Rectangle((victims.index(source) + 0.03, row + 0.04), 0.94, 0.92, fill=False, ec=ALARM, lw=2)
            )
        axes.set_ylabel("crafted on")
        axes.set_xlabel("shown to")
        axes.xaxis.set_label_position("top")
        name = label(str(attack), part["eps"].iloc[0])
        aim = "are taken for their target" if part["goal"].iloc[0] == "targeted" else "are misclassified"
        drawn.append(
            Drawn(
                f"transfer_{attack}",
                f"Transfer of {name}",
                f"Share in percent of the images crafted on one victim (row) that {aim} by another (column), among "
                "those that both classified correctly before. Brighter is more. The framed diagonal is the attack on "
                "its own victim. A row of bright cells is a source whose images fool many; a column of dark cells is "
                "a victim that is hard to fool without knowing it. A victim that noise fools as well is "
                f"simply easy to fool.{data.of_seeds('cells')} {marks.MEANING}",
                f"Table of transfer rates of {name}. "
                + "; ".join(
                    f"crafted on {source}: "
                    + ", ".join(
                        f"{s.victim} {percent(s.transfer_rate)} %" for s in each(part[part["source"] == source])
                    )
                    for source in sources
                )
                + ".",
                figure,
            )
        )
    return drawn
