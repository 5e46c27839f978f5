"""Does a pretrained encoder tell severity better than a tiny one, and does it judge answers otherwise? In
the project that `benchmarks/real_model.py prepare` has laid out; docs/severity.md and docs/evaluation.md
have the results. Two questions:

    python benchmarks/encoders.py severity --folder FOLDER
    python benchmarks/encoders.py answers --folder FOLDER

`severity` trains a classifier on each encoder with the parameters of its own profile (`default` and
`laptop`) for each of five folds of all labelled posts, and judges a fold by the one that did not see it.
The encoder alone has a temperature of its own, fitted on the same validation rows. `frozen` is logistic
regression on the mean of the states of the untouched encoder, so it asks what the encoder knows before
it is trained. Stopped and started again, it goes on after the last training.

`answers` gives the BERTScore F1 of the answers of every evaluated run by both encoders. It also compares
each answer with the reference of the next row: an encoder that can judge gives the answer's own more.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pandas as pd
import torch
import yaml
from cross_fitting import ROOT, ends
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from pipeline import paths
from pipeline.commands.profile import complete
from pipeline.config.severity import ClassifierConfig
from pipeline.evaluation.bertscore import Encoder, References, store
from pipeline.evaluation.critical_quality import calibration
from pipeline.evaluation.cross_validation import INNER_FOLDS, TOKENS, cross_fit
from pipeline.evaluation.group_intervals import group_codes, mean_interval
from pipeline.evaluation.rows import evaluated_pairs
from pipeline.evaluation.severity_quality import figures, majority, paired_difference
from pipeline.inputs import read_json
from pipeline.models.budgets import Budget
from pipeline.parquet_inputs import read_parquet
from pipeline.schemas import LABELLED
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_temperature, softmax
from pipeline.severity.classifier import Classifier
from pipeline.severity.folds import folds
from pipeline.shapes import DataMetrics

FOLDS = 5
# Of each profile; the layer is the one of its BERTScore.
PROFILES = ("default", "laptop")


def main() -> None:
    """Answer one of the two questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("question", choices=("severity", "answers"))
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    with chdir(ROOT):
        profiles = {name: yaml.safe_load(complete(name)) for name in PROFILES}
    with chdir(options.folder / "classifier"):
        if options.question == "severity":
            severity({name: values["train_classifier"] for name, values in profiles.items()})
        else:
            answers({name: values["embed_references"] for name, values in profiles.items()})


def severity(sections: dict[str, dict[str, object]]) -> None:
    """Print how good the probabilities of each classifier are, beside the linear reference."""
    rows = read_parquet(paths.NORMALISED_LABELLED, LABELLED)
    truth, groups = list(rows["severity"]), list(rows["group"])
    given: dict[str, np.ndarray] = {}
    for section in sections.values():
        config = ClassifierConfig.model_validate(section | {"folds": FOLDS, "ngrams": True})
        given |= by_fold(rows, config)
    print(
        f"| {len(rows)} posts in {FOLDS} folds | accuracy | log-loss | less that of linear | ECE | "
        "ECE of p_critical | by chance |\n|---|---|---|---|---|---|---|"
    )
    critical = np.array([label == SEVERITIES[-1] for label in truth])
    for name, values in given.items():
        measured = figures(truth, values, groups, 17)
        difference = paired_difference(truth, values, given["linear"], groups)
        of_critical = calibration(critical, values[:, -1], group_codes(groups), 17)
        print(
            f"| {name} | {ends(measured['accuracy'])} | {measured['log_loss']['value']:.3f} "
            f"| {ends(difference, '+.3f')} | {ends(measured['ece'])} | {ends(of_critical['ece'])} "
            f"| {ends(of_critical['ece_by_chance'])} |"
        )
    twice = read_json(paths.DATA_METRICS, DataMetrics)["labelled"]["contradictions"]
    print(
        f"\nNo classifier agrees with more than {twice['best_accuracy']:.3f} of the {twice['rows']} labels "
        f"of the {twice['texts']} texts that people labelled more than once."
    )


def by_fold(rows: pd.DataFrame, config: ClassifierConfig) -> dict[str, np.ndarray]:
    """Probabilities of n labelled rows, each by models that did not see its fold, (n, 3) by name."""
    base = paths.base_model(config.encoder)
    fitted = cross_fit(rows, base, config)
    assert fitted.judged is not None, "there are folds"
    name = config.encoder
    kinds = ("shares of the severities", f"{name}, frozen", f"{name} alone")
    given = {kind: np.empty((len(rows), len(SEVERITIES))) for kind in kinds}
    states = mean_states(base, list(rows["text"]), config.max_length)
    truth = rows["severity"].to_numpy()
    fold = rows["group"].map(fitted.fold_of).to_numpy()
    for number, model in enumerate(fitted.models):
        here, rest = fold == number, np.flatnonzero(fold != number)
        # As cross_fit has it.
        inner = folds(list(rows["group"].iloc[rest]), INNER_FOLDS, config.seed)
        train, valid = rest[inner > 0], rest[inner == 0]
        given[kinds[0]][here] = majority(list(truth[train]), int(here.sum()))
        given[kinds[1]][here] = regression(states, truth, train, valid, here)
        held = model.logits(list(rows["text"].iloc[valid]), Budget(TOKENS))
        temperature = fit_temperature(held, list(truth[valid]))
        given[kinds[2]][here] = softmax(model.logits(list(rows["text"][here]), Budget(TOKENS)), temperature)
    return {"linear": fitted.judged.linear, **given, f"{name}, blended": fitted.judged.classifier}


