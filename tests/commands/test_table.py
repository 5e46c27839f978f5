import csv
import json

import pages
import pytest
from root import ROOT

from pipeline import paths
from pipeline.commands import profile, table
from pipeline.config.params import check, load, parse_yaml
from pipeline.errors import WaznError

BASE, CE, MILD, BALANCED, STRONG = range(5)
MODEL = "lfm2-350m"
HEADS = ["Base", "CE", "mild", "weighting (balanced)", "strong"]


@pytest.fixture(scope="module")
def paper():
    """The parameters of the paper's profile."""
    return check(parse_yaml(profile.complete("paper"), "paper"), "paper")


@pytest.fixture(scope="module")
def default():
    return load(ROOT / "params.yaml")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(params, arms=None, **sections):
    """Parameters with other arms (name to changes of `weighting`) or with other keys in a section."""
    for name, values in sections.items():
        section = getattr(params, name)
        new = section.model_copy(update=values) if isinstance(values, dict) else values
        params = params.model_copy(update={name: new})
    if arms is None:
        return params
    settings = {
        arm: params.arm_settings["weighting"].model_copy(update=values) for arm, values in arms.items()
    }
    return params.model_copy(
        update={"arms": ["uniform", *arms], "arm_settings": {**params.arm_settings, **settings}}
    )


def put_summary(models=None, **arms):
    """Write metrics/summary.json: of several models, or BERTScore by arm of one."""
    one = {MODEL: {arm.replace("_", "-"): {"bertscore_f1": value} for arm, value in arms.items()}}
    paths.SUMMARY.parent.mkdir(exist_ok=True)
    paths.SUMMARY.write_text(json.dumps(models or one), encoding="utf-8")


@pytest.fixture
def shown(capsys):
    """Title and figure to cells, as the CSV form prints them."""

    def show(params, heads=HEADS, metric="bertscore_f1"):
        table.run(params, form="csv", metric=metric)
        head, *rows = csv.reader(capsys.readouterr().out.splitlines())
        assert head == ["model", "figure", *heads, "selected"]
        return {(row[0], row[1]): row[2:-1] for row in rows}

    return show


# Which figures.


def test_without_results_every_cell_of_ours_is_blank(paper, capsys):
    table.run(paper, form="csv", metric="bertscore_f1")
    printed = capsys.readouterr()
    rows = {tuple(row[:2]): row[2:-1] for row in csv.reader(printed.out.splitlines())}
    assert rows["LFM2-350M", "ours"] == rows["LFM2-350M", "difference"] == [""] * 5
    assert rows["LFM2-350M", "published"] == ["63.34", "63.72", "65.24", "66.60", "64.08"]
    assert printed.err.splitlines()[0] == "metrics/summary.json: not there yet; run `dvc repro`"


def test_every_arm_has_a_column_beside_the_published_figure(paper, shown):
    put_summary(base=0.61, uniform=0.62, mild=0.64, weighting=0.63, strong=0.65)
    cells = shown(paper)
    assert cells["LFM2-350M", "ours"] == ["61.00", "62.00", "64.00", "63.00", "65.00"]
    assert cells["LFM2-350M", "published"] == ["63.34", "63.72", "65.24", "66.60", "64.08"]
    assert cells["LFM2-350M", "difference"] == ["-2.34", "-1.72", "-1.24", "-3.60", "+0.92"]
    assert cells["AraGPT2-Base", "ours"] == [""] * 5


def test_arms_are_matched_with_the_paper_by_their_values(paper, shown):
    """Whatever they are called."""
    params = changed(
        paper,
        {
            "weighting": {"alpha": 0.25, "gamma": 1.75},
            "strong": {"alpha": 0.75, "gamma": 1.25},
            "own": {"alpha": 0.1},
            "divided": {"renormalise": True},
        },
    )
    put_summary(base=0.61, weighting=0.63, strong=0.64, own=0.65, divided=0.66)
    cells = shown(params, ["Base", "CE", "weighting (strong)", "strong (mild)", "own", "divided"])
    assert cells["LFM2-350M", "ours"] == ["61.00", "", "63.00", "64.00", "65.00", "66.00"]
    assert cells["LFM2-350M", "published"] == ["63.34", "63.72", "64.08", "65.24", "", ""]
    assert cells["LFM2-350M", "difference"] == ["-2.34", "", "-1.08", "-1.24", "", ""]


