"""A hundredth of the fuzzed meshes: each is prepared or refused in a sentence, within ten processor seconds."""

from __future__ import annotations

import pytest

from scripts import fuzz_meshes


@pytest.mark.parametrize("part", range(4))
def test_a_hundredth_of_the_fuzzed_meshes(part):
    lines = [fuzz_meshes.record(number, 1) for number in range(part, 100, 4)]
    assert [line for line in lines if line["what"] not in fuzz_meshes.GOOD] == []


def test_a_mesh_that_ends_the_process_is_counted_and_the_others_go_on(monkeypatch, tmp_path):
    asked = tmp_path / "serve.py"
    asked.write_text("import os, sys\nfor line in sys.stdin:\n    number = int(line.split()[0])\n"
                     "    os.abort() if number == 1 else print('{\"number\": %d, \"what\": \"prepared\"}' % number, "
                     "flush=True)\n")
    monkeypatch.setattr(fuzz_meshes, "__file__", str(asked))
    lines = list(fuzz_meshes.watched([(0, 0), (1, 0), (2, 0)]))
    assert [line["what"] for line in lines] == ["prepared", "ended the process", "prepared"]
