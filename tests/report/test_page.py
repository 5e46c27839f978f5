import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from pages import (
    ATTACK,
    FOLDS,
    FOUR_ARMS,
    OVERRIDE,
    answers,
    classifier,
    data,
    difference,
    interval,
    measured,
    page,
    placebos,
    settings,
    severity,
    spread,
)

from pipeline.code_hashes import code_hash
from pipeline.evaluation.metrics import METRICS
from pipeline.report.classifier import comparison, confusion_counts
from pipeline.report.findings import signed
from pipeline.report.template import figure

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """The tags with their attributes, and every text with the tags that it stands in."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.rows = []
        self.feed(html)
        self.close()
        assert not self.open, "every tag is closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append((data, list(self.open)))
        if {"th", "td"} & {tag for tag, _ in self.open}:
            self.rows[-1][-1] += f" {data}" if self.rows[-1][-1] else data

    def row(self, *start):
        """The cells after `start` of the only table row that starts so."""
        (found,) = [row[len(start) :] for row in self.rows if row[: len(start)] == list(start)]
        return found

    def first(self, *start):
        """The cells after `start` of the first table row that starts so."""
        return next(row[len(start) :] for row in self.rows if row[: len(start)] == list(start))

    def around(self, part):
        """What stands around each text with this part."""
        return [stack for text, stack in self.texts if part in text]


def words(html):
    """The page's text as it reads, without its style and scripts."""
    html = re.sub("(?s)<(style|script)[ >].*?</\\1>", "", html)
    # The name in a sentence is followed by its comma.
    html = re.sub("</?bdi[^>]*>", "", html)
    return " ".join(re.sub("<[^>]*>", " ", html).replace("&nbsp;", " ").split())


def island(html, name):
    """What a JSON script of the page holds."""
    return json.loads(
        re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.S)[1]
    )


@pytest.fixture(scope="module")
def plain():
    return page()


@pytest.fixture(scope="module")
def four_arms():
    """Two models, four arms, two seeds."""
    return page(("m", "n"), arms=FOUR_ARMS, seeds=2)


@pytest.fixture(scope="module")
def full():
    """A page with everything that a page need not have: specialties in Arabic and English, folds, marks."""
    specialties = {
        "skin": {"accuracy": interval(0.75, 0.5, 0.9), "rows": 28},
        "قلب": {"accuracy": interval(0.4, 0.3, 0.6), "rows": 21},
    }
    quality_of = classifier(folds=FOLDS, per_specialty=specialties, beats_linear=False, labels="lexicon")
    return page(
        specialties=("قلب",),
        classifier=quality_of,
        data=data(labels="lexicon"),
        severity=severity(labels="lexicon"),
    )


# Where text from data or parameters stands on the page.
PLACES = ("title", "params", "source of a model", "source", "encoder", "group", "classifier", "specialty")


@pytest.fixture(scope="module")
def attacked():
    """A page on which every text from data and parameters tries to be markup, and names its place."""
    attack = {name: f"{ATTACK}{name}" for name in PLACES}
    specialty = {attack["specialty"]: {"accuracy": interval(0.5, 0.4, 0.6), "rows": 30}}
    return page(
        title=attack["title"],
        params=attack["params"],
        sources={"m": attack["source of a model"]},
        source=attack["source"],
        bertscore_encoder=attack["encoder"],
        specialties=(attack["group"],),
        classifier=classifier(encoder=attack["classifier"], per_specialty=specialty),
    )


@pytest.mark.parametrize("name", PLACES)
def test_whatever_comes_from_data_is_shown_and_never_run(attacked, name):
    assert Page(attacked).around(f"{ATTACK}{name}")


def test_no_text_becomes_an_element(attacked, plain):
    tags = [tag for tag, _ in Page(attacked).tags]
    assert "img" not in tags
    assert tags.count("script") == [tag for tag, _ in Page(plain).tags].count("script") == 4


