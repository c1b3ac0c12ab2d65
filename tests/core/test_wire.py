"""Messages: what is written is read, and what is no message is a sentence."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from core.wire import WireError, read_message, write_message


def sent(message, arrays=None):
    stream = io.BytesIO()
    write_message(stream, message, arrays)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_arrays_come_back_as_they_were(dtype):
    arrays = {"a": np.arange(12, dtype=dtype).reshape(3, 4), "none": np.zeros((0, 3), dtype), "one": np.array(7, dtype)}
    message, back = read_message(sent({"id": 3, "type": "x"}, arrays))
    assert message == {"id": 3, "type": "x"}
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_layout_and_byte_order_are_the_streams_not_the_callers():
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    _, back = read_message(sent({}, {"a": array}))
    np.testing.assert_array_equal(back["a"], array)


def test_messages_follow_each_other():
    stream = io.BytesIO()
    write_message(stream, {"id": 1}, {"a": np.array([10, 13], np.uint8)})
    write_message(stream, {"id": 2})
    stream.seek(0)
    assert [read_message(stream)[0]["id"] for _ in range(2)] == [1, 2]
    assert read_message(stream) is None


def test_numbers_that_are_not_finite_are_null():
    message, _ = read_message(sent({"score": float("nan"), "all": [float("inf"), 1.5]}))
    assert message == {"score": None, "all": [None, 1.5]}


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b"\xff\xfe\n", b"{\n"])
def test_a_line_that_is_no_message_is_refused_and_the_next_is_read(line):
    stream = io.BytesIO(line + b'{"id": 2}\n')
    with pytest.raises(WireError) as caught:
        read_message(stream)
    assert not caught.value.lost
    assert read_message(stream)[0] == {"id": 2}


def announced(**changes):
    head = {"name": "a", "dtype": "float32", "shape": [2], "bytes": 8} | changes
    return json.dumps({"id": 5, "arrays": [head]}).encode() + b"\n"


@pytest.mark.parametrize("changes", [{"dtype": "object"}, {"shape": [3]}, {"dtype": "float64"}])
def test_an_array_that_does_not_fit_is_skipped(changes):
    stream = io.BytesIO(announced(**changes) + b"\n" * 8 + b'{"id": 6}\n')
    with pytest.raises(WireError) as caught:
        read_message(stream)
    assert caught.value.request == 5
    assert not caught.value.lost
    assert read_message(stream)[0] == {"id": 6}


@pytest.mark.parametrize("changes", [{"bytes": -1}, {"bytes": "8"}, {"shape": [-2]}, {"bytes": 1 << 40}, {"shape": 3}])
def test_a_size_nobody_can_follow_ends_the_stream(changes):
    with pytest.raises(WireError) as caught:
        read_message(io.BytesIO(announced(**changes)))
    assert caught.value.lost


def test_a_message_cut_off_is_the_end():
    whole = sent({"id": 1}, {"a": np.arange(100)}).getvalue()
    assert read_message(io.BytesIO(whole[:-1])) is None
    assert read_message(io.BytesIO(whole[:5])) is None


def test_what_is_not_a_number_is_not_sent():
    with pytest.raises(TypeError, match="names is"):
        write_message(io.BytesIO(), {}, {"names": np.array(["a"])})
