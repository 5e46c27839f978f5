"""The page as a reader's browser shows it."""

import re

import pandas as pd
import pytest
from browsers import PHONE, WIDE
from pages import ARMS, ATTACK, FOUR_ARMS, OVERRIDE, answers, classifier, difference, interval, page, review
from selenium.webdriver import ActionChains, Keys

pytestmark = pytest.mark.slow

MODELS = ("first", "second")
SPECIALTIES = ("cardiology", "قلب")
LOOKS = pytest.mark.parametrize(
    ("size", "dark"),
    [(WIDE, False), (WIDE, True), (PHONE, False), (PHONE, True)],
    ids=["light", "dark", "phone", "phone-dark"],
)


def row(place, severity="neutral", weighting=2.5, **changes):
    """A test row with its own texts."""
    texts = {model: {arm: f"{model} {arm} {place}" for arm in ("base", *ARMS)} for model in MODELS}
    nll = {"base": 3.0, "uniform": 2.5, "weighting": weighting}
    return {
        "id": f"row-{place}",
        "source": "own.csv",
        "line": place + 2,
        "severity": severity,
        "by_people": False,
        "specialty": "cardiology",
        "question": f"سؤال رقم {place}",
        "reference": f"جواب رقم {place}",
        "answers": texts,
        "nll": dict.fromkeys(MODELS, nll),
        **changes,
    }


# Of each entry of a plot's legend: plot, title, fill, stroke, shape.
LEGENDS = """return [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const symbols = [...plot.querySelectorAll(".role-legend-symbol path")];
  const titles = [...plot.querySelectorAll(".role-legend-label text")];
  return symbols.map((symbol, place) => [
    plot.dataset.plot, titles[place].textContent,
    symbol.getAttribute("fill"), symbol.getAttribute("stroke"), symbol.getAttribute("d"),
  ]);
})"""
ROWS = [
    row(0, "non_critical", 2.1, question=f"صداع {ATTACK}"),
    row(1, "critical", 2.8, question=OVERRIDE, id="row-1\u202e"),
    row(2, "neutral", 2.4, question="أَلَمٌ في المَعِدَةِ منذ ٣ أيام"),
    row(3, "critical", 2.45, question="ضيق في التنفس", reference="an answer in English."),
]


OTHERS = [{**made, "id": f"row-{place + 10}"} for place, made in enumerate(answers(MODELS, 30))]


LANGUAGES = pytest.mark.parametrize("language", ["html", "arabic"], ids=["en", "ar"])


def full(language):
    """A page of two models with specialties."""
    return page(
        MODELS,
        answers=[*ROWS, *OTHERS],
        specialties=SPECIALTIES,
        classifier=classifier(
            per_specialty={"قلب": {"accuracy": interval(0.4, 0.3, 0.6), "rows": 21}}, beats_linear=False
        ),
        language=language,
    )


@pytest.fixture(scope="module")
def html():
    return full("en")


@pytest.fixture(scope="module")
def arabic():
    return full("ar")


@pytest.fixture(scope="module")
def arabic_four_arms():
    return page(MODELS, arms=FOUR_ARMS, seeds=2, specialties=SPECIALTIES, language="ar")


@pytest.fixture(scope="module")
def four_arms():
    """As large as the first screen of the paper's profile: arms and seeds of it, rated by physicians."""
    rated = review(MODELS, arms=(*FOUR_ARMS, "reference"))
    return page(MODELS, arms=FOUR_ARMS, seeds=2, specialties=SPECIALTIES, review=rated)


@pytest.fixture
def shown(browser, html):
    return browser.open(html)


def ids(browser):
    """Row numbers of the cards shown, in order."""
    return [int(re.search(r"row-(\d+)", head)[1]) for head in browser.texts("article h3")]


@LANGUAGES
@LOOKS
def test_nothing_leaves_the_page_and_nothing_goes_wrong(browser, request, language, size, dark):
    browser.open(request.getfixturevalue(language), size, dark).settled()
    for details in browser.all("details"):
        browser.run("arguments[0].open = true", details)
    browser.set("#forest-metric", "chrf")
    browser.set("#results-group", "1")
    browser.set("#search", "الطبيب")
    browser.settled()
    assert browser.complaints() == []
    assert browser.requests() == []


def test_the_policy_stops_a_request(shown):
    blocked = (
        "try { await fetch('http://127.0.0.1:9/x'); return 'sent' } catch (error) { return 'blocked' }"
    )
    assert shown.run(blocked) == "blocked"
    assert any("Content Security Policy" in complaint for complaint in shown.complaints())
    shown.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.ran=1>')")
    assert shown.run("return window.ran ?? 0") == 0