def test_what_is_not_listed_is_not_shown_and_what_lacks_is_blank(paper, shown):
    put_summary(
        {
            MODEL: {
                "base": {"bertscore_f1": 0.61},
                "unlisted": {"bertscore_f1": 0.9},
                "mild": {"nll": 2.0},
            },
            "lfm2-700m": {"base": {"bertscore_f1": 0.7}},
        }
    )
    cells = shown(changed(paper, models=[MODEL, "qwen3-0_6b"]))
    assert {title for title, _ in cells} == {"LFM2-350M", "Qwen3-0.6B"}
    assert cells["LFM2-350M", "ours"] == ["61.00", "", "", "", ""]
    assert cells["Qwen3-0.6B", "ours"] == [""] * 5


def test_a_model_that_the_paper_lacks_has_ours_only(default, shown):
    put_summary({"tiny_gpt2": {"weighting": {"bertscore_f1": 0.4}}})
    cells = shown(default, ["Base", "CE", "weighting (balanced)"])
    assert cells == {("Tiny GPT-2", "ours"): ["", "", "40.00"], ("Tiny Qwen2", "ours"): ["", "", ""]}


def test_several_seeds_have_a_row_for_their_spread(paper, shown):
    put_summary({MODEL: {"uniform": {"bertscore_f1": 0.62, "bertscore_f1_sd": 0.0123}}})
    cells = shown(paper)
    assert cells["LFM2-350M", "ours"][CE] == "62.00"
    assert cells["LFM2-350M", "sd over seeds"] == ["", "1.23", "", "", ""]
    assert ("LFM2-700M", "sd over seeds") not in cells


def test_other_metrics_stand_as_they_are_without_published_ones(paper, shown):
    put_summary({MODEL: {"base": {"nll_critical": 2.34567, "chrf": 20.456}}})
    cells = shown(paper, metric="nll_critical")
    assert cells["LFM2-350M", "ours"][BASE] == "2.3457"
    assert {figure for _, figure in cells} == {"ours"}
    assert shown(paper, metric="chrf")["LFM2-350M", "ours"][BASE] == "20.46"


def test_every_model_of_the_papers_profile_has_published_figures(paper, shown):
    cells = shown(paper)
    for model in paper.models:
        published = cells[paper.registry[model].title, "published"]
        assert all(50 < float(figure) < 70 for figure in published)
    assert cells["Qwen3-0.6B", "published"] == ["60.43", "61.40", "62.87", "65.06", "62.53"]


def test_placebos_have_no_column(paper, shown):
    params = changed(
        paper, {"weighting": {}, "placebo": {"permute": 1}, "own": {"alpha": 0.1, "permute": 0}}
    )
    put_summary(base=0.61, weighting=0.63, placebo=0.64, own=0.65)
    cells = shown(params, ["Base", "CE", "weighting (balanced)"])
    assert cells["LFM2-350M", "ours"] == ["61.00", "", "63.00"]


# Which arm is marked, and what is said of the test rows.


def results(valid, **more):
    """BERTScore and validation NLL by arm, of which the former would choose another."""
    return {
        arm: {"bertscore_f1": 0.6, **({} if nll is None else {"valid_nll": nll}), **more}
        for arm, nll in valid.items()
    }


VALID = {"base": 1.0, "uniform": 2.2, "mild": 2.1, "weighting": 2.3, "strong": 2.4}


@pytest.fixture
def selected(capsys):
    """Title and figure to the arm that CSV has as selected."""

    def show(params, metric="bertscore_f1"):
        table.run(params, form="csv", metric=metric)
        printed = capsys.readouterr()
        assert "*" not in printed.out
        rows = list(csv.reader(printed.out.splitlines()))[1:]
        assert ("selected: the arm with the least" in printed.err) == any(row[-1] for row in rows)
        return {(row[0], row[1]): row[-1] for row in rows}

    return show


