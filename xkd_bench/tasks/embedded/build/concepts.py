"""The concepts: emoji of the Unicode standard with their groups, and which of them draw nearly the same thing."""

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

Rule = tuple[str, str, str]
"""(subgroups as a regular expression, label as a regular expression, what the matched part becomes)"""

_DIRECTION = r"(?:up|down|left|right)(?:-(?:up|down|left|right))*"
_COLOUR = r"(?:red|orange|yellow|green|light blue|blue|purple|brown|black|white|grey|pink)"

# Applied in order to the lower-case label; labels that come out the same are near-duplicates.
_RULES: list[Rule] = [
    (r"family|couple", r".*(?:kiss|couple).*", "couple"),
    ("family", r".*", "family"),
    (r"person.*|family|hand.*", r":.*", ""),
    (
        r"person.*|family",
        r"\b(?:man|woman|men|women|person|people|boy|girl|child|adult|prince|princess|old|(?:mrs\.|santa) claus)\b",
        "#",
    ),
    (r"person.*|family", r"# and #", "#"),
    (r"person.*", r"# dancing|# with bunny ears", "# dancing"),
    ("hand.*", rf"(?:backhand )?index pointing (?:{_DIRECTION}|at the viewer)", "pointing"),
    ("hand.*", r"thumbs (?:up|down)", "thumb"),
    ("hand.*", r"(?:left-facing|right-facing|oncoming|raised) fist", "fist"),
    ("hand.*", r"raised back of hand|raised hand|hand with fingers splayed|vulcan salute", "raised hand"),
    ("hand.*", r"raising hands|open hands", "two hands"),
    (r".*", r",? facing right", ""),
    ("time", r".*(?:o[’']clock|-thirty)", "clock face"),
    ("time", r"hourglass.*", "hourglass"),
    ("time", r"(?:alarm clock|timer clock|mantelpiece clock|stopwatch)", "alarm clock"),
    ("keycap", r".*", "keycap"),
    ("alphanum", r"input .*", "input"),
    ("alphanum", r".*\(blood type\)", "blood type"),
    ("geometric", "radio button", "disc"),
    ("geometric", rf"\b(?:{_COLOUR}|large|medium-small|medium|small|button)\b", ""),
    ("geometric", r"triangle pointed \w+", "triangle"),
    ("heart", rf"{_COLOUR} heart", "heart"),
    (
        "heart",
        r"(?:growing|beating|two|revolving) hearts?|heart (?:decoration|with ribbon|with arrow)|sparkling heart",
        "heart",
    ),
    ("game", r"heart suit", "heart suit"),
    ("punctuation", rf"{_COLOUR} (question|exclamation) mark", r"\1 mark"),
    ("punctuation", r"double exclamation mark", "exclamation mark"),
    ("arrow", rf"{_DIRECTION} arrow", "arrow"),
    ("arrow", rf"{_DIRECTION} arrow curving {_DIRECTION}", "curved arrow"),
    ("arrow", r"(?:back|end|on!|soon|top) arrow", "word arrow"),
    ("arrow", r".*clockwise.*", "turning arrows"),
    ("av-symbol", r"(?:play|reverse|upwards|downwards) button", "play button"),
    ("av-symbol", r"fast.?(?:forward|reverse|up|down) button", "fast button"),
    ("av-symbol", r"(?:next|last) track button", "track button"),
    ("av-symbol", r"repeat.*button", "repeat button"),
    ("av-symbol", r"(?:dim|bright) button", "bright button"),
    ("sound", r".*speaker.*", "speaker"),
    ("sound", r"bell.*", "bell"),
    ("music|sound", r"musical (?:notes?|score)", "musical note"),
    ("mail", r".*mailbox.*", "mailbox"),
    ("mail", r"(?:inbox|outbox) tray", "tray"),
    ("mail", r"envelope.*|incoming envelope|e-mail", "envelope"),
    ("book-paper", rf"(?:closed|{_COLOUR}) book|books", "book"),
    ("book-paper", r".*notebook.*", "notebook"),
    ("book-paper", r"page .*|bookmark tabs|scroll", "page"),
    ("book-paper", r".*newspaper", "newspaper"),
    ("office", r"chart.*", "chart"),
    ("money", r"chart.*", "chart"),
    ("office", r".*calendar", "calendar"),
    ("office", r".*folders?", "folder"),
    ("money", r".* banknote", "banknote"),
    ("lock", r".*lock.*", "lock"),
    ("light-video", r"magnifying glass.*", "magnifying glass"),
    ("light-video", r"camera.*", "camera"),
    ("phone", r"mobile phone.*", "mobile phone"),
    ("science|tool", r"hammer and .*|.*\bpick", "hammer and pick"),
    ("award-medal", r"(?:1st|2nd|3rd) place medal|sports medal", "medal"),
    ("event", r"(?:admission )?tickets?", "ticket"),
    ("sky-weather", r".*moon.*", "moon"),
    ("sky-weather", r"sun(?: behind .*cloud| with face)?", "sun"),
    ("sky-weather", r"cloud with .*", "cloud with"),
    ("sky-weather", r".*umbrella.*", "umbrella"),
    ("sky-weather", r"(?:glowing |shooting )?star", "star"),
    ("sky-weather", r"snowman.*", "snowman"),
    ("place-map", r"globe showing.*", "globe"),
    ("place-geographic", r"(?:snow-capped )?mountain|mount fuji", "mountain"),
    ("place-building", r"house(?: with garden|s)?|derelict house", "house"),
    ("place-building", r"(?:japanese )?post office|office building|hospital|bank|hotel|school", "building"),
    ("place-building", r"(?:japanese )?castle", "castle"),
    ("transport-ground", r"oncoming ", ""),
    ("transport-ground", r"tram car|light rail|railway car|station|metro|tram|mountain railway", "rail"),
    ("transport-ground", r"bullet train|high-speed train|train|locomotive", "train"),
    ("transport-ground", r".*traffic light", "traffic light"),
    ("transport-air", r"airplane.*|small airplane", "airplane"),
    ("transport-water", r"ship|ferry|passenger ship", "ship"),
    ("animal.*", r"(?:hatching|front-facing baby|baby) chick", "chick"),
    ("animal.*", r"two-hump camel", "camel"),
    ("animal.*", r"spouting whale", "whale"),
    ("animal.*|monkey-face", r"(?:see|hear|speak)-no-evil monkey", "monkey"),
    ("animal.*", r"polar bear", "bear"),
    ("animal.*", r"ewe|ram", "sheep"),
    ("animal.*", r"(?:water buffalo|bison|ox|cow)", "cow"),
    ("animal.*", r"(?:poodle|guide dog|service dog|dog)", "dog"),
    ("animal.*", r"(?:tropical |blow)?fish", "fish"),
    ("animal.*", r" face$", ""),
    ("plant.*", r"(?:evergreen|deciduous) tree", "tree"),
    ("plant.*", r"(?:fallen|maple) leaf|leaf fluttering in wind", "leaf"),
    ("plant.*", r"(?:four leaf clover|shamrock)", "clover"),
    ("food-fruit", rf"{_COLOUR} apple", "apple"),
    ("food-sweet", r"(?:soft )?ice cream|shaved ice", "ice cream"),
    ("food-asian", r"rice (?:ball|cracker)", "rice ball"),
    ("food-prepared", r"(?:shallow pan of food|cooking)", "pan"),
    ("dishware", r"fork and knife.*", "fork and knife"),
    ("drink", r"(?:clinking )?beer mugs?", "beer mug"),
    ("emotion|face.*", r".*bubble|.*balloon", "bubble"),
    ("cat-face", r".*", "cat face"),
    ("face-smiling", r"(?:grinning|beaming).*|face with tears of joy|rolling on the floor laughing", "grinning"),
    ("face-smiling", r"(?:slightly )?smiling face(?: with smiling eyes)?", "smiling"),
    ("face-affection", r"(?:kissing face.*|face blowing a kiss)", "kissing"),
    ("face-affection", r"smiling face", "smiling"),
    ("face-tongue", r".*with tongue|face savoring food", "tongue out"),
    ("face-concerned", r"(?:slightly )?frowning face|(?:confused|worried) face", "frowning"),
    (
        "face-concerned",
        r"frowning face with open mouth|(?:anguished|hushed|astonished|flushed) face|face with open mouth",
        "open",
    ),
    ("face-concerned", r"(?:persevering|confounded|weary|tired) face", "persevering"),
    ("face-concerned", r"(?:anxious|sad but relieved|downcast|fearful) face.*", "sweating"),
    ("face-concerned", r"(?:crying|loudly crying) face", "crying"),
    ("face-neutral.*", r"(?:neutral|expressionless) face|face without mouth", "neutral"),
    ("face-negative", r"(?:smiling|angry) face with horns", "horns"),
    ("face-negative", r"(?:enraged|angry) face", "angry"),
    ("face-negative", r"skull.*", "skull"),
    ("clothing", r"woman[’']s (?:boot|sandal)|high-heeled shoe", "woman's shoe"),
    ("clothing", r"(?:woman[’']s clothes|dress)", "dress"),
    ("clothing", r"(?:glasses|sunglasses|goggles)", "glasses"),
    ("clothing", r"(?:handbag|purse|clutch bag|shopping bags)", "bag"),
    ("sport", r"pool 8 ball", "ball"),
    ("writing", r"(?:pen|fountain pen|pencil|crayon|paintbrush)", "pen"),
]


