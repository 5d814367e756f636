"""Colour drawings of 1,060 concepts, in six styles, to line drawings of the same concepts, in five."""

from dataclasses import replace

from xkd_bench.errors import UsageError
from xkd_bench.tasks._concepts import ConceptData
from xkd_bench.tasks._drawings import draw, rows
from xkd_bench.tasks._embedded import archive
from xkd_bench.tasks._rasterise import count
from xkd_bench.tasks.base import Card, Progress, Task


class EmojiSketch(Task):
    """Labels are the Unicode standard's 8 groups, or with `emoji-sketch:subgroups` its larger subgroups.

    Each style's drawing is an item: a concept has up to six source items and five target items, and any source item
    of a concept pairs with any target item of it.
    """

    card = Card(
        name="emoji-sketch",
        title="Emoji: colour drawings to line drawings",
        source="colour drawings",
        target="line drawings",
        pairing="instance",
        origin="real",
        licence="MIT, Apache-2.0, CC-BY-4.0, OFL-1.1 or free for any use (by style)",
    )

    def __init__(self, argument: str = "") -> None:
        if argument not in ("", "groups", "subgroups"):
            raise UsageError(f"task 'emoji-sketch' takes 'groups' or 'subgroups' as its labels, not '{argument}'")
        self.fine = argument == "subgroups"
        if self.fine:
            self.card = replace(self.card, name="emoji-sketch:subgroups", title=f"{self.card.title}, by subgroup")

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> ConceptData:
        """Rasterise the drawings at the asked sizes, or read them from the cache; progress is told (done, total)."""
        shipped = archive()
        concepts = [concept for concept in shipped.concepts if concept.shared]
        codes = [concept.code for concept in concepts]
        add = count(len(rows(shipped.colour, codes)) + len(rows(shipped.line, codes)), progress)
        source = draw("emoji-colour", shipped.colour, codes, source_size, 3, add)
        target = draw("emoji-line", shipped.line, codes, target_size, 1, add)

        return ConceptData(
            (source.data, source.concept),
            (target.data, target.concept),
            concepts,
            self.fine,
            pixels=(source.digest, target.digest),
        )


TASK = EmojiSketch