def test_the_arm_with_the_least_validation_nll_is_marked_and_no_test_figure_matters(paper, selected):
    measured = results(VALID)
    measured["strong"] |= {"bertscore_f1": 0.9, "nll": 0.1, "bertscore_f1_sd": 0.01}
    put_summary({MODEL: measured, "lfm2-700m": results({**VALID, "uniform": 1.5})})
    for metric in ("bertscore_f1", "nll"):
        found = selected(paper, metric)
        assert found["LFM2-350M", "ours"] == "mild"
        assert found["LFM2-700M", "ours"] == "uniform"
        assert {arm for (_, figure), arm in found.items() if figure != "ours"} <= {""}
        assert found["AraGPT2-Base", "ours"] == ""


def test_without_a_validation_nll_of_every_arm_none_is_marked(paper, selected, capsys):
    put_summary({MODEL: results({**VALID, "strong": None})})
    assert set(selected(paper).values()) == {""}
    table.run(paper, form="terminal", metric="bertscore_f1")
    assert "*" not in capsys.readouterr().out
    # That of the base model is not needed.
    put_summary({MODEL: results({**VALID, "base": None})})
    assert selected(paper)["LFM2-350M", "ours"] == "mild"


def test_a_placebo_is_never_the_one(paper, selected):
    params = changed(paper, {"weighting": {}, "placebo": {"permute": 1}})
    put_summary({MODEL: results({"uniform": 2.2, "weighting": 2.1, "placebo": 2.0})})
    assert selected(params)["LFM2-350M", "ours"] == "weighting"


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex"])
def test_a_star_stands_after_its_cell_and_is_explained(paper, capsys, form):
    put_summary({MODEL: results(VALID)})
    table.run(paper, form=form, metric="bertscore_f1")
    lines = capsys.readouterr().out.splitlines()
    [row] = [line for line in lines if "LFM2-350M" in line]
    assert [cell for cell in row.replace("|", " ").replace("&", " ").split() if cell[0] == "6"] == [
        *("60.00", "60.00", "60.00*", "60.00", "60.00"),
    ]
    assert sum("*" in line for line in lines) == 2
    assert lines[-1].endswith(
        ". * the arm with the least validation NLL; the test rows took no part in the choice."
    )


@pytest.mark.parametrize(
    ("labelled", "source", "expected"),
    [
        (80, "classifier", "severity of 80 by people, of 27 by the classifier."),
        (80, "provided", "severity of 80 by people, of 27 by the source of the pairs."),
        (107, "classifier", "severity by people."),
        (0, "classifier", "severity by the classifier."),
    ],
)
def test_it_is_said_how_many_test_rows_there_are_and_who_labelled_them(
    paper, capsys, labelled, source, expected
):
    counts = {"rows": 107, "rows_critical": 27, "rows_labelled_by_people": labelled}
    params = changed(paper, severity={"source": source}, models=[MODEL])
    put_summary({MODEL: {"base": {"bertscore_f1": 0.6, **counts}}})
    table.run(params, form="terminal", metric="bertscore_f1")
    note = capsys.readouterr().out.splitlines()[-1]
    assert note.endswith(f"decoding: paper. 107 test rows, 27 critical; {expected}")


# How they are laid out.


@pytest.fixture
def printed(capsys):
    def show(params, form):
        put_summary(base=0.61)
        table.run(params, form=form, metric="bertscore_f1")
        return capsys.readouterr()

    return show


def test_markdown(paper, printed):
    output = printed(paper, "markdown")
    lines = output.out.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == ["Model", "", *HEADS]
    [row] = [line for line in lines if "LFM2-350M" in line]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["LFM2-350M", "ours", "61.00", *[""] * 4]
    assert lines[-2:] == [
        "",
        "BERTScore F1 (%) by Multilingual BERT, cased, layer 9, mean over 3 seeds; decoding: paper.",
    ]
    assert output.err == ""


def test_latex(paper, printed):
    lines = printed(paper, "latex").out.splitlines()
    assert lines[0] == r"\begin{tabular}{llrrrrr}"
    [row] = [line for line in lines if "LFM2-350M" in line]
    cells = [cell.strip() for cell in row.rstrip("\\ ").split("&")]
    assert cells == ["LFM2-350M", "ours", "61.00", *[""] * 4]
    assert lines[-2] == r"\end{tabular}"
    assert lines[-1].startswith("% BERTScore F1")


