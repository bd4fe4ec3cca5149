"""Messages of commands and configurations, at a length that a person reads."""

_LONGEST, _MOST_LINES = 500, 100  # characters of a line of a message, and lines


def cut_message(text: str) -> str:
    """Return a message of at most 100 lines of at most 500 characters; the middle is left out."""
    lines, half = text.split("\n"), _LONGEST // 2 - 2
    shown = []
    for line in lines[:_MOST_LINES]:
        shown.append(line if len(line) <= _LONGEST else f"{line[:half]} … {line[-half:]}")
    if len(lines) > _MOST_LINES:
        shown.append(f"and {len(lines) - _MOST_LINES} more")
    return "\n".join(shown)
