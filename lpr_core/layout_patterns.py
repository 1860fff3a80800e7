"""Which texts the plates of a country or state can bear: they tell O from 0 and I from 1.

Data, with the rule or authority they follow, of the series that cars bear today; not of personal,
trade, diplomats' or military plates. `model_training.layouts` says what plates look like, and a
test that every series it draws is here.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

DIGITS = string.digits
LETTERS = string.ascii_uppercase
OTHER_LETTERS = LETTERS.replace("O", "").replace("I", "")

SYMBOLS = {"L": LETTERS, "N": OTHER_LETTERS, "D": DIGITS, "X": DIGITS + OTHER_LETTERS}
"""What each symbol of a pattern stands for. N and X: the series leaves out O and I."""

TWINS = str.maketrans("O0I1", "0O1I")
"""The characters that have one shape on many plates."""


@dataclass(frozen=True)
class Layout:
    """The texts of one country or state.

    Attributes:
        source: the rule or authority that they follow.
        patterns: one symbol a character, "?" after one that may be absent.
    """

    source: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Edit:
    """A character that a layout changed.

    Attributes:
        index: its place in the text, from 0.
        was, becomes: the character before and after.
        layout: which of those asked for says so.
    """

    index: int
    was: str
    becomes: str
    layout: str


def _layout(source: str, *patterns: str) -> Layout:
    return Layout(source, patterns)


EUROPE: dict[str, Layout] = {
    "al": _layout("Albanian road transport directorate, plates since 2011", "LLDDDLL"),
    "at": _layout(
        "Kraftfahrgesetz-Durchführungsverordnung 1967, Anlage 5e",
        "LL?DDD?D?D?LL?L?",
    ),
    "ba": _layout("Pravilnik o registriranju vozila (2009)", "LDDLDDD", "DDDLDDD"),
    "be": _layout("Arrêté ministériel du 23 juillet 2001, art. 4", "D?LLLDDD", "DDDLLL?"),
    "bg": _layout("Ordinance I-45 of 2000 of the Ministry of the Interior", "LL?DDDDLL?"),
    "ch": _layout("Verkehrszulassungsverordnung (VZV) art. 85", "LLDD?D?D?D?D?"),
    "cy": _layout("Road Transport Department (Cyprus), plates since 2004", "LLLDDD"),
    "cz": _layout("Vyhláška 343/2014 Sb. (formerly 243/2001 Sb.)", "DNXDDDD", "NNNDDDD"),
    "de": _layout("Fahrzeug-Zulassungsverordnung 2011, Anlage 4", "LLL?L?L?DD?D?D?"),
    "dk": _layout("Bekendtgørelse om registrering af køretøjer", "LLDDDDD"),
    "ee": _layout("Transpordiamet (Estonian registry), plates since 2004", "DDDLLL", "DDLLL"),
    "es": _layout(
        "Reglamento General de Vehículos, RD 2822/1998, Anexo XVIII, and before 2000",
        "DDDDNNN",
        "LL?DDDDLL?",
    ),
    "fi": _layout("Valtioneuvoston asetus 893/2007, 25 §", "LLL?DD?D?"),
    "fr": _layout(
        "Arrêté du 9 février 2009 (SIV); arrêté du 1er juillet 1996 (FNI)",
        "NNDDDNN",
        "DDD?D?NN?N?DD",
    ),
    "gb": _layout(
        "Road Vehicles (Display of Registration Marks) Regulations 2001; since 1963",
        "LLDDLLL",
        "LDD?D?LLL",
        "LLLDD?D?L",
    ),
    "gr": _layout("Greek ministry of transport, plates since 2004", "LLLDDDD"),
    "hr": _layout("Pravilnik o registraciji i označavanju vozila", "LLDDDD?LL?"),
    "hu": _layout("326/2011. (XII. 28.) Korm. rendelet", "LLLDDD", "LLLLDDD"),
    "ie": _layout("Vehicle Registration and Taxation Regulations 1992", "DDD?LL?DD?D?D?D?D?"),
    "is": _layout("Reglugerð um skráningu ökutækja 751/2003", "LLXDD"),
    "it": _layout(
        "DPR 495/1992 art. 258, as amended by DPR 355/1998", "NNDDDNN", "LLDDDDDD?", "DDDDDD"
    ),
    "lt": _layout("Regitra (Lithuanian registry), plates since 2004", "LLLDDD"),
    "lu": _layout("Règlement grand-ducal du 17 juin 2003", "LLDDDD", "DDDDD?"),
    "lv": _layout("CSDD (Latvian registry), plates since 2004", "LLDD?D?D?"),
    "md": _layout("Moldovan public services agency, plates since 2015", "LLLDDD"),
    "me": _layout("Montenegrin ministry of the interior, plates since 2008", "LLLLDDD"),
    "mk": _layout("Macedonian ministry of the interior, plates since 2012", "LLDDDDLL"),
    "mt": _layout("Transport Malta", "LLLDDD"),
    "nl": _layout(
        "Regeling kentekens en kentekenplaten, sidecodes 3 to 14",
        *("NNDDNN", "DDNNDD", "NNNNDD", "DDNNNN", "DDNNND", "DNNNDD", "NNDDDN"),
        *("NDDDNN", "NNNDDN", "NDDNNN", "DNNDDD", "DDDNND"),
    ),
    "no": _layout("Forskrift om bruk av kjøretøy (1990)", "NNDDDDD"),
    "pl": _layout(
        "Rozporządzenie w sprawie rejestracji i oznaczania pojazdów (2002)",
        *("LLDDDDD", "LLDDDDN", "LLDDDNN", "LLDNDDD", "LLDNNDD"),
        *("LLLNDDD", "LLLDDNN", "LLLDNDD", "LLLDDND", "LLLNNDD", "LLLDDDDD?", "LLLDDDN"),
    ),
    "pt": _layout(
        "Decreto-Lei 54/2005 and, since 2020, 2/2020", "LLDDDD", "DDDDLL", "DDLLDD", "LLDDLL"
    ),
    "ro": _layout("State standard, OMAI 1501/2006 art. 26", "LLDDLLL", "LDDD?LLL"),
    "rs": _layout("Pravilnik o registraciji motornih i priključnih vozila (2010)", "LLDDDD?LL"),
    "se": _layout("Transportstyrelsen (Swedish registry)", "LLLDDX"),
    "si": _layout(
        "Pravilnik o registrskih tablicah motornih in priklopnih vozil (2005)",
        *("LLLLDDD", "LLDDDDL", "LLLDDDL"),
    ),
    "sk": _layout("Zákon 8/2009 Z. z. and vyhláška 9/2009 Z. z.", "LLDDDLL"),
    "ua": _layout("DSTU 4278", "LLDDDDLL"),
}

OTHERS: dict[str, Layout] = {
    "ar": _layout("DNRPA (Argentine registry), plates of 1995 and 2016", "LLLDDD", "LLDDDLL"),
    "au": _layout(
        "State registries of Australia",
        *("LLLDDL", "LLLDDD", "DLLDLL", "DDDLLL", "DDDLLD", "LDDDLLL", "DLLLDDD"),
    ),
    "br": _layout("CONTRAN Resolução 231/2007 and 780/2019 (Mercosul)", "LLLDDDD", "LLLDLDD"),
    "cn": _layout("GA 36-2018, after the province's character", "LXXXXX", "LXXXXXX"),
    "co": _layout("Colombian ministry of transport", "LLLDDD"),
    "in": _layout("Central Motor Vehicles Rules 1989, rules 50 and 51", "LLDD?N?N?N?DDDD"),
    "mx": _layout("NOM-001-SCT-2-2016", "NNNDDDD", "NNNDDDN", "NDDNNN"),
    "my": _layout("Motor Vehicles (Registration and Licensing) Rules 1959", "NN?N?DD?D?D?N?"),
    "nz": _layout("NZ Transport Agency, plates since 1964", "LLLDDD", "LLDDDD"),
    "tr": _layout("Karayolları Trafik Yönetmeliği", "DDLDDDDD?", "DDLLDDDD?", "DDLLLDDD?"),
    "vn": _layout("Circulars 15/2014 and 24/2023/TT-BCA", "DDNDDDDD?", "DDNDDDDDD?", "DDNNDDDDD?"),
}

STATES: dict[str, Layout] = {
    "us-ak": _layout("Alaska DMV", "NNNDDD"),
    "us-ar": _layout("Arkansas DFA", "DDDNNN", "NNNDDD"),
    "us-az": _layout("Arizona MVD", "NNNDDDD", "DDDNNN", "NDDDDD"),
    "us-ca": _layout("California DMV", "DNLNDDD", "DLDDDDD"),
    "us-co": _layout("Colorado DMV", "DDDNNN", "NNNDDD", "NNDDDD", "NNNDDDD"),
    "us-ct": _layout("Connecticut DMV", "DDDNNN", "NNNDDD"),
    "us-dc": _layout("District of Columbia DMV", "NNDDDD"),
    "us-de": _layout("Delaware DMV", "DDDDDD", "DDDDD"),
    "us-fl": _layout("Florida DHSMV", "NDDDNN", "DDDNNN", "NDDNDN", "XDDDNN"),
    "us-ga": _layout("Georgia DOR", "NNNDDDD", "DDDDNNN"),
    "us-hi": _layout("Honolulu county", "NNNDDD"),
    "us-ia": _layout("Iowa DOT", "DDDNNN"),
    "us-id": _layout(
        "Idaho Transportation Department", "DDDDDD", "DDDD", "DDDDD", "NNDDDD", "DNDDDDN", "DDDDN"
    ),
    "us-il": _layout("Illinois Secretary of State", "NDDDDDD", "DDDDDDD", "NNDDDD"),
    "us-in": _layout("Indiana BMV", "DDDLLL", "DDDLL"),
    "us-ks": _layout("Kansas DOR", "DDDLLL"),
    "us-ky": _layout("Kentucky Transportation Cabinet", "DDDLLL"),
    "us-la": _layout("Louisiana OMV", "NNNDDD", "NDDDDDD"),
    "us-ma": _layout("Massachusetts RMV", "DDDNND", "DDNNDD", "DNNDDD", "DDDDNN", "DDDD"),
    "us-md": _layout("Maryland MVA", "NNNDDD", "DNNNDD", "DNNDDD"),
    "us-me": _layout("Maine BMV", "DDDDNN"),
    "us-mi": _layout("Michigan Secretary of State", "NNNDDDD", "DNNNDD", "NNNDDD"),
    "us-mn": _layout("Minnesota DVS", "DDDNNN", "NNNDDD"),
    "us-mo": _layout("Missouri DOR", "NNDNDN", "NNDXDX"),
    "us-ms": _layout("Mississippi DOR", "NNNDDD", "DDDNNN"),
    "us-mt": _layout("Montana MVD", "DDDDDDN"),
    "us-nc": _layout("North Carolina DMV", "NNNDDDD", "DDDD", "NNNDD"),
    "us-nd": _layout("North Dakota DOT", "NNNDDD", "DDDNNN"),
    "us-ne": _layout("Nebraska DMV", "DDNDDD", "DNDDDD", "NNNDDD"),
    "us-nh": _layout("New Hampshire DMV", "DDDDDDD", "DDDDDD"),
    "us-nj": _layout("New Jersey MVC", "NNNDDN", "NNDDDN", "NDDNNN"),
    "us-nm": _layout("New Mexico MVD", "NNNDDD", "DDDNNN"),
    "us-nv": _layout("Nevada DMV", "DDDNNN", "NNNDDD"),
    "us-ny": _layout("New York DMV", "NNNDDDD", "DDDDDNN", "NDDDDDDN"),
    "us-oh": _layout("Ohio BMV", "NNNDDDD"),
    "us-ok": _layout("Oklahoma Tax Commission", "DDDNNN", "NNNDDD"),
    "us-or": _layout("Oregon DMV", "NNNDDD", "DDDNNN", "DDDDD"),
    "us-pa": _layout("Pennsylvania PennDOT", "NNNDDDD"),
    "us-ri": _layout("Rhode Island DMV", "NNDDD", "DDDDDD"),
    "us-sc": _layout("South Carolina DMV", "LLLDDD", "DDDLLL"),
    "us-sd": _layout("South Dakota DOR", "DNNDDD", "DDNDDD"),
    "us-tn": _layout("Tennessee DOR", "DDDNNN", "NDDDDN", "NNNDDD"),
    "us-tx": _layout("Texas DMV", "NNDNDDD", "NDDNNN", "NNNDDN", "DDDNNN"),
    "us-ut": _layout("Utah DMV", "NDDDNN", "DDDNNN"),
    "us-va": _layout("Virginia DMV", "LLLDDDD", "DDDDLL", "DDDDDD"),
    "us-vt": _layout("Vermont DMV", "NNNDDD", "DDDD", "DDDDDD"),
    "us-wa": _layout("Washington DOL", "DDDNNN", "NNNDDDD", "NNNDDD"),
    "us-wi": _layout("Wisconsin DOT", "DDDNNN", "NNNDDD"),
    "us-wv": _layout("West Virginia DMV", "DNDDDD", "NNNDDD", "DNNDDD"),
    "us-wy": _layout("Wyoming DOT", "DDDDN", "DDDN", "DDDDDD", "DDD"),
}
"""Of the United States, the authority named and SAE J686."""

LAYOUTS: Mapping[str, Mapping[str, Layout]] = {
    "eu": EUROPE,
    "us": STATES,
    **{name: {name: layout} for name, layout in (EUROPE | OTHERS | STATES).items()},
}
"""What can be asked for by name: all of Europe, all states of the United States, or one layout."""


def fit_layouts(text: str, layouts: Sequence[str]) -> tuple[str, tuple[Edit, ...]]:
    """Change O to 0, I to 1, or back, where the layouts leave no other way to read a text.

    Nothing changes where a layout has a text like this as it is, where none has it even with
    changes, and where they could be made in two ways. Of several ways that of the fewest changes
    counts.

    Args:
        text: of A-Z and 0-9.
        layouts: of LAYOUTS.

    Returns:
        The text, changed or not, and what was changed.
    """
    ways: dict[str, str] = {}
    for name in layouts:
        for layout in LAYOUTS[name].values():
            for fitted in _fitted(text, layout):
                ways.setdefault(fitted, name)
    changes = {fitted: sum(a != b for a, b in zip(text, fitted, strict=True)) for fitted in ways}
    fewest = [fitted for fitted, count in changes.items() if count == min(changes.values())]
    if len(fewest) != 1:
        return text, ()
    (fitted,) = fewest
    edits = (
        Edit(index, was, becomes, ways[fitted])
        for index, (was, becomes) in enumerate(zip(text, fitted, strict=True))
        if was != becomes
    )
    return fitted, tuple(edits)


def _fitted(text: str, layout: Layout) -> Iterator[str]:
    """The text as each pattern of a layout wants it, where one can have it."""
    for pattern in _of_length(layout.patterns).get(len(text), ()):
        fitted = ""
        for character, symbol in zip(text, pattern, strict=True):
            choices = (character, character.translate(TWINS))
            fitted += next((c for c in choices if c in SYMBOLS[symbol]), "")
        if len(fitted) == len(text):
            yield fitted


@cache
def _of_length(patterns: tuple[str, ...]) -> Mapping[int, Sequence[str]]:
    """The patterns by their lengths, those with "?" written out."""
    found: dict[int, list[str]] = {}
    for pattern in patterns:
        choices = [(s[0], "") if len(s) > 1 else (s,) for s in re.findall(r"\w\??", pattern)]
        for written_out in map("".join, product(*choices)):
            found.setdefault(len(written_out), []).append(written_out)
    return {length: tuple(dict.fromkeys(same)) for length, same in found.items()}
