from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from etcd_cluster import need_etcd
from mao.cli.stage import examples
from support import PATIENCE, processes_of

if TYPE_CHECKING:
    from pathlib import Path


def demo(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The demo as somebody sees it who has neither a git identity nor a home, and settings of a node of their own."""
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "TMPDIR": str(tmp_path),
        "MAO_NODE__HOME": "/dev/null/nothing",
        "MAO_SERVER__LISTEN": "127.0.0.1:1",
        "GIT_DIR": "/dev/null/nothing",
    }
    return subprocess.run(
        [sys.executable, "-m", "mao", "demo", *args],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )


def test_the_demo_shows_every_step_and_leaves_nothing(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^\$ mao (.*)$", done.stdout, re.MULTILINE)
    assert [step.split()[:2] for step in steps] == [
        ["serve"],
        ["tool", "register"],
        ["tool", "install"],
        ["tool", "help"],
        ["tool", "run"],
        ["dataset", "clone"],
        ["run", "list"],
    ]
    assert "tool run python-census Census --wait -- 'p*' true" in steps
    assert "\nmeasured_at_utc,node,interpreter,name,version," in done.stdout
    assert re.search(r"^ +MAO-Tool-Commit: [0-9a-f]{40}$", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_the_demo_can_be_kept(tmp_path: Path) -> None:
    done = demo(tmp_path, "--keep")
    assert done.returncode == 0, done.stderr
    (place,) = tmp_path.iterdir()
    assert f"MAO_NODE__HOME={place}/demo" in done.stdout
    assert list((place / "demo" / "clones" / "python-census-data").glob("census/*/*/*.csv"))
    assert processes_of(tmp_path) == []


def test_the_examples_are_found() -> None:
    assert (examples() / "hello-world" / "mao.yaml").is_file()
    assert (examples() / "python-census" / "census.py").is_file()


def test_the_demo_of_a_cluster_registers_on_one_node_runs_on_another_and_clones_on_a_third(tmp_path: Path) -> None:
    need_etcd()
    done = demo(tmp_path, "--cluster")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^([abc])\$ mao (\w+ ?\w*)", done.stdout, re.MULTILINE)
    assert [(node, words) for node, words in steps if words.split()[0] in {"tool", "dataset"}] == [
        ("a", "tool register"),
        ("b", "tool search"),
        ("b", "tool install"),
        ("a", "tool run"),
        ("c", "dataset clone"),
    ]
    assert re.search(r"^ +MAO-Node: b$", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []
