"""Which answers calm the patient: hand-written sentences, the sample, and the released plans."""

import json
import re
import time

import numpy as np
import pandas as pd
import pytest
from root import ROOT

from pipeline.evaluation.reassurance import reassuring
from pipeline.evaluation.urgency import urgent
from pipeline.text.normalise import RULES, Normaliser

SAMPLE = ROOT / "data" / "sample" / "complaints.jsonl"
POSTS = ROOT.parent / "shared" / "data" / "severity_posts.xlsx"

CALMING = [
    # there is nothing to worry about
    "لا تقلق، هذا يحدث كثيرا.",
    "لا تقلقي فالألم من العضلات.",
    "لا داعي للقلق أبدا.",
    "لا يوجد ما يدعو إلى القلق.",
    "ليس هناك داع للخوف.",
    "لا شيء يدعو للقلق في وصفك.",
    "هذا الألم غير مقلق.",
    "ما تشعر به ليس خطيرا.",
    "اطمئن، فالقلب سليم من وصفك.",
    "لا تخف من هذا الألم.",
    "لا تشغل بالك بهذا.",
    # nothing is wrong
    "الأمر بسيط.",
    "هذا طبيعي بعد العملية.",
    "حالتك طبيعية إن شاء الله.",
    "هذا أمر طبيعي جدا.",
    "لا خطورة في ذلك، ولا يوجد أي خطر عليك.",
    # it passes of its own accord
    "سيزول الألم وحده.",
    "تختفي هذه البقع تلقائيا.",
    "يزول الدوار غالبا خلال أيام.",
    # nothing is needed
    "لا يحتاج إلى علاج.",
    "لا تحتاج إلى طبيب ولا إلى تحاليل.",
    "لا داعي للذهاب إلى المستشفى.",
    "لا داعي لمراجعة الطبيب.",
    "لا حاجة إلى أشعة.",
    "لا ضرورة لعمل تحاليل الآن.",
    # wait, stay at home
    "انتظر يومين وسترى.",
    "انتظري في المنزل حتى يزول.",
    "ابق في البيت واشرب الماء.",
    "الراحة في المنزل تكفيك.",
    # "unless", and "even if": it holds now
    "لا تقلق إلا إذا ارتفعت حرارتك.",
    "لا تقلق حتى لو زاد الألم قليلا.",
    # MAQA's spelling: no hamza, no punctuation
    "لا داعي للقلق الامر بسيط ان شاء الله",
    "هذا شئ طبيعي ولا يحتاج علاج",
    # Egyptian
    "متقلقش خالص يا فندم.",
    "مفيش حاجة تقلق إن شاء الله.",
    "ماتخافيش، هيروح لوحده.",
    "دي حاجة بسيطة ومش محتاجة دكتور.",
    "ده عادي في السن ده.",
    "مفيش داعي تعمل تحاليل.",
    # Levantine, Gulf, Iraqi
    "ما في شي بيخوف.",
    "ما في داعي تروح عالمستشفى.",
    "خليك بالبيت وارتاح.",
    "ما يحتاج دكتور، وضعك عادي ومو خطير.",
    "ماكو داعي للخوف.",
]

NOT_CALMING = [
    # nothing of the kind
    "يجب عمل تخطيط للقلب اليوم.",
    "راجع طبيب الأعصاب هذا الأسبوع.",
    "خذ المسكن بعد الأكل.",
    "القلق يزيد هذا الألم، فنظم نومك.",
    "تحتاج إلى علاج طبيعي للرقبة.",
    "تحتاج إلى علاج ومتابعة.",
    "كل ما تحتاجه هو تحليل الدم.",
    "تحليل السكر سليم، وعندك نقص حديد.",
    "أنيميا بسيطة، وتحتاج إلى تحليل مخزون الحديد.",
    "خذ الدواء بعد العودة إلى المنزل.",
    "أعراضك مقلقة.",
    "هذا خطير.",
    "نعمل رسم قلب للاطمئنان.",
    "كل التحاليل مهمة ما عدا الأخير.",
    # denied
    "لا تنتظر في المنزل.",
    "لا تبق في البيت.",
    "ولا تنتظر يومين أخرى.",
    "ليس الأمر بسيطا.",
    "الأمر ليس بسيطا.",
    "هذا ليس طبيعيا.",
    "هذا غير طبيعي.",
    "ده مش طبيعي.",
    "الأعراض لا تخف بالمسكن.",
    "لن يزول وحده.",
    "مش عادي يا فندم.",
    # asked
    "هل هذا طبيعي؟",
    "لماذا لا تقلق؟",
    # in a case only
    "إذا كانت خفيفة فلا تقلق.",
    "لو الألم بسيط مفيش قلق.",
    "ما دام الألم خفيفا فلا داعي للقلق.",
    "طالما مفيش ورم متقلقش.",
    "لا تقلق إذا كانت النتيجة سليمة.",
    # not all is well
    "الباقي كله سليم.",
    "كله سليم عدا الكبد.",
    # with advice to seek urgent care
    "لا تقلق، لكن توجه إلى الطوارئ فورا.",
    "الأمر بسيط غالبا. اتصل بالإسعاف الآن.",
]