# Told by their pixels: drawings that some line style draws the same or almost the same. These come last, on the names
# that the rules above give.
_ALIKE: list[tuple[str, ...]] = [
    ("disc or square", "moon", "circle", "square", "disc", "record button", "stop button"),
    ("cat", "cat face"),
    ("heart", "heart suit", "broken heart"),
    ("diamond", "diamond suit"),
    ("spade suit", "club suit"),
    ("multiply", "plus", "minus", "divide", "cross mark", "cross mark button"),
    ("eight-spoked asterisk", "eight-pointed star", "sparkle"),
    ("star of david", "dotted six-pointed star"),
    ("latin cross", "orthodox cross"),
    ("copyright", "registered"),
    ("men’s room", "women’s room", "restroom"),
    ("optical disk", "dvd"),
    ("bed", "# in bed"),
    ("cityscape", "cityscape at dusk", "night with stars"),
    ("building", "hotel", "love hotel", "department store", "convenience store"),
    ("prohibited", "no bicycles", "no pedestrians", "no littering", "non-potable water", "no smoking"),
    ("prohibited", "no mobile phones", "no one under eighteen"),
    ("blood type", "cl button", "cool button", "free button", "id button", "new button", "ng button", "ok button"),
    ("blood type", "p button", "sos button", "up! button", "vs button"),
    ("plain face", "neutral", "smiling", "kissing", "frowning", "open", "unamused face", "nauseated face"),
    ("scowling face", "persevering", "angry", "disappointed face", "sweating"),
]


