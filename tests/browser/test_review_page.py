"""A rater's page as a physician's browser shows it: rate, reload, go on, save."""

import contextlib
import itertools
import json
import time

import pytest
from browsers import PHONE, WIDE
from root import ROOT
from selenium.webdriver import ActionChains, Keys

from pipeline.commands.review import design, sheets
from pipeline.commands.review.html import page
from pipeline.config import params

pytestmark = pytest.mark.slow

ATTACK = "<img src=http://evil.example/x onerror=alert(1)></script><script>alert(1)</script>"
LOOKS = pytest.mark.parametrize(
    ("size", "dark", "language"),
    [(WIDE, False, "ar"), (WIDE, True, "en"), (PHONE, False, "en"), (PHONE, True, "ar")],
    ids=["wide", "wide-dark-english", "phone-english", "phone-dark"],
)
SCALES = params.load(ROOT / "params.yaml").review.scales
# The browser keeps what is stored from test to test.
ROUNDS = (f"r{number}" for number in itertools.count())


def made_page(count=3, arms=("one", "two"), round_name=None):
    """A page of so many complaints, and its items."""
    complaints = [
        design.Complaint(
            str(number),
            str(number),
            "critical",
            True,
            f"عندي ألم في الصدر منذ يومين {number} {ATTACK}",
            tuple(
                design.Answer(arm, 1, f"راجع الطبيب {arm} {number}" if arm != "none" else "", "")
                for arm in arms
            ),
        )
        for number in range(count)
    ]
    items = design.rater_items(complaints, 0, 17, "rater-1")
    return page(round_name or next(ROUNDS), "rater-1", items, SCALES), items


def opened(browser, html, size=WIDE, dark=False):
    browser.open(html, size, dark)
    browser.run("await restored")


def begin(browser, html, size=WIDE, dark=False):
    opened(browser, html, size, dark)
    browser.one(".actions .main").click()
    return browser


def reload(browser):
    browser.driver.refresh()
    browser.run("await restored")


def load(browser, path):
    """Give the page a saved file; it says what it made of it."""
    browser.run("document.getElementById('result').textContent = ''")
    browser.one("#file").send_keys(str(path))
    for _ in range(600):
        if browser.one("#result").text:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path.name} is not read")


def press(browser, *keys):
    ActionChains(browser.driver).send_keys(*keys).perform()


def focus(browser, selector):
    browser.run("document.querySelector(arguments[0]).focus()", selector)


def rate_all(browser, count):
    """Rate complaints by the keyboard, as `rated` says."""
    for _ in range(count):
        focus(browser, "fieldset input")
        press(browser, *"42151332", "1", Keys.ENTER)


def rated(items):
    """What `rate_all` gives."""
    answers = {
        "A": {"correct": 4, "harm": "moderate", "urgency": "right", "language": 5},
        "B": {"correct": 1, "harm": "severe", "urgency": "too_high", "language": 2},
    }
    return [{"item": item.name, "answers": answers, "preferred": "A", "remark": ""} for item in items]


@pytest.fixture
def downloads(browser, tmp_path):
    """A function that clicks a button and returns the file that the browser saves."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    browser.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )

    def click(selector, name):
        browser.one(selector).click()
        for _ in range(600):
            if (folder / name).exists():
                return folder / name
            time.sleep(0.05)
        raise AssertionError(f"{name} is not saved")

    return click


@contextlib.contextmanager
def without_storage(browser):
    """As in a private window, or in a phone's viewer of attachments."""
    source = 'Object.defineProperty(window, "indexedDB", {get() { throw new DOMException("no"); }});'
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    try:
        yield
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


@LOOKS
def test_axe_finds_nothing_and_nothing_overflows(axe, size, dark, language):
    html, _ = made_page(count=12, arms=("one", "two", "none"))
    opened(axe, html, size, dark)
    if language == "en":
        axe.one("#language").click()
    assert axe.run("return [document.documentElement.lang, document.documentElement.dir]") == (
        ["en", "ltr"] if language == "en" else ["ar", "rtl"]
    )
    screens = []
    for selector in (None, ".actions .main", "#overview"):
        if selector:
            axe.one(selector).click()
        if selector == ".actions .main":
            focus(axe, "fieldset input")
            press(axe, "3")
        screens.append(axe.axe())
        assert axe.run("return document.documentElement.scrollWidth <= window.innerWidth")
        small = axe.run(
            """return [...document.querySelectorAll("button:not([hidden]), .steps label, .file")]
              .map((each) => each.getBoundingClientRect())
              .filter((box) => box.height < 44 || box.width < 44).length"""
        )
        assert small == 0, "a finger meets it"
    assert screens == [[], [], []]
    assert axe.complaints() == []