@torch.inference_mode()
def mean_states(encoder: Path, texts: Sequence[str], max_length: int) -> np.ndarray:
    """The mean of the last states of each of n texts, (n, hidden)."""
    loaded = Classifier(encoder)
    loaded.max_length = max_length
    means = []
    for ids in loaded.encode(texts):
        tokens = torch.tensor([ids])
        # Whose mean is taken looks at the mask.
        states = loaded.model.base_model(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        means.append(states[0].mean(dim=0).numpy())
    return np.array(means)


def regression(
    states: np.ndarray, truth: np.ndarray, train: np.ndarray, valid: np.ndarray, here: np.ndarray
) -> np.ndarray:
    """Probabilities of the rows `here` by logistic regression on states, (m, 3); C is chosen on `valid`."""
    scale = states[train].std(axis=0)
    scaled = (states - states[train].mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    columns = [sorted(SEVERITIES).index(severity) for severity in SEVERITIES]
    best = (np.inf, np.empty(0))
    for strength in (1e-4, 1e-3, 1e-2, 1e-1):
        model = LogisticRegression(C=strength, max_iter=2000).fit(scaled[train], truth[train])
        logits = model.predict_log_proba(scaled)[:, columns]
        temperature = fit_temperature(logits[valid], list(truth[valid]))
        own = softmax(logits, temperature)
        picked = [SEVERITIES.index(label) for label in truth[valid]]
        loss = -np.log(own[valid, picked]).mean()
        best = min(best, (loss, own[here]), key=lambda pair: pair[0])
    return best[1]


def answers(sections: dict[str, dict[str, object]]) -> None:
    """Print the BERTScore of every arm by each encoder, and how well each tells references apart."""
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["evaluate"]
    pairs = evaluated_pairs("test", values["test_rows"], values["seed"])
    ids, written = list(pairs["id"]), list(pairs["answer"])
    runs = {path: pd.read_parquet(path) for path in sorted(Path("data/generated").glob("*/*/*.parquet"))}
    others = np.roll(np.arange(len(pairs)), -1).tolist()
    scores: dict[str, dict[Path, np.ndarray]] = {}
    print("| encoder | own reference | another's | own is higher |\n|---|---|---|---|")
    for section in sections.values():
        name = str(section["encoder"])
        encoder = Encoder(paths.base_model(name), int(str(section["layer"])), Budget(32, "texts"))
        with tempfile.TemporaryDirectory() as folder:
            store(encoder, ids, written, Path(folder))
            references = References(Path(folder), encoder, ids, written)
            scores[name] = {}
            own, wrong = [], []
            for path, table in runs.items():
                place = [ids.index(row) for row in table["id"]]
                said = list(table["generated"])
                scores[name][path] = references.score(said, place)[:, 2]
                own.append(scores[name][path])
                wrong.append(references.score(said, [others[row] for row in place])[:, 2])
        right = np.mean(np.concatenate(own) > np.concatenate(wrong))
        print(f"| {name} | {np.mean(own):.3f} | {np.mean(wrong):.3f} | {right:.1%} |")
    print("\n".join(["", *by_arm(runs, scores)]))


def by_arm(runs: dict[Path, pd.DataFrame], scores: dict[str, dict[Path, np.ndarray]]) -> Iterator[str]:
    """The table of arms: F1 by each encoder, and how far their order of the rows agrees.

    Differences are of the mean over the seeds that both arms have; intervals cover the choice of rows.
    """
    tiny, real = scores
    yield (
        f"| arm | runs | F1, {tiny} | F1, {real} | less uniform, {tiny} | less uniform, {real} "
        "| rank correlation over the rows |\n|---|---|---|---|---|---|---|"
    )
    uniform = [path for path in runs if path.parts[-3] == "uniform"]
    for arm in dict.fromkeys(path.parts[-3] for path in runs):
        files = [path for path in runs if path.parts[-3] == arm]
        mean = {name: over(of, files) for name, of in scores.items()}
        cells = [f"{mean[name].mean():.3f}" for name in scores]
        seeds = {path.name for path in files} & {path.name for path in uniform}
        other = [path for path in uniform if path.name in seeds] or uniform
        own = [path for path in files if path.name in seeds] or files
        for of in scores.values():
            difference = over(of, own) - over(of, other)
            interval = mean_interval(difference, np.arange(len(difference)), (-1.0, 1.0))
            cells.append("" if arm == "uniform" else ends(interval, "+.4f"))
        rank = spearmanr(mean[tiny], mean[real]).statistic
        yield f"| {arm} | {len(files)} | {' | '.join(cells)} | {rank:.2f} |"


def over(scores: dict[Path, np.ndarray], files: Sequence[Path]) -> np.ndarray:
    """The mean of each row over some runs."""
    return np.asarray(np.mean([scores[path] for path in files], axis=0))


if __name__ == "__main__":
    main()
