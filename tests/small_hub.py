"""A hub on the loopback: as much of the Hugging Face hub's protocol as huggingface-hub needs to fetch files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/grasps"


class SmallHub(ThreadingHTTPServer):
    """Serves `files` of one repository at one commit.

    Attributes:
        files: path -> bytes.
        cuts: how many of the next downloads break off half-way.
        ranges: whether parts can be asked for.
        slow: seconds for each 50 kB.
        extra: bytes sent beyond what was said.
        location: where downloads are sent to; None: answered at once.
        status: what every answer is, 0: as it should be.
        commit: what it says it serves.
        asked: "METHOD path range" of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files, self.asked = {}, []
        self.cuts, self.extra, self.ranges, self.slow = 0, b"", True, 0.0
        self.location, self.commit, self.status = None, COMMIT, 0
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def offer(self, name: str, content: bytes, **changes: object) -> dict:
        """Puts weights into the repository with their card and their entry of the index, which `changes` change."""
        entry = {"file": f"{name}/{name}.safetensors", "sha256": hashlib.sha256(content).hexdigest(),
                 "bytes": len(content), "card": f"{name}/README.md", **changes}
        self.files[f"{name}/{name}.safetensors"] = content
        self.files[f"{name}/README.md"] = f"# {name}\n".encode()
        index = json.loads(self.files.get("index.json", b"{}")) | {name: entry}
        self.files["index.json"] = json.dumps(index).encode()
        return entry

    def downloads(self) -> list[str]:
        return [asked for asked in self.asked if asked.startswith("GET") and ".safetensors" in asked]


class _Answers(BaseHTTPRequestHandler):
    server: SmallHub

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, with_body: bool) -> None:
        hub = self.server
        wanted = self.headers.get("Range", "")
        hub.asked.append(f"{self.command} {self.path} {wanted}".strip())
        assert "authorization" not in {name.lower() for name in self.headers}
        if hub.status:
            return self.refuse(hub.status, "")
        direct = self.path.startswith("/cdn/")
        before, _, rest = self.path.removeprefix("/cdn").partition("/resolve/")
        commit, _, file = rest.partition("/")
        if before != f"/{REPO}":
            return self.refuse(401, "RepoNotFound")
        if commit != COMMIT:
            return self.refuse(404, "RevisionNotFound")
        if file not in hub.files:
            return self.refuse(404, "EntryNotFound")
        content = hub.files[file]
        weights = file.endswith(".safetensors")
        if weights and hub.location is not None and not direct:
            self.send_response(302)
            self.send_header("Location", hub.location + "/cdn" + self.path)
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", hub.commit)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and hub.ranges else 0
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        extra = hub.extra if with_body and weights else b""
        self.send_header("Content-Length", str(len(body) + len(extra)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", hub.commit)
        self.end_headers()
        if with_body and weights and hub.cuts:
            hub.cuts -= 1
            self.wfile.write(body[:len(body) // 2])
        elif with_body:
            body += extra
            with contextlib.suppress(OSError):  # the other end may stop
                for begin in range(0, len(body), 50_000):
                    self.wfile.write(body[begin:begin + 50_000])
                    time.sleep(self.server.slow)
        return None

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()
