"""Make SVG drawings small without changing what they show: coordinates rounded without drift, short ids."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'
_TOKEN = re.compile(r"[MmLlHhVvCcSsQqTtAaZz]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ARITY = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}
_LENGTHS = {"x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "fx", "fy", "r", "rx", "ry", "width", "height", "points"}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def minify(body: str, digits: int) -> str:
    """The same drawing with coordinates rounded to `digits` decimals of its own units, and ids of one letter.

    body: what stands inside an <svg> element. Raises ElementTree.ParseError where it is no XML.
    """
    root = ElementTree.fromstring(_HEAD.format(body))
    names: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            names.setdefault(element.attrib["id"], _letters(len(names)))
    return "".join(_write(child, names, digits) for child in root)


def _letters(n: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return letters[n] if n < len(letters) else _letters(n // len(letters) - 1) + letters[n % len(letters)]


def _write(element: ElementTree.Element, names: dict[str, str], digits: int) -> str:
    tag = element.tag.removeprefix(SVG)
    attributes = "".join(
        f' {key.replace(XLINK, "xlink:")}="{_attribute(key, value, names, digits)}"'
        for key, value in element.attrib.items()
        if not key.startswith("{") or key.startswith(XLINK)
    )
    inner = "".join(_write(child, names, digits) for child in element)
    return f"<{tag}{attributes}>{inner}</{tag}>" if inner else f"<{tag}{attributes}/>"


def _attribute(key: str, value: str, names: dict[str, str], digits: int) -> str:
    if key == "d":
        return round_path(value, digits)
    if key == "id":
        return names[value]
    if key in _LENGTHS and "%" not in value:
        return _NUMBER.sub(lambda m: number(float(m.group()), max(digits, 2)), value)
    if key.endswith("ransform"):
        return _NUMBER.sub(lambda m: f"{float(m.group()):.5g}", value)
    if key.removeprefix(XLINK) == "href" and value.startswith("#"):
        return "#" + names.get(value[1:], value[1:])
    value = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names.get(m.group(1), m.group(1))})", value)
    return value.replace("currentColor", "#000").replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def number(value: float, digits: int) -> str:
    """The shortest decimal of `value` at `digits` decimals: `-.5`, `12`, `0`."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text in ("-0", ""):
        return "0"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def round_path(d: str, digits: int) -> str:
    """Path data in relative commands, each end point rounded from where it truly lies, so that errors do not add up."""
    out: list[str] = []
    true = drawn = start_true = start_drawn = (0.0, 0.0)
    last = ""
    for command, args in _segments(d):
        kind = command.lower()
        if kind == "z":
            out.append("z")
            true, drawn, last = start_true, start_drawn, "z"
            continue
        origin = true if command.islower() else (0.0, 0.0)
        true, drawn, words = _segment(kind, args, origin, true, drawn, digits)
        if kind == "m":
            start_true, start_drawn = true, drawn
        out.append(_join(words, "" if kind == last and kind != "m" else kind))
        last = kind
    return "".join(out)


Point = tuple[float, float]


def _segment(
    kind: str, args: list[float], origin: Point, true: Point, drawn: Point, digits: int
) -> tuple[Point, Point, list[str]]:
    """One segment: its true end, its end as drawn, and its numbers relative to where drawing stands."""
    if kind in "hv":
        axis = "hv".index(kind)
        end = (args[0] + origin[0], true[1]) if axis == 0 else (true[0], args[0] + origin[1])
        step = _step(end[axis] - drawn[axis], end[axis] - true[axis], digits)
        moved = (drawn[0] + step, drawn[1]) if axis == 0 else (drawn[0], drawn[1] + step)
        return end, moved, [number(step, digits)]
    end = (args[-2] + origin[0], args[-1] + origin[1])
    words: list[str] = []
    fine = digits
    if kind == "a":
        short = max(abs(end[0] - true[0]), abs(end[1] - true[1])) < 20 * 10**-digits
        fine = digits + 2 if short else digits  # the ends of a nearly full circle must stay apart
        words = [number(args[0], digits + 1), number(args[1], digits + 1), number(args[2], 1)]
        words += [str(int(args[3])), str(int(args[4]))]
    else:
        for i in range(0, len(args) - 2, 2):
            words += [number(args[i + k] + origin[k] - drawn[k], digits) for k in (0, 1)]
    steps = [round(end[k] - drawn[k], fine) for k in (0, 1)]
    if kind == "l" and steps == [0, 0] and end != true:
        steps[0] = 10**-digits  # a dot drawn as a very short stroke
    words += [number(step, fine) for step in steps]
    return end, (drawn[0] + steps[0], drawn[1] + steps[1]), words


def _step(to_go: float, meant: float, digits: int) -> float:
    step = round(to_go, digits)
    return step if step or not meant else 10**-digits


def _join(words: list[str], command: str) -> str:
    out = command
    previous = command
    for i, word in enumerate(words):
        glued = (i == 0 and command) or word.startswith("-") or (word.startswith(".") and "." in previous)
        out += word if glued else " " + word
        previous = word
    return out


def _segments(d: str) -> Iterator[tuple[str, list[float]]]:
    """Commands with their numbers, repeated commands written out."""
    tokens = _TOKEN.findall(_separate_flags(d))
    i, command = 0, ""
    while i < len(tokens):
        if tokens[i].isalpha():
            command = tokens[i]
            i += 1
        arity = _ARITY[command.lower()]
        yield command, [float(t) for t in tokens[i : i + arity]]
        i += arity
        command = {"m": "l", "M": "L"}.get(command, command)


def _separate_flags(d: str) -> str:
    """Arc flags may stand without a gap (`a1 1 0 01.5.5`): put gaps around them."""
    num = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    arc = re.compile(
        rf"\s*,?\s*({num})\s*,?\s*({num})\s*,?\s*({num})\s*,?\s*([01])\s*,?\s*([01])\s*,?\s*({num})\s*,?\s*({num})"
    )

    def arcs(match: re.Match[str]) -> str:
        rest, out = match.group(2), match.group(1)
        position = 0
        while found := arc.match(rest, position):
            out += " " + " ".join(found.groups())
            position = found.end()
        return out + rest[position:]

    return re.sub(r"([Aa])([^A-Za-z]*(?:[eE][^A-Za-z]*)*)", arcs, d)
