"""Which answers tell the patient to seek urgent care: hand-written sentences, and the released plans."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from pipeline.evaluation.urgency import urgent
from pipeline.text.normalise import RULES, Normaliser

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "complaints.jsonl"
POSTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "severity_posts.xlsx"

URGENT = [
    # formal
    "توجه إلى أقرب قسم طوارئ فورًا.",
    "يجب عليك الذهاب إلى الطوارئ حالًا ولا تنتظر حتى الصباح.",
    "اتصل بالإسعاف على الفور، فهذه قد تكون جلطة.",
    "أنصحك بمراجعة الطوارئ الآن لعمل تخطيط للقلب.",
    "الألم الذي تصفه خطير، لذلك توجهي مباشرة إلى المستشفى.",
    "انقلوه إلى المستشفى في الحال.",
    "لا بد من نقله إلى الطوارئ دون تأخير.",
    "اطلبوا سيارة الإسعاف ولا تعطوه شيئا بالفم.",
    "خذ طفلك إلى أقرب مستشفى ليقيّم الجفاف.",
    "راجع طبيب العيون فورا، ففقدان البصر المفاجئ لا يحتمل الانتظار.",
    "هذه حالة طارئة تحتاج إلى تدخل جراحي.",
    "ما لديك حالة إسعافية، فلا تؤجل.",
    "عليك التوجه لقسم الطوارئ لإجراء تحليل إنزيمات القلب.",
    "السلام عليكم، الأعراض تدل على التهاب الزائدة ويلزم دخول المستشفى فورا.",
    "اذهبي اليوم إلى طوارئ النساء والولادة.",
    "لا تتأخر، واذهب إلى الطوارئ.",
    "لا تنتظر موعد العيادة بل راجع الطوارئ.",
    "إن هذه الأعراض خطيرة، فتوجه إلى الطوارئ.",
    "توجه إلى الطوارئ حتى لو زال الألم.",
    "انتفاخ كهذا خطير ولو كان بلا ألم، فاذهبي إلى الطوارئ الآن.",
    "استدعوا الإسعاف حالا وأبقوها على جنبها.",
    "من الضروري زيارة الطبيب في أسرع وقت.",
    # MAQA's spelling: no hamza, no punctuation
    "عليك مراجعه الطواري فورا لان الالم قد يكون من القلب",
    "يجب ان تذهب للمستشفي حالا لعمل اشعه",
    "هذه الاعراض خطيره توجهي الي اقرب مستشفي",
    "انصحك بالذهاب الي قسم الطوارئ باسرع وقت",
    # Egyptian
    "لازم تروح الطوارئ دلوقتي يا فندم.",
    "حضرتك محتاج تنزل طوارئ تعمل رسم قلب.",
    "خدوه على أقرب مستشفى بسرعة.",
    "اتصلي بالإسعاف حالا وما تتحركيش.",
    "روح لدكتور باطنة فورا.",
    "كلموا الإسعاف ١٢٣ دلوقتي.",
    "وديه المستشفى فورا عشان ده ممكن يكون تسمم.",
    "أقرب طوارئ لو سمحت.",
    # Levantine
    "روحي عالطوارئ هلق.",
    "لازم تاخدوه عالمستشفى فورا.",
    "دقوا للإسعاف وما تتركوه لحاله.",
    "انزل على الطوارئ وخليهن يعملولك تخطيط.",
    # Gulf and Iraqi
    "روح الطوارئ الحين ولا تتأخر.",
    "لازم توديه الطوارئ الحين.",
    "اتصل على ٩٩٧ الحين.",
    "دقي على الإسعاف بسرعة.",
    "لازم تاخذه للمستشفى هسه.",
    "تحتاج تنويم في المستشفى اليوم.",
]

NOT_URGENT = [
    # nothing of the kind
    "خذ قسطا من الراحة واشرب السوائل الدافئة.",
    "راجع الطبيب خلال أسبوع لإجراء تحليل الدم.",
    "الحمد لله على السلامة، التحاليل سليمة.",
    "ضع كمادات باردة وارفع ساقك.",
    "تحتاجين إلى زيارة طبيبة النساء لعمل سونار.",
    "احجز موعدا عند طبيب القلب هذا الأسبوع.",
    "الغالب أنها نزلة برد وتزول وحدها سريعا.",
    "الدواء يؤخذ مباشرة بعد الأكل.",
    "حتى الآن لا يوجد ما يقلق.",
    "اعمل التحليل في مستشفى أو معمل قريب.",
    "العملية تجرى في المستشفى تحت تخدير موضعي.",
    "أوقف الدواء فورا واستعمل غيره.",
    "الأعراض دي بتروح بسرعة.",
    "نتمنى لك الشفاء العاجل.",
    "يرجى مراجعة طبيب العظام لمباشرة العلاج.",
    # there is no need
    "لا داعي للذهاب إلى الطوارئ.",
    "لا حاجة لمراجعة الطوارئ، يكفي خافض الحرارة.",
    "هذه ليست حالة طارئة.",
    "ليست حالة طارئة، راجع العيادة خلال أيام.",
    "لا تحتاج إلى دخول المستشفى الآن.",
    "الأمر لا يستدعي الذهاب إلى المستشفى فورا.",
    "مش محتاج تروح الطوارئ خالص.",
    "مفيش داعي تنزل طوارئ.",
    "ما في داعي تروح عالطوارئ.",
    "مو لازم تروح الطوارئ الحين.",
    "ما يحتاج تروح المستشفى الحين.",
    "لا تذهب إلى الطوارئ من أجل هذا.",
    "خذ خافضا للحرارة ولا تذهب إلى الطوارئ.",
    "ليس من الضروري نقله إلى المستشفى الآن.",
    "لا داعي للقلق ولا للذهاب إلى الطوارئ.",
    # the past, or a question
    "ذهبت إلى الطوارئ فأعطوك مسكنا، وهذا صحيح.",
    "تم نقله إلى الطوارئ أمس وتحسن.",
    "ما تناولته بعد خروجك من الطوارئ كاف.",
    "راحت المستشفى مبارح وطلعت سليمة.",
    "هل ذهبت إلى الطوارئ؟",
    "هل تم نقلها إلى المستشفى فورا؟",
    "كنت في الطوارئ الأسبوع الماضي، فأكمل العلاج.",
    "من قال لك أن تتوجه إلى الطوارئ الآن؟",
    # in a case only
    "إذا ساءت حالته فاذهب إلى الطوارئ فورا.",
    "راجع العيادة خلال أيام، وإن ضاق نفسك فتوجه إلى الطوارئ.",
    "لو زاد الألم روح الطوارئ.",
    "توجه إلى الطوارئ إذا ارتفعت الحرارة فوق أربعين.",
    "في حال استمرار النزيف اتصل بالإسعاف.",
    "أما ألم الصدر الشديد فيوجب الذهاب إلى الطوارئ.",
    "اتصل بالإسعاف عند فقدان الوعي.",
    "ضيق النفس يستدعي الذهاب إلى الطوارئ.",
    "اذا لم يتحسن بعد يومين راجع الطوارئ",
    "راجع العياده هذا الاسبوع ان ضاق نفسك او ظهر دم فتوجه الي الطوارئ",
    "لو ما تحسن وديه الطوارئ.",
    "كلما زاد الورم وجب نقله إلى المستشفى فورا.",
    "عند ظهور طفح جلدي راجع الطوارئ.",
]

# What the list cannot tell: urgent care in words that it lacks or under a condition that holds; and
# what somebody else said.
MISSED = [
    "بما أن الألم شديد إذا تحركت، فالطوارئ هي المكان الصحيح لك.",
    "لا أستطيع أن أطمئنك من هنا، ويجب أن يراك جراح خلال ساعة.",
]
MISTAKEN = [
    "صديقك قال لك اذهب إلى الطوارئ، لكنه بالغ.",
]


def test_each_sentence_that_tells_to_seek_urgent_care_is_found():
    assert [text for text, found in zip(URGENT, urgent(URGENT), strict=True) if not found] == []


def test_no_other_sentence_is():
    assert [text for text, found in zip(NOT_URGENT, urgent(NOT_URGENT), strict=True) if found] == []


@pytest.mark.parametrize("text", MISSED)
def test_what_the_list_has_no_words_for_is_missed(text):
    assert urgent([text]) == [False]


@pytest.mark.parametrize("text", MISTAKEN)
def test_what_somebody_else_said_is_taken_for_advice(text):
    assert urgent([text]) == [True]


def as_in_maqa(text):
    """No hamza, ه for ة, no punctuation."""
    [folded] = Normaliser(dict.fromkeys(RULES, True))([text])
    return " ".join(re.findall(r"\w+", folded))


def test_maqas_spelling_makes_hardly_a_difference():
    """A question without its mark, and إن that may be أن, cannot be told."""
    right = [text for text in URGENT if urgent([as_in_maqa(text)])[0]]
    wrong = [text for text in NOT_URGENT if "؟" not in text and urgent([as_in_maqa(text)])[0]]
    assert len(right) >= 0.95 * len(URGENT)
    assert len(right) / (len(right) + len(wrong)) >= 0.95


@pytest.mark.parametrize("text", ["توجه إلى الطوارئ فورا", "ليست حالة طارئة"])
def test_spelling_does_not_matter(text):
    marked = text.replace("و", "وَ").replace("ا", "اـ").replace("ط", "ططط")
    assert urgent([text]) == urgent([marked]) == urgent([text.replace("ة", "ه").replace("ئ", "ىء")])


def test_one_sentence_of_an_answer_is_enough_and_conditions_end_with_theirs():
    assert urgent(["إذا زاد الألم فخذ مسكنا. توجه إلى الطوارئ الآن."]) == [True]
    assert urgent(["إذا زاد الألم فخذ مسكنا\nتوجه إلى الطوارئ الآن"]) == [True]
    assert urgent(["توجه إلى الطوارئ الآن. إذا تقيأ فضعه على جنبه."]) == [True]
    assert urgent(["أعطه خافضا إن توفر، واتصل بالإسعاف."]) == [True]


def test_answer_of_nothing_is_not_urgent_and_none_gives_none():
    assert urgent(["", " ", "؟", "."]) == [False] * 4
    assert urgent([]) == []


def test_long_answers_take_no_long_time():
    """A model that repeats itself writes such; the time is to grow with the length alone."""
    text = "اذهب " * 3000
    start = time.perf_counter()
    urgent([text, "فورا " * 3000, "لازم اقرب فورا روح " * 700])
    assert time.perf_counter() - start < 20


@pytest.mark.skipif(not POSTS.is_file(), reason="the released posts are not here")
def test_flagged_plans_are_critical_more_often_than_the_rest():
    """Of those the authors released; none of their text is copied."""
    posts = pd.read_excel(POSTS).dropna(subset=["Plan"])
    flagged = np.array(urgent(posts["Plan"].astype(str).tolist()))
    critical = posts["Severity"].eq("حرج").to_numpy()
    assert flagged.sum() >= 20
    share, rest = critical[flagged].mean(), critical[~flagged].mean()
    assert share > 2 * rest
    table = [
        [sum(critical & flagged), sum(~critical & flagged)],
        [sum(critical & ~flagged), sum(~critical & ~flagged)],
    ]
    assert fisher_exact(table).pvalue < 0.001


def test_urgent_answers_of_the_sample_are_those_to_critical_complaints():
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    found = pd.Series(urgent([row["answer"] for row in rows]))
    severity = pd.Series([row["severity"] for row in rows])
    shares = found.groupby(severity).mean()
    assert shares["critical"] > 0.9
    assert shares["neutral"] < 0.05
    assert shares["non_critical"] < 0.01
