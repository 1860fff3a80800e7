"""How the plates of each country and state are laid out: data only."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import Any

from model_training.artwork import Art, Colour, Shares

BLACK, WHITE, RED, GREY = (20, 20, 24), (238, 238, 232), (178, 24, 32), (176, 178, 180)
YELLOW, BLUE, GREEN, NAVY = (240, 196, 40), (24, 62, 150), (20, 104, 64), (30, 44, 110)
EU_BLUE, CREAM, SKY, ORANGE = (16, 62, 158), (240, 228, 196), (190, 214, 236), (232, 132, 36)
GOLD, MAROON, PURPLE, TEAL = (226, 178, 62), (112, 26, 40), (108, 44, 120), (34, 120, 126)
BROWN, LIGHT_GREEN, PALE_BLUE = (104, 66, 40), (136, 184, 140), (216, 230, 242)
SNOW, INDIGO = (248, 248, 248), (36, 34, 120)

LETTERS = string.ascii_uppercase
NO_IO = "ABCDEFGHJKLMNPQRSTUVWXYZ"
NO_IOQ = "ABCDEFGHJKLMNPRSTUVWXYZ"
NO_Q = "ABCDEFGHIJKLMNOPRSTUVWXYZ"
GREEK = "ABEHIKMNOPTXYZ"
"""The capitals that Greek and Latin share."""
CYRILLIC = "ABCEHKMOPTXY"
"""The capitals that Cyrillic and Latin share."""


@dataclass(frozen=True)
class Words:
    """Small words on a plate that are no part of its registration.

    Attributes:
        texts: one of them is used; "" is none.
        box: as large as fits in there.
        face: one of glyphs.FACES.
        colours: one of them is used; none: the ink's.
    """

    texts: tuple[str, ...]
    box: Shares
    face: str = "bold"
    colours: tuple[Colour, ...] = ()


@dataclass(frozen=True)
class Band:
    """A coloured band at one end.

    Attributes:
        letters: one of them is used; "/" is the end of a line.
        right: at the right end, else at the left.
        colour, ink: of the band and of its letters.
        mark: above the letters: "stars" for the ring of Europe, or a kind of Art, "" for none.
        mark_colours: for a kind of Art.
        width, height: in shares of the plate's.
        chance: share of the plates that bear it.
    """

    letters: tuple[str, ...]
    right: bool = False
    colour: Colour = EU_BLUE
    ink: Colour = WHITE
    mark: str = "stars"
    mark_colours: tuple[Colour, ...] = (YELLOW, WHITE)
    width: float = 0.085
    height: float = 1.0
    chance: float = 1.0


@dataclass(frozen=True)
class Layout:
    """How one kind of plate is laid out.

    Attributes:
        name: what the truth calls it, country first.
        country: as in the `country` column of the truth.
        source: the regulation, standard or authority it follows.
        size: width and height in millimetres.
        patterns: what may stand on it; one of them is drawn (one given twice, twice as often): L
            one of `letters`, D a digit, X either, A any letter; "l" and "d" a small letter or
            digit, those in a row stacked, that is no part of the registration; "-" and "."
            themselves, "*" an emblem, " " a gap, "/" the end of a line.
        character_height: in shares of the plate's height.
        colours: pairs of paper and ink; one of them is used.
        top, foot: where the first line's top and the last line's foot lie, in shares of the height.
        span: where the text may begin and end, in shares of the width.
        fill: share of that width that the text may take.
        gap: least and most between two characters, in shares of the character's height.
        space, hyphen, emblem: what " ", "-" and "*" take, in shares of the character's height.
        letters: those that the country uses.
        emblems: one of them is drawn at each "*"; their boxes count for nothing.
        art: drawings under the text, one over the other.
        bands: at the ends.
        words: above and below the text.
        stickers: where stickers of month and year may be.
        holes: slots for bolts, in shares of width and height.
        border: share of the plates with a line around them.
        border_colour: of that line; None: the ink's.
        radius: of the corners, in millimetres.
    """

    name: str
    country: str
    source: str
    size: tuple[int, int]
    patterns: tuple[str, ...]
    character_height: float
    colours: tuple[tuple[Colour, Colour], ...]
    top: float = 0.16
    foot: float = 0.84
    span: tuple[float, float] = (0.02, 0.98)
    fill: float = 0.95
    gap: tuple[float, float] = (0.1, 0.2)
    space: float = 0.35
    hyphen: float = 0.42
    emblem: float = 0.55
    letters: str = LETTERS
    emblems: tuple[Art, ...] = ()
    art: tuple[Art, ...] = ()
    bands: tuple[Band, ...] = ()
    words: tuple[Words, ...] = ()
    stickers: tuple[Shares, ...] = ()
    holes: tuple[tuple[float, float], ...] = ()
    border: float = 0.7
    border_colour: Colour | None = None
    radius: float = 8


BLACK_ON_WHITE = ((WHITE, BLACK),)
WHITE_OR_YELLOW = ((WHITE, BLACK), (YELLOW, BLACK))

EU_SOURCE = "{}; blue band, where borne: Regulation (EC) 2411/98"


def _eu(
    name: str,
    band: str,
    source: str,
    *patterns: str,
    letters: str = LETTERS,
    colours: tuple[tuple[Colour, Colour], ...] = BLACK_ON_WHITE,
) -> Layout:
    """A long plate with the blue band of the European Union."""
    return Layout(
        name,
        name[:2],
        EU_SOURCE.format(source),
        (520, 110),
        patterns,
        0.68,
        colours,
        letters=letters,
        bands=(Band((band,)),),
    )


SEALS = Art("seals", ((206, 120, 70), (214, 218, 214), (60, 80, 110)))
GREEN_SEALS = Art("seals", ((70, 150, 80), (214, 218, 214), (60, 80, 110)))
ROUND_SEALS = Art("seals", ((220, 224, 220), (200, 206, 202), (150, 170, 180)))
RED_SHIELD = Art("shield", (RED, WHITE, GOLD))
BLUE_SHIELD = Art("shield", (BLUE, GOLD, WHITE))
GREEN_SHIELD = Art("shield", (GREEN, WHITE, BLUE))
RED_EDGES = (
    Art("rows", (RED, WHITE, RED), (0.0, 0.03, 1.0, 0.055)),
    Art("rows", (RED, WHITE, RED), (0.0, 0.915, 1.0, 0.055)),
)

FR_DEPARTMENTS = Band(
    ("75", "69", "13", "31", "59", "33", "06", "44", "67", "93", "2A", "974"),
    right=True,
    mark="shield",
    mark_colours=(WHITE, RED, BLUE),
    chance=0.85,
)
IT_PROVINCES = Band(
    ("TO", "MI", "RM", "GE", "NA", "VB", "BO", "FI", ""),
    right=True,
    mark="disc",
    mark_colours=(GOLD,),
    width=0.075,
)

GB = replace(
    _eu(
        "gb",
        "GB",
        "Road Vehicles (Display of Registration Marks) Regulations 2001: 79 × 50 mm characters",
        "LLDD LLL",
        letters="ABCDEFGHJKLMNOPRSTUVWXYZ",
        colours=WHITE_OR_YELLOW,
    ),
    bands=(Band(("GB", "GB", "UK")),),
    size=(520, 111),
    character_height=0.71,
    gap=(0.13, 0.16),
    space=0.42,
    border=0.3,
    words=(
        Words(
            ("", "", "Premier Plates", "BS AU 145d", "Motor Group"), (0.4, 0.91, 0.2, 0.06), "sans"
        ),
    ),
)

# fmt: off
EUROPE: tuple[Layout, ...] = (
    replace(
        _eu(
            "de", "D", "Fahrzeug-Zulassungsverordnung 2011, Anlage 4", "L*LL DDDD", "LL*LL DDD",
            "LLL*L DDD", "L*L DDDD", "LL*L DDDD", "LLL*LL DDD", "L*LL DDD", "LL*L DDD",
            "LL*LL DD", "L*L DDD",
        ),
        gap=(0.1, 0.14), emblems=(SEALS, GREEN_SEALS, SEALS), emblem=0.6,
    ),
    GB,
    replace(
        GB, name="gb-plain", patterns=("LLDD LLL", "LDDD LLL", "LLL DDDL", "LLL DDD", "L DDD"),
        bands=(),
    ),
    replace(
        GB, name="gb-black",
        source="Road Vehicles (Display of Registration Marks) Regulations 2001: cars before 1973",
        patterns=("LLL DDDL", "LLL DDD", "DDD LLL", "LL DDDD"),
        colours=((BLACK, WHITE), (BLACK, GREY)), bands=(), words=(),
    ),
    replace(
        _eu(
            "fr", "F", "Arrêté du 9 février 2009 (SIV)", "LL-DDD-LL",
            letters="ABCDEFGHJKLMNPQRSTVWXYZ",
        ),
        bands=(Band(("F",)), FR_DEPARTMENTS), gap=(0.1, 0.16), border=0.4,
    ),
    replace(
        _eu(
            "fr-old", "F", "Arrêté du 1er juillet 1996 (FNI)", "DDD LLL DD", "DDDD LL DD",
            "DD LLL DD", letters="ABCDEFGHJKLMNPQRSTVWXYZ",
            colours=((WHITE, BLACK), (WHITE, BLACK), (YELLOW, BLACK)),
        ),
        bands=(Band(("F",), chance=0.6),),
    ),
    replace(
        _eu(
            "it", "I", "DPR 495/1992 art. 258, as amended for 1999 by DPR 355/1998",
            "LL DDDLL", "LL*DDDLL", letters="ABCDEFGHJKLMNPRSTVWXYZ",
        ),
        bands=(Band(("I",), width=0.07), IT_PROVINCES),
        emblems=(Art("seal", (GREY, (120, 122, 126), GREY)),), emblem=0.24, gap=(0.1, 0.16),
    ),
    replace(
        _eu(
            "it-old", "", "Italian plates of before 1999",
            "LL DDDLL", "DDDDDD", "LLDDDDDD", letters="ABCDEFGHJKLMNPRSTVWXYZ",
            colours=((WHITE, BLACK), (WHITE, RED), (BLACK, WHITE)),
        ),
        bands=(),
    ),
    replace(
        _eu(
            "nl", "NL", "Regeling kentekens en kentekenplaten (sidecodes 4 to 14)", "LL-DDD-L",
            "DD-LLL-D", "D-LLL-DD", "LL-LL-DD", "DD-LL-LL", "LL-DD-LL", "L-DDD-LL", "LLL-DD-L",
            "L-DD-LLL", "D-LL-DDD", "DDD-LL-D", letters="BDFGHJKLNPRSTVXZ",
            colours=((YELLOW, BLACK),),
        ),
        hyphen=0.32,
    ),
    replace(
        _eu(
            "be", "B", "Arrêté ministériel du 23 juillet 2001, art. 4: ruby red (RAL 3003)",
            "D-LLL-DDD", "D*LLL-DDD", "LLL-DDD", colours=((WHITE, (150, 22, 36)),),
        ),
        emblems=(Art("seal", ((206, 210, 208), (190, 30, 40), (206, 210, 208))),), emblem=0.36,
        border=0.95, gap=(0.1, 0.16),
    ),
    _eu(
        "es", "E", "Reglamento General de Vehículos, RD 2822/1998, Anexo XVIII", "DDDD LLL",
        letters="BCDFGHJKLMNPRSTVWXYZ",
    ),
    replace(
        _eu(
            "es-old", "E", "RD 2822/1998 before 2000: the province's letters first", "L DDDD LL",
            "LL DDDD L", "L-DDDD-LL",
        ),
        bands=(Band(("E",), chance=0.3),),
    ),
    replace(
        _eu(
            "pl", "PL", "Rozporządzenie w sprawie rejestracji i oznaczania pojazdów (2002)",
            "LL*DDDDD", "LLL*LDDD", "LLL*DDDD", "LL*DDDDL", "LL*DDDLL", "LL*DLDDD", "LL*DLLDD",
            "LLL*DDLL", "LLL*DLDD", "LLL*DDLD", "LLL*LLDD", "LLL*DDDDD", "LLL*DDDL", letters=NO_Q,
        ),
        size=(520, 114), bands=(Band(("PL",)),),
        emblems=(Art("rows", ((150, 190, 190), (90, 140, 160))), Art("disc", ((180, 200, 190),))),
        emblem=0.36,
    ),
    replace(
        _eu(
            "cz", "CZ", "Vyhláška 343/2014 Sb. (formerly 243/2001 Sb.)", "DLD*DDDD", "DLL*DDDD",
            letters="ABCEHJKLMPSTUZ",
        ),
        emblems=(ROUND_SEALS, ROUND_SEALS, GREEN_SEALS), emblem=0.54,
    ),
    replace(
        _eu("sk", "SK", "Zákon 8/2009 Z. z. and vyhláška 9/2009 Z. z.", "LL*DDDLL", "LL-DDDLL"),
        emblems=(Art("double-cross", (RED, WHITE, BLUE)),), emblem=0.5,
    ),
    _eu(
        "ro", "RO", "State standard, OMAI 1501/2006 art. 26", "LL DD LLL", "L DDD LLL", "L DD LLL",
        letters=NO_Q,
    ),
    replace(
        _eu(
            "at", "A", "Kraftfahrgesetz-Durchführungsverordnung 1967, Anlage 5e", "L*DDDDDL",
            "LL*DDDLL", "LL DDD LL", "L*DDDDL",
        ),
        size=(520, 120), art=RED_EDGES,
        emblems=(
            Art("cross", (RED, WHITE)), RED_SHIELD, BLUE_SHIELD,
            Art("shield", (WHITE, BLACK, GOLD)),
        ),
        emblem=0.6, border=0.0,
    ),
    replace(
        _eu("pt", "P", "Decreto-Lei 54/2005", "DD-DD-LL", "DD-LL-DD", "LL-DD-DD"),
        bands=(
            Band(("P",)),
            Band(
                ("01/05", "97/11", "05/10", "12/03"), True, YELLOW, BLACK, "", width=0.07,
                chance=0.7,
            ),
        ),
    ),
    replace(
        _eu(
            "ie", "IRL", "Vehicle Registration and Taxation Regulations 1992",
            "DD-L-DDDDD", "DD-LL-DDDD", "DDD-L-DDDDD", "DDD-LL-DDDD", letters="CDGKLMORSTWXYEHN",
        ),
        words=(
            Words(
                ("BAILE ATHA CLIATH", "CORCAIGH", "GAILLIMH", "CILL DARA", ""),
                (0.35, 0.04, 0.4, 0.11), "sans",
            ),
        ),
        top=0.19, foot=0.88,
    ),
    replace(
        _eu(
            "se", "S", "Transportstyrelsen (Swedish registry), plates since 2003",
            "LLL DDD", "LLL*DDD", "LLL DDL",
            letters="ABCDEFGHJKLMNOPRSTUWXYZ",
        ),
        emblems=(Art("rows", ((90, 150, 210), (240, 240, 240), (90, 150, 210))),), emblem=0.48,
    ),
    replace(
        _eu("no", "N", "Forskrift om bruk av kjøretøy (1990)", "LL DDDDD", letters=NO_IOQ),
        source="Forskrift om bruk av kjøretøy (1990): blue band with the flag",
        bands=(Band(("N",), mark="rows", mark_colours=(RED, WHITE, BLUE, WHITE, RED), chance=0.7),),
    ),
    replace(
        _eu(
            "dk", "DK", "Bekendtgørelse om registrering af køretøjer", "LL DD DDD",
            colours=((WHITE, BLACK), (YELLOW, BLACK)),
        ),
        border=1.0, border_colour=RED, bands=(Band(("DK",), chance=0.5),),
    ),
    replace(
        _eu("fi", "FIN", "Valtioneuvoston asetus 893/2007, 25 §", "LLL-DDD", "LL-DDD", "LLL-DD"),
        size=(442, 118),
    ),
    replace(
        _eu("hu", "H", "326/2011. (XII. 28.) Korm. rendelet", "LLL*DDD", "LLL-DDD", "LL LL-DDD"),
        emblems=(Art("seals", (RED, GREEN, WHITE)),), emblem=0.42,
    ),
    replace(
        _eu(
            "hr", "HR", "Pravilnik o registraciji i označavanju vozila", "LL*DDD-LL", "LL*DDDD-LL",
            "LL*DDD-L", letters="ABCDEFGHIJKLMNOPRSTUVZ",
        ),
        bands=(Band(("HR",), chance=0.5),), emblems=(Art("chequers", (WHITE, RED)),), emblem=0.5,
    ),
    replace(
        _eu(
            "si", "SLO", "Pravilnik o registrskih tablicah motornih in priklopnih vozil (2005)",
            "LL*LL-DDD", "LL*DD-DDL", "LL*LD-DDL",
        ),
        emblems=(GREEN_SHIELD, RED_SHIELD, BLUE_SHIELD), emblem=0.48, border=1.0,
        border_colour=GREEN,
    ),
    replace(
        _eu("rs", "SRB", "", "LL*DDD-LL", "LL*DDDD-LL"),
        source="Pravilnik o registraciji motornih i priključnih vozila (2010)",
        bands=(Band(("SRB",), mark=""),), emblems=(RED_SHIELD,), emblem=0.5,
    ),
    _eu(
        "bg", "BG", "Ordinance I-45 of 2000 of the Ministry of the Interior", "LL DDDD LL",
        "L DDDD LL", letters=CYRILLIC,
    ),
    replace(
        _eu("lt", "LT", "Regitra (Lithuanian registry), plates since 2004", "LLL DDD", "LLL*DDD"),
        emblems=(Art("rows", ((130, 190, 130), (240, 220, 120))),), emblem=0.42,
    ),
    _eu("lv", "LV", "CSDD (Latvian registry), plates since 2004", "LL-DDDD", "LL-DDD", "LL-DD"),
    _eu("ee", "EST", "Transpordiamet (Estonian registry), plates since 2004", "DDD LLL"),
    _eu(
        "gr", "GR", "Greek ministry of transport, plates since 2004: letters of both scripts",
        "LLL-DDDD", letters=GREEK,
    ),
    replace(
        _eu("mt", "M", "Transport Malta", "LLL*DDD"),
        emblems=(Art("rows", ((190, 200, 200), (120, 160, 170))),), emblem=0.36,
    ),
    replace(
        _eu(
            "cy", "CY", "Road Transport Department (Cyprus), plates since 2004", "LLL DDD",
            "LLL*DDD", colours=WHITE_OR_YELLOW,
        ),
        emblems=(Art("rows", ((220, 220, 220), (120, 120, 124))),), emblem=0.36,
    ),
    _eu(
        "lu", "L", "Règlement grand-ducal du 17 juin 2003", "LL DDDD", "DDDDD",
        colours=((YELLOW, BLACK),),
    ),
    Layout(
        "ch", "ch", "Verkehrszulassungsverordnung (VZV) art. 85: arms at both ends", (500, 110),
        ("*LL.DDDDDD", "*LL.DDDDD*", "LL.DDDDDD"), 0.66, BLACK_ON_WHITE,
        emblems=(Art("cross", (RED, WHITE)), RED_SHIELD, BLUE_SHIELD), emblem=0.66,
    ),
    replace(
        _eu("tr", "TR", "", "DD LL DDDD", "DD L DDDD", "DD LLL DD", "DD LLL DDD"),
        source="Karayolları Trafik Yönetmeliği: blue band without stars",
        bands=(Band(("TR",), mark="", width=0.07),), letters="ABCDEFGHIJKLMNOPRSTUVYZ",
    ),
    replace(
        _eu("ua", "UA", "", "LL DDDD LL", letters="ABCEHIKMOPTX"),
        source="DSTU 4278: letters common to Cyrillic and Latin",
        bands=(Band(("UA",), mark="rows", mark_colours=((60, 110, 200), YELLOW)),),
    ),
    replace(
        _eu("ba", "BIH", "", "LDD-L-DDD", "DDD-L-DDD"),
        source="Pravilnik o registriranju vozila (2009): letters common to both scripts",
        bands=(Band(("BIH",), mark="", chance=0.8),), letters="AEJKMOT",
    ),
    # What the rules of one country do not say: old, foreign, dealers', diplomats' plates.
    Layout(
        "eu-plain", "eu", "No rule: letters and digits as on old, trade and diplomats' plates",
        (520, 110),
        (
            "LLL DDD", "LL DDD LL", "DDDD LL", "XXXXXX", "LL*LL DDD", "L-DDDDD", "DDDDDD", "XXX",
            "XXXXXXXX",
        ),
        0.68,
        (
            (WHITE, BLACK), (BLACK, WHITE), (WHITE, GREEN), (WHITE, BLUE), (GREEN, WHITE),
            (BLUE, WHITE), (RED, WHITE),
        ),
        emblems=(SEALS, RED_SHIELD),
    ),
)
# fmt: on

EU_TWO_LINE = Layout(
    "eu-two-line",
    "eu",
    "No one rule: motorcycles and square recesses in Europe, about 280 × 200 mm",
    (280, 200),
    ("LL/DDDLL", "LLDD/LLL", "DDD/LLL", "LLL/DDDD", "DD LL/DDD"),
    0.37,
    ((WHITE, BLACK), (YELLOW, BLACK), (BLACK, WHITE), (WHITE, RED)),
    top=0.08,
    foot=0.92,
    fill=0.86,
)


def _square(
    like: str, size: tuple[int, int], *patterns: str, band: str = "", **rest: Any
) -> Layout:
    """The two-line plate of a country of EUROPE: its colours, letters, emblems and source."""
    long = next(layout for layout in EUROPE if layout.name == like)
    bands = (Band((band,), width=0.15, height=0.52),) if band else ()
    square = replace(
        long,
        name=f"{like}-two-line",
        size=size,
        patterns=patterns,
        character_height=0.37,
        top=0.07,
        foot=0.93,
        fill=0.9,
        bands=bands,
        words=(),
        art=(),
        space=0.3,
    )
    return replace(square, **rest)


# fmt: off
TWO_LINES: tuple[Layout, ...] = (
    EU_TWO_LINE,
    _square("de", (280, 200), "LL*/LL DDD", "LLL*/L DD", "LL*/L DDDD", "L*/LL DDD", band="D"),
    _square("gb", (285, 203), "LLDD/LLL", "LDDD/LLL", "LDD/DDD", colours=WHITE_OR_YELLOW),
    _square("nl", (210, 143), "DD-L/LL-DD", "LL-D/DD-L", "DD/LLL-D", band="NL"),
    _square("pl", (190, 150), "LL/DDDDD", "LLL/DDDD", "LL/DDDDL", band="PL", emblem=0.36),
    _square("cz", (200, 160), "DLD/DDDD", "DD L/DDDD", band="CZ"),
    _square("it", (177, 177), "LL/DDDDD", "LL*/DDDDD", "L DD/DDDD", band="I"),
    _square("es", (220, 160), "DDDD/LLL", "L DDDD/LL", band="E"),
    _square("be", (210, 140), "D-LLL/DDD", "DDD/LL", "LLL/DDD"),
    _square("at", (250, 200), "LL*/DDDLL", "LL*/D LLL", "L*/DDDDL", band="A"),
    _square("ch", (180, 140), "*LL/DDDDD", "LL*/DDDDD", "LL/DDDDDD"),
    _square("ro", (240, 130), "LL DD/LLL", "L DDD/LLL", band="RO"),
    _square("si", (170, 170), "LL*/LL-DDD", "LL*/DDD", band="SLO", border=0.5),
    _square("bg", (240, 130), "L LL/DDDD", "LLLL/DDDD", band="BG"),
    _square("fi", (200, 180), "LLL/DDD", "LLL/DD", band="FIN"),
    _square("se", (195, 150), "LLL/DDD", "LLL/DDL", band="S"),
    _square("dk", (240, 165), "LL DD/DDD", "LL/DDDDD", border_colour=RED),
)
# fmt: on

BR = Layout(
    "br",
    "br",
    "CONTRAN Resolução 231/2007: 400 × 130 mm, motorcycles 200 × 170 mm; town above",
    (400, 130),
    ("LLL.DDDD", "LLL-DDDD"),
    0.49,
    ((GREY, BLACK), ((196, 198, 198), BLACK)),
    top=0.37,
    foot=0.88,
    fill=0.95,
    gap=(0.12, 0.2),
    hyphen=0.32,
    words=(
        Words(
            (
                "PR-CURITIBA",
                "SP-SAO PAULO",
                "RJ-NITEROI",
                "BA-SALVADOR",
                "MG-OURO PRETO",
                "SC-JOINVILLE",
                "RS-PORTO ALEGRE",
                "GO-GOIANIA",
                "PR-PARANAGUA",
                "SC-CAXIAS",
                "RJ-MAGE",
                "PE-RECIFE",
            ),
            (0.3, 0.09, 0.4, 0.13),
        ),
    ),
    holes=((0.17, 0.16), (0.83, 0.16)),
    radius=10,
    border=0.9,
)
MERCOSUR_BAR = Art("rows", (EU_BLUE,), (0.0, 0.0, 1.0, 0.26))

# fmt: off
AMERICA_AND_ASIA: tuple[Layout, ...] = (
    BR,
    replace(BR, name="br-red", colours=((RED, WHITE), ((150, 40, 44), WHITE))),
    replace(
        BR, name="br-official",
        colours=((WHITE, BLACK), (BLACK, WHITE), (BLUE, WHITE), (GREEN, WHITE)),
    ),
    replace(
        BR, name="br-two-line", size=(200, 170), patterns=("LLL/DDDD",), character_height=0.31,
        top=0.24, foot=0.93, colours=((GREY, BLACK), (RED, WHITE)),
        holes=((0.2, 0.12), (0.8, 0.12)),
        words=(replace(BR.words[0], box=(0.15, 0.06, 0.7, 0.12)),),
    ),
    Layout(
        "br-mercosur", "br", "CONTRAN Resolução 780/2019 (Mercosul)", (400, 130),
        ("LLLDLDD", "LLL DLDD"), 0.5, ((WHITE, BLACK), (WHITE, BLACK), (WHITE, RED), (WHITE, BLUE)),
        top=0.34, foot=0.92, fill=0.93, span=(0.1, 0.98),
        art=(
            MERCOSUR_BAR, Art("stars-and-bars", (YELLOW,), (0.03, 0.03, 0.05, 0.18)),
            Art("diamond", (GREEN, YELLOW), (0.89, 0.04, 0.06, 0.16)),
        ),
        words=(
            Words(("BRASIL",), (0.32, 0.04, 0.36, 0.18), "bold", (WHITE,)),
            Words(("BR",), (0.03, 0.72, 0.06, 0.14), "bold"),
        ),
    ),
    Layout(
        "br-mercosur-two-line", "br", "CONTRAN Resolução 780/2019 (Mercosul)", (200, 170),
        ("LLL/DLDD",), 0.31, BLACK_ON_WHITE, top=0.24, foot=0.95, fill=0.85,
        art=(replace(MERCOSUR_BAR, box=(0.0, 0.0, 1.0, 0.17)),),
        words=(Words(("BRASIL",), (0.3, 0.03, 0.4, 0.12), "bold", (WHITE,)),),
    ),
    Layout(
        "ar", "ar", "DNRPA (Argentine registry), white on black of 1995", (294, 129),
        ("LLL DDD",), 0.5, ((BLACK, WHITE),), top=0.3, foot=0.82,
        words=(Words(("ARGENTINA",), (0.25, 0.07, 0.5, 0.13)),),
    ),
    # Two lines as they must be on motorcycles and may be on cars, one line on long recesses.
    Layout(
        "vn-two-line", "vn", "Circulars 15/2014 and 24/2023/TT-BCA: 190 × 140 mm", (190, 140),
        ("DD-LD/DDDDD", "DD-LD/DDDD", "DD-LD/DDD.DD", "DD-LL/DDD.DD"), 0.38,
        ((WHITE, BLACK), (WHITE, BLACK), (BLUE, WHITE)), top=0.08, foot=0.92, fill=0.92,
        letters="ABCDEFGHKLMNPRSTUVXYZ",
    ),
    Layout(
        "vn-car", "vn", "Ministry of Public Security, plates since 2020: 330 × 165 mm", (330, 165),
        ("DDL/DDD.DD", "DDL/DDDD", "DDL/DDDDD"), 0.38, ((WHITE, BLACK), (YELLOW, BLACK)), top=0.08,
        foot=0.92, fill=0.88, letters="ABCDEFGHKLMNPRSTUVXYZ",
    ),
    Layout(
        "vn", "vn", "Ministry of Public Security, plates since 2020: 520 × 110 mm", (520, 110),
        ("DDL-DDD.DD", "DDL-DDDD", "DDL DDDDD"), 0.72,
        ((WHITE, BLACK), (BLUE, WHITE), (YELLOW, BLACK)), letters="ABCDEFGHKLMNPRSTUVXYZ",
    ),
    Layout(
        "in-two-line", "in", "Central Motor Vehicles Rules 1989, rules 50 and 51", (340, 200),
        ("LLDDLL/DDDD", "LLDDL/DDDD", "LL DD/LL DDDD", "LL-DD L/DDDD"), 0.36, WHITE_OR_YELLOW,
        top=0.09, foot=0.91, fill=0.9, letters=NO_IO,
    ),
    Layout(
        "in", "in", "Central Motor Vehicles Rules 1989, rules 50 and 51: 500 × 120 mm", (500, 120),
        ("LL DD LL DDDD", "LLDDLLDDDD", "LL DD L DDDD", "LL-DD-LL-DDDD"), 0.55,
        ((WHITE, BLACK), (YELLOW, BLACK), (BLACK, YELLOW), (GREEN, WHITE)), letters=NO_IO,
        bands=(
            Band(
                ("IND",), mark="sun", mark_colours=(SKY, BLUE), colour=WHITE, ink=BLUE, width=0.07,
                chance=0.4,
            ),
        ),
    ),
    # The province's glyph is an emblem here: no reader of Latin plates reads it.
    Layout(
        "cn", "cn", "GA 36-2018", (440, 140), ("*L.XDDDD", "*L.DXDDD", "*L.DDDXX", "*L.DDDDX"),
        0.64, ((BLUE, WHITE), (BLUE, WHITE), (YELLOW, BLACK), (BLACK, WHITE)), letters=NO_IO,
        hyphen=0.3, emblem=0.8, emblems=(Art("glyph", (WHITE,)),), border=0.95, radius=6,
        gap=(0.13, 0.17),
    ),
    Layout(
        "cn-electric", "cn", "GA 36-2018: 480 × 140 mm, fading to green", (480, 140),
        ("*L.LXDDDD", "*L.DDDDDL"), 0.64, ((WHITE, BLACK),), letters=NO_IO, emblem=0.8,
        emblems=(Art("glyph", (BLACK,)),), radius=6,
        art=(Art("fade", ((236, 240, 236), (90, 200, 120))),),
    ),
    Layout(
        "my", "my", "Motor Vehicles (Registration and Licensing) Rules 1959", (520, 110),
        ("LLL DDDD", "LL DDDD", "LLL DDD", "L DDDD L"), 0.7, ((BLACK, WHITE),), letters=NO_IO,
        border=0.2,
    ),
    replace(
        EU_TWO_LINE, name="my-two-line", country="my",
        source="Motor Vehicles (Registration and Licensing) Rules 1959",
        patterns=("LLL/DDDD", "LL/DDDD"), colours=((BLACK, WHITE),), letters=NO_IO,
    ),
    Layout(
        "mx", "mx", "NOM-001-SCT-2-2016", (300, 150), ("LLL-DD-DD", "LLL-DDD-L", "LLL DDDD"), 0.45,
        ((WHITE, BLACK), (CREAM, BLACK)), top=0.3, foot=0.76, letters=NO_IOQ,
        art=(Art("landscape", (WHITE,), (0.0, 0.0, 1.0, 1.0), 0.5),),
        words=(
            Words(
                ("JALISCO", "PUEBLA", "SONORA", "NUEVO LEON"), (0.3, 0.05, 0.4, 0.15), "bold",
                (GREEN, RED, MAROON),
            ),
        ),
        holes=((0.2, 0.1), (0.8, 0.1)),
    ),
)
# fmt: on

NAME: Shares = (0.25, 0.035, 0.5, 0.17)
SLOGAN: Shares = (0.25, 0.845, 0.5, 0.11)
LEFT_TOP, RIGHT_TOP = (0.03, 0.045, 0.12, 0.14), (0.85, 0.045, 0.12, 0.14)
LEFT_FOOT, RIGHT_FOOT = (0.04, 0.8, 0.12, 0.14), (0.84, 0.8, 0.12, 0.14)
TOP_CORNERS, FOOT_CORNERS = (LEFT_TOP, RIGHT_TOP), (LEFT_FOOT, RIGHT_FOOT)
CORNERS = (*TOP_CORNERS, *FOOT_CORNERS)

US = Layout(
    "us",
    "us",
    "SAE J686: 12 × 6 inches, bolts 7 × 4.75 inches apart; whatever the state prints on it",
    (305, 152),
    ("LLL DDDD", "DLLLDDD", "LLL-DDD", "DDD LLL", "LLL*DDDD", "llDDDD", "LL DDDD"),
    0.46,
    ((WHITE, NAVY), (WHITE, BLACK), (CREAM, MAROON), (SKY, NAVY), (WHITE, RED), (PALE_BLUE, BLACK)),
    top=0.29,
    foot=0.77,
    gap=(0.1, 0.2),
    hyphen=0.46,
    letters=NO_IOQ,
    emblems=(Art("any", (WHITE,)),),
    words=(
        Words(
            (
                "KENTUCKY",
                "Kansas",
                "NEBRASKA",
                "Arkansas",
                "MISSISSIPPI",
                "Rhode Island",
                "DELAWARE",
                "Alabama",
            ),
            NAME,
            "serif-bold",
        ),
        Words(
            (
                "",
                "GARDEN STATE",
                "Famous Rivers",
                "The Big Sky",
                "DISCOVER",
                "Unbridled Spirit",
                "JACKSON",
                "MARION",
            ),
            SLOGAN,
            "sans",
        ),
    ),
    stickers=CORNERS,
    holes=((0.21, 0.1), (0.79, 0.1), (0.21, 0.9), (0.79, 0.9)),
    border=0.5,
    radius=12,
)


def _us(
    state: str,
    source: str,
    patterns: tuple[str, ...],
    colours: tuple[tuple[Colour, Colour], ...],
    words: tuple[Words, ...],
    **rest: Any,
) -> Layout:
    """A state's plate of about 1995 to 2015; about one text in ten is a vanity."""
    layout = replace(
        US,
        name=f"us-{state}",
        source=f"SAE J686; {source}",
        patterns=(*patterns, *patterns, *patterns, "AAAAAAA"),
        colours=colours,
        words=words,
        emblems=(),
        border=0.3,
    )
    return replace(layout, **rest)


