from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mao.web.page.assets import asset_url
from serving import Serving, serving
from web.page.reading import look

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "src" / "mao" / "web" / "page"
STATIC = PAGES / "static"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("assets") / "home") as node:
        yield node


def test_a_file_is_kept_for_ever_as_what_it_is_and_asked_for_anew_as_anything_else(served: Serving) -> None:
    lasting = served.over_tcp("GET", asset_url("mao.css"))
    assert (lasting.status, lasting.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert lasting.body == (STATIC / "mao.css").read_bytes()
    for path in ("/static/mao.css", "/static/mao.css?0123456789abcdef"):
        assert served.over_tcp("GET", path).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", [path.name for path in sorted(STATIC.iterdir()) if path.suffix != ".txt"])
def test_every_file_comes_as_what_it_is_and_compressed_if_wanted(served: Serving, name: str) -> None:
    plain = served.over_tcp("GET", asset_url(name))
    packed = served.over_tcp("GET", asset_url(name), headers={"Accept-Encoding": "gzip"})
    kind = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    assert plain.headers["content-type"] == packed.headers["content-type"] == kind[name.rpartition(".")[2]]
    assert "content-encoding" not in plain.headers
    assert (gzip.decompress(packed.body), packed.headers["content-encoding"]) == (plain.body, "gzip")
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("name", ["nothing.js", "LICENSES.txt", "..%2Fassets.py", "%2e%2e/frame.py", "mao.css%00"])
def test_nothing_else_is_given_away(served: Serving, name: str) -> None:
    assert served.over_tcp("GET", f"/static/{name}", token=served.token("admin")).status == 404


def test_what_a_page_loads_is_there(served: Serving) -> None:
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', look(served, "/").body.decode()):
        assert "immutable" in served.over_tcp("GET", path).headers["cache-control"], path


def test_files_of_others_are_as_they_were_published() -> None:
    told = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", (STATIC / "LICENSES.txt").read_text("utf-8"), re.MULTILINE))
    own = {"mao.css", "mao.js", "icon.svg"}
    there = {path.name for path in STATIC.iterdir() if path.suffix != ".txt"}
    foreign = {name for name in there if ".min." in name}
    assert set(told.values()) == foreign
    assert own <= there
    for digest, name in told.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name


def test_what_is_built_of_the_package_has_the_files_of_pages() -> None:
    """It has all that is in the package's folder and not ignored by git."""
    files = [str(path) for folder in ("static", "templates") for path in (PAGES / folder).iterdir()]
    ignored = subprocess.run(["git", "check-ignore", "--no-index", *files], cwd=ROOT, capture_output=True, check=False)
    assert ignored.stdout == b""
    assert 'packages = ["src/mao"]' in (ROOT / "pyproject.toml").read_text("utf-8")
