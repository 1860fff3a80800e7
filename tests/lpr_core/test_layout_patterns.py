import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.layout_patterns import (
    EUROPE,
    LAYOUTS,
    OTHERS,
    STATES,
    SYMBOLS,
    Edit,
    Layout,
    fit_layouts,
)
from model_training import layouts as drawn

KNOWN = EUROPE | OTHERS | STATES
TWINS = {"O": "0", "0": "O", "I": "1", "1": "I"}


@pytest.mark.parametrize(
    ("text", "layouts", "expected"),
    [
        ("ABO12O4", ["br"], "ABO1204"),  # LLLDDDD
        ("ABC1D23", ["br"], "ABC1D23"),  # Mercosul, as it is
        ("ABCI023", ["br"], "ABC1023"),  # LLLDDDD with one change, LLLDLDD with two
        ("1ABC0I2", ["us-ca"], "1ABC012"),
        ("DN0I234", ["sk"], "DN0I234"),  # LLDDDLL: neither 3 nor 4 becomes a letter
        ("AB120DE", ["gb"], "AB12ODE"),
        ("ABI2CDE", ["eu"], "AB12CDE"),
        ("AO12345", ["cn"], "A012345"),  # China uses O as a city, not in the number
        ("OA12345", ["cn"], "OA12345"),
        ("KA0IABI234", ["in"], "KA01AB1234"),
        ("ABO1204", [], "ABO1204"),
        ("", ["eu", "us"], ""),
    ],
)
def test_o_and_i_become_what_the_layout_says(text: str, layouts: list[str], expected: str):
    fitted, edits = fit_layouts(text, layouts)
    assert fitted == expected
    assert [(e.index, e.was, e.becomes) for e in edits] == [
        (place, a, b) for place, (a, b) in enumerate(zip(text, expected, strict=True)) if a != b
    ]
    assert {e.layout for e in edits} <= set(layouts)


def test_a_text_that_a_layout_has_stays_as_it_is():
    assert fit_layouts("ABC001", ["se"]) == ("ABC001", ())
    assert fit_layouts("ABCO01", ["se"]) == ("ABC001", (Edit(3, "O", "0", "se"),))
    assert fit_layouts("ABCO01", ["se", "de"])[0] == "ABCO01"  # ABC-O 1 may be German


def test_what_could_be_changed_in_two_ways_stays_as_it_is():
    # Hungarian OII001 and Estonian 011OOI are three changes away, both.
    assert fit_layouts("01I0O1", ["hu"])[0] == "OII001"
    assert fit_layouts("01I0O1", ["ee"])[0] == "011OOI"
    assert fit_layouts("01I0O1", ["hu", "ee"]) == ("01I0O1", ())


def test_a_group_is_all_of_its_layouts():
    assert dict(LAYOUTS["eu"]) == EUROPE
    assert dict(LAYOUTS["us"]) == STATES
    assert set(LAYOUTS) == {"eu", "us", *EUROPE, *OTHERS, *STATES}


def test_every_layout_has_its_source_and_known_symbols():
    for layout in KNOWN.values():
        assert layout.source
        for pattern in layout.patterns:
            assert set(pattern) <= {*SYMBOLS, "?"}
            assert not pattern.startswith("?")


def bears(layout: Layout, text: str) -> bool:
    sets = {symbol: f"[{characters}]" for symbol, characters in SYMBOLS.items()}
    return any(
        re.fullmatch("".join(sets.get(c, c) for c in pattern), text) for pattern in layout.patterns
    )


@given(st.sampled_from(sorted(KNOWN)), st.text("01OIA7", max_size=9))
def test_only_twins_are_changed_and_only_into_a_text_of_the_layout(name: str, text: str):
    fitted, edits = fit_layouts(text, [name])
    assert [TWINS.get(a) for a, b in zip(text, fitted, strict=True) if a != b] == [
        edit.becomes for edit in edits
    ]
    if edits:
        assert bears(KNOWN[name], fitted)
        assert not bears(KNOWN[name], text)


def test_the_series_that_the_generator_draws_are_among_them():
    shared = [layout for layout in drawn.LAYOUTS if layout.name in KNOWN]
    assert len(shared) > 80
    for layout in shared:
        for pattern in layout.patterns:
            symbols = [c for c in pattern if c in "LDXA"]
            text = "".join("A" if c in "LA" else "5" for c in symbols)
            if {*symbols} - {"A"}:  # the others are personal plates
                assert bears(KNOWN[layout.name], text), layout.name
