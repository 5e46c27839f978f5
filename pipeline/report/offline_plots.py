"""python -m pipeline.report.offline_plots

Have `dvc plots show` and `dvc plots diff` draw without network: DVC's own page loads Vega from the
web, this one carries it. Done once for a checkout, by `make`.
"""

import subprocess
from pathlib import Path

import vl_convert

from pipeline.files import replacing
from pipeline.report.plots import VEGA_LITE

# DVC fills in the braces.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>wazn: plots</title>
{{refresh_tag}}
<script>{bundle}</script>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; }}</style>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def main() -> None:
    """Write the page's template into .dvc/tmp/ and point this checkout's DVC at it."""
    # It sets window.vegaEmbed, which DVC's plots call.
    bundle = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    page = _PAGE.format(bundle=bundle.replace("</script", "<\\/script"))
    with replacing(Path(".dvc/tmp/plots.html")) as temporary:
        temporary.write_text(page, encoding="utf-8")
    subprocess.run(["dvc", "config", "--local", "plots.html_template", "tmp/plots.html"], check=True)


if __name__ == "__main__":
    main()
