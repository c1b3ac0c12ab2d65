"""The table of imagined objects: what was asked for, what is closed, how the hands hold, and a picture of each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from PIL import Image

from core.generators.imagination import ImaginationRequest, Imagined
from core.hand import load_hand
from core.metrics.controls import random_wrists
from core.objects import prepare_object
from scripts.benchmarks import check_imagined


def test_it_counts_closed_objects_and_judges_the_hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    hand = load_hand()
    box = trimesh.creation.box((0.05, 0.05, 0.1))
    asked: list[ImaginationRequest] = []

    def imagined(request: ImaginationRequest, seed: int, _progress: object) -> list[Imagined]:
        asked.append(request)
        closed = prepare_object(box.vertices, box.faces)
        opened = replace(closed, watertight=False)
        away = random_wrists(closed, hand, 1, torch.Generator().manual_seed(seed), torch.zeros(45))
        away = replace(away, transl=away.transl + 1.0)
        return [Imagined(closed, away), Imagined(opened, away)]

    monkeypatch.setattr("core.pipeline.imagine.imagine", imagined)
    assert check_imagined.main(["--out", str(tmp_path), "--count", "3", "--fitted"]) == 0
    assert (asked[0].count, asked[0].fitted) == (3, True)
    row = json.loads((tmp_path / "table.json").read_text())
    assert (row["asked"], row["pairs"], row["watertight"]) == (3, 2, 1)
    assert (row["volume_cm3"], row["contact"], row["held"]) == (0, 0, 0)  # a metre off
    assert '"watertight": 1' in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == check_imagined.VIEW
    with pytest.raises(SystemExit):
        check_imagined.main(["--out", str(tmp_path), "--count", "0"])
