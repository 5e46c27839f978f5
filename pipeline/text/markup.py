"""HTML in a text: entities become their character, tags a space. What only looks like HTML stays."""

import html
import re
from html.entities import html5

_AMPERSANDS = re.compile("&(?:amp;)+")
_ENTITY = re.compile(r"&(?:#[xX][0-9a-fA-F]{1,8};?|#[0-9]{1,10};?|([A-Za-z]{2,31})([0-9]{0,3})(;?))")
# The elements of the HTML standard, and those of older versions that pages still have.
_ELEMENTS = frozenset(
    """
    a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink
    blockquote body br button canvas caption center cite code col colgroup data datalist dd del
    details dfn dialog dir div dl dt em embed fieldset figcaption figure font footer form frame
    frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe image img input ins kbd label
    legend li link main map mark marquee math menu meta meter nav nobr noframes noscript object ol
    optgroup option output p param picture pre progress q rp rt ruby s samp script search section
    select slot small source span strike strong style sub summary sup svg table tbody td template
    textarea tfoot th thead time title tr track tt u ul var video wbr
    """.split()  # noqa: SIM905
)
_VALUE = r"""(?:"[^"<>]{0,1000}"|'[^'<>]{0,1000}'|[^\s"'=<>`]{1,1000})"""
_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z0-9]{0,15})"
    rf"((?:\s{{1,9}}[A-Za-z_:@-][A-Za-z0-9_:.-]{{0,50}}\s?=\s?{_VALUE}){{0,20}})\s{{0,9}}/?>"
    r"|<!--[^<>]{0,1000}-->"
)
_LONGEST_CONTENT = 1000  # characters, within which an element of one letter is closed


def without_markup(text: str) -> str:
    """Replace entities by their characters and tags by a space.

    Only names of HTML elements are tags: in "Na <low> K" nothing is. An opening tag of one letter between
    two words without spaces is a comparison ("a<b>c") if nothing closes it. `<sup>` between a number or a
    word and a number is a power: "10<sup>9</sup>" becomes "10^9 ". `<sub>` after a Latin letter leaves
    no space: "B<sub>12</sub>" becomes "B12 ".
    """
    text = _ENTITY.sub(_character, _AMPERSANDS.sub("&", text))
    return _TAG.sub(_space, text) if "<" in text else text


def _character(match: re.Match[str]) -> str:
    name, digits, end = match.groups()
    if name is None:
        # Nothing stands for a control character, and what names one would bring its neighbours together.
        return html.unescape(match[0]) or match[0]
    whole = f"{name}{digits}{end}"
    if whole in html5:
        return html5[whole]
    # Old names need no semicolon: "&lt5".
    return html5[name] + digits + end if name in html5 else match[0]


def _space(match: re.Match[str]) -> str:
    closing, name, attributes = match.groups()
    if name is None:
        return " "
    text, element = match.string, name.lower()
    if element not in _ELEMENTS:
        return match[0]
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    between_words = before.isalnum() and after.isalnum()
    if len(name) == 1 and not closing and not attributes and between_words:
        closed = text.find(f"</{name}>", match.end(), match.end() + _LONGEST_CONTENT) >= 0
        return " " if closed or not (before + after).isascii() else match[0]
    if element == "sup" and not closing and before.isalnum() and (after.isdigit() or after in tuple("-−+")):
        return "^"
    if element == "sub" and not closing and before.isascii() and before.isalpha() and after.isalnum():
        return ""
    return " "