def _name(text: str, colour: Colour, face: str = "serif-bold", box: Shares = NAME) -> Words:
    return Words((text,), box, face, (colour,))


def _slogan(colour: Colour, *texts: str, face: str = "sans", box: Shares = SLOGAN) -> Words:
    return Words(texts, box, face, (colour,))


# fmt: off
STATES: tuple[Layout, ...] = (
    _us(
        "ak", "Alaska DMV: flag of 1981 and 50 years of statehood of 2008", ("LLL DDD",),
        (((238, 190, 60), NAVY), (YELLOW, NAVY)),
        (
            _name("ALASKA", NAVY, "bold"),
            _slogan(RED, "CELEBRATING STATEHOOD 1959-2009", "The Last Frontier"),
        ),
        art=(
            Art("fade", ((244, 206, 70), (236, 160, 50), (244, 206, 70)), strength=0.6),
            Art("star", (YELLOW,), (0.04, 0.3, 0.05, 0.1)),
        ),
    ),
    _us(
        "az", "Arizona MVD: 1996 desert series", ("LLL DDDD", "DDD LLL", "L.DDDDD", "LLLDDDD"),
        ((WHITE, (16, 84, 66)),),
        (
            _name("ARIZONA", TEAL, "sans"),
            _slogan((60, 60, 60), "GRAND CANYON STATE", box=(0.5, 0.86, 0.46, 0.09)),
        ),
        art=(
            Art("fade", ((110, 190, 200), (216, 236, 232), WHITE, (246, 232, 200)), strength=0.9),
            Art("mountains", (PURPLE,), (0.02, 0.7, 0.5, 0.3)),
            Art("cactus", ((40, 90, 60),), (0.44, 0.72, 0.035, 0.2)),
        ),
        stickers=TOP_CORNERS,
    ),
    _us(
        "ar", "Arkansas DFA: 2006 diamond series", ("DDD*LLL", "DDD LLL", "LLL DDD"),
        (((226, 232, 240), BLACK), (WHITE, RED)),
        (_name("Arkansas", NAVY), _slogan(RED, "The Natural State", "Land of Opportunity")),
        art=(Art("fade", (WHITE, (206, 214, 226)), strength=0.8),),
        emblems=(Art("diamond", ((196, 204, 212), (236, 240, 244))),), emblem=0.6,
    ),
    _us(
        "ca", "California DMV: script series of 1998 and 1993", ("DLLLDDD", "DLLLDDD", "DADDDDD"),
        ((WHITE, INDIGO), (SNOW, (24, 32, 90)), (WHITE, BLACK)),
        (
            _name("California", (196, 30, 50), "script", (0.27, 0.02, 0.46, 0.25)),
            _slogan(
                (196, 30, 50), "", "", "SESQUICENTENNIAL - 150 YEARS", "dmv.ca.gov", face="sans",
            ),
        ),
        stickers=TOP_CORNERS, gap=(0.08, 0.13),
    ),
    _us(
        "co", "Colorado DMV: mountains of 2000", ("DDD.LLL", "DDD-LLL", "LLL-DDD"),
        ((WHITE, (20, 34, 30)),),
        (_name("COLORADO", (16, 60, 50), "bold", (0.3, 0.83, 0.4, 0.13)),),
        art=(
            Art("rows", ((16, 60, 50),), (0.0, 0.0, 1.0, 0.5)),
            Art("mountains", (WHITE, SNOW), (0.0, 0.05, 1.0, 0.5)),
            Art("rows", (WHITE,), (0.0, 0.3, 1.0, 0.7)),
        ),
        stickers=FOOT_CORNERS,
    ),
    _us(
        "co-old", "Colorado DMV: green mountains of 1977", ("LL DDDD", "LLL DDDD", "LLLDDDD"),
        (((20, 92, 62), WHITE),), (_name("COLORADO", WHITE, "bold", (0.3, 0.83, 0.4, 0.13)),),
        art=(
            Art("rows", (WHITE,), (0.0, 0.0, 1.0, 0.3)),
            Art("mountains", ((20, 92, 62),), (0.0, 0.02, 1.0, 0.32)),
        ),
        stickers=FOOT_CORNERS,
    ),
    _us(
        "ct", "Connecticut DMV: blue fade of 2000", ("DDD.LLL", "LLL DDD", "DDD LLL"),
        (((226, 234, 246), (24, 40, 110)),),
        (_name("Connecticut", NAVY, "serif"), _slogan(NAVY, "Constitution State", face="serif")),
        art=(
            Art("fade", ((96, 150, 214), (220, 234, 248), SNOW)),
            Art("connecticut", (NAVY,), (0.06, 0.08, 0.1, 0.14)),
        ),
        stickers=(RIGHT_TOP,),
    ),
    _us(
        "dc", "District of Columbia DMV: 2000 series", ("LL*DDDD",), ((WHITE, (40, 84, 170)),),
        (
            _name("WASHINGTON, DC", (40, 84, 170), "sans"),
            _slogan(
                (40, 84, 170), "TAXATION WITHOUT REPRESENTATION", face="condensed",
                box=(0.03, 0.84, 0.94, 0.13),
            ),
        ),
        emblems=(Art("stars-and-bars", (RED,)),), emblem=0.74, stickers=TOP_CORNERS,
        art=(
            Art("rows", (RED, RED), (0.02, 0.2, 0.96, 0.018)),
            Art("rows", (RED,), (0.02, 0.81, 0.96, 0.018)),
        ),
    ),
    _us(
        "de", "Delaware DMV: gold on blue since 1958", ("DDDDDD", "DDDDD", "lDDDDDD"),
        (((26, 66, 130), (226, 196, 110)),),
        (
            _name("THE FIRST STATE", (226, 196, 110), "sans"),
            _name("DELAWARE", (226, 196, 110), "sans", SLOGAN),
        ),
        stickers=(RIGHT_FOOT,), border=1.0,
    ),
    _us(
        "fl", "Florida DHSMV: orange of the 1990s and blossom of 2003",
        ("LDD*DLL", "DDD*LLL", "LDD*LDL", "XDD*DLL"), ((WHITE, (18, 92, 62)),),
        (
            _name("MYFLORIDA.COM", (18, 92, 62), "serif-bold", (0.22, 0.05, 0.56, 0.14)),
            _slogan(
                (18, 92, 62), "SUNSHINE STATE", "ORANGE", "DADE", "IN GOD WE TRUST", "LEON",
                face="bold",
            ),
        ),
        art=(Art("florida", ((150, 206, 190),), (0.36, 0.18, 0.3, 0.6), 0.8),),
        emblems=(Art("blossom", ((236, 120, 30), (40, 120, 60), WHITE)),), emblem=0.9,
        stickers=(RIGHT_TOP,),
    ),
    _us(
        "ga", "Georgia DOR: peach of 1997, 2003 and 2007", ("LLL*DDDD", "DDDD LLL", "DDDDLLL"),
        ((WHITE, BLACK), ((226, 238, 228), (24, 50, 36))),
        (
            _name("GEORGIA", BLACK, "serif-bold"),
            _slogan(
                BLACK, "IN GOD WE TRUST", "JACKSON", "DOUGLAS", "CHATHAM", "FULTON", face="bold",
            ),
        ),
        emblems=(Art("peach", ((244, 150, 70), (40, 110, 60), WHITE)),), emblem=0.66,
        art=(Art("rows", (BLACK,), (0.0, 0.0, 1.0, 0.03)),), stickers=FOOT_CORNERS,
    ),
    _us(
        "hi", "Honolulu county: rainbow of 1991", ("LLL DDD", "LLL-DDD"), ((WHITE, BLACK),),
        (_name("HAWAII", BLACK, "bold"), _slogan(BLACK, "ALOHA STATE")),
        art=(
            Art(
                "rainbow",
                (
                    (240, 120, 120), (244, 190, 120), (244, 236, 130), (150, 210, 150),
                    (130, 170, 230), (180, 140, 210),
                ),
                (0.02, 0.1, 0.96, 0.9), 0.8,
            ),
        ),
    ),
    _us(
        "id", "Idaho Transportation Department: red, white and blue since 1991; small county code",
        ("dlDDDDDD", "dlDDDD", "dl DDDDD", "dL LDDDD", "DL DDDDL", "dl DDDDL"),
        (((236, 226, 230), (36, 36, 96)),),
        (
            _name("Scenic", WHITE, "script", (0.14, 0.03, 0.2, 0.13)),
            _name("IDAHO", WHITE, "serif-bold", (0.36, 0.04, 0.32, 0.16)),
            _slogan(NAVY, "FAMOUS POTATOES", face="serif-bold"),
        ),
        art=(
            Art(
                "fade",
                ((206, 34, 56), (236, 180, 184), (244, 240, 240), (180, 196, 226), (120, 150, 206)),
            ),
            Art("mountains", ((130, 150, 196), (84, 108, 166)), (0.0, 0.55, 1.0, 0.34)),
            Art("trees", ((36, 60, 120),), (0.0, 0.72, 1.0, 0.14)),
            Art("rows", (SNOW,), (0.0, 0.85, 1.0, 0.15)),
            Art("pine", ((24, 34, 80),), (0.92, 0.3, 0.07, 0.5)),
        ),
        stickers=(RIGHT_FOOT,),
    ),
    _us(
        "il", "Illinois Secretary of State: Lincoln of 2001",
        ("LDD DDDD", "DDD DDDD", "LLD DDD", "DDDDDDD"), (((238, 236, 240), (130, 26, 44)),),
        (
            _name("Illinois", (40, 80, 150), "script", (0.24, 0.03, 0.52, 0.22)),
            _slogan((40, 60, 110), "Land of Lincoln", face="serif-bold"),
        ),
        art=(
            Art("fade", (WHITE, WHITE, (150, 186, 226))),
            Art("head", ((190, 204, 224),), (0.43, 0.3, 0.17, 0.5), 0.7),
        ),
        stickers=(RIGHT_TOP,),
    ),
    _us(
        "in", "Indiana BMV: blue of 2008", ("DDDLLL", "DDDLL", "DDD LLL"),
        (((28, 62, 140), WHITE),),
        (
            Words(
                ("49 - Marion", "29 - Hamilton", "02 - Allen"), (0.28, 0.04, 0.36, 0.11), "sans",
                (BLACK,),
            ),
            _name("INDIANA", WHITE, "bold", SLOGAN),
        ),
        art=(
            Art("rows", (SNOW,), (0.22, 0.02, 0.48, 0.14)),
            Art("sun", (SNOW, (28, 62, 140)), (0.03, 0.3, 0.16, 0.35), 0.8),
        ),
        span=(0.2, 0.98), letters=LETTERS,
    ),
    _us(
        "ia", "Iowa DOT: city and farm of 1997", ("DDD LLL", "DDDLLL"),
        (((220, 230, 240), (30, 40, 110)),),
        (
            _name("IOWA", (40, 70, 170)),
            _slogan((40, 70, 170), "MARSHALL", "JASPER", "POLK", "JOHNSON", "SIOUX", face="bold"),
        ),
        art=(
            Art("fade", ((80, 150, 214), (236, 240, 244), (214, 214, 210))),
            Art("skyline", ((196, 202, 206), (214, 216, 214)), (0.4, 0.3, 0.6, 0.45), 0.7),
        ),
        stickers=FOOT_CORNERS,
    ),
    _us(
        "la", "Louisiana OMV: script of the 1990s and pelican of 2005",
        ("LLL*DDD", "LDDDDDD", "LLL DDD"),
        (((226, 232, 236), (20, 30, 70)), (WHITE, (28, 44, 130))),
        (
            _name("Louisiana", RED, "script", (0.24, 0.03, 0.52, 0.22)),
            _slogan(NAVY, "Sportsman's Paradise", face="serif-bold"),
        ),
        art=(Art("fade", ((200, 214, 226), WHITE, (236, 220, 180)), strength=0.8),),
        emblems=(Art("bird", ((120, 120, 110),)), Art("compass", ((40, 80, 160), WHITE))),
        emblem=0.66, stickers=(RIGHT_FOOT,),
    ),
    _us(
        "ma", "Massachusetts RMV: Spirit of America since 1987",
        ("DDD LLD", "DDLL DD", "DDD LL D", "DLL DDD", "DDDDLL", "llDDDD"),
        ((WHITE, (190, 32, 44)),),
        (
            _name("Massachusetts", (40, 110, 190), "script"),
            _slogan((40, 110, 190), "The Spirit of America", face="italic"),
        ),
        stickers=TOP_CORNERS,
    ),
    _us(
        "md", "Maryland MVA: shield of 1986", ("LLL*DDD", "DLL*LDD", "DLL*DDD"), ((WHITE, BLACK),),
        (_name("Maryland", BLACK, "italic"), _slogan(BLACK, "www.maryland.gov", "", face="italic")),
        emblems=(Art("quarters", (GOLD, BLACK, WHITE, RED)),), emblem=0.48, stickers=TOP_CORNERS,
    ),
    _us(
        "me", "Maine BMV: chickadee of 1999", ("DDDD LL", "DDDDLL"), (((214, 224, 210), BLACK),),
        (_name("MAINE", BLACK), _slogan((40, 90, 60), "Vacationland", face="italic")),
        art=(
            Art("fade", ((236, 240, 230), (200, 214, 196)), strength=0.9),
            Art("trees", ((110, 150, 110),), (0.0, 0.74, 1.0, 0.2), 0.8),
            Art("bird", ((70, 66, 60),), (0.02, 0.06, 0.14, 0.3)),
            Art("peach", ((130, 84, 50), (40, 90, 50), (100, 60, 40)), (0.05, 0.4, 0.09, 0.32)),
        ),
        span=(0.15, 0.98), stickers=(RIGHT_FOOT,),
    ),
    _us(
        "mi", "Michigan Secretary of State: blue of 1983 and white of 2007",
        ("LLL DDDD", "DLLLDD", "LLL DDD"), ((WHITE, (24, 54, 130)), ((30, 70, 150), WHITE)),
        (
            _name("MICHIGAN", WHITE, "bold"),
            _slogan((80, 110, 170), "www.Michigan.gov", "GREAT LAKES", "Great Lakes Splendor"),
        ),
        art=(Art("rows", ((30, 70, 150),), (0.0, 0.0, 1.0, 0.21)),), stickers=TOP_CORNERS,
    ),
    _us(
        "mn", "Minnesota DVS: Explore since 1987", ("DDD*LLL", "LLL*DDD"),
        (((232, 238, 240), (24, 40, 130)),),
        (
            Words(("EXPLORE",), (0.08, 0.07, 0.16, 0.09), "bold", ((30, 80, 170),)),
            _name("Minnesota", (30, 70, 150), "serif-bold", (0.3, 0.04, 0.5, 0.16)),
            _slogan((30, 70, 150), "10,000 lakes", face="bold"),
        ),
        art=(
            Art("rows", ((120, 190, 220),), (0.0, 0.0, 1.0, 0.24)),
            Art("trees", ((60, 130, 120),), (0.0, 0.13, 1.0, 0.11), 0.8),
            Art("fade", ((160, 206, 226), (120, 180, 214)), (0.0, 0.8, 1.0, 0.2)),
        ),
        emblems=(Art("minnesota", ((24, 60, 150),)),), emblem=0.42, stickers=FOOT_CORNERS,
    ),
    _us(
        "mo", "Missouri DOR: bluebird of 2008", ("LLD*LDL", "LLD LDL", "LLD*XDX"),
        (((226, 230, 238), (24, 40, 100)),),
        (
            _name("Missouri", NAVY, "italic"),
            Words(("SHOW-ME STATE",), (0.38, 0.19, 0.24, 0.06), "sans", (NAVY,)),
        ),
        art=(
            Art("fade", ((206, 214, 230), WHITE, (200, 220, 206)), strength=0.9),
            Art("missouri", ((200, 210, 226),), (0.3, 0.3, 0.4, 0.6), 0.6),
            Art("bird", ((60, 100, 180),), (0.46, 0.82, 0.1, 0.15)),
        ),
        emblems=(Art("rows", (BLACK, (60, 60, 60))),), emblem=0.48, stickers=(),
    ),
    _us(
        "ms", "Mississippi DOR: magnolia of 1997 and lighthouse of 2007",
        ("LLL DDD", "DDD*LLL", "LLL*DDD"),
        (((226, 232, 240), (24, 30, 80)), ((236, 240, 220), (16, 80, 60))),
        (
            _name("MISSISSIPPI", (30, 70, 130)),
            _slogan(
                (40, 60, 60), "HANCOCK", "FORREST", "RANKIN", "LAUDERDALE", "HINDS", face="bold",
            ),
        ),
        art=(Art("fade", ((130, 180, 220), (244, 226, 180), (226, 230, 226))),),
        emblems=(Art("cactus", ((220, 220, 210),)), Art("blossom", (LIGHT_GREEN, GREEN, WHITE))),
        emblem=0.6, stickers=FOOT_CORNERS,
    ),
    _us(
        "mt", "Montana MVD: blue of 2010, county number first",
        ("D-DDDDDL", "DD-DDDDL", "D.DDDDDL"), (((30, 90, 170), WHITE),),
        (
            _name("TREASURE STATE", WHITE, "bold"),
            _slogan(WHITE, "MONTANA - 10", "MONTANA", face="bold"),
        ),
        art=(Art("montana", ((44, 108, 186),), (0.02, 0.04, 0.9, 0.9)),), border=1.0,
    ),
    _us(
        "nc", "North Carolina DMV: First in Flight since 1982",
        ("LLL-DDDD", "LLL-DDDD", "DDDDll", "LLL.DD"),
        (((238, 238, 240), (40, 60, 180)), (WHITE, (190, 40, 40))),
        (
            Words(("First in Flight",), (0.25, 0.05, 0.5, 0.13), "oblique", (RED,)),
            _name("NORTH CAROLINA", RED, "bold", (0.1, 0.83, 0.8, 0.14)),
        ),
        art=(
            Art("hills", ((206, 222, 240), (220, 230, 240)), (0.0, 0.5, 1.0, 0.5)),
            Art("bird", ((150, 190, 226),), (0.3, 0.1, 0.3, 0.2), 0.7),
        ),
        stickers=TOP_CORNERS,
    ),
    _us(
        "nd", "North Dakota DOT: Discover the Spirit of 1993", ("LLL DDD", "DDD LLL"),
        (((190, 214, 240), BLACK),),
        (
            _name("Discover the Spirit", WHITE, "script"),
            Words(("NORTH DAKOTA",), (0.33, 0.79, 0.34, 0.09), "bold", (WHITE,)),
            Words(("PEACE GARDEN STATE",), (0.34, 0.9, 0.32, 0.06), "bold", (BLACK,)),
        ),
        art=(
            Art("fade", ((70, 130, 206), (190, 214, 240), (240, 226, 190), (226, 190, 110))),
            Art("hills", ((216, 170, 90),), (0.0, 0.68, 1.0, 0.32)),
            Art("rows", (BROWN,), (0.3, 0.78, 0.4, 0.11)),
            Art("beast", (BROWN,), (0.05, 0.76, 0.14, 0.2)),
            Art("bird", (GOLD,), (0.76, 0.8, 0.18, 0.14)),
        ),
        stickers=(RIGHT_TOP,),
    ),
    _us(
        "ne", "Nebraska DMV: wagon; county number first", ("DD-LDDD", "D-LDDDD", "LLL DDD"),
        ((WHITE, (40, 50, 120)),), (_name("Nebraska", RED, "script"),),
        art=(
            Art("rows", ((170, 190, 226),), (0.1, 0.83, 0.85, 0.03)),
            Art("beast", (BROWN,), (0.5, 0.78, 0.16, 0.14)),
        ),
        stickers=(RIGHT_TOP,),
    ),
    _us(
        "nh", "New Hampshire DMV: Old Man of the Mountain of 1999", ("DDD DDDD", "DDD DDD"),
        (((206, 230, 220), (18, 110, 84)),),
        (
            _name("LIVE FREE OR DIE", (18, 110, 84), "sans"),
            _slogan(
                (18, 110, 84), "NEW HAMPSHIRE", face="serif-bold", box=(0.22, 0.79, 0.56, 0.18),
            ),
        ),
        art=(
            Art("fade", ((186, 224, 222), (222, 240, 226)), strength=0.9),
            Art("head", ((150, 190, 176),), (0.62, 0.25, 0.3, 0.6), 0.6),
        ),
        stickers=FOOT_CORNERS,
    ),
    _us(
        "nj", "New Jersey MVC: yellow fade since 1992", ("LLL*DDL", "LLDDDL", "LDD*LLL", "LL*DDDL"),
        (((236, 224, 150), BLACK),),
        (_name("New Jersey", BLACK, "serif-bold"), _slogan(BLACK, "Garden State", face="bold")),
        art=(Art("fade", ((232, 206, 70), (244, 240, 216), (246, 244, 232))),),
        emblems=(Art("new-jersey", (BLACK,)),), emblem=0.26, stickers=(),
    ),
    _us(
        "nm", "New Mexico MVD: centennial turquoise of 2010 and yellow of 1991",
        ("LLL*DDD", "DDD*LLL"), (((40, 170, 180), (244, 220, 70)), (YELLOW, RED)),
        (
            Words(("CENTENNIAL 1912-2012", "NEW MEXICO USA"), (0.2, 0.05, 0.6, 0.11), "bold"),
            Words(("NEW MEXICO",), (0.26, 0.79, 0.48, 0.1), "bold"),
            Words(("LAND OF ENCHANTMENT",), (0.3, 0.9, 0.4, 0.06), "bold"),
        ),
        emblems=(Art("zia", (GOLD, RED)),), emblem=0.84, stickers=(RIGHT_FOOT,), border=0.9,
    ),
    _us(
        "nv", "Nevada DMV: sunset mountains of 2001", ("DDD.LLL", "LLL.DDD"),
        (((196, 208, 228), (28, 40, 110)),),
        (_name("NEVADA", BLACK, "serif-bold"), _slogan((60, 80, 130), "THE SILVER STATE")),
        art=(
            Art(
                "fade",
                ((90, 130, 200), (244, 190, 90), (240, 240, 240), (206, 216, 234), (110, 130, 190)),
            ),
            Art("mountains", ((96, 110, 170), SNOW), (0.0, 0.05, 1.0, 0.3)),
            Art("fade", (SNOW, (206, 216, 234), (130, 146, 200)), (0.0, 0.27, 1.0, 0.73)),
        ),
        stickers=TOP_CORNERS,
    ),
    _us(
        "ny", "New York DMV: gold of 2010; taxis and lorries have series of their own",
        ("LLL*DDDD", "LLL*DDDD", "LLL*DDDD", "LDDDDDDL", "DDDDD*LL"),
        (((240, 170, 40), (24, 30, 70)),),
        (
            _name("NEW YORK", GOLD, "serif-bold"),
            _slogan((24, 30, 70), "EMPIRE STATE", face="serif-bold"),
        ),
        art=(Art("rows", ((24, 36, 84),), (0.0, 0.0, 1.0, 0.21)),),
        emblems=(Art("new-york", ((24, 30, 70),)),), emblem=0.5, border=0.9,
    ),
    _us(
        "ny-blue", "New York DMV: Empire of 2001", ("LLL*DDDD", "LLL DDDD", "DDDDD*LL"),
        (((236, 238, 240), (24, 34, 80)),),
        (
            _name("NEW YORK", SNOW, "serif-bold"),
            _slogan((236, 238, 240), "THE EMPIRE STATE", face="serif-bold"),
        ),
        art=(
            Art("fade", ((30, 44, 100), (60, 80, 150)), (0.0, 0.0, 1.0, 0.22)),
            Art("mountains", ((120, 140, 190),), (0.0, 0.02, 0.25, 0.2)),
            Art("skyline", ((120, 140, 190),), (0.75, 0.04, 0.25, 0.18)),
            Art("rows", ((30, 44, 100),), (0.0, 0.82, 1.0, 0.18)),
        ),
        emblems=(Art("new-york", ((24, 34, 80),)),), emblem=0.5,
    ),
    _us(
        "oh", "Ohio BMV: Birthplace of Aviation of 2004", ("LLL DDDD",),
        (((222, 228, 236), (24, 40, 100)),),
        (
            _name("Ohio", (30, 50, 130), "script", (0.36, 0.02, 0.28, 0.17)),
            Words(("Birthplace of Aviation",), (0.34, 0.19, 0.32, 0.07), "oblique", (RED,)),
        ),
        art=(
            Art("fade", ((190, 204, 226), WHITE), strength=0.8),
            Art("rows", ((206, 40, 50),), (0.0, 0.0, 1.0, 0.14)),
            Art("disc", (WHITE,), (0.34, -0.06, 0.32, 0.28)),
        ),
        stickers=FOOT_CORNERS,
    ),
    _us(
        "ok", "Oklahoma Tax Commission: Sacred Rain Arrow of 2009", ("DDDLLL", "LLLDDD"),
        (((220, 230, 238), (140, 24, 40)),),
        (
            _name("OKLAHOMA", (40, 50, 80), "serif-bold", (0.3, 0.05, 0.5, 0.14)),
            Words(("NATIVE AMERICA",), (0.3, 0.86, 0.4, 0.09), "bold", (WHITE,)),
        ),
        art=(
            Art("fade", ((150, 196, 220), (240, 236, 230))),
            Art("rows", (NAVY,), (0.0, 0.83, 1.0, 0.17)),
            Art("rider", ((40, 44, 50),), (0.02, 0.1, 0.26, 0.75)),
        ),
        span=(0.27, 0.98), stickers=TOP_CORNERS,
    ),
    _us(
        "or", "Oregon DMV: fir of 1988", ("LLL*DDD", "DDD*LLL", "llDD*DDD"),
        (((206, 220, 230), (28, 40, 70)),), (_name("Oregon", (28, 40, 80), "serif-bold"),),
        art=(
            Art("fade", ((214, 226, 234), (226, 220, 226)), strength=0.8),
            Art("mountains", ((96, 90, 150),), (0.0, 0.76, 1.0, 0.22)),
        ),
        emblems=(Art("pine", ((70, 140, 100),)),), emblem=0.66, stickers=FOOT_CORNERS,
    ),
    _us(
        "pa", "Pennsylvania PennDOT: bands of 1999", ("LLL*DDDD", "LLL-DDDD", "LLL DDDD"),
        ((WHITE, (24, 40, 110)),),
        (
            _name("PENNSYLVANIA", WHITE, "bold", (0.2, 0.05, 0.6, 0.13)),
            _slogan((40, 60, 110), "WWW.STATE.PA.US", "visitPA.com", "TRAILER", face="serif-bold"),
        ),
        art=(
            Art(
                "fade",
                (
                    (30, 60, 140), (30, 60, 140), (40, 74, 156), (200, 212, 232), WHITE, WHITE,
                    WHITE, WHITE, (244, 214, 90), (244, 206, 60),
                ),
            ),
        ),
        emblems=(Art("keystone", ((24, 40, 110),)),), emblem=0.22, stickers=(LEFT_TOP,),
    ),
    _us(
        "ri", "Rhode Island DMV: wave of 1996", ("LL-DDD", "DDD-DDD", "LL DDD"),
        (((214, 222, 230), (36, 50, 100)),),
        (
            _name("Rhode Island", (36, 50, 100), "serif"),
            _slogan((36, 50, 100), "Ocean State", face="serif"),
        ),
        art=(
            Art("hills", ((180, 196, 212),), (0.0, 0.1, 1.0, 0.9), 0.8),
            Art("anchor", ((60, 76, 120),), (0.05, 0.06, 0.07, 0.16)),
        ),
        stickers=(RIGHT_FOOT,),
    ),
    _us(
        "sd", "South Dakota DOR: Mount Rushmore of 2006, county number first",
        ("DLL DDD", "DDL DDD", "DLLDDD"), (((214, 228, 244), (30, 60, 120)),),
        (
            _name("South Dakota", RED, "script"),
            _slogan(RED, "GREAT FACES. GREAT PLACES.", face="condensed"),
        ),
        art=(
            Art("fade", ((70, 150, 220), (230, 238, 246))),
            Art("mountains", ((226, 230, 236),), (0.0, 0.4, 1.0, 0.6), 0.8),
        ),
        stickers=(RIGHT_FOOT,),
    ),
    _us(
        "tn", "Tennessee DOR: green hills of 2006", ("DDD*LLL", "LDD-DDL", "LLL DDD"),
        ((WHITE, BLACK),),
        (
            _name("Tennessee", BLACK, "script"),
            Words(
                ("DAVIDSON", "KNOX", "BLOUNT", "SHELBY"), (0.3, 0.84, 0.4, 0.11), "bold", (BLACK,),
            ),
            Words(("The Volunteer State",), (0.4, 0.01, 0.3, 0.06), "sans", (BLACK,)),
        ),
        art=(
            Art("hills", ((200, 220, 200), (170, 200, 180)), (0.0, 0.3, 1.0, 0.7), 0.8),
            Art("rows", (SNOW,), (0.25, 0.82, 0.5, 0.15)),
        ),
        emblems=(Art("tennessee", (BLACK,)),), emblem=0.6, stickers=FOOT_CORNERS,
    ),
    _us(
        "tx", "Texas DMV: Lone Star of 2009 and the older white plate",
        ("LLD*LDDD", "LDD*LLL", "LLL*DDL", "DDD*LLL"), (((226, 230, 236), BLACK),),
        (
            _name("TEXAS", WHITE, "serif-bold", (0.28, 0.03, 0.44, 0.19)),
            _slogan(WHITE, "The Lone Star State", face="italic"),
        ),
        art=(
            Art("fade", ((44, 84, 160), (230, 234, 240), (226, 230, 236), (150, 130, 150))),
            Art("rows", (RED,), (0.1, 0.0, 0.3, 0.2), 0.7),
            Art("rows", (NAVY,), (0.0, 0.0, 0.16, 0.26)),
            Art("star", (WHITE,), (0.04, 0.03, 0.1, 0.2)),
            Art("hills", ((50, 40, 70),), (0.0, 0.74, 1.0, 0.26)),
        ),
        emblems=(Art("texas", (RED, (40, 70, 150))), Art("star", (BLACK,))), emblem=0.38,
        stickers=(),
    ),
    _us(
        "ut", "Utah DMV: arch of 2007 and of the 1990s", ("LDD DLL", "DDD LLL", "LDDDLL"),
        (((226, 196, 160), (24, 30, 90)),),
        (
            _name("UTAH", (24, 40, 110), "bold"),
            _slogan((30, 30, 40), "LIFE ELEVATED", "CENTENNIAL", face="sans"),
        ),
        art=(
            Art("fade", ((70, 140, 206), (214, 226, 236), (244, 226, 190))),
            Art("arch", ((226, 110, 60),), (0.42, 0.18, 0.38, 0.75), 0.85),
            Art("hills", ((230, 140, 70),), (0.0, 0.7, 1.0, 0.3)),
        ),
        stickers=TOP_CORNERS,
    ),
    _us(
        "va", "Virginia DMV: blue on white, seven characters since 1993",
        ("LLL-DDDD", "LLL-DDDD", "DDDDLL", "DDD*DDD"), (((236, 238, 240), (30, 40, 100)),),
        (
            _name("VIRGINIA", (30, 60, 160), "serif-bold"),
            _slogan((30, 40, 100), "", "", "Virginia is for Lovers", face="sans"),
        ),
        emblems=(Art("seal", (GOLD, (90, 110, 160), GOLD)),), emblem=0.72, stickers=TOP_CORNERS,
        letters=LETTERS,
    ),
    _us(
        "vt", "Vermont DMV: white on green since the 1980s", ("LLL DDD", "DDDD", "dddDDD DDD"),
        (((22, 116, 72), WHITE),),
        (_name("Vermont", WHITE, "serif-bold"), _slogan(WHITE, "Green Mountain State")),
        art=(
            Art("pine", (LIGHT_GREEN,), (0.06, 0.04, 0.06, 0.15)),
            Art("rows", (WHITE,), (0.0, 0.21, 1.0, 0.025)),
            Art("rows", (WHITE,), (0.0, 0.8, 1.0, 0.025)),
        ),
        stickers=(RIGHT_FOOT,),
    ),
    _us(
        "wa", "Washington DOL: Mount Rainier since 1987", ("DDD-LLL", "LLLDDDD", "LLL-DDD"),
        (((230, 234, 242), (30, 40, 110)),),
        (
            _name("WASHINGTON", RED, "sans", (0.08, 0.05, 0.5, 0.13)),
            _slogan(RED, "EVERGREEN STATE"),
        ),
        art=(Art("mountains", ((190, 206, 232), (212, 222, 238)), (0.0, 0.15, 1.0, 0.75), 0.8),),
        stickers=((0.6, 0.05, 0.13, 0.14), RIGHT_TOP),
    ),
    _us(
        "wi", "Wisconsin DOT: America's Dairyland since 1986", ("DDD-LLL", "LLL-DDD"),
        (((240, 240, 238), BLACK), (WHITE, RED)),
        (
            _name("WISCONSIN", RED, "oblique", (0.03, 0.04, 0.5, 0.14)),
            _slogan(RED, "America's Dairyland", face="oblique"),
        ),
        art=(
            Art("rows", ((60, 100, 170),), (0.0, 0.19, 1.0, 0.02)),
            Art("hills", ((70, 150, 90),), (0.56, 0.1, 0.4, 0.1)),
            Art("sun", (ORANGE, YELLOW), (0.58, 0.03, 0.07, 0.12)),
            Art("skyline", (RED,), (0.8, 0.05, 0.12, 0.12)),
        ),
        stickers=FOOT_CORNERS,
    ),
    _us(
        "wv", "West Virginia DMV: Wild, Wonderful of 1995", ("DL DDDD", "LLL DDD", "DLL DDD"),
        (((240, 240, 238), (28, 60, 120)),),
        (
            _name("West Virginia", GOLD, "serif-bold"),
            _slogan((28, 60, 120), "Wild, Wonderful", face="serif"),
        ),
        art=(
            Art("rows", ((28, 70, 140),), (0.0, 0.0, 1.0, 0.2)),
            Art("rows", (GOLD, (28, 70, 140)), (0.0, 0.8, 1.0, 0.03)),
        ),
        stickers=(RIGHT_FOOT,),
    ),
    _us(
        "wy", "Wyoming DOT: bucking horse and rider; county number first",
        ("D*DDDL", "dd*DDDL", "DD*DDDD", "d*DDDll"),
        (((190, 214, 240), BLACK), ((210, 150, 40), BROWN)),
        (_name("WYOMING", BLACK, "serif-bold", (0.42, 0.8, 0.5, 0.15)),),
        art=(
            Art("fade", ((80, 150, 214), (214, 230, 242), (180, 206, 180)), strength=0.8),
            Art("arch", ((216, 206, 190),), (0.6, 0.1, 0.3, 0.5), 0.5),
        ),
        emblems=(Art("rider", (BLACK,)),), emblem=0.96, stickers=(LEFT_TOP,),
    ),
)
# fmt: on

