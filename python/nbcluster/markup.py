"""Text in HTML."""

from __future__ import annotations


def escape(text: str) -> str:
    """Text as it is written in HTML, quotes too. What that takes is imported when there is something to show.

    Example:
        >>> escape("a < b")
        'a &lt; b'
    """
    import html

    return html.escape(text)
