"""The ways a run can end that are the user's to mend: each is one clear line and one exit code."""


class UsageError(ValueError):
    """What was asked for cannot be done: says what was wrong, where, and what to do. Exit code 2."""

    exit_code = 2


class TrainingError(RuntimeError):
    """Training broke down (a loss that is not finite). Exit code 3; nothing is recorded."""

    exit_code = 3


def nearest(kind: str, name: str, known: list[str]) -> UsageError:
    """An error for an unknown `name` that names the nearest known one, if any is near, and all if few."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    listed = f"known: {', '.join(sorted(known))}" if len(known) <= 40 else f"see xkd-bench list {kind}s"
    return UsageError(f"unknown {kind} '{name}': {hint}{listed}")
