"""Fetching weights from a hub on the loopback: whole, cut, wrong, unknown, offline. The real hub is never asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
import torch
from safetensors.torch import save

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_hub import COMMIT, REPO, SmallHub

from core import hub as core_hub
from core.hub import fetch_weights
from core.progress import Progress, Stopped
from core.weights import all_weights, find, keep_weights, known, load_weights

ROOT = Path(__file__).resolve().parents[2]
FILE = "theirs/theirs.safetensors"


def made(seed=0):
    return save({"weight": torch.randn(300, 1000, generator=torch.Generator().manual_seed(seed))})


CONTENT = made()


@pytest.fixture
def hub():
    with SmallHub() as server:
        server.offer("theirs", CONTENT)
        yield server
        server.shutdown()


@pytest.fixture
def fetch(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(core_hub, "CONFIG", replace(core_hub.CONFIG, pause=0.0))

    def call(name="theirs", repo=REPO, revision=COMMIT, **more):
        return fetch_weights(name, repo, revision, **{"cache": tmp_path / "cache", "folder": tmp_path / "ours",
                                                      "user": tmp_path / "user", "endpoint": hub.endpoint, **more})

    call.user, call.cache, call.ours = tmp_path / "user", tmp_path / "cache", tmp_path / "ours"
    return call


def nothing_in_place(fetch):
    return not list(fetch.user.rglob("*.safetensors")) and not known(fetch.user)


def as_ours(fetch, content=CONTENT, hub=True):
    """The project's index names the weights, and the file is not there."""
    place = {"repo": REPO, "revision": COMMIT, "file": FILE} if hub else None
    fetch.ours.mkdir()
    keep_weights("theirs", content, fetch.ours, place).unlink()


def test_a_whole_download_is_kept_with_its_card_and_loaded(fetch, hub):
    said = []
    path = fetch(progress=Progress(lambda fraction, stage: said.append((fraction, stage))))
    assert path.read_bytes() == CONTENT
    assert path == fetch.user / FILE
    loaded = load_weights("theirs", fetch.ours, fetch.user)
    assert loaded["weight"].shape == (300, 1000)
    found = find("theirs", fetch.ours, fetch.user)
    assert found.card.read_text() == "# theirs\n"
    assert found.entry["hub"] == {"repo": REPO, "revision": COMMIT, "file": FILE}
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(fractions) > 10
    assert "1.2 of 1.2 MB" in said[-1][1]


def test_what_is_here_is_not_fetched_again_and_what_is_damaged_is(fetch, hub):
    path = fetch()
    hub.asked.clear()
    assert fetch(repo=None, revision=None) == path
    assert hub.asked == []
    path.write_bytes(CONTENT[:-1] + b"x")
    assert all_weights(fetch.ours, fetch.user)[0].state == "damaged"
    assert fetch(repo=None, revision=None).read_bytes() == CONTENT
    assert hub.asked == []  # from the cache


def test_a_damaged_cache_is_not_believed(fetch, hub):
    path = fetch()
    path.unlink()
    kept = next(fetch.cache.glob("*.safetensors"))
    kept.write_bytes(b"x" * len(CONTENT))
    hub.asked.clear()
    assert fetch().read_bytes() == CONTENT
    assert len(hub.downloads()) == 1


