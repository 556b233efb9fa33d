"""Numbers that people read keep the digits that matter."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.formatting import ROUNDING_ERROR, format_episode_return, format_number

ANY = st.floats() | st.floats(-1000, 1000) | st.floats(-1, 1)
COMMON = (st.floats(-1e7, 1e7) | st.floats(-10, 10) | st.floats(-1e-3, 1e-3)).filter(
    lambda value: abs(value) >= ROUNDING_ERROR
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (496.9, "496.9"),
        (-1148.7031, "-1148.7"),
        (500.0, "500.0"),
        (9.996, "10.0"),
        (1.35, "1.35"),
        (0.6, "0.6"),
        (0.04, "0.04"),
        (-0.04123, "-0.0412"),
        (-0.0, "0.0"),
        (0.1 + 0.2 - 0.3, "0.0"),
        (1e-6, "0.000001"),
        (-1.25e-8, "-1.25e-08"),
        (-123456789.1, "-1.235e+08"),
        (math.nan, "-"),
        (-math.inf, "-inf"),
    ],
)
def test_a_number_has_one_decimal_and_more_where_three_digits_need_them(value, text):
    assert format_number(value) == text


@given(COMMON)
def test_what_is_read_differs_from_the_number_by_less_than_its_third_digit_and_its_first_decimal(value):
    assert abs(float(format_number(value)) - value) <= min(0.05, 0.005 * abs(value)) * (1 + 1e-6)


@given(st.floats(10, 99_999_999) | st.floats(-9_999_999, -10))
def test_large_numbers_have_exactly_one_decimal(value):
    assert format_number(value) == f"{value:.1f}"


@given(ANY)
def test_every_number_fits_its_column_and_none_is_a_negative_zero(value):
    for text in (format_number(value), format_episode_return(value)):
        assert len(text) <= 11
        assert "nan" not in text
        assert text == "-" or not (text.startswith("-") and float(text) == 0.0)


@given(ANY, ANY)
def test_a_higher_number_never_reads_lower(one, other):
    if one <= other:
        assert float(format_number(one)) <= float(format_number(other))


@given(st.integers(-99_999_999, 99_999_999))
def test_whole_returns_of_an_episode_have_no_decimals(value):
    assert format_episode_return(float(value)) == str(value)


@given(ANY.filter(lambda value: not value.is_integer()))
def test_other_returns_of_an_episode_read_as_means_do(value):
    assert format_episode_return(value) == format_number(value)