@LANGUAGES
@LOOKS
def test_axe_finds_nothing_serious(axe, request, language, size, dark):
    axe.open(request.getfixturevalue(language), size, dark).settled()
    for details in axe.all("details"):
        axe.run("arguments[0].open = true", details)
    axe.settled()
    assert axe.axe() == []


@pytest.mark.parametrize("size", [WIDE, PHONE, (320, 600)], ids=["wide", "phone", "narrow"])
def test_the_page_is_never_wider_than_the_screen(browser, html, four_arms, arabic, arabic_four_arms, size):
    for each in (html, four_arms, arabic, arabic_four_arms):
        browser.open(each, size).settled()
        assert browser.run("return document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_page_of_four_arms_has_nothing_serious_either(axe, four_arms, size):
    axe.open(four_arms, size).settled()
    assert axe.axe() == []
    assert axe.complaints() == []


def test_the_table_of_arms_fits_on_a_phone(browser, four_arms):
    browser.open(four_arms, PHONE)
    inner, outer = browser.run(
        """const region = document.querySelector(".cards .wide");
        return [region.scrollWidth, region.clientWidth]"""
    )
    assert inner <= outer


def test_markup_in_a_text_is_shown_as_text(shown):
    assert f"صداع {ATTACK}" in shown.texts("article .question .quoted")
    assert shown.all("img") == []
    assert shown.run("return document.querySelectorAll('script').length") == 4


def test_characters_that_turn_text_are_shown_by_name(shown):
    questions = shown.texts("article .question .quoted")
    assert "صداع [RLO]evil[LRO] منذ يومين" in questions
    assert "\u202e" not in shown.run("return document.getElementById('cards').textContent")
    assert any("row-1[RLO]" in head for head in shown.texts("article h3"))


def test_arabic_reads_from_the_right_and_english_from_the_left(browser):
    lines = browser.open(page(MODELS, answers=ROWS)).run(
        """return [...document.querySelectorAll("article .quoted")].map((said) => {
          const at = (place) => {
            const range = document.createRange();
            const node = said.firstChild;
            range.setStart(node, place < 0 ? node.length + place : place);
            range.setEnd(node, place < 0 ? node.length + place + 1 : place + 1);
            return range.getBoundingClientRect();
          };
          const first = at(0), last = at(-1);
          const style = getComputedStyle(said);
          const {unicodeBidi: bidi, direction, textAlign: align} = style;
          const oneLine = first.top === last.top, way = Math.sign(last.left - first.left);
          return {text: said.textContent, bidi, direction, align, oneLine, way};
        })"""
    )
    arabic = [line for line in lines if line["text"].startswith(("سؤال", "جواب", "ضيق", "أَلَمٌ"))]
    english = next(line for line in lines if line["text"] == "an answer in English.")
    assert len(arabic) >= 3
    for line in arabic:
        assert (line["direction"], line["align"]) == ("rtl", "right")
        assert line["way"] == -1 or not line["oneLine"]
    assert (english["direction"], english["way"]) == ("ltr", 1)
    assert {line["bidi"] for line in lines} == {"isolate"}


def test_severities_filter(shown):
    count = {"": 34, "critical": 5, "neutral": 10, "non_critical": 19}
    for severity, rows in count.items():
        shown.run(
            "document.querySelector(`input[name=severity][value='${arguments[0]}']`).click()", severity
        )
        assert f"of {rows} complaints" in shown.one("#count").text
        heads = {head.split("row")[0] for head in shown.texts("article h3 b")}
        assert heads == {severity.replace("_", "-")} or not severity


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("الم في المعده", [2]),
        ("أَلَم  مَعِدَة", [2]),
        ("3 ايام", [2]),
        ("ضِيقٌ", [3]),
        ("second weighting 2", [2]),
        ("ROW-0", [0]),
        ("<script>alert", [0]),
        ("لا يوجد هذا النص", []),
    ],
)
def test_search_finds_whatever_the_spelling(shown, words, found):
    shown.set("#search", words)
    assert ids(shown) == found
    if not found:
        assert shown.one("#count").text == "No complaint matches"


@pytest.mark.parametrize(
    ("order", "first"),
    [("most", [0, 1, 2, 3]), ("gain", [0, 2, 3, 1]), ("loss", [1, 3, 2, 0]), ("severity", [1, 3, 2, 0])],
)
def test_the_order_is_as_chosen(browser, order, first):
    browser.open(page(MODELS, answers=ROWS))
    browser.set("#order", order)
    assert ids(browser) == first