VANITY = (
    "AAAAAAA",
    "AAAAAA",
    "AAAAA",
    "AAAA",
    "AAA",
    "AA",
    "AADAAAA",
    "XXXX",
    "XXXXXX",
    "AAA AAA",
    "AA AAAA",
    "AAADDD",
    "DAAA",
)

# fmt: off
US_OTHERS: tuple[Layout, ...] = (
    US,
    replace(
        US, name="us-art",
        patterns=("LLL DDD", "LLL*DDD", "DDDD LL", "LL DDDDD", "llDDDD", "DDDDll"),
        colours=((WHITE, NAVY), (CREAM, GREEN), (SKY, BLACK), (YELLOW, BLACK)),
        art=(Art("landscape", (WHITE,)),),
    ),
    replace(
        US, name="us-specialty",
        patterns=("DDDD LL", "LLDDDD", "XXXXX", "llDDDD", "DDDDDll", "AAAAAA"), span=(0.24, 0.98),
        art=(
            Art("landscape", (WHITE,), strength=0.5), Art("any", (WHITE,), (0.03, 0.26, 0.22, 0.5)),
        ),
    ),
    replace(
        US, name="us-dark", patterns=("LLL DDD", "DDD-LLL", "LDD DDD", "DDDDDD"),
        colours=((GREEN, WHITE), (NAVY, YELLOW), (BLACK, YELLOW), (RED, WHITE)),
    ),
    replace(
        US, name="us-vanity", patterns=VANITY, letters=LETTERS, art=(Art("landscape", (WHITE,)),),
        colours=(
            (WHITE, NAVY), (SKY, RED), (CREAM, BLACK), (NAVY, WHITE), (BLACK, YELLOW),
            (GREEN, WHITE),
        ),
    ),
    replace(
        US, name="us-motorcycle", size=(178, 102),
        source="7 × 4 inches, as most states make them for motorcycles",
        patterns=("DLDDDD", "LLDDD", "DDDDDL", "XXXXX", "AAAAA"), character_height=0.5, top=0.27,
        foot=0.8, stickers=TOP_CORNERS,
        colours=((WHITE, NAVY), (WHITE, BLACK), (YELLOW, BLACK), (SKY, RED)),
    ),
)
# fmt: on

