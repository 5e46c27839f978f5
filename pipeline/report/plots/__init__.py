"""Plots, from the same Vega-Lite templates (beside this file) that `dvc plots` draws.

In a template, `<DVC_METRIC_…>` marks what is filled in, and the field `rev` tells the revisions
that `dvc plots diff` compares; a page shows one revision, so there it is left out.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

VEGA_LITE = "6.4"
# More steps than this a curve can't be told apart at the width of a page.
STEPS = 150


@cache
def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that may stand in a page; it sets `window.vegaEmbed`."""
    script: str = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    return script.replace("</script", "<\\/script")


def beside(name: str) -> str:
    """The text of a file in this folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def draw(
    template: str, table: pd.DataFrame, *, title: str, x: str, y: str, labels: dict[str, str]
) -> dict[str, Any]:
    """Fill a template: a Vega-Lite specification with its data.

    Args:
        template: name of a template beside this file, without `.json`.
        table: one row a mark; of a curve with very many steps, some.
        title: stands above the plot.
        x, y: columns of `table`.
        labels: axis titles of columns; a column's name where it has none.
    """
    filled = {
        "<DVC_METRIC_DATA>": json.loads(_thinned(table).to_json(orient="records")),
        "<DVC_METRIC_TITLE>": title,
        "<DVC_METRIC_X>": x,
        "<DVC_METRIC_Y>": y,
        "<DVC_METRIC_X_LABEL>": labels.get(x, x),
        "<DVC_METRIC_Y_LABEL>": labels.get(y, y),
    }
    specification: dict[str, Any] = _fill(json.loads(beside(f"{template}.json")), filled)
    # It names the Vega-Lite that DVC's own page loads; the one that stands in ours would remark on that.
    del specification["$schema"]
    return specification


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most about `STEPS` steps of each curve, its last among them."""
    if "step" not in table:
        return table
    curve = [name for name in ("model", "run", "seed") if name in table]
    order = table.groupby(curve).cumcount(ascending=False)
    length = table.groupby(curve)["step"].transform("size")
    return table[order % (length // STEPS + 1) == 0]


def _fill(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return {
            key: _fill(value, values)
            for key, value in part.items()
            if not (isinstance(value, dict) and value.get("field") == "rev")
        }
    if isinstance(part, list):
        return [_fill(item, values) for item in part]
    return values.get(part, part) if isinstance(part, str) else part
