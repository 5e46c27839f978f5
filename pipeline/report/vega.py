"""Plots, drawn from the Vega-Lite templates in plots/, which `dvc plots` uses too.

In a template, `<DVC_METRIC_…>` marks what is filled in, and the field `rev` names the revisions that
`dvc plots diff` compares. The page shows one revision, so `rev` is left out there.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

DATA_FILES = ("plots/*",)
VEGA_LITE = "6.4"
# What the templates call the arms, in the legends of `dvc plots`.
ARM_LABELS = "{base: 'base', uniform: 'CE', weighting: 'severity-aware'}[datum.label] || (datum.label)"
# A curve with more steps looks the same at the width of a page.
MAX_STEPS = 150


@cache
def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that can stand in a page; it sets `window.vegaEmbed`."""
    script: str = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    return script.replace("</script", "<\\/script")


def plot_file(name: str) -> str:
    """The text of a file in plots/."""
    return (Path(__file__).with_name("plots") / name).read_text(encoding="utf-8")


def draw(
    template: str,
    table: pd.DataFrame,
    *,
    title: str,
    x: str,
    y: str,
    labels: Mapping[str, str],
    arms: Mapping[str, str],
) -> dict[str, Any]:
    """Fill a template.

    Args:
        template: name of a template, without `.json`.
        table: one row for each mark; of a curve with very many steps, some are left out.
        title: stands above the plot.
        x, y: columns of `table`.
        labels: axis title by column; without one, the name of the column is shown.
        arms: what legends call an arm; one that is not there has its name.

    Returns:
        A Vega-Lite specification with its data.
    """
    values = {
        "<DVC_METRIC_DATA>": json.loads(_thinned(table).to_json(orient="records")),
        "<DVC_METRIC_TITLE>": title,
        "<DVC_METRIC_X>": x,
        "<DVC_METRIC_Y>": y,
        "<DVC_METRIC_X_LABEL>": labels.get(x, x),
        "<DVC_METRIC_Y_LABEL>": labels.get(y, y),
        ARM_LABELS: f"{json.dumps(dict(arms), ensure_ascii=False)}[datum.label] || (datum.label)",
    }
    specification: dict[str, Any] = _fill(json.loads(plot_file(f"{template}.json")), values)
    # It names the Vega-Lite of DVC's own page; that of ours would warn about another version.
    del specification["$schema"]
    return specification


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most about `MAX_STEPS` steps of each curve, among them the last."""
    if "step" not in table:
        return table
    curve = [name for name in ("model", "arm", "seed") if name in table]
    from_end = table.groupby(curve).cumcount(ascending=False)
    length = table.groupby(curve)["step"].transform("size")
    return table[from_end % (length // MAX_STEPS + 1) == 0]


def _fill(part: Any, values: Mapping[str, Any]) -> Any:
    """A part of a template with what is filled in, and without `rev`."""
    if isinstance(part, dict):
        return {
            key: _fill(value, values)
            for key, value in part.items()
            if not (isinstance(value, dict) and value.get("field") == "rev")
        }
    if isinstance(part, list):
        return [_fill(item, values) for item in part]
    return values.get(part, part) if isinstance(part, str) else part
