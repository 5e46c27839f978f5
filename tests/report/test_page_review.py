"""The section of physicians' ratings: what it shows, and that it claims no more than they show."""

import copy
import re

import pages
import pytest

from pipeline.report.language import speaking
from pipeline.report.page import render
from pipeline.report.reviews import review_section

MODEL = "tiny"


def page(review, language="en"):
    return render(pages.content(models=[MODEL], rows=2, review=review, language=language))


def section(html):
    return re.search(r'(?s)<section id="review".*?</section>', html)[0]


def words(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("\u2212", "-").split())


@pytest.fixture(scope="module")
def figures():
    return pages.review([MODEL])


@pytest.fixture(scope="module")
def shown(figures):
    return section(page(figures))


def test_without_ratings_there_is_no_section():
    html = page(pages.review())
    assert 'id="review"' not in html
    assert "Physicians" not in html.split("params.yaml")[0]


def test_every_figure_of_the_ratings_is_shown(figures, shown):
    of_model = figures["models"][MODEL]
    text = words(shown)
    for by_group in of_model["arms"].values():
        for by_metric in by_group.values():
            for figure in by_metric.values():
                assert f"{figure['value']:.3f} {figure['low']:.3f} to {figure['high']:.3f}" in text
    for scale in ("between", "within"):
        for figure in of_model[scale].values():
            assert f"{figure['value']:.3f}" in text
    for by_name in (*of_model["correlations"].values(), *of_model["picks"].values()):
        for group, figure in by_name.items():
            assert group in ("neutral", "non_critical") or f"{figure['value']:.3f}" in text
    for name in of_model["raters"]:
        assert name in text
    assert "24 complaints (12 critical, 6 neutral, 6 non-critical" in text


def test_the_page_leads_to_it(figures):
    html = page(figures)
    assert '<a href="#review">' in html
    assert html.index('id="results"') < html.index('id="review"') < html.index('id="answers"')


def lead(html):
    return words(re.search(r'(?s)<section class="lead".*?</section>', html)[0])


def test_the_first_screen_has_what_physicians_say(figures):
    [of_model] = review_section(figures, {MODEL: "A model"}, pages.PRIMARY)["reviews"]
    said = f"A model (3 raters, 24 complaints): {words(of_model['verdict'])}"
    assert f"What do physicians say? {said} For whom?" in lead(page(figures))
    doubted = copy.deepcopy(figures)
    doubted["models"][MODEL]["raters"]["rater-2"]["flagged"] = True
    assert f"{said} Ratings like chance: rater-2. For whom?" in lead(page(doubted))


def endpoint(figures, **values):
    """The figures with another primary endpoint."""
    changed = copy.deepcopy(figures)
    changed["models"][MODEL]["differences"]["weighting-uniform"]["critical"]["preferred"].update(values)
    return changed


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"value": 0.3, "p": 0.01, "p_adjusted": 0.02}, "Physicians prefer Severity-aware to CE. Share"),
        ({"value": -0.3, "p": 0.01, "p_adjusted": 0.02}, "Physicians prefer CE to Severity-aware. Share"),
        ({"value": 0.3, "p": 0.03, "p_adjusted": 0.06}, "No preference is shown. Share"),
        ({"value": 0.3, "p": None, "p_adjusted": None}, "One rater cannot tell how another would judge"),
    ],
)
def test_the_verdict_is_that_of_the_primary_endpoint(figures, values, said):
    text = words(section(page(endpoint(figures, **values))))
    assert said in text
    assert text.count("Physicians prefer") == ("Physicians prefer" in said)


def test_an_endpoint_that_was_not_rated_is_not_made_up():
    text = words(section(page(pages.review([MODEL], arms=("uniform", "strong", "reference")))))
    assert "How often weighting is preferred to uniform was not rated" in text
    assert "Bradley–Terry" in text
    assert "Physician - CE" in text


def test_flagged_raters_and_answers_of_old_are_named(figures, shown):
    changed = copy.deepcopy(figures)
    of_model = changed["models"][MODEL]
    of_model["outdated"] = 7
    for rater in of_model["raters"].values():
        rater["flagged"] = False
    assert "answers like chance." not in words(section(page(changed)))
    of_model["raters"]["rater-2"]["flagged"] = True
    text = words(section(page(changed)))
    assert "rater-2: answers like chance." in text
    assert "7 of the 48 rated answers are no longer" in text


def test_models_that_do_not_run_are_not_shown():
    html = page(pages.review([MODEL, "gone"]))
    assert "gone" not in section(html)


@pytest.mark.parametrize(
    ("language", "outdated", "said"),
    [
        ("en", 1, "1 of the 48 rated answers is no longer"),
        ("ar", 1, "من الإجابات المقيَّمة (وعددها 48) إجابة واحدة لم تعد"),
        ("ar", 7, "من الإجابات المقيَّمة (وعددها 48) 7 إجابات لم تعد"),
    ],
)
def test_answers_of_old_are_counted_as_the_language_does(figures, language, outdated, said):
    changed = copy.deepcopy(figures)
    changed["models"][MODEL]["outdated"] = outdated
    assert said in words(section(page(changed, language)))


def test_in_arabic_it_has_the_same_figures_and_their_signs_stay_before_them(figures, shown):
    arabic = section(page(figures, "ar"))
    with_decimals = r"[-+]?\d+\.\d{3,4}|<0\.001"
    assert re.findall(with_decimals, words(arabic)) == re.findall(with_decimals, words(shown))
    assert re.search(r"[−+]\d", arabic)
    assert not re.search(r'(?<!<bdi dir="ltr">)[−+]\d', arabic)
    assert "3 مقيِّمين، 24 شكوى (12 حرجة، 6 محايدة، 6 غير حرجة؛" in words(arabic)
    assert "نقطة النهاية الأولية: التفضيل في الشكاوى الحرجة." in words(arabic)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"value": 0.3, "p": 0.01, "p_adjusted": 0.02},
            "يفضّل الأطباء إجابات المراعي للخطورة على إجابات CE. ",
        ),
        (
            {"value": -0.3, "p": 0.01, "p_adjusted": 0.02},
            "يفضّل الأطباء إجابات CE على إجابات المراعي للخطورة. ",
        ),
        ({"value": 0.3, "p": 0.03, "p_adjusted": 0.06}, "لا يظهر تفضيل. "),
        ({"value": 0.3, "p": None, "p_adjusted": None}, "لا يُعرف من مقيِّم واحد كيف يحكم غيره"),
    ],
)
def test_the_verdict_in_arabic(figures, values, said):
    with speaking("ar"):
        [of_model] = review_section(endpoint(figures, **values), {MODEL: "m"}, pages.PRIMARY)["reviews"]
    verdict = of_model["verdict"]
    assert verdict.startswith(said)
    assert f'<bdi dir="ltr">{values["value"]:+.3f}</bdi>'.replace("-", "−") in verdict
    if values["p"] is None:
        assert "p " not in re.sub("<[^>]+>", "", verdict)
    else:
        assert f'<bdi dir="ltr">p {values["p_adjusted"]:.3f}</bdi>.' in verdict