@dataclass(frozen=True)
class Concept:
    """One emoji: `near` is the name that near-duplicates share."""

    code: str
    label: str
    group: str
    subgroup: str
    near: str


def near_name(label: str, subgroup: str) -> str:
    """The name that near-duplicates share."""
    text = label.lower()
    for where, pattern, becomes in _RULES:
        if not re.fullmatch(where, subgroup):
            continue
        whole = re.fullmatch(pattern, text)
        text = whole.expand(becomes) if whole else _inside(pattern, becomes, text)
    name = " ".join(text.split())
    return next((alike[0] for alike in _ALIKE if name in alike), name)


def _inside(pattern: str, becomes: str, text: str) -> str:
    """Rules that remove or mask words apply inside a label; all others only to a whole label."""
    return re.sub(pattern, becomes, text) if becomes in ("", "#") else text


def code_of(hexcode: str) -> str:
    """A hexcode without variation selectors, upper case: the key of a concept in all styles."""
    return "-".join(part for part in hexcode.upper().replace("_", "-").split("-") if part != "FE0F")


def kebab(label: str) -> str:
    """A label as icon sets write it: `woman-s-hat` becomes `womans-hat`."""
    text = unicodedata.normalize("NFKD", label.replace("’", "")).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"['.!\"]", "", text).replace("&", "and")
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def read_concepts(emojibase: Path) -> dict[str, Concept]:
    """All emoji but flags, components and skin tones, by code, in the standard's order."""
    names = json.loads((emojibase / "meta/groups.json").read_text("utf8"))
    entries = json.loads((emojibase / "en/data.json").read_text("utf8"))
    out = {}
    for entry in sorted((e for e in entries if "group" in e), key=lambda e: e["order"]):
        group, subgroup = names["groups"][str(entry["group"])], names["subgroups"][str(entry["subgroup"])]
        if group in ("flags", "component"):
            continue
        code = code_of(entry["hexcode"])
        out[code] = Concept(code, entry["label"], group, subgroup, near_name(entry["label"], subgroup))
    return out