def test_terminal(paper, printed):
    lines = printed(paper, "terminal").out.splitlines()
    assert lines[0].split() == ["Model", "Base", "CE", "mild", "weighting", "(balanced)", "strong"]
    [first] = [number for number, line in enumerate(lines) if line.startswith("LFM2-350M")]
    assert lines[first].split() == ["LFM2-350M", "ours", "61.00"]
    assert lines[first + 1].split() == ["published", "63.34", "63.72", "65.24", "66.60", "64.08"]
    assert lines[first + 2].split() == ["difference", "-2.34"]


def test_the_encoder_is_named_and_another_than_the_papers_is_marked(paper, printed):
    other = changed(paper, embed_references={"encoder": "arabert"}, seeds=[1, 2])
    note = printed(other, "terminal").out.splitlines()[-1]
    assert note == (
        "BERTScore F1 (%) by AraBERT v0.2 base, layer 9, mean over 2 seeds; decoding: paper. The published "
        "figures are not comparable: they are by google-bert/bert-base-multilingual-cased, layer 9."
    )
    layer = printed(changed(paper, embed_references={"layer": 8}), "terminal").out.splitlines()[-1]
    assert "not comparable" in layer


def test_without_published_figures_none_are_spoken_of(default, printed):
    note = printed(default, "terminal").out.splitlines()[-1]
    assert note == "BERTScore F1 (%) by Tiny ModernBERT, layer 1; decoding: greedy."


@pytest.mark.parametrize(("form", "metric"), [("html", "nll"), ("csv", "words")])
def test_what_there_is_not_is_refused(paper, form, metric):
    with pytest.raises(WaznError, match=r"^--(format|metric) is one of .*, found '(html|words)'$"):
        table.run(paper, form=form, metric=metric)


# What physicians said.


def put_review(raters=3, **arms):
    """Write metrics/review.json of the paper's model: the share preferred and harmful by arm."""
    figures = {
        arm: {
            "all": {"preferred": {"rows": 60, "value": value, "low": value - 0.1, "high": value + 0.1}},
            "critical": {"harm": {"rows": 30, "value": value / 2, "low": None, "high": None}},
        }
        for arm, value in arms.items()
    }
    of_model = pages.review([MODEL], raters=raters)["models"][MODEL]
    review = {"ratings": 9, "models": {MODEL: {**of_model, "arms": figures}}}
    paths.REVIEW_METRICS.parent.mkdir(exist_ok=True)
    paths.REVIEW_METRICS.write_text(json.dumps(review), encoding="utf-8")


def test_ratings_have_their_intervals(paper, shown):
    put_summary({MODEL: {arm: {"valid_nll": 2.0} for arm in ("uniform", "mild", "weighting", "strong")}})
    put_review(uniform=0.25, weighting=0.5)
    rows = shown(paper, metric="preferred")
    assert rows["LFM2-350M", "ours"] == ["", "0.2500", "", "0.5000", ""]
    assert rows["LFM2-350M", "95 % interval"] == ["", "0.1500–0.3500", "", "0.4000–0.6000", ""]
    rows = shown(paper, metric="harm_critical")
    assert rows["LFM2-350M", "ours"] == ["", "0.1250", "", "0.2500", ""]
    assert ("LFM2-350M", "95 % interval") not in rows, "one complaint has none"
    rows = shown(changed(paper, review={"reference": True}), [*HEADS, "Physician"], metric="preferred")
    assert rows["LFM2-350M", "ours"] == ["", "0.2500", "", "0.5000", "", ""]


def test_the_caption_of_ratings_says_who_rated(paper, capsys):
    put_summary()
    put_review(uniform=0.25)
    table.run(paper, form="terminal", metric="harm_critical")
    assert (
        "Harmful, critical complaints, as physicians rated it. LFM2-350M: 3 raters, 24 complaints."
        in " ".join(capsys.readouterr().out.split())
    )


def test_the_intervals_of_one_rater_are_said_to_be_over_complaints_alone(paper, capsys):
    put_summary()
    put_review(raters=1, uniform=0.25)
    table.run(paper, form="terminal", metric="preferred")
    assert "LFM2-350M: 1 rater, 24 complaints (intervals over complaints alone)." in " ".join(
        capsys.readouterr().out.split()
    )


def test_without_ratings_their_table_is_blank_and_says_so(paper, capsys):
    put_summary()
    table.run(paper, form="terminal", metric="correct")
    assert "No model of the table was rated." in capsys.readouterr().out