def test_the_answers_of_the_model_chosen_stand_side_by_side(shown):
    card = "article:first-child .answers"
    assert len(shown.all(card)) == 1
    heads = shown.texts(f"{card} h4")
    assert heads == ["Reference", "BaseNLL 3.000", "CENLL 2.500", "Severity-awareNLL 2.100"]
    tops = shown.run(
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.getBoundingClientRect().top)",
        f"{card} > div",
    )
    assert len(set(tops)) == 1
    shown.set("#model", "second")
    assert shown.texts(f"{card} .quoted")[1:] == ["second base 0", "second uniform 0", "second weighting 0"]
    shown.set("#model", "")
    assert shown.texts("article:first-child h5") == ["A model", "A model 1"]
    assert len(shown.all(card)) == 2


def test_answers_are_ordered_by_the_arm_chosen(browser):
    """Its box is marked, and the head of each card has its difference."""
    rows = [
        {**row(0), "nll": {model: {"base": 3.0, "uniform": 2.5, "mild": 2.4, "weighting": 2.0}}}
        for model in MODELS[:1]
    ]
    rows.append({**row(1), "nll": {"first": {"base": 3.0, "uniform": 2.5, "mild": 2.1, "weighting": 2.4}}})
    for made in rows:
        made["answers"] = {"first": {arm: arm for arm in ("base", "uniform", "mild", "weighting")}}
    browser.open(page(MODELS[:1], arms=("uniform", "mild", "weighting"), answers=rows))
    assert ids(browser) == [0, 1]
    assert browser.texts("article:first-child .compared h4") == ["Severity-awareNLL 2.000"]
    browser.set("#arm", "mild")
    assert ids(browser) == [1, 0]
    assert browser.texts("article:first-child .compared h4") == ["mildNLL 2.100"]
    assert "mild − CE: −0.400 nats per token" in browser.texts("article h3")[0]


def test_with_one_weighted_arm_there_is_none_to_choose(shown):
    assert not shown.one("#arm").is_displayed()


def test_more_are_shown_on_demand_and_the_focus_goes_there(shown):
    assert len(shown.all("article")) == 10
    shown.one("#more").send_keys(Keys.ENTER)
    assert len(shown.all("article")) == 20
    assert (
        shown.run("return [...document.querySelectorAll('article')].indexOf(document.activeElement)") == 10
    )
    shown.set("#search", "سؤال رقم")
    assert not shown.one("#more").is_displayed()


def test_another_comparison_and_metric_can_be_chosen(shown):
    assert [e.get_attribute("data-metric") for e in shown.all(".forest") if e.is_displayed()] == [
        "nll",
        "nll",
    ]
    shown.set("#forest-comparison", "uniform-base")
    shown.set("#forest-metric", "chrf")
    visible = [e for e in shown.all(".forest") if e.is_displayed()]
    assert [(e.get_attribute("data-comparison"), e.get_attribute("data-metric")) for e in visible] == [
        ("uniform-base", "chrf")
    ]


def test_an_interval_is_drawn_where_its_figures_say(shown):
    """Zero line, ends and point of the first line, as shares of the cell, against the scale's ticks."""
    at = shown.run(
        """const table = document.querySelector(".forest:not([hidden]) .block.critical");
        const line = table.querySelector(".line span"), cell = line.parentElement.getBoundingClientRect();
        const ticks = [...table.querySelectorAll(".axis i")].map((tick) => {
          const box = tick.getBoundingClientRect();
          const value = parseFloat(tick.textContent.replace("−", "-"));
          return [value, (box.left + box.width / 2 - cell.left) / cell.width];
        });
        const of = (name) => parseFloat(getComputedStyle(line).getPropertyValue(name)) / 100;
        const text = table.querySelector("tbody tr").textContent;
        const zero = parseFloat(getComputedStyle(line.parentElement).backgroundPositionX) / 100;
        return {ticks, text, zero, low: of("--low"), point: of("--at"), high: of("--high")};"""
    )
    (first, first_at), (last, last_at) = at["ticks"][0], at["ticks"][-1]
    scale = (last - first) / (last_at - first_at)
    read = {name: first + (at[name] - first_at) * scale for name in ("low", "point", "high")}
    assert dict(at["ticks"])[0] == pytest.approx(at["zero"], abs=0.01)
    assert read == pytest.approx({"low": -0.095, "point": -0.06, "high": -0.025}, abs=0.002)
    assert "−0.060−0.095 to −0.025" in at["text"]