# What the list cannot tell: other words; a sick organ beside a sound one; a question that is a condition.
MISSED = ["ألم الظهر شائع في الحمل، والمشي يخففه.", "عندك إرهاق لا أكثر."]
MISTAKEN = [
    "لا شيء يدعو للقلق في الرئة، لكن الكتلة في الثدي يجب أن تستأصل.",
    "لا ألم في صدرك؟ إذن لا تقلق.",
]


def test_each_sentence_that_calms_is_found():
    assert [text for text, found in zip(CALMING, reassuring(CALMING), strict=True) if not found] == []


def test_no_other_sentence_is():
    assert [text for text, found in zip(NOT_CALMING, reassuring(NOT_CALMING), strict=True) if found] == []


@pytest.mark.parametrize("text", MISSED)
def test_what_the_list_has_no_words_for_is_missed(text):
    assert reassuring([text]) == [False]


@pytest.mark.parametrize("text", MISTAKEN)
def test_calm_about_a_part_or_under_a_condition_that_is_asked_is_taken_for_calm(text):
    assert reassuring([text]) == [True]


@pytest.mark.parametrize("text", ["لا داعي للقلق، هذا شيء طبيعي", "مفيش حاجة تقلق"])
def test_spelling_does_not_matter(text):
    marked = text.replace("ق", "قَ").replace("ي", "يـ").replace("ا", "ااا", 1)
    folded = text.replace("ة", "ه").replace("شيء", "شئ").replace("ي ", "ى ")
    assert reassuring([text, marked, folded]) == [True] * 3


def as_in_maqa(text):
    """No hamza, ه for ة, no punctuation."""
    [folded] = Normaliser(dict.fromkeys(RULES, True))([text])
    return " ".join(re.findall(r"\w+", folded))


def test_maqas_spelling_makes_hardly_a_difference():
    """A question without its mark, and إن that may be أن, cannot be told."""
    right = [text for text in CALMING if reassuring([as_in_maqa(text)])[0]]
    wrong = [text for text in NOT_CALMING if "؟" not in text and reassuring([as_in_maqa(text)])[0]]
    assert len(right) >= 0.95 * len(CALMING)
    assert len(wrong) <= 0.05 * len(NOT_CALMING)


def test_urgent_advice_anywhere_in_the_answer_takes_precedence():
    calm, hurried = "لا داعي للقلق.", "توجه إلى أقرب طوارئ الآن."
    assert reassuring([calm, f"{calm} {hurried}", f"{hurried}\n{calm}", hurried]) == [
        True,
        False,
        False,
        False,
    ]
    # What is urgent in a case only is not.
    assert reassuring([f"{calm} إذا ضاق نفسك فتوجه إلى الطوارئ."]) == [True]


def test_no_answer_both_calms_and_hurries():
    texts = [*CALMING, *NOT_CALMING]
    assert not np.logical_and(reassuring(texts), urgent(texts)).any()


def test_answer_of_nothing_does_not_calm_and_none_gives_none():
    assert reassuring(["", " ", "؟", "."]) == [False] * 4
    assert reassuring([]) == []


def test_long_answers_take_no_long_time():
    """A model that repeats itself writes such; the time is to grow with the length alone."""
    start = time.perf_counter()
    reassuring(["لا " * 3000, "لا يوجد " * 1500, "يزول ابق انتظر لا حاجة " * 700])
    assert time.perf_counter() - start < 20


def test_answers_of_the_sample_that_calm_are_those_to_complaints_that_are_not_critical():
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    found = pd.Series(reassuring([row["answer"] for row in rows]))
    shares = found.groupby([row["severity"] for row in rows]).mean()
    assert shares["critical"] == 0
    assert shares["neutral"] < 0.02
    assert shares["non_critical"] > 0.15


@pytest.mark.slow
@pytest.mark.skipif(not POSTS.is_file(), reason="the released posts are not here")
def test_shares_of_the_plans_that_calm_are_those_of_the_documentation():
    """Of those the authors released; none of their text is copied."""
    posts = pd.read_excel(POSTS).dropna(subset=["Plan"])
    found = pd.Series(reassuring(posts["Plan"].astype(str).tolist()), index=posts.index)
    counts = found.groupby(posts["Severity"]).sum()
    documented = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    [stated] = re.findall(
        r"It flags (\d+) of them: (\d+) of critical posts .*?, (\d+) of neutral .*?, (\d+) of non",
        documented,
    )
    critical, neutral, non_critical = (int(counts[name]) for name in ("حرج", "متوسط", "غير حرج"))
    assert [int(number) for number in stated] == [int(found.sum()), critical, neutral, non_critical]
