"""The ini file of the founding program is read as it is, and what cannot be read is said with its place."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cli.place import ENVIRONMENT, PYTHON
from mao.config import load
from mao.errors import BadSetting
from mao.founding_configuration import passed_over, read
from support import PATIENCE

FOUNDING = """\
[WORKING_ENVIRONMENT]
importdir = /srv/mao
auditdir = /srv/audit
user = sonap

[ETCD]
host = 127.0.0.1
port = 2379

[POSTGRES]
user = scheduler
password = 100%sure
db = schedule
host = 127.0.0.1

[DATA_REPOS]
spike = /srv/mao/spike
"""


def written(directory: Path, text: str | bytes, name: str = "config.ini") -> Path:
    path = directory / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def given(path: Path, **more: str) -> dict[str, str]:
    return {"HOME": "/nowhere", "MAO_CONFIG": str(path), **more}


def mao(*args: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, started in a directory."""
    return subprocess.run(
        [*PYTHON, *args],
        cwd=cwd,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_home_name_and_registry_are_taken_and_where_they_stand_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, FOUNDING)
    config = load(given(file))
    assert (config.home, config.node, config["registry.url"]) == (Path("/srv/mao"), "sonap", "etcd://127.0.0.1:2379")
    assert [config.origin[name] for name in ("node.home", "node.name", "registry.url", "server.listen")] == [
        *(f"{file}, [WORKING_ENVIRONMENT] importdir", f"{file}, [WORKING_ENVIRONMENT] user"),
        *(f"{file}, [ETCD] host and port", "default"),
    ]


def test_what_is_not_taken_is_known(tmp_path: Path) -> None:
    assert passed_over(written(tmp_path, FOUNDING)) == ["[WORKING_ENVIRONMENT] auditdir", "[POSTGRES]", "[DATA_REPOS]"]
    assert passed_over(written(tmp_path, "[ETCD]\nhost = a\n")) == []


