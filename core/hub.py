"""Weights from a repository on the Hugging Face hub: only when asked, of one commit, checked before they are kept.

huggingface-hub finds the file and keeps the rules of the hub (addresses, redirects, offline mode, errors). The bytes
are read here, since its own download gathers 10 MB before it writes and keeps nothing of one that was cut: too coarse
for files of this size. What has come is kept in a cache by the SHA-256 it should have, so that a later call goes on.
Nothing is sent that names the user: no token, no telemetry.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import urlsplit

from core.files import save_bytes, user_cache
from core.progress import Progress
from core.weights import FOLDER, INDEX, MOST_BYTES, NAME, is_inside, keep_weights, look_up, read_index, user_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2


@dataclass(frozen=True)
class FetchConfig:
    """How patient fetching is, and how large what it takes may be.

    Attributes:
        most_text: bytes of an index or a card, at most.
        tries: in a row that bring nothing, after which fetching fails.
        pause: seconds between two of them.
        timeout: seconds without a byte after which a connection counts as cut.
    """

    most_text: int = 1 << 20
    tries: int = 3
    pause: float = 1.0
    timeout: float = 15.0


CONFIG: Final = FetchConfig()
#: of files that are fetched: nothing that could hold a program
ENDINGS: Final = (".safetensors", ".md", ".json")
#: hosts that may be spoken to without HTTPS
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_REPO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Source:
    """One commit of one repository.

    Attributes:
        repo: OWNER/NAME.
        revision: the commit's whole hash.

    Raises:
        ValueError: one of them is not of that form. A branch or a tag is no revision: it may mean other bytes tomorrow.
    """

    repo: str
    revision: str

    def __post_init__(self) -> None:
        if not _REPO.fullmatch(self.repo) or ".." in self.repo or "--" in self.repo:
            raise ValueError(f"'{self.repo}' is no repository of the hub: --repo is OWNER/NAME.")
        if not _COMMIT.fullmatch(self.revision):
            raise ValueError(f"'{self.revision}' is no commit: --revision is a commit's whole hash of 40 digits, not a "
                             "branch or a tag, which may mean other weights tomorrow.")


def fetch_weights(name: str, repo: str | None = None, revision: str | None = None, cache: Path | None = None,
                  progress: Progress | None = None, folder: Path = FOLDER, user: Path | None = None,
                  endpoint: str | None = None) -> Path:
    """Fetches weights into the user's folder.

    Size and SHA-256 are those of the project's index; for a name that it does not have, those of index.json in the
    repository, which then also brings the card. What is here and whole already is not fetched.

    Args:
        name: of the weights.
        repo: OWNER/NAME to fetch from, instead of what the index says.
        revision: the whole hash of a commit of it, likewise.
        cache: folder for what was begun and what was fetched; None: the user's cache.
        progress: told how much has come; where it stops the work, that stays, and the next call goes on from there.
        folder: the project's.
        user: the user's folder; None: `core.weights.user_folder()`.
        endpoint: another hub than HF_ENDPOINT or the public one.

    Returns:
        The file.

    Raises:
        ValueError: there are no such weights, or not where they should be; or they are not what the index says.
        OSError: the network, the hub or the disk fails.
        ImportError: huggingface-hub is not there.
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    if not NAME.fullmatch(name):
        raise ValueError(f"'{name[:64]}' is no name of weights: letters, digits, - and _ only.")
    user, cache = user or user_folder(), cache or user_cache("hub")
    found = look_up(name, folder, user)
    hub: dict[str, str] = (found.entry.get("hub") if found else None) or {}
    if repo is None and not hub:
        if found is None:
            raise ValueError(f"There are no weights named '{name}' here (see python -m core weights list). To fetch "
                             "others say where from: --repo OWNER/NAME --revision COMMIT.")
        if (path := found.whole()) is not None:
            return path
        raise ValueError(f"The index names no place on the hub for '{name}': install the extension again, or say where "
                         "from with --repo OWNER/NAME --revision COMMIT.")
    if revision is None and repo not in (None, hub.get("repo")):
        raise ValueError(f"Say which commit of {repo} is meant: --revision and its whole hash.")
    source = Source(repo or hub["repo"], revision or hub["revision"])
    ours = found is not None and found.index == folder
    same = (source.repo, source.revision) == (hub.get("repo"), hub.get("revision"))
    if found is not None and (ours or same) and (path := found.whole()) is not None:
        return path
    user.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(user, cache), _Hub(source, endpoint) as remote:
        card: bytes | None = None
        if found is not None and (ours or same):
            entry = found.entry
            file = hub.get("file", entry["file"])
        else:
            entry, card = remote.entry(name)
            file = entry["file"]
        content = _checked(remote.weights(file, entry, cache, name, progress), file)
        if ours:
            path = user / entry["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            save_bytes(path, content)
            return path
        path = keep_weights(name, content, user, {"repo": source.repo, "revision": source.revision, "file": file})
        if card is not None:
            save_bytes(path.parent / "README.md", card)
        return path


class _Hub:
    """One commit on the hub, in a session that speaks HTTPS only."""

    def __init__(self, source: Source, endpoint: str | None) -> None:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # it asks the hub what to call the program that runs
        try:
            from huggingface_hub import close_session, constants, get_session
        except ImportError as error:
            raise ImportError("Fetching weights needs the package huggingface-hub: install core/requirements.txt again "
                              "(Repair Engine in the preferences).") from error
        self.source, self.endpoint = source, (endpoint or constants.ENDPOINT).rstrip("/")
        plain = urlsplit(self.endpoint)
        self._may_be_plain = plain.scheme == "http" and plain.hostname in LOOPBACK
        self._client, self._close = get_session(), close_session
        hooks = self._client.event_hooks
        hooks["request"].insert(0, self._check_address)
        self._client.event_hooks = hooks

    def __enter__(self) -> _Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _check_address(self, request: httpx2.Request) -> None:
        """Called before every request, those that follow a redirect, too."""
        url = request.url
        if url.scheme != "https" and not (self._may_be_plain and url.scheme == "http" and url.host in LOOPBACK):
            raise ValueError(f"The hub sends this program to {url.scheme}://{url.host}, which is not HTTPS: nothing is "
                             "fetched from there.")

    def entry(self, name: str) -> tuple[dict[str, Any], bytes]:
        """What index.json in the repository says of `name`, and its card."""
        index = read_index(self._text(INDEX), f"of {self.source.repo}")
        if name not in index:
            raise ValueError(f"{self.source.repo} has no weights named '{name}' at this commit: it has "
                             f"{', '.join(sorted(index)[:20]) or 'none'}.")
        return index[name], self._text(index[name]["card"])

    def weights(self, file: str, entry: dict[str, Any], cache: Path, name: str, progress: Progress) -> bytes:
        """The bytes that the entry means, from the cache or the hub.

        Raises:
            ValueError: the hub has others.
        """
        kept, part = cache / f"{entry['sha256']}.safetensors", cache / f"{entry['sha256']}.part"
        if kept.is_file() and kept.stat().st_size == entry["bytes"]:
            content = kept.read_bytes()
            if hashlib.sha256(content).hexdigest() == entry["sha256"]:
                return content
        if part.exists() and part.stat().st_size > entry["bytes"]:
            part.unlink()
        resumed = part.exists() and part.stat().st_size > 0
        total = entry["bytes"]

        def report(done: int) -> None:
            progress(done / total, f"Fetching {name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB")

        try:
            with _sentences(self, file):
                self._read(file, part, total, report)
        except ValueError:
            part.unlink(missing_ok=True)
            raise
        content = part.read_bytes()
        part.unlink()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            if resumed:  # what lay there from before may be at fault
                return self.weights(file, entry, cache, name, progress)
            raise ValueError(f"What {self.source.repo} has as {file} is not what the index says (another SHA-256): it "
                             "was thrown away.")
        save_bytes(kept, content)
        return content

    def _text(self, file: str) -> bytes:
        """A small text of the repository."""
        with _sentences(self, file):
            address, size = self._locate(file)
            if size > CONFIG.most_text:
                raise ValueError(f"{file} of {self.source.repo} is too large for a text: it is left there.")
            stream = io.BytesIO()
            self._stream(address, stream, size, lambda _done: None)
            if stream.tell() != size:
                raise ConnectionError(f"The connection was cut while {file} was read: fetch again.")
            return stream.getvalue()

    def _locate(self, file: str) -> tuple[str, int]:
        """The address of a file of the commit, and its size in bytes."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        if not any(is_inside(file, ending) for ending in ENDINGS):
            raise ValueError(f"{file} is not fetched: only {', '.join(ENDINGS)} are.")
        url = hf_hub_url(self.source.repo, file, revision=self.source.revision, endpoint=self.endpoint)
        found = get_hf_file_metadata(url, token=False, timeout=CONFIG.timeout, endpoint=self.endpoint)
        if found.commit_hash != self.source.revision:
            raise ValueError(f"The hub answers with another commit of {self.source.repo} than {self.source.revision}: "
                             "nothing is fetched.")
        if found.size is None:
            raise ValueError(f"The hub does not say how large {file} is: nothing is fetched.")
        return found.location, found.size

    def _read(self, file: str, part: Path, size: int, report: Callable[[int], None]) -> None:
        """Fills `part` up to `size` bytes, from where it ends, over as many connections as it takes."""
        import httpx2

        address, found = self._locate(file)
        if found != size or size > MOST_BYTES:
            raise ValueError(f"{file} of {self.source.repo} has {found} bytes, and the index says {size}: it is not "
                             "the file that is meant, and is not fetched.")
        idle = 0
        while (before := part.stat().st_size if part.exists() else 0) < size:
            report(before)
            try:
                with open(part, "ab") as stream:
                    self._stream(address, stream, size, report)
                fault = "it ended early"
            except httpx2.TransportError as error:
                fault = str(error)
            done = part.stat().st_size
            idle = 0 if done > before else idle + 1
            if idle == CONFIG.tries:
                raise ConnectionError(f"The connection was cut ({fault}). {done / 1e6:.1f} of {size / 1e6:.1f} MB are "
                                      "here: fetch again to go on from there.")
            if done < size:
                time.sleep(CONFIG.pause)

    def _stream(self, address: str, stream: BinaryIO, size: int, report: Callable[[int], None]) -> None:
        """Reads on from where `stream` ends, up to `size` bytes; ValueError for more."""
        # documented to be there, but not among the package's exports
        from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

        done = stream.tell()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with self._client.stream("GET", address, headers=headers, timeout=CONFIG.timeout) as response:
            if response.is_error:
                hf_raise_for_status(response)
            if done and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
                stream.truncate(0)  # the server sends all of it
                done = stream.seek(0)
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > size:
                    raise ValueError(f"The hub sends more than the {size} bytes it spoke of: it was thrown away.")
                stream.write(chunk)
                report(done)


@contextlib.contextmanager
def _alone(user: Path, cache: Path) -> Iterator[None]:
    """Keeps others from fetching into the same folder, or through the same cache: their bytes would mix.

    Raises:
        OSError: somebody does already.
    """
    import filelock

    with contextlib.ExitStack() as held:
        for folder in {user.resolve(), cache.resolve()}:
            try:
                held.enter_context(filelock.FileLock(folder / "fetch.lock", timeout=0))
            except filelock.Timeout as error:
                raise OSError("Weights are being fetched already, perhaps by Blender: wait for the end, then try "
                              "again.") from error
        yield


@contextlib.contextmanager
def _sentences(remote: _Hub, file: str) -> Iterator[None]:
    """Turns what huggingface-hub raises into sentences about `file`."""
    import httpx2
    from huggingface_hub import errors

    repo = remote.source.repo
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise ConnectionError("Nothing is fetched while HF_HUB_OFFLINE is set: unset it to fetch weights.") from error
    except errors.GatedRepoError as error:
        raise ValueError(f"{repo} asks for an account, which this program does not use.") from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(f"There is no public repository {repo} on the hub: check --repo.") from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{repo} has no commit {remote.source.revision}: check --revision.") from error
    except errors.EntryNotFoundError as error:
        raise ValueError(f"{repo} has no {file} at this commit.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no answer")
        raise ConnectionError(f"The hub could not answer ({status}): try again later.") from error
    except httpx2.HTTPError as error:
        raise ConnectionError(f"The hub cannot be reached at {remote.endpoint} ({error}): check the network, then "
                              "fetch again.") from error


def _checked(content: bytes, file: str) -> bytes:
    """The content of a safetensors file.

    Raises:
        ValueError: it is none, whatever its hash.
    """
    from safetensors import SafetensorError, deserialize

    try:
        deserialize(content)
    except SafetensorError as error:
        raise ValueError(f"{file} is no safetensors file: it is not kept.") from error
    return content
