"""A host with LFS: its batch API (git-lfs, docs/api/batch.md), and the contents that it was given."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import GIT_ENVIRONMENT

if TYPE_CHECKING:
    from remotes import GitHandler

needs_git_lfs = pytest.mark.skipif(
    not shutil.which("git-lfs"), reason="git-lfs is not installed: how large files get into datasets is NOT tested here"
)


@dataclass
class LfsHost:
    """Answers what concerns LFS, for `http_remotes`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    """The status and words with which it refuses for now."""

    def __call__(self, handler: GitHandler) -> bool:
        if handler.path.endswith("/info/lfs/objects/batch"):
            return self._batch(handler)
        if "/content/" not in handler.path:
            return False
        oid = handler.path.rpartition("/")[2]
        if handler.command == "PUT":
            content = handler.body()
            assert hashlib.sha256(content).hexdigest() == oid
            self.objects[oid] = content
            return _answer(handler, 200, "application/octet-stream", b"")
        return _answer(handler, 200, "application/octet-stream", self.objects[oid])

    def _batch(self, handler: GitHandler) -> bool:
        if handler.headers.get("Authorization") is None:
            return handler.refuse(401)
        request = json.loads(handler.body())
        if self.refusal:
            status, words = self.refusal
            return _json(handler, status, {"message": words})
        base = f"http://{handler.headers['Host']}/content"
        objects = [self._object(request["operation"], base, wanted) for wanted in request["objects"]]
        return _json(handler, 200, {"transfer": "basic", "objects": objects})

    def _object(self, operation: str, base: str, wanted: dict[str, Any]) -> dict[str, Any]:
        known = wanted["oid"] in self.objects
        if operation == "download" and not known:
            return {**wanted, "error": {"code": 404, "message": "Object does not exist"}}
        if operation == "upload" and known:
            return wanted
        return {**wanted, "actions": {operation: {"href": f"{base}/{wanted['oid']}"}}}


def _json(handler: GitHandler, status: int, answer: dict[str, Any]) -> bool:
    return _answer(handler, status, "application/vnd.git-lfs+json", json.dumps(answer).encode())


def _answer(handler: GitHandler, status: int, kind: str, body: bytes) -> bool:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True
    return True


def without_git_lfs(folder: Path) -> str:
    """A PATH with all programs of this machine but git-lfs."""
    folder.mkdir()
    programs = {path.name: path for place in reversed(os.get_exec_path()) for path in Path(place).glob("*")}
    for name, path in programs.items():
        if name != "git-lfs":
            (folder / name).symlink_to(path)
    return str(folder)


def cloned(url: str | Path, directory: Path) -> Path:
    """What somebody gets who clones `url` with git and git-lfs, as they are when newly installed."""
    address = f"file://{url}" if isinstance(url, Path) else url
    config = directory.with_name(f"{directory.name}.config")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(directory.parent), **GIT_ENVIRONMENT}
    environment["GIT_CONFIG_GLOBAL"] = str(config)
    for args in (["lfs", "install", "--skip-repo"], ["clone", "--quiet", address, str(directory)]):
        subprocess.run(["git", *args], env=environment, check=True, cwd=directory.parent)
    left = subprocess.run(
        ["git", "status", "--porcelain"], env=environment, check=True, cwd=directory, capture_output=True
    )
    assert left.stdout == b"", "a clone has nothing to be committed"
    return directory
