"""Draw the figures of one data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rivalry import artifacts
from rivalry.figures._figure import Absent, all_figures
from rivalry.figures._results import Results
from rivalry.figures._saving import save
from rivalry.figures._style import use_style
from rivalry.layout import Layout

if TYPE_CHECKING:
    from rivalry.layout import COMPUTED
    from rivalry.options import After, Plan


def draw(
    results: Annotated[Path, After((*COMPUTED, "tabulate", "check"))], output: Path, *, dataset: str, plan: Plan
) -> None:
    """Draw the figures of a data set.

    All those that its results allow: each as .svg and .pdf. `figures.json` lists them: `figures` (name, kind, title,
    caption, alt, group, files) and `absent` (name, reason), by kind.

    Parameters
    ----------
    results : Path
        The folder of all results.
    output : Path
        Usually results/figures/{dataset}.
    dataset : str
        The data set to draw figures of.
    plan : dict
        `victims` [[dataset, victim]...], `attacks` [[dataset, victim, attack]...], `evaluations`
        [[dataset, victim, defense]...], `fooling` [[dataset, victim, fooling]...], `transfers` [[dataset, source]...].
    """
    use_style()
    data = Results(Path(results), dataset, plan)
    place = Layout(Path(results)).figures(dataset).at(output)
    listed: list[dict[str, Any]] = []
    absent = []
    for name, function in all_figures().items():
        try:
            drawings = function(data)
        except Absent as reason:
            absent.append({"name": name, "reason": str(reason)})
            continue
        for drawn in drawings:
            listed.append(
                {
                    "name": drawn.name,
                    "kind": name,
                    "title": drawn.title,
                    "caption": drawn.caption,
                    "alt": drawn.alt,
                    "group": drawn.group,
                    "files": save(drawn, place.folder, f"{dataset}-{drawn.name}"),
                }
            )
    artifacts.write_json(place.facts, {"dataset": dataset, "figures": listed, "absent": absent})
    files = [place.folder / name for figure in listed for name in figure["files"].values()]
    artifacts.write_manifest(place, [*files, place.facts])
