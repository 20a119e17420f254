"""The exceptions and warnings that users are meant to read."""


class RivalryError(Exception):
    """A mistake the user can mend: one line that names the key or file and says what would be right."""


class WrongArgument(RivalryError, ValueError):
    """The same, of something that a caller in Python gave: what Python calls a ValueError."""


class RivalryWarning(UserWarning):
    """What may be meant so and should still be read: one line. The command line prints it, and a run's terminal too."""


def one_line(text: str) -> str:
    """Text that a terminal shows as one line; what would move its cursor is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def nearest(given: str, valid: list[str]) -> str:
    """A hint that ends an error line: the closest valid name, or all of them when none is close."""
    from difflib import get_close_matches

    close = get_close_matches(given, valid, n=5, cutoff=0.5)
    # Letters that changed places are the likelier slip.
    close.sort(key=lambda name: sorted(name) != sorted(given))
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid: {', '.join(sorted(valid))}" if valid else "none is defined"
