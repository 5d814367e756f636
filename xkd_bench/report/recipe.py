"""A change of the recipe that all rows of a table share belongs to the table, not to the name of each row."""

import json
from typing import Any

import pandas as pd

PREFIX = "recipe."


def shared_recipe_apart(df: pd.DataFrame) -> pd.DataFrame:
    """`df` (one row a score) with the changes of the recipe that every score shares said once, with the budget.

    'cmc (recipe.distil.epochs=48)', 'ssl (recipe.distil.epochs=48)' and budget 'laptop' become 'cmc', 'ssl' and
    'laptop with distil.epochs=48'. For one table as it is shown only: across tables, names tell the recipes apart.
    """
    every: list[dict[str, Any]] = [json.loads(changes or "{}") for changes in df["option_changes"]]
    shared = [
        (name, value)
        for name, value in sorted(every[0].items() if every else ())
        if name.startswith(PREFIX) and all(name in one and one[name] == value for one in every)
    ]
    if not shared:
        return df
    names = {name for name, _ in shared}
    rest = [{name: value for name, value in one.items() if name not in names} for one in every]
    words = ", ".join(
        f"{name.removeprefix(PREFIX)}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in shared
    )
    return df.assign(
        option_changes=[json.dumps(one, sort_keys=True) for one in rest],
        budget=df["budget"].astype(str) + f" with {words}",
    )