def test_a_cut_download_goes_on_where_it_was(fetch, hub):
    hub.cuts = 2
    assert fetch().read_bytes() == CONTENT
    starts = [int(asked.partition("bytes=")[2].rstrip("-") or 0) for asked in hub.downloads()]
    assert starts == [0, len(CONTENT) // 2, len(CONTENT) // 2 + (len(CONTENT) - len(CONTENT) // 2) // 2]


def test_a_server_without_ranges_starts_anew(fetch, hub):
    hub.cuts, hub.ranges = 1, False
    assert fetch().read_bytes() == CONTENT
    assert len(hub.downloads()) == 2


def test_a_stopped_download_goes_on_in_the_next_call(fetch, hub):
    with pytest.raises(Stopped):
        fetch(progress=Progress(lambda fraction, _stage: fraction < 0.5))
    assert nothing_in_place(fetch)
    hub.asked.clear()
    assert fetch().read_bytes() == CONTENT
    assert "bytes=" in hub.downloads()[0]


def test_a_part_of_something_else_is_fetched_anew(fetch, hub):
    with pytest.raises(Stopped):
        fetch(progress=Progress(lambda fraction, _stage: fraction < 0.5))
    part = next(fetch.cache.glob("*.part"))
    part.write_bytes(b"x" * part.stat().st_size)
    assert fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("wrong, sentence", [
    (made(1), "another SHA-256"), (CONTENT[:-5], "bytes, and the index says"), (CONTENT + b"12345", "the index says"),
])
def test_wrong_bytes_are_refused_and_nothing_is_left(fetch, hub, wrong, sentence):
    hub.files[FILE] = wrong
    with pytest.raises(ValueError, match=sentence):
        fetch()
    assert nothing_in_place(fetch)
    assert not list(fetch.cache.glob("*.part"))
    assert not list(fetch.cache.glob("*.safetensors"))


def test_wrong_bytes_leave_the_right_ones_that_are_there(fetch, hub):
    path = fetch()
    content = made(1)
    hub.offer("theirs", content, sha256="0" * 64)
    index = fetch.user / "index.json"
    entry = json.loads(index.read_text())
    entry["theirs"]["hub"]["revision"] = "f" * 40  # from another commit, so that it is asked again
    index.write_text(json.dumps(entry))
    with pytest.raises(ValueError, match="another SHA-256"):
        fetch()
    assert path.read_bytes() == CONTENT
    assert load_weights("theirs", fetch.ours, fetch.user)


def test_more_bytes_than_said_are_not_read(fetch, hub):
    hub.extra = b"x" * 500_000
    with pytest.raises(ValueError, match="more than the"):
        fetch()
    assert nothing_in_place(fetch)
    assert not list(fetch.cache.glob("*.part"))


def test_what_is_no_safetensors_file_is_refused_whatever_its_hash(fetch, hub):
    hub.offer("theirs", b"\x80\x04cos\nsystem\n" * 100)
    with pytest.raises(ValueError, match="is no safetensors file"):
        fetch()
    assert nothing_in_place(fetch)


@pytest.mark.parametrize("changes", [
    {"file": "../../theirs.safetensors"}, {"file": "/etc/theirs.safetensors"}, {"file": "theirs/theirs.pkl"},
    {"file": "a\\b.safetensors"}, {"file": "c:theirs.safetensors"}, {"card": "../README.md"}, {"card": "run.py"},
    {"sha256": "1234"}, {"bytes": -1}, {"bytes": 10**12}, {"bytes": True}, {"hub": "here"},
])
def test_an_index_that_points_elsewhere_is_refused(fetch, hub, changes):
    hub.offer("theirs", CONTENT, **changes)
    with pytest.raises(ValueError, match=f"index of weights of {REPO} cannot be used"):
        fetch()
    assert nothing_in_place(fetch)


@pytest.mark.parametrize("index", [b"{", b"[]", b'{"../x": {}}', b"[" * 100_000])
def test_an_index_that_is_none_is_refused(fetch, hub, index):
    hub.files["index.json"] = index
    with pytest.raises(ValueError, match="index of weights"):
        fetch()


def test_an_index_too_large_is_left_there(fetch, hub):
    hub.files["index.json"] = b" " * (core_hub.CONFIG.most_text + 1)
    with pytest.raises(ValueError, match="too large"):
        fetch()
    assert not [asked for asked in hub.asked if asked.startswith("GET")]


def test_the_projects_index_decides_what_a_name_of_the_project_means(fetch, hub):
    as_ours(fetch)
    assert all_weights(fetch.ours, fetch.user)[0].state == "not here"
    with pytest.raises(ValueError, match=r"are missing.*Fetch Weights.*weights fetch theirs"):
        load_weights("theirs", fetch.ours, fetch.user)
    hub.offer("theirs", made(1))  # the repository changed its mind, index and all
    for repo, revision in ((REPO, COMMIT), (None, None)):
        with pytest.raises(ValueError, match="not what the index says"):
            fetch(repo=repo, revision=revision)
    assert nothing_in_place(fetch)
    hub.offer("theirs", CONTENT)
    assert fetch(repo=None, revision=None) == fetch.user / FILE
    assert not known(fetch.user)
    assert load_weights("theirs", fetch.ours, fetch.user)["weight"].shape == (300, 1000)


@pytest.mark.parametrize("where", ["ours", "user"])
def test_either_folder_may_hold_them_and_the_hash_decides(fetch, where):
    as_ours(fetch)
    for folder in (fetch.ours, fetch.user):
        (folder / FILE).parent.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(CONTENT if folder == getattr(fetch, where) else made(1))
    assert torch.equal(load_weights("theirs", fetch.ours, fetch.user)["weight"],
                       torch.randn(300, 1000, generator=torch.Generator().manual_seed(0)))


def test_an_index_without_a_place_says_so(fetch):
    as_ours(fetch, hub=False)
    with pytest.raises(ValueError, match="names no place on the hub for 'theirs'"):
        fetch(repo=None, revision=None)


@pytest.mark.parametrize("name, repo, revision, sentence", [
    ("nobody", None, None, "no weights named 'nobody' here"),
    ("nobody", REPO, COMMIT, "has no weights named 'nobody' at this commit: it has theirs"),
    ("../theirs", REPO, COMMIT, "is no name of weights"),
    ("theirs", REPO, "main", "'main' is no commit"),
    ("theirs", REPO, "v1.0", "is no commit"),
    ("theirs", REPO, COMMIT[:12], "is no commit"),
    ("theirs", REPO, None, "which commit"),
    ("theirs", "grasps", COMMIT, "is no repository"),
    ("theirs", "../grasps", COMMIT, "is no repository"),
    ("theirs", "someone/../x", COMMIT, "is no repository"),
    ("theirs", "someone/other", COMMIT, "no public repository someone/other"),
    ("theirs", REPO, "f" * 40, "has no commit f"),
])
def test_what_is_asked_wrongly_gets_a_sentence(fetch, name, repo, revision, sentence):
    with pytest.raises(ValueError, match=sentence):
        fetch(name, repo, revision)
    assert nothing_in_place(fetch)


def test_a_file_that_the_index_names_and_the_repository_lacks(fetch, hub):
    del hub.files[FILE]
    with pytest.raises(ValueError, match=f"{REPO} has no {FILE}"):
        fetch()


def test_another_commit_than_asked_for_is_refused(fetch, hub):
    hub.commit = "f" * 40
    with pytest.raises(ValueError, match="another commit"):
        fetch()


def test_the_files_may_lie_on_another_host(fetch, hub):
    hub.location, hub.cuts = f"http://localhost:{hub.server_port}", 1
    assert fetch().read_bytes() == CONTENT
    assert any(asked.startswith("GET /cdn/") and "bytes=" in asked for asked in hub.asked)


@pytest.mark.parametrize("location", ["http://example.invalid", "file:///etc", "ftp://127.0.0.1"])
def test_a_redirect_to_another_protocol_is_refused(fetch, hub, location):
    hub.location = location
    with pytest.raises(ValueError, match="not HTTPS"):
        fetch()
    assert nothing_in_place(fetch)


def test_plain_http_is_for_the_loopback_only(fetch):
    with pytest.raises(ValueError, match="not HTTPS"):
        fetch(endpoint="http://example.invalid")


def test_a_hub_that_fails_or_is_not_there_gets_a_sentence(fetch, hub):
    hub.status = 503
    with pytest.raises(ConnectionError, match=r"could not answer \(503\)"):
        fetch()
    with pytest.raises(ConnectionError, match="check the network"):
        fetch(endpoint="http://127.0.0.1:9")


def test_a_connection_that_keeps_breaking_keeps_what_came(fetch, hub):
    hub.cuts = 10**6
    with pytest.raises(ConnectionError, match=r"was cut.*fetch again to go on"):
        fetch()
    assert next(fetch.cache.glob("*.part")).stat().st_size > 0.9 * len(CONTENT)
    hub.cuts = 0
    assert fetch().read_bytes() == CONTENT


def test_two_at_once_do_not_mix(fetch, hub):
    fetch.user.mkdir()
    with filelock.FileLock(fetch.user / "fetch.lock"), pytest.raises(OSError, match="being fetched already"):
        fetch()
    assert hub.asked == []


def run(fetch, *arguments, **variables):
    command = [sys.executable, "-m", "core", "weights", *arguments]
    environment = {**os.environ, "GRASP_WEIGHTS": str(fetch.user),
                   "HF_HOME": str(fetch.cache / "home"), **variables}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)


