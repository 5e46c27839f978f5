"""Plots, from the same Vega-Lite templates (beside this file) that `dvc plots` draws.

In a template, `<DVC_METRIC_…>` marks what is filled in, and the field `rev` tells the revisions
that `dvc plots diff` compares; a page shows one revision, so there it is left out.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

VEGA_LITE = "5.21"


def draw(template: str, table: pd.DataFrame, *, title: str, x: str, y: str, labels: dict[str, str]) -> str:
    """Draw a table as SVG.

    Args:
        template: name of a template beside this file, without `.json`.
        table: one row a mark.
        title: stands above the plot.
        x, y: columns of `table`.
        labels: axis titles of columns; a column's name where it has none.
    """
    specification = json.loads((Path(__file__).with_name(f"{template}.json")).read_text(encoding="utf-8"))
    filled = {
        "<DVC_METRIC_DATA>": json.loads(table.to_json(orient="records")),
        "<DVC_METRIC_TITLE>": title,
        "<DVC_METRIC_X>": x,
        "<DVC_METRIC_Y>": y,
        "<DVC_METRIC_X_LABEL>": labels.get(x, x),
        "<DVC_METRIC_Y_LABEL>": labels.get(y, y),
    }
    svg: str = vl_convert.vegalite_to_svg(_fill(specification, filled), vl_version=VEGA_LITE)
    return svg


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