def test_no_text_of_an_answer_gets_out_of_its_script():
    texts = {name: f"{ATTACK}{name}" for name in ("id", "question", "reference", "specialty")}
    texts["answers"] = {"m": {"base": f"{ATTACK}base", "uniform": "", "weighting": ""}}
    [row] = answers(["m"], 1)
    html = page(answers=[{**row, **texts}])
    assert "<script>alert" not in html
    assert "\\u003cscript\\u003ealert" in html
    shown = island(html, "answers-data")["rows"][0]
    assert {name: shown[name] for name in texts} == texts
    assert [tag for tag, _ in Page(html).tags].count("script") == 4


def test_characters_that_turn_text_are_shown_by_name():
    found = Page(page(title=OVERRIDE, source=OVERRIDE, specialties=(OVERRIDE,)))
    assert not found.around("\u202e")
    assert len(found.around("صداع [RLO]evil[LRO] منذ يومين")) > 4


def test_the_policy_forbids_requests_and_names_the_scripts_that_run(plain):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', plain)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", plain, re.S)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert re.findall("'sha256-([^']*)'", policy) == hashes
    assert len(hashes) == 2


def test_the_page_names_nothing_elsewhere(plain):
    loading = {"src", "href", "xlink:href", "srcset", "data", "poster", "action", "background"}
    for tag, attributes in Page(plain).tags:
        assert tag not in {"iframe", "object", "embed", "img", "base"}
        for name in loading & set(attributes):
            assert attributes[name].startswith(("#", "data:")), (tag, attributes)
    style = re.search("(?s)<style>(.*?)</style>", plain)[1]
    assert "@import" not in style
    assert "url(" not in style


def test_arabic_text_is_always_marked_as_such(full):
    arabic = [
        (text, stack)
        for text, stack in Page(full).texts
        if re.search("[\u0600-\u06ff]", text) and stack[-1][0] not in ("script", "option")
    ]
    assert len(arabic) > 3
    for text, stack in arabic:
        assert stack[-1][1].get("dir") == "rtl", text
        assert stack[-1][1].get("lang") == "ar", text


def test_the_page_says_that_it_is_no_medical_device(plain):
    assert "not a medical device" in plain
    assert "must not be used as medical advice" in plain


def test_every_id_of_the_page_is_unique(plain):
    ids = [attributes["id"] for _, attributes in Page(plain).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_metric_stands_with_its_interval(plain):
    # 2.6, 1 % less from arm to arm, ± 3 %.
    assert "2.600 2.522–2.678" in Page(plain).first("A model", "Base")
    cells = next(row for row in Page(plain).rows if row[0] == "Severity-aware")
    assert "2.548  ± 0.004 2.472–2.624" in cells


def test_a_metric_without_a_value_is_a_dash():
    table = measured(["m"])
    table.loc[(table["metric"] == "chrf") & (table["arm"] == "base"), "value"] = None
    html = page(measured=table)
    assert Page(html).first("A model", "Base")[4] == "–"
    assert "nan" not in words(html).lower().split()
    assert "None" not in words(html)


def test_the_arm_that_validation_chooses_is_bold_and_no_metric_of_the_test_rows(plain):
    table = re.search(r'(?s)data-group="0".*?</table>', plain)[0]
    rows = re.findall(r"(?s)<tr>.*?</tr>", table)[1:]
    bold = [re.findall(r'<td[^>]*class="[^"]*best[^"]*"[^>]*>([^<]*)', row) for row in rows]
    # The mean over three seeds of the arm's validation NLL.
    assert bold == [[], [], ["Severity-aware", "2.696"]]


def test_the_spread_over_seeds_stands_by_the_mean(four_arms):
    assert "means over 2 training seeds" in words(four_arms)
    cells = next(row for row in Page(four_arms).rows if row[0] == "CE")
    assert "2.574  ± 0.004 2.497–2.651" in cells
    assert "±" not in words(page(seeds=1))


def test_the_verdict_heads_the_page():
    rows = pd.DataFrame([difference("m", "nll", "critical", -0.061, 0.02, 0.003)])
    html = page(differences=rows, seeds=2)
    assert re.search(r"<h1[^>]*>Severity weighting lowers the loss on critical complaints\.</h1>", html)
    assert "A model: −0.061 nats per token (−0.081 to −0.041), lower." in words(html)
    none = page(differences=rows[rows["group"] == "neutral"])
    assert "There are no critical complaints in the test split" in words(none)


# Arms.


def test_every_arm_has_its_row_of_results(plain, four_arms):
    # An arm, its validation NLL and every metric; the first arm of a model has its title before it.
    width = 2 + len(METRICS)
    titles = ["Base", "CE", "Severity-aware"]
    assert [row[-width] for row in Page(plain).rows if len(row) in (width, width + 1)][1:4] == titles
    shown = [row[-width] for row in Page(four_arms).rows if len(row) in (width, width + 1)]
    assert shown[1:11] == 2 * ["Base", "CE", "mild", "Severity-aware", "strong"]


def test_other_arms_are_on_the_first_screen(plain):
    rows = [
        difference("m", "nll", "critical", value, 0.02, p, comparison=f"{arm}-uniform")
        for arm, value, p in (("mild", -0.01, 0.4), ("weighting", -0.061, 0.003), ("strong", 0.08, 0.003))
    ]
    found = Page(page(arms=FOUR_ARMS, differences=pd.DataFrame(rows)))
    assert found.first("mild 0.75, 1, 1.25") == ["0", "0", "1", "−0.010"]
    assert found.first("Severity-aware 0.5, 1, 1.5") == ["1", "0", "0", "−0.061"]
    assert found.first("strong 0.25, 1, 1.75") == ["0", "1", "0", "+0.080"]
    text = words(page(arms=FOUR_ARMS, seeds=2, differences=pd.DataFrame(rows[1:2])))
    assert "Severity weighting lowers the loss on critical complaints." in text
    assert (
        "with the severity-aware loss, and with the weights of mild and strong. 2 trainings of each."
        in text
    )
    assert "And with other weights?" not in plain
    assert "(CE) and with the severity-aware loss. 3 trainings of each." in words(plain)


def test_each_training_and_the_exploratory_differences_are_told_apart(plain):
    text = words(plain)
    assert "the primary endpoint (the loss on critical complaints, Severity-aware − CE)" in text
    assert Page(plain).row("Model", "seed 17", "seed 18", "seed 19") == ["Mean"]
    assert len([row for row in Page(plain).rows if row[-1].endswith("primary")]) == 1


def test_one_training_is_called_so_everywhere():
    html = page(seeds=1)
    text = words(html)
    assert "One training of each arm cannot tell whether severity weighting helps." in text
    assert "nothing is called shown" in text
    assert "One training of each." in text
    assert "seed 17" not in text
    assert not re.search(r'<tr class="(better|higher|lower)">', html)


@pytest.mark.parametrize(("count", "p"), [(19, 0.35), (3, 0.25)])
def test_placebos_have_a_table_that_says_what_they_can_show(count, p):
    html = page(("m", "n"), placebos=placebos(("m", "n"), count, p))
    found = Page(html)
    further = round(p * (count + 1)) - 1
    rows = [row for row in found.rows if f"{further} of {count}" in row]
    assert [row[0] for row in rows] == ["A model", "A model 1"]
    assert rows[0][1:] == [
        "−0.012",
        f"+0.000 to {signed((count - 1) / 1000)}",
        f"{further} of {count}",
        f"{p:.3f}",
    ]
    assert ("19 are needed for 0.05" in words(html)) == (count < 19)
    assert f"{count} placebos of weighting" in words(html)


def test_references_are_judged_as_answers_are(plain):
    assert (
        "Of the 20 reference answers to critical complaints 19 send to urgent care and 1 reassure"
        in words(plain)
    )


def test_placebo_arms_have_no_rows_of_their_own():
    arms = settings() | {"noise": settings()["weighting"].model_copy(update={"permute": 3})}
    html = page(arm_settings=arms, placebos=placebos(("m",), 1))
    assert "noise − CE" not in html
    assert "1 placebo of weighting" in words(html)


def test_steps_and_spread_by_split_are_shown(plain):
    found = Page(plain)
    assert ["A model", "Severity-aware", "1.050", "12.5 %", "0.750"] in found.rows
    assert ["train", "361", "0.390", "360", "0.827", "0.181", "0.241"] in found.rows
    assert ["test", "107", "0.441", "0", "–", "–", "–"] in found.rows
    before = {"test": spread(107, 0.3), "train": spread(361, 0.25)}
    sharpened = Page(page(severity=severity(sharpen=0.5, splits_before_sharpening=before)))
    assert ["train", "361", "0.250", "0.390", "360", "0.827", "0.181", "0.241"] in sharpened.rows


def test_every_arm_is_compared_with_ce(four_arms):
    select = re.search(r'(?s)<select id="forest-comparison">(.*?)</select>', four_arms)[1]
    assert re.findall('<option value="(.*?)"( selected)?>(.*?)</option>', select) == [
        ("mild-uniform", "", "mild − CE"),
        ("weighting-uniform", " selected", "Severity-aware − CE"),
        ("strong-uniform", "", "strong − CE"),
        ("uniform-base", "", "CE − Base"),
    ]
    forests = re.findall('data-comparison="(.*?)" data-metric="nll"( hidden)?', four_arms)
    assert forests == [
        *(("mild-uniform", " hidden"), ("weighting-uniform", "")),
        *(("strong-uniform", " hidden"), ("uniform-base", " hidden")),
    ]


def test_the_answers_of_every_arm_are_there(four_arms):
    browser = island(four_arms, "answers-data")
    arms = {"base": "Base", "uniform": "CE", "mild": "mild", "weighting": "Severity-aware"}
    assert browser["arms"] == {**arms, "strong": "strong"}
    for row in browser["rows"]:
        assert {tuple(answers) for answers in row["answers"].values()} == {tuple(browser["arms"])}
    select = re.search(r'(?s)<select id="arm">(.*?)</select>', four_arms)[1]
    assert re.findall('value="(.*?)"', select) == ["mild", "weighting", "strong"]
    assert re.search('value="weighting" selected', select)


def test_the_weights_of_every_arm_are_shown(four_arms):
    found = Page(four_arms)
    assert found.row("CE", "1, 1, 1")[:2] == ["1.000", "0.000"]
    assert found.row("CE", "1, 1, 1")[-1] == "100.0 %"
    spreads = [
        float(found.row(*start)[1]) for start in (("mild", "0.75, 1, 1.25"), ("strong", "0.25, 1, 1.75"))
    ]
    assert 0 < spreads[0] < spreads[1]
    plots = island(four_arms, "plots-data")
    assert {row["arm"] for row in plots["weights"]["data"]["values"]} == {"mild", "weighting", "strong"}


def test_an_arm_with_renormalised_weights_is_marked(plain):
    renormalised = settings()["weighting"].model_copy(update={"renormalise": True})
    html = page(arm_settings={**settings(), "weighting": renormalised})
    assert "0.5, 1, 1.5 divided by their mean" in words(html)
    assert "divided by" not in plain


def test_only_listed_models_are_shown():
    table = pd.concat([measured(["m"]), measured(["dropped"])])
    html = page(measured=table)
    assert "dropped" not in words(html)
    assert "dropped" not in json.dumps(island(html, "plots-data"))


@pytest.mark.parametrize(
    ("count", "said"), [(30, "All 30 test complaints."), (10, "10 of 30 test complaints: those on which")]
)
def test_the_page_says_how_many_answers_it_has_and_how_they_were_chosen(count, said):
    html = page(rows=30, examples=count)
    assert said in words(html)
    assert len(island(html, "answers-data")["rows"]) == count


@pytest.mark.slow
def test_ten_models_with_two_thousand_rows_stay_under_five_megabytes():
    models = tuple(f"model_{place}" for place in range(10))
    long = answers(models, 40, 400)
    html = page(
        models,
        title="A model with a rather long title",
        rows=20,
        specialties=tuple(f"specialty {place}" for place in range(100)),
        steps=1000,
        examples=2000,
        answers=[{**row, "id": f"{row['id']}-{turn}"} for turn in range(50) for row in long],
    )
    assert 4_500_000 < len(html.encode()) < 5_000_000
    rows = island(html, "answers-data")["rows"]
    assert {row["severity"] for row in rows} == {"critical", "neutral", "non_critical"}
    assert "small specialties are left out here" in words(html)


def test_provenance_names_code_versions_data_and_parameters(plain):
    text = words(plain)
    assert f"finetune {code_hash('finetune')[:12]} ," in text
    assert "sha256 " + "00ff" * 16 in text
    assert re.search(r"Python 3\.\d+, torch \d+\.", text)
    assert "models: [m]" in text
    assert "commit" not in text.lower()


def test_the_same_content_gives_the_same_bytes(plain):
    assert page() == plain


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (-2.5, "-2.500"), (23.456, "23.46"), (12345.6, "12,346")]
)
def test_a_figure_has_as_many_digits_as_tell_something(value, shown):
    assert figure(value) == shown


def test_confusion_counts_by_actual_and_predicted():
    actual = ["neutral", "neutral", "neutral", "critical"]
    predicted = ["critical", "critical", "neutral", "critical"]
    found = confusion_counts(pd.DataFrame({"actual": actual, "predicted": predicted}))
    zero = {"non_critical": 0, "neutral": 0, "critical": 0}
    assert found == {
        "non_critical": zero,
        "neutral": {**zero, "neutral": 1, "critical": 2},
        "critical": {**zero, "critical": 1},
    }


def test_the_classifier_stands_beside_its_references_with_intervals(plain):
    found = Page(plain)
    for title, value in (
        ("Classifier, calibrated", 0.3),
        ("Its encoder alone, calibrated", 0.35),
        ("Its encoder alone, before calibration", 0.4),
        ("TF-IDF + logistic regression", 0.5),
        ("Class shares", 0.6),
    ):
        shown = [value + step / 100 for step in range(5)]
        assert found.first(title) == [f"{v:.3f} {v - 0.05:.3f}–{v + 0.05:.3f}" for v in shown]
    text = words(plain)
    assert "On 107 labelled test complaints" in text
    assert "tiny_bert, trained on 391 complaints; its log-loss on 42 validation complaints" in text
    assert "was lowest after epoch 6." in text
    assert "the temperature of 1.250" in text
    assert "So is the weight of 0.750 with which a linear model of character n-grams is blended in" in text


def test_without_a_blend_no_n_grams_are_spoken_of():
    assert "character n-grams" not in words(page(classifier=classifier(ngram_weight=0.0)))


def test_precision_and_recall_stand_by_class(plain):
    found = Page(plain)
    assert found.row("non-critical", "46") == ["0.611", "0.622"]
    assert found.row("neutral", "35") == ["0.000", "0.000"]
    assert found.row("critical", "26") == ["0.633", "0.644"]


def test_specialties_are_shown_where_the_data_has_them(plain, full):
    shown = Page(full)
    assert shown.row("skin") == ["28", "0.750 0.500–0.900"]
    assert shown.row("قلب") == ["21", "0.400 0.300–0.600"]
    assert "details" in {tag for tag, _ in shown.around("skin")[0]}
    assert shown.around("skin")[0][-1] == ("bdi", {})
    assert shown.around("قلب")[-1][-1] == ("bdi", {"lang": "ar", "dir": "rtl"})
    assert "Accuracy by specialty" not in plain


def test_folds_are_shown_where_they_were_asked_for(plain, full):
    rows = [row for row in Page(full).rows if row[0] == "TF-IDF + logistic regression"]
    assert [row[1] for row in rows][:2] == ["0.500 0.450–0.550", "0.800 0.750–0.850"]
    assert "each of 520 labelled complaints" in words(full)
    assert "over 5 folds of the training and validation complaints it is 0.031 nats lower" in words(full)
    assert "Cross-validated" not in plain


def test_a_classifier_that_does_not_beat_the_linear_reference_is_marked(plain, full):
    sentence = "The classifier does not beat the linear reference on log-loss."
    assert ("p", {"class": "notice"}) in Page(full).around(sentence)[0]
    assert sentence not in plain


def test_weak_labels_are_marked_wherever_they_matter(plain, full):
    """Beside the weights, the classifier and the data."""
    notices = Page(full).around("Weak labels.")
    assert [("p", {"class": "notice"}) in stack for stack in notices] == [True, True]
    assert "The probabilities come from a classifier that learnt from a list of symptom terms" in words(
        full
    )
    assert "by a list of symptom terms (weak labels)" in words(full)
    assert "weak labels" not in plain.lower()


@pytest.mark.parametrize(
    ("labelled", "by_whom"),
    [
        (0, "by the classifier"),
        (12, "12 as people labelled them, 18 by the classifier"),
        (30, "as people labelled them"),
    ],
)
def test_it_is_told_whose_severities_they_are(labelled, by_whom):
    text = words(page(answers=answers(["m"], 30, labelled=labelled)))
    assert f"({by_whom})." in text
    assert f"Severities {by_whom}." in text


def test_probabilities_of_the_source_are_not_called_the_classifiers(plain):
    html = page(severity=severity(source="provided", labels=None))
    assert "are those that the source of the pairs provides" in words(html)
    assert "Severities by the source." in words(html)
    assert "Severities by the classifier." in words(plain)
    assert "provides" not in plain


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ((-0.021, -0.05, 0.008), "0.021 nats lower (95 % interval −0.050 to +0.008, which includes 0"),
        ((-0.031, -0.052, -0.011), "0.031 nats lower (95 % interval −0.052 to −0.011, all of it lower)"),
        ((0.04, 0.012, 0.07), "0.040 nats higher (95 % interval +0.012 to +0.070, all of it higher)"),
    ],
)
def test_the_comparison_says_which_is_better_and_how_certain_that_is(difference, expected):
    assert comparison(interval(*difference)).startswith(expected)


