"""Text that is safe to print."""


def printable(text: object) -> str:
    """Return ``text`` on one line, with control characters (colour codes too) written as escapes.

    Column names and paths come from files that anybody may have written, so they pass through here
    before they reach a terminal.
    """
    flat = " ".join(str(text).split())
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in flat)
