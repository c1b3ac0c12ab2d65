"""Writes the tables of docs/protocol.md from the classes of core/messages.py.

python scripts/build/protocol.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from core.messages import REPLIES, REQUESTS, Reply, Request, is_array
from scripts import ROOT

DOCUMENT: Final = ROOT / "docs" / "protocol.md"
BEGIN, END = "<!-- messages: written by scripts/build/protocol.py -->", "<!-- end of messages -->"


def table(message: type[Request | Reply]) -> str:
    """A message as Markdown: what it is for, and a row for each field."""
    lines = [f"### `{message.type}`: {message.__name__}", "", (message.__doc__ or "").strip(), ""]
    known = fields(message)
    if known:
        lines += ["| field | kind | default | what |", "|---|---|---|---|"]
    for field in known:
        meta = field.metadata
        kind = f"array {meta['shape']} {meta['dtype']}" if is_array(field) else str(field.type)
        default = "" if is_array(field) or field.default in (MISSING, None) else f"`{field.default!r}`"
        kind = kind.replace("|", "or").replace(" or None", "")
        lines.append(f"| `{field.name}` | {kind} | {default} | {meta['doc']} |")
    return "\n".join(lines).rstrip() + "\n"


def messages() -> str:
    """All messages, requests first."""
    parts = ["## Requests", *(table(message) for message in REQUESTS.values()),
             "## Replies", *(table(message) for message in REPLIES)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def written(text: str) -> str:
    """The document with its tables made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{DOCUMENT.name} has no place for the messages: it needs the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{messages()}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the document is not up to date")
    options = parser.parse_args()
    text = DOCUMENT.read_text(encoding="utf-8")
    new = written(text)
    if options.check:
        return int(text != new)
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
