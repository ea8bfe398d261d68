"""Canonical JSON: the laws that hashing relies on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_pipeline.builder.canonical import NotCanonical, decode, digest, encode

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@pytest.mark.slow
@given(values)
def test_decoding_returns_the_value_and_type_that_were_encoded(value):
    same = json.loads(json.dumps(value, sort_keys=True))
    assert repr(decode(encode(value))) == repr(same)


@pytest.mark.slow
@given(values)
def test_canonical_json_is_a_fixed_point(value):
    assert encode(decode(encode(value))) == encode(value)


@given(st.dictionaries(texts, st.integers()))
def test_the_order_of_keys_does_not_matter(value):
    assert encode(dict(reversed(value.items()))) == encode(value)


def test_one_and_one_point_zero_are_different_settings():
    assert encode({"max_features": 1}) != encode({"max_features": 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "\ud800"])
def test_a_value_that_json_cannot_represent_is_refused(value):
    with pytest.raises(NotCanonical):
        encode({"params": value})


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"b":{"a":1,"a":2}}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff",
        b"{}{}",
        b"",
        b"{'a':1}",
        b'"\t"',
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_ambiguous_text_is_refused(data):
    with pytest.raises(NotCanonical):
        decode(data)


def test_the_digest_is_sha256():
    assert digest(b"") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