def test_results_of_another_group_can_be_chosen(shown):
    options = shown.texts("#results-group option")
    assert [option.split(" (")[0].strip() for option in options] == [
        "all complaints",
        "critical",
        "neutral",
        "non-critical",
        *SPECIALTIES,
    ]
    shown.set("#results-group", "1")
    assert [e.get_attribute("data-group") for e in shown.all(".result") if e.is_displayed()] == ["1"]


def test_an_arm_looks_the_same_in_every_plot_whatever_others_there_are(browser, html, four_arms):
    looks = {}
    for each in (html, four_arms):
        browser.open(each)
        for details in browser.all("details"):
            browser.run("arguments[0].open = true", details)
        entries = browser.settled().run(LEGENDS)
        assert len(entries) >= 2 + 3 + 3
        for plot, title, fill, stroke, shape in entries:
            assert looks.setdefault((plot, title), (fill, stroke, shape)) == (fill, stroke, shape)
    # A line has a stroke and no fill.
    colours = {title: set() for _, title in looks}
    for (_, title), (fill, stroke, _) in looks.items():
        colours[title].add(stroke if "var" in stroke else fill)
    assert list(colours) == ["base", "CE", "severity-aware", "mild", "strong"]
    assert all(len(each) == 1 for each in colours.values())
    assert len(set.union(*colours.values())) == 5
    assert colours["severity-aware"] == {"var(--accent)"}


def test_every_plot_is_drawn_in_the_colours_of_the_page(browser, html):
    for dark in (False, True):
        browser.open(html, dark=dark)
        for details in browser.all("details"):
            browser.run("arguments[0].open = true", details)
        browser.settled()
        fills = browser.run(
            """return [...document.querySelectorAll(".plot")].map((plot) => {
              const text = plot.querySelector("svg .role-title-text text");
              const ink = getComputedStyle(document.body).color;
              return [plot.dataset.plot, getComputedStyle(text).fill, ink];
            })"""
        )
        assert {name for name, _, _ in fills} == {"severity", "loss", "metrics", "weights", "reliability"}
        assert all(fill == ink for name, fill, ink in fills)


def test_the_page_works_with_the_keyboard_alone(shown):
    focus = "const e = document.activeElement; return e.id || e.className || e.textContent"
    press = lambda *keys: ActionChains(shown.driver).send_keys(*keys).perform()  # noqa: E731
    press(Keys.TAB)
    assert shown.run(focus) == "skip"
    assert shown.one(".skip").rect["y"] >= 0, "it shows when it has the focus"
    reached = []
    for _ in range(60):
        press(Keys.TAB)
        reached.append(shown.run(focus))
        outline = shown.run(
            """const at = document.activeElement;
            return getComputedStyle(at.matches(".chip input") ? at.nextSibling : at).outlineStyle"""
        )
        assert outline != "none", reached[-1]
        if shown.run("return document.activeElement.name === 'severity'"):
            break
    assert {"forest-comparison", "forest-metric", "results-group", "search", "model", "order"} <= set(
        reached
    )
    press(Keys.ARROW_RIGHT)
    assert "of 5 complaints" in shown.one("#count").text, "the next severity is critical"


def test_without_javascript_the_figures_are_there(chromium, browser, html):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(html)
        visible = browser.one("main").text
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "−0.060" in visible
    assert "Browsing the answers needs JavaScript" in visible


def test_it_prints_light_and_without_controls(browser, html):
    browser.open(html, dark=True).settled()
    assert browser.pdf().startswith(b"%PDF")
    browser.media(dark=True, kind="print")
    assert not browser.one("#search").is_displayed()
    assert not browser.one("nav").is_displayed()
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert min(int(part) for part in re.findall(r"\d+", background)[:3]) > 240
    assert browser.one("article").is_displayed()


@LANGUAGES
def test_no_table_and_no_plot_is_cut_on_paper(browser, request, language):
    """A sheet of A4 without its margins is 695 pixels wide."""
    browser.open(request.getfixturevalue(language), (695, 980)).settled()
    browser.media(kind="print")
    cut = browser.run(
        """return [...document.querySelectorAll(".wide, .block, .plot")]
          .filter((part) => part.scrollWidth > part.clientWidth + 1)
          .map((part) => part.ariaLabel || part.className)"""
    )
    assert cut == []
    assert browser.run("return document.documentElement.scrollWidth") <= 695