def test_flags_and_the_environment_win_over_it(tmp_path: Path) -> None:
    file = written(tmp_path, FOUNDING)
    config = load(given(file, MAO_NODE__NAME="bern", MAO_REGISTRY__URL="sqlite"), {"node.home": "/flag"})
    assert (config.home, config.node, config["registry.url"]) == (Path("/flag"), "bern", "sqlite")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("[WORKING_ENVIRONMENT]\nimportdir =\nuser =\n[ETCD]\nhost =\nport =\n", {}),
        ("[POSTGRES]\nhost = x\n", {}),
        ("[ETCD]\nhost = etcd\n", {"registry.url": "etcd://etcd:2379"}),
        ("[ETCD]\nhost = ::1\nport = 23790\n", {"registry.url": "etcd://[::1]:23790"}),
        ("[WORKING_ENVIRONMENT]\nIMPORTDIR: /a%b/%(c)s/\n", {"node.home": "/a%b/%(c)s/"}),
        ("\ufeff[WORKING_ENVIRONMENT]\r\nuser = s\r\n", {"node.name": "s"}),
        ("[WORKING_ENVIRONMENT]\nimportdir = /données/météo\n", {"node.home": "/données/météo"}),
    ],
)
def test_it_is_read_as_the_founding_program_read_it(tmp_path: Path, text: str, settings: dict[str, str]) -> None:
    found = read(written(tmp_path, text))
    assert {name: value for name, (value, _) in found.items()} == settings


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[WORKING_ENVIRONMENT]\nuser = Jane Doe\n", "[WORKING_ENVIRONMENT] user: node.name = 'Jane Doe'"),
        ("[WORKING_ENVIRONMENT]\nimportdir = ~nobody-of-that-name/x\n", "[WORKING_ENVIRONMENT] importdir: node.home"),
        ("[ETCD]\nhost = 127.0.0.1\nport = many\n", "[ETCD] host and port: registry.url = 'etcd://127.0.0.1:many'"),
        ("[ETCD]\nhost = 127.0.0.1\nport = 65536\n", "[ETCD] host and port: registry.url"),
        ("[ETCD]\nport = 2379\n", "[ETCD] host and port: registry.url = 'etcd://:2379'"),
        ("[ETCD]\nhost = http://127.0.0.1\nport = 2379\n", "[ETCD] host and port: registry.url"),
        ("[ETCD]\nhost = a b\n", "[ETCD] host and port: registry.url"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_file_section_and_key(tmp_path: Path, text: str, place: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadSetting) as refused:
        load(given(file))
    assert refused.value.detail.startswith(f"{file}, {place}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[ETCD]\nhost = a\nhost = b\n", "already exists"),
        ("[ETCD]\nhost = a\n[ETCD]\nport = 1\n", "already exists"),
        ("host = a\n[ETCD]\n", "no section headers"),
        ("[ETCD]\nhost\n", "parsing errors"),
        (b"[ETCD]\nhost = \xff\n", "decode"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(tmp_path: Path, content: str | bytes, words: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(BadSetting, match=words) as refused:
        load(given(file))
    assert refused.value.detail.startswith(f"{file} cannot be read")
    assert "\n" not in refused.value.detail


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="cannot be read"):
        load(given(tmp_path / "absent.ini"))


def test_it_is_found_in_the_working_directory_as_the_founding_program_found_it(tmp_path: Path) -> None:
    written(tmp_path, FOUNDING)
    done = mao("config", "show", "--origin", "-o", "json", cwd=tmp_path)
    shown = {setting["setting"]: (setting["value"], setting["origin"]) for setting in json.loads(done.stdout)}
    assert shown["node.home"] == ("/srv/mao", "config.ini, [WORKING_ENVIRONMENT] importdir")
    assert shown["registry.url"] == ("etcd://127.0.0.1:2379", "config.ini, [ETCD] host and port")
    assert done.stderr == (
        "Of config.ini, this is passed over: [WORKING_ENVIRONMENT] auditdir, [POSTGRES], [DATA_REPOS].\n"
    )
    assert "100%sure" not in done.stdout + done.stderr

    written(tmp_path, '[node]\nname = "newer"\n', "mao.toml")
    done = mao("config", "show", "--origin", "-o", "json", cwd=tmp_path)
    shown = {setting["setting"]: (setting["value"], setting["origin"]) for setting in json.loads(done.stdout)}
    assert (shown["node.name"], shown["registry.url"]) == (("newer", "mao.toml"), ("sqlite", "default"))
    assert done.stderr == ""


@pytest.mark.parametrize("content", [b"[server]\nport = 1\n", b"\xff\x00 no text", b"# [ETCD]\nanything", b""])
def test_the_config_ini_of_another_program_is_left_alone(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, content)
    done = mao("config", "show", "--origin", "-o", "json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {setting["origin"] for setting in json.loads(done.stdout)} == {"default", "the machine's name"}


def test_a_node_takes_its_importdir_over_and_leaves_what_is_in_it(tmp_path: Path) -> None:
    """Clones of datasets are what the founding program left in its importdir, under the names of the tools."""
    importdir = tmp_path / "imported"
    for name in ("spike", "docker-hub"):
        (importdir / name / ".git").mkdir(parents=True)
        (importdir / name / "data.csv").write_text(name)
    before = sorted(str(path.relative_to(importdir)) for path in importdir.rglob("*"))
    text = f"[WORKING_ENVIRONMENT]\nimportdir = {importdir}/\nuser = sonap\n"
    written(tmp_path, text)
    for _ in range(2):
        command = [*PYTHON, "serve", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert line.startswith("Node 'sonap' answers at")
        assert line.endswith(f"with its home in {importdir}.\n")
    after = {str(path.relative_to(importdir)) for path in importdir.rglob("*")}
    assert set(before) <= after
    assert (importdir / "spike" / "data.csv").read_text() == "spike"
    assert {"tools", "runs", "datasets", "store.sqlite", "registry.sqlite"} <= after


def test_an_importdir_in_which_something_is_in_the_way_is_refused_untouched(tmp_path: Path) -> None:
    importdir = tmp_path / "imported"
    (importdir / "tmp").mkdir(parents=True)
    (importdir / "tmp" / "precious.csv").write_text("1")
    written(tmp_path, f"[WORKING_ENVIRONMENT]\nimportdir = {importdir}\nuser = sonap\n")
    done = mao("serve", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert done.returncode == 2
    assert "'tmp'" in done.stderr
    assert str(importdir / "node") in done.stderr
    assert [str(path.relative_to(importdir)) for path in sorted(importdir.rglob("*"))] == ["tmp", "tmp/precious.csv"]
