"""wazn where: where the results of the pipeline are."""

from pipeline import paths
from pipeline.errors import WaznError


def run() -> None:
    """Print where the page and the summary are.

    Raises:
        WaznError: one of them is missing.
    """
    for path in (paths.PAGE, paths.SUMMARY):
        if not path.is_file():
            raise WaznError(f"{path}: not there yet; run `dvc repro`")
        print(f"{path.stem:>8}: {path.resolve().as_uri() if path.suffix == '.html' else path}")
