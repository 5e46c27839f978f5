"""python -m pipeline.report.offline_plots

Let `dvc plots show` and `dvc plots diff` draw without network: DVC's own page loads Vega from the web,
this one carries it. `make` does this once for a checkout.
"""

import subprocess
from pathlib import Path

from pipeline.files import replacing
from pipeline.report.vega import bundle, plot_file

# DVC fills in the braces.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>wazn: plots</title>
{{refresh_tag}}
<style>
{theme_css}
body {{
  display: flex; flex-wrap: wrap; gap: 2.5rem; align-items: flex-start; margin: 0 auto; max-width: 80rem;
  padding: 1.5rem 1rem; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
}}
h1 {{ flex-basis: 100%; margin: 0; font-size: 1.5rem; }}
body > div {{ max-width: 100%; overflow-x: auto; }}
</style>
<script>{bundle}</script>
<script>
{{
{theme_js}
const embed = window.vegaEmbed;
// The schema names the Vega-Lite of DVC's own page; this newer one would warn.
const look = {{config: vegaTheme, renderer: "svg"}};
window.vegaEmbed = (element, {{$schema, ...plot}}) => embed(element, withArms(plot), look);
}}
</script>
</head>
<body>
<h1>wazn: plots</h1>
{{plot_divs}}
</body>
</html>
"""


def page() -> str:
    """The page for DVC to fill in. It carries Vega and has the colours of the report."""
    return _PAGE.format(bundle=bundle(), theme_css=plot_file("theme.css"), theme_js=plot_file("theme.js"))


def main() -> None:
    """Write the page into .dvc/tmp/ and set it as the template of DVC in this checkout."""
    with replacing(Path(".dvc/tmp/plots.html")) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    subprocess.run(["dvc", "config", "--local", "plots.html_template", "tmp/plots.html"], check=True)


if __name__ == "__main__":
    main()
