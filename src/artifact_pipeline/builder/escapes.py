r"""Escapes for characters that are invisible or move the cursor, wherever a user's text is shown.

A control character can ring a terminal's bell or move its cursor, and a formatting character can
reverse or hide text.

>>> write_out("no\x1b[2J\n\u202egnp.exe")
'no\\x1b[2J\\n\\u202egnp.exe'
"""

import re

# Unicode's categories Cc, Cs, Zl and Zp, and those of Cf (formatting) that are never visible.
# U+200C and U+200D of Cf are kept: Persian, Indic scripts and emoji join letters with them.
_INVISIBLE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\u061c\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f]"
)


def write_out(text: str) -> str:
    """Return a text with control and formatting characters as Python's escapes."""
    return _INVISIBLE.sub(lambda match: ascii(match[0])[1:-1], text)


def write_out_json(document: str) -> str:
    """Return a JSON document with these characters as JSON's escapes.

    Line ends are kept: inside strings JSON has escaped them already.
    """
    return _INVISIBLE.sub(lambda match: _json_escape(match[0]), document)


def _json_escape(character: str) -> str:
    if character == "\n":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
