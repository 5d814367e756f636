"""Pictures inside a page. Of SVG: no outside names, ids of its own, colours that turn with the reader's scheme."""

import re
from base64 import b64encode
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from matplotlib.colors import to_rgb

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
GROUND = "#16181d"
"""The page's ground in the dark; `style.css` says the same."""
SEEN, LEGIBLE, MOST = 2.0, 4.0, 14.0
"""Contrasts: what is below SEEN on white is meant to be faint; the rest gets LEGIBLE or more, and none above MOST."""


def inline(svg: bytes, prefix: str, alt: str) -> str:
    """An <svg> element for HTML. Its letters are outlines, so `alt` says what is seen.

    Every id starts with `prefix`; each colour is a variable whose fallback is the colour itself.
    """
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style") or not str(child.tag).startswith(SVG):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.attrib = {k.replace(XLINK, ""): _value(k, v, prefix) for k, v in element.attrib.items()}
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": alt, "class": "plot"}
    for element in root.iter():
        element.text = element.text if (element.text or "").strip() else None
        element.tail = None
    return ET.tostring(root, encoding="unicode")


def embedded(png: bytes, alt: str) -> str:
    """An <img> element that carries its PNG, on white in the dark too: colours of classes keep their names."""
    words = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<img class="panel" alt="{words}" src="data:image/png;base64,{b64encode(png).decode()}">'


def _value(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    value = value.replace("url(#", f"url(#{prefix}-")
    if value.startswith("#") and name.endswith("href"):
        return f"#{prefix}-{value[1:]}"
    if name == "d":
        return " ".join(value.split())
    return COLOUR.sub(lambda m: f"var(--k{m[0][1:]},{m[0]})", value)


def dark(figures: Iterable[str]) -> dict[str, str]:
    """Every colour of these figures and what it becomes on a dark ground, by name of the variable without '--'."""
    found = sorted({name for figure in figures for name in re.findall(r"var\(--k([0-9a-f]{6}),", figure)})
    return {f"k{name}": on_dark(f"#{name}") for name in found}


def contrast(a: str, b: str) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    high, low = sorted((_luminance(_linear(a)), _luminance(_linear(b))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def on_dark(colour: str, ground: str = GROUND) -> str:
    """The colour that stands out from a dark ground as `colour` does from white: faint stays faint, ink stays ink.

    Mixed with white, or with the ground, in linear light, where luminance is additive and the share has a closed form.
    """
    wanted = contrast(colour, "#ffffff")
    wanted = min(max(wanted, LEGIBLE), MOST) if wanted > SEEN else wanted
    own, base = _linear(colour), _linear(ground)
    target = wanted * (_luminance(base) + 0.05) - 0.05
    other = (1.0, 1.0, 1.0) if _luminance(own) < target else base
    gap = _luminance(other) - _luminance(own)
    share = (target - _luminance(own)) / gap if gap else 0.0
    mixed = [(1 - share) * a + share * b for a, b in zip(own, other, strict=True)]
    return "#" + "".join(f"{round(255 * _encoded(part)):02x}" for part in mixed)


def _linear(colour: str) -> tuple[float, float, float]:
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return r, g, b


def _encoded(c: float) -> float:
    c = min(max(c, 0.0), 1.0)
    return 12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055


def _luminance(rgb: tuple[float, float, float]) -> float:
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]
