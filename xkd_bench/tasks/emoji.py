"""One drawing style of 1,059 concepts to another of the same concepts: 14 styles, every ordered pair, one item each."""

from dataclasses import replace

import numpy as np

from xkd_bench.errors import UsageError, nearest
from xkd_bench.tasks._concepts import ConceptData
from xkd_bench.tasks._embedded import Concept, archive
from xkd_bench.tasks._packages import Package
from xkd_bench.tasks._rasterise import count
from xkd_bench.tasks._styles import FLUENT_3D, FLUENT_COLOR, OPENMOJI, STYLES, pixels
from xkd_bench.tasks.base import Card, Progress, Task

DEFAULT = ("noto", "openmoji-line")
_BLANK = {"1F195"}
"""Drawn as nothing in some style (the NEW button, by OpenMoji in black): in no pair."""
_ALIKE = {
    "taxi": "automobile",
    "police car": "automobile",
    "scowling face": "plain face",
    "# frowning": "#",
    "# pouting": "#",
}
"""Groups of near-duplicates that are one here: told by their pixels, OpenMoji's black drawings of them are the same."""


class Emoji(Task):
    """`emoji:noto>openmoji-line`: labels are the Unicode standard's 8 groups; with `:subgroups` at the end its 37
    larger subgroups. `emoji` alone is that pair, and preparing it prepares all styles.

    The same concepts, labels and splits in all pairs, 182 of them between two styles, so that pairs differ in their
    styles alone. Some styles are made after others (`card.lineage`): their pairs are not independent evidence.
    """

    card = Card(
        name="emoji",
        title="Emoji: one drawing style to another",
        source=STYLES[DEFAULT[0]].words,
        target=STYLES[DEFAULT[1]].words,
        pairing="instance",
        origin="real",
        licence="MIT, Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0, OFL-1.1 or free for any use (by style)",
        lineage=(STYLES[DEFAULT[0]].family, STYLES[DEFAULT[1]].family),
    )
    packages: tuple[Package, ...] = (OPENMOJI, FLUENT_3D, FLUENT_COLOR)

    def __init__(self, argument: str = "") -> None:
        pair, _, labels = argument.partition(":")
        names = pair.split(">") if argument else list(DEFAULT)
        if len(names) != 2 or labels not in ("", "groups", "subgroups"):
            raise UsageError(
                f"task 'emoji' takes SOURCE>TARGET, such as 'emoji:noto>twemoji' or 'emoji:noto>twemoji:subgroups', "
                f"not '{argument}' (quote it: > means something to the shell)"
            )
        for name in names:
            if name not in STYLES:
                raise nearest("style", name, list(STYLES))
        self.fine = labels == "subgroups"
        self.source, self.target = source, target = STYLES[names[0]], STYLES[names[1]]
        if not argument:
            return
        self.packages = tuple({style.package: None for style in (source, target) if style.package})
        self.card = replace(
            self.card,
            name=f"emoji:{source.name}>{target.name}{':subgroups' * self.fine}",
            title=f"Emoji: {source.name} to {target.name}{', by subgroup' * self.fine}",
            source=source.words,
            target=target.words,
            licence="; ".join(dict.fromkeys((source.licence, target.licence))),
            lineage=(source.family, target.family),
        )

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> ConceptData:
        """Draw both styles at the asked sizes, or read them from the cache; progress is told (done, total)."""
        for style in (self.source, self.target):
            if style.package:
                self.folder(style.package)  # raises if it is not here: before anything is drawn
        concepts = shared_concepts()
        add = count(2 * len(concepts), progress)
        source, source_digest = pixels(self.source, concepts, source_size, True, self.folder, add)
        target, target_digest = pixels(self.target, concepts, target_size, self.target.colour, self.folder, add)
        one_each = np.arange(len(concepts))
        return ConceptData(
            (source, one_each), (target, one_each), concepts, self.fine, pixels=(source_digest, target_digest)
        )


def shared_concepts() -> list[Concept]:
    """The concepts that every style draws."""
    drawn = [concept for concept in archive().concepts if concept.shared and concept.code not in _BLANK]
    return [concept._replace(near=_ALIKE.get(concept.near, concept.near)) for concept in drawn]


TASK = Emoji