def test_every_row_is_accounted_for(plain):
    found = Page(plain)
    assert found.row("Rows") == ["pairs", "labelled"]
    assert found.row("read") == ["1005", "1005"]
    assert found.row("rejected: question empty") == ["3", "0"]
    assert found.row("rejected: unknown label") == ["0", "4"]
    assert found.row("kept") == ["1001", "1001"]
    # The table of probabilities by split has a row `test` too.
    assert ["test", "199", "199"] in found.rows
    assert found.row("Phone numbers") == ["13", "13"]
    assert "as their source says: 246 non-critical, 162 neutral and 132 critical." in words(plain)


@pytest.mark.parametrize(
    ("unequal", "verdict"),
    [(True, "no, beyond chance"), (False, "yes, within chance"), (None, "not tested")],
)
def test_rejections_are_told_by_severity_and_where_they_are_unequal(unequal, verdict):
    plain = page(data=data(unequal=unequal))
    cells = ["0 (0.0 %)", "0 (0.0 %)", "2 (1.0 %)", "1 (33.3 %)", verdict]
    assert Page(plain).row("question empty") == cells
    sentence = "Question empty rejects the severities unequally, by more than chance"
    assert (sentence in words(plain)) == (unequal is True)


def test_the_noise_of_the_labels_is_told(plain):
    text = words(plain)
    assert "labelled 31 complaints more than once, 9 of them with different severities" in text
    assert "No classifier can be right on more than 85.9 % of those rows" in text


def test_duplicates_and_what_a_random_split_would_have_leaked_are_told(plain):
    text = words(plain)
    assert "Rows whose complaint is exactly that of another row: 42." in text
    assert "complaints that are nearly alike: 17, with 38 rows in all and at most 5 in one." in text
    assert "a duplicate of 13 of its 200 test rows (6.5 %) into training" in text
    assert Page(plain).row("Rows in the group") == ["2", "3", "4–9", "10+"]
    assert Page(plain).row("Groups") == ["15", "1", "1", "0"]


def test_data_without_near_duplicates_or_test_rows_has_its_page_too():
    html = page(data=data(groups=0, naive_split_leaks={"test_rows": 0, "leaked": 0}))
    assert "Groups of near duplicates" not in html
    assert "random split of single rows" not in html


def test_every_table_has_a_caption_and_every_header_a_scope(full, four_arms):
    for html in (full, four_arms):
        tags = Page(html).tags
        names = [tag for tag, _ in tags]
        assert names.count("caption") == names.count("table")
        assert all("scope" in attributes for tag, attributes in tags if tag == "th")