# Any text in any colours: without these a network would learn the patterns and not the shapes.
ANY_COLOURS = (
    (WHITE, BLACK),
    (BLACK, WHITE),
    (YELLOW, BLACK),
    (WHITE, RED),
    (WHITE, GREEN),
    (WHITE, BLUE),
    (RED, WHITE),
    (GREEN, WHITE),
    (BLUE, WHITE),
    (ORANGE, BLACK),
    (GREY, BLACK),
    (SKY, NAVY),
)
# fmt: off
ANYTHING: tuple[Layout, ...] = (
    Layout(
        "any-long", "any", "No rule: any text of two to ten characters", (520, 110),
        (
            "XX", "XXX", "XXXX", "XXXXX", "XXXXXX", "XXXXXXX", "XXXXXXXX", "XXXXXXXXX",
            "XXXXXXXXXX", "XX XXXX", "XXX-XXXX", "XXX.XX.XX",
        ),
        0.68, ANY_COLOURS, gap=(0.08, 0.26),
    ),
    Layout(
        "any-square", "any", "No rule: any text on two lines", (300, 200),
        ("XX/XXXX", "XXX/XXX", "XXXX/XXXXX", "X/XXX", "XX XX/XX XXX", "XXX/XXXX"), 0.36,
        ANY_COLOURS, top=0.08, foot=0.92, fill=0.9, gap=(0.08, 0.26),
    ),
)
# fmt: on

LAYOUTS: tuple[Layout, ...] = (
    *EUROPE,
    *TWO_LINES,
    *AMERICA_AND_ASIA,
    *STATES,
    *US_OTHERS,
    *ANYTHING,
)

LAYOUT_BY_NAME = {layout.name: layout for layout in LAYOUTS}
