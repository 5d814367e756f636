"""What jobs are under way in other processes, as they say themselves. Imports nothing: its process starts quickly."""

News = tuple[str, int, int, str]
"""(stage, steps done, steps in all, a note), as a run reports it."""


class Board:
    """Where jobs write how far they are, and the one who waits for them reads it."""

    def __init__(self) -> None:
        self._news: dict[str, News] = {}

    def tell(self, job: str, stage: str, done: int, total: int, note: str) -> None:
        """A job is so far."""
        self._news[job] = (stage, done, total, note)

    def read(self) -> dict[str, News]:
        """All that came since the last time, by job."""
        news, self._news = self._news, {}
        return news