def test_what_is_folded_is_read_on_paper_but_for_the_parameters(shown):
    folded = 'return [...document.querySelectorAll("details")].map((part) => part.open)'
    kept = """return [...document.querySelectorAll("details")]
      .map((part) => part.matches(".params, [data-draws], [hidden]"))"""
    assert not any(shown.run(folded))
    shown.run('dispatchEvent(new Event("beforeprint"))')
    opened = [not part for part in shown.run(kept)]
    assert shown.run(folded) == opened
    assert any(opened)
    shown.run('dispatchEvent(new Event("afterprint"))')
    assert not any(shown.run(folded))


def test_what_is_shown_differs_in_shape_and_not_in_colour_alone(browser):
    """Better, worse and not shown, as on grey paper: a disc, a square, a ring."""
    rows = [difference(model, "nll", "critical", value, 0.02, p) for model, value, p in (
        ("a", -0.05, 0.01), ("b", 0.05, 0.01), ("c", 0.01, 0.5)
    )]  # fmt: skip
    browser.open(page(("a", "b", "c"), differences=pd.DataFrame(rows)))
    looks = browser.run(
        """const lines = document.querySelectorAll(".forest:not([hidden]) .block.critical .line span");
        return [...lines].map((line) => {
          const {borderRadius, backgroundColor, borderColor} = getComputedStyle(line, "::after");
          return [borderRadius === "0px", backgroundColor === borderColor];
        })"""
    )
    assert looks == [[False, True], [True, True], [False, False]]


# In Arabic.


def test_in_arabic_columns_go_from_the_right_and_axes_from_the_left(browser, arabic):
    at = (
        browser.open(arabic)
        .settled()
        .run(
            """const left = (element) => element.getBoundingClientRect().left;
        const value = (tick) => parseFloat(tick.textContent.replace("−", "-"));
        const forest = document.querySelector(".forest:not([hidden])");
        const axis = forest.querySelector(".axis");
        const row = forest.querySelector(".block.critical tbody tr");
        return {
          cells: [...row.children].map(left),
          ticks: [...axis.children].slice(1).map((tick) => [value(tick), left(tick)]),
          sides: [...forest.querySelectorAll(".sides span")].map((side) => [side.textContent, left(side)]),
          plot: getComputedStyle(document.querySelector(".plot svg")).direction,
        }"""
        )
    )
    assert at["cells"] == sorted(at["cells"], reverse=True)
    assert at["ticks"] == sorted(at["ticks"], key=lambda tick: tick[1])
    assert [value for value, _ in at["ticks"]] == sorted(value for value, _ in at["ticks"])
    (better, better_at), (worse, worse_at) = at["sides"]
    assert (better, worse) == ("← أفضل", "أسوأ →")
    assert better_at < worse_at
    assert at["plot"] == "ltr"


def test_in_arabic_every_sign_stands_before_its_figure(browser, arabic):
    """In tables, sentences and cards, on the left as in a formula."""
    signs = (
        browser.open(arabic)
        .settled()
        .run(
            """const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walker.nextNode()) {
          const node = walker.currentNode;
          if (node.parentElement.closest("script, style, pre, svg, select")) continue;
          for (const match of node.data.matchAll(/[−+]\\d/g)) {
            const at = (place) => {
              const range = document.createRange();
              range.setStart(node, place);
              range.setEnd(node, place + 1);
              return range.getBoundingClientRect();
            };
            const sign = at(match.index), digit = at(match.index + 1);
            if (sign.width) found.push(sign.left < digit.left);
          }
        }
        return found"""
        )
    )
    assert len(signs) > 30
    assert all(signs)


def test_in_arabic_the_answers_are_browsed_in_arabic(browser, arabic):
    browser.open(arabic)
    assert browser.one("#count").text == "المعروض من الشكاوى: 10 من 34"
    assert browser.texts("article:first-child h3 span")[0] == "صنّفها المصنِّف الآلي"
    assert browser.texts("article:first-child h3 b") == ["غير حرجة"]
    assert "المراعي للخطورة ناقص CE" in browser.texts("article:first-child h3")[0]
    browser.set("#search", "لا يوجد هذا النص")
    assert browser.one("#count").text == "لا توجد شكوى مطابقة"


def test_a_page_of_ten_models_opens_and_answers(browser):
    models = tuple(f"model_{place}" for place in range(10))
    html = page(
        models, rows=2000, specialties=tuple(f"s{place}" for place in range(20)), steps=2000, examples=2000
    )
    assert len(html.encode()) < 5_000_000
    browser.open(html).settled()
    took = browser.run(
        """const start = performance.now();
        const field = document.getElementById("search");
        field.value = "صداع";
        field.dispatchEvent(new Event("input", {bubbles: true}));
        return performance.now() - start"""
    )
    assert took < 2000
    assert len(browser.all("article")) == 10
    assert browser.complaints() == []