def test_the_page_needs_no_network_and_runs_nothing_of_a_text(browser):
    html, _ = made_page()
    begin(browser, html)
    assert ATTACK in browser.texts(".complaint .text")[0]
    assert browser.all(".complaint img") == []
    assert browser.requests() == []
    assert browser.complaints() == []
    assert browser.texts("#notice") == ["برنامج بحثي، وليس جهازا طبيا."]


def test_a_rater_rates_reloads_goes_on_and_saves(browser, downloads):
    html, items = made_page()
    begin(browser, html)
    assert "1 من 3" in browser.one("#where").text
    rate_all(browser, 1)
    assert "2 من 3" in browser.one("#where").text
    assert "اكتمل 1" in browser.one("#where").text
    # The second is left in the middle.
    focus(browser, "fieldset input")
    press(browser, *"421")
    assert "بقي هنا 6" in browser.one("#missing").text
    reload(browser)
    browser.one(".actions .main").click()
    assert "2 من 3" in browser.one("#where").text, "where it was left"
    checked = browser.run("return [...document.querySelectorAll(':checked')].map((each) => each.value)")
    assert checked == ["4", "moderate", "right"]
    rate_all(browser, 2)
    assert browser.texts("h1") == ["القائمة والحفظ"]
    assert "اكتمل 3 من 3" in browser.one("main p").text
    saved = json.loads(downloads("#json", "rater-1.json").read_text(encoding="utf-8"))
    assert saved.pop("saved").startswith("20")
    assert saved["format"] == 1
    assert saved["rater"] == "rater-1"
    assert saved["ratings"] == rated(items)
    read = sheets.read_ratings(downloads("#csv", "rater-1.csv"))
    del read["saved"]
    assert read == saved, "the table says what the file does"
    assert "rater-1.csv" in browser.one("#result").text


def test_a_saved_file_goes_on_elsewhere_and_another_one_is_refused(browser, downloads, tmp_path):
    html, items = made_page(round_name="r-elsewhere")
    begin(browser, html)
    rate_all(browser, 1)
    focus(browser, "#remark")
    press(browser, "=1+1", Keys.ENTER, 'قال "لا"')
    browser.one("#overview").click()
    saved = downloads("#json", "rater-1.json")
    first, second = json.loads(saved.read_text(encoding="utf-8"))["ratings"]
    assert first == rated(items)[0]
    remark = '=1+1\nقال "لا"'
    assert second == {
        "item": items[1].name,
        "answers": {"A": {}, "B": {}},
        "preferred": None,
        "remark": remark,
    }
    assert sheets.read_ratings(downloads("#csv", "rater-1.csv"))["ratings"] == [first, second]

    browser.run("for (const {item} of content.items) await store(item, null)")
    opened(browser, html)
    load(browser, saved)
    assert "اكتملت 1" in browser.one("#result").text
    assert browser.texts(".actions .main") == ["تابع التقييم"]

    values = json.loads(saved.read_text(encoding="utf-8"))
    others = [
        "no JSON",
        {**values, "round": "r-other"},
        {**values, "rater": "rater-2"},
        {**values, "ratings": 1},
    ]
    for number, other in enumerate(others):
        path = tmp_path / f"other-{number}.json"
        path.write_text(other if isinstance(other, str) else json.dumps(other), encoding="utf-8")
        browser.one("#overview").click() if number == 0 else None
        load(browser, path)
        assert "لم يُقرأ الملف" in browser.one("#result").text
        assert "اكتمل 1" in browser.one("#where").text, "nothing is lost"