def test_the_command_fetches_and_lists(fetch, hub):
    arguments = ("theirs", "--repo", REPO, "--revision", COMMIT, "--cache", str(fetch.cache))
    offline = run(fetch, "fetch", *arguments, HF_ENDPOINT=hub.endpoint, HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert offline.stderr == "Nothing is fetched while HF_HUB_OFFLINE is set: unset it to fetch weights.\n"
    assert hub.asked == []
    done = run(fetch, "fetch", *arguments, "--lines", HF_ENDPOINT=hub.endpoint)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(fetch.user / FILE)
    assert done.stderr.splitlines()[-1] == "100 % Fetching theirs: 1.2 of 1.2 MB"
    assert all("/resolve/" in asked for asked in hub.asked)  # no telemetry
    (fetch.user / FILE).unlink()
    listed = run(fetch, "list").stdout
    assert f"1.2 MB  not here  {REPO} at {COMMIT[:12]}" in listed
    offline = run(fetch, "fetch", *arguments, HF_ENDPOINT=hub.endpoint, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0  # it lies in the cache
    assert f"1.2 MB  here      {REPO} at {COMMIT[:12]}" in run(fetch, "list").stdout


def test_the_list_says_where_an_entry_has_no_place_on_the_hub(fetch):
    keep_weights("mine", CONTENT, fetch.user)
    assert "1.2 MB  here      no place on the hub" in run(fetch, "list").stdout
