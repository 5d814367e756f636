"""The fixed protocols and budgets, as data.

A protocol is a point in one space: fraction of pairs × labels per class × what is trained (`head` or `all`).
A budget says how long and how large: resolution, default student, seeds, and one recipe for each stage. Budgets
never mix in a table. All the numbers live in the TOML files beside this one and nowhere else; this package
imports nothing of the rest of the project.
"""

from protocols.model import (
    CHANGEABLE,
    Budget,
    HeadRecipe,
    Protocol,
    Recipe,
    budget_names,
    load_budget,
    load_protocol,
    protocol_names,
)

__all__ = [
    "CHANGEABLE",
    "Budget",
    "HeadRecipe",
    "Protocol",
    "Recipe",
    "budget_names",
    "load_budget",
    "load_protocol",
    "protocol_names",
]