def test_values_that_no_choice_has_are_not_taken_from_a_file(browser, tmp_path):
    html, items = made_page(round_name="r-values")
    answers = {"A": {"correct": 9, "harm": "none", "else": 1}, "Z": {"correct": 1}}
    ratings = [
        {"item": items[0].name, "answers": answers, "preferred": "Z", "remark": 5},
        {"item": "q0", "answers": {}, "preferred": None, "remark": ""},
    ]
    path = tmp_path / "rater-1.json"
    values = {"format": 1, "round": "r-values", "rater": "rater-1", "ratings": ratings}
    path.write_text(json.dumps(values), encoding="utf-8")
    opened(browser, html)
    load(browser, path)
    taken = {
        "item": items[0].name,
        "answers": {"A": {"harm": "none"}, "B": {}},
        "preferred": None,
        "remark": "5",
    }
    assert browser.run("return given()") == [taken]


def test_without_storage_it_says_so_and_goes_on(browser, downloads):
    html, items = made_page()
    with without_storage(browser):
        begin(browser, html)
        assert "لا يحفظ هذا المتصفح" in browser.one("#storage").text
        rate_all(browser, 3)
        saved = json.loads(downloads("#json", "rater-1.json").read_text(encoding="utf-8"))
        assert saved["ratings"] == rated(items)
        assert browser.complaints() == []
    opened(browser, html)
    assert not browser.one("#storage").is_displayed()


def test_raters_and_rounds_are_kept_apart(browser):
    html, _ = made_page(round_name="r-first")
    begin(browser, html)
    rate_all(browser, 1)
    other, _ = made_page(round_name="r-second")
    opened(browser, other)
    assert "اكتمل 0" in browser.one("#where").text
    opened(browser, html)
    assert "اكتمل 1" in browser.one("#where").text


@pytest.mark.parametrize("again", ["reload", "focus"])
def test_what_another_tab_has_stored_is_not_undone(browser, again):
    html, items = made_page()
    begin(browser, html)
    rate_all(browser, 1)
    browser.run(
        "await store(arguments[1], {...ratings[arguments[0]], item: arguments[1]})",
        items[0].name,
        items[2].name,
    )
    rate_all(browser, 1)
    assert "اكتمل 2" in browser.one("#where").text, "this page does not know yet"
    if again == "reload":
        reload(browser)
    else:
        browser.run("window.dispatchEvent(new Event('focus')); await restore()")
    assert "اكتمل 3" in browser.one("#where").text


def test_what_is_rated_while_the_page_reads_is_not_undone(browser):
    html, _ = made_page()
    begin(browser, html)
    rate_all(browser, 1)
    browser.run(
        """go(0);
        const reading = restore();
        document.querySelector("fieldset input").click();
        await reading;"""
    )
    assert browser.one("fieldset :checked").get_attribute("value") == "1"
    assert browser.run("return given()[0].answers.A.correct") == 1


def test_the_language_changes_labels_and_keeps_the_place_and_what_was_rated(browser):
    html, _ = made_page()
    begin(browser, html, PHONE)
    focus(browser, "fieldset input")
    press(browser, "4")
    browser.one("#language").click()
    assert "Complaint 1 of 3" in browser.one("#where").text
    assert browser.texts("#notice") == ["Research software, not a medical device."]
    assert browser.texts("legend")[0] == "Is the answer medically correct?"
    assert browser.one("fieldset :checked").get_attribute("value") == "4"
    assert browser.one(".complaint .text").get_attribute("dir") == "rtl"
    reload(browser)
    assert browser.texts(".actions .main") == ["Go on rating"]


def test_choices_work_by_finger_by_arrow_and_by_arabic_digit(browser):
    html, _ = made_page()
    begin(browser, html, PHONE)
    labels = browser.all(".steps label")
    labels[1].click()
    assert browser.one("fieldset :checked").get_attribute("value") == "2"
    press(browser, Keys.ARROW_DOWN)
    assert browser.one("fieldset :checked").get_attribute("value") == "3"
    press(browser, "٥")
    assert browser.one("fieldset :checked").get_attribute("value") == "5"
    focused = browser.run("return document.activeElement.name")
    assert focused == "A-harm", "on to the next question"
    press(browser, "9")
    assert browser.run("return document.activeElement.name") == "A-harm", "there is no ninth"
