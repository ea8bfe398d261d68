r"""Characters that no reader sees, written out: wherever a user's text is shown, it is shown whole.

A control character moves a terminal's cursor or rings its bell, and a formatting character turns
text around or hides in it. Terminal, model card, job summary and report all write them out.

>>> write_out("no\x1b[2J\n\u202egnp.exe")
'no\\x1b[2J\\n\\u202egnp.exe'
"""

import re

# Unicode's categories Cc, Cs, Zl and Zp, and of Cf (formatting) those that are never visible.
# Two of Cf stay, U+200C and U+200D: Persian, Indic scripts and emoji join letters with them.
_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\u061c\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f]"
)


def write_out(text: str) -> str:
    """Return `text` with control and formatting characters as Python's escapes."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def write_out_json(document: str) -> str:
    """Return a JSON document with these characters as JSON's escapes, its line ends kept.

    Inside of strings JSON has escaped line ends already.
    """
    return _UNSEEN.sub(lambda found: _json_escape(found[0]), document)


def _json_escape(character: str) -> str:
    if character == "\n":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
