from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from cli.place import Mao, alone, serving
from mao.settings import SETTINGS
from support import PATIENCE, ServedNode, free_port


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(shell: str) -> None:
    done = alone("completion", shell)
    assert done.returncode == 0
    assert "_MAO_COMPLETE" in done.stdout


def test_settings_are_shown_with_where_they_come_from(tmp_path: Path) -> None:
    file = tmp_path / "mao.toml"
    file.write_text('[runs]\nlimit = 3\n[node]\nname = "from-file"\n')
    done = alone("config", "show", "--origin", "-o", "json", MAO_CONFIG=str(file), MAO_NODE__NAME="from-environment")
    settings = {setting["setting"]: (setting["value"], setting["origin"]) for setting in json.loads(done.stdout)}
    assert settings.keys() == SETTINGS.keys()
    assert settings["runs.limit"] == ("3", str(file))
    assert settings["node.name"] == ("from-environment", "MAO_NODE__NAME")
    assert settings["git.time_limit"] == ("600", "default")


@pytest.mark.parametrize("form", ["table", "json", "ndjson"])
def test_a_secret_is_never_shown(tmp_path: Path, form: str) -> None:
    (tmp_path / "secret").write_text("s3cret")
    for given in ({"MAO_REGISTRY__PASSWORD": "s3cret"}, {"MAO_REGISTRY__PASSWORD_FILE": str(tmp_path / "secret")}):
        done = alone("config", "show", "--origin", "-o", form, **given)
        assert done.returncode == 0
        assert "s3cret" not in done.stdout + done.stderr
        assert "(secret)" in done.stdout
    assert "(secret)" not in alone("config", "show", "-o", form).stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_says_where_it_is_and_stops_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    listen = f"127.0.0.1:{free_port()}"
    flags = ("--listen", listen, "--name", "fribourg", "--home", str(tmp_path / "home"))
    process, line = serving("-m", "mao", "serve", *flags, home=tmp_path / "other", listen="127.0.0.1:1")
    assert line == f"Node 'fribourg' answers at http://{listen}, with its home in {tmp_path / 'home'}.\n"
    mao = Mao(ServedNode(tmp_path / "third"))
    assert mao("tool", "list", MAO_NODE__HOME=str(tmp_path / "home")).returncode == 0
    second = mao("serve", MAO_NODE__HOME=str(tmp_path / "home"))
    assert second.returncode == 4
    assert "served by another process" in second.stderr
    third = mao("serve", "--listen", listen)
    assert third.returncode == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert "/login?code=" not in err, "nobody is at this terminal"
    again, line = serving("-m", "mao", "serve", "--print-link", home=tmp_path / "home", listen=listen)
    assert listen in line
    told = "".join(again.stderr.readline() for _ in range(4)) if again.stderr else ""
    assert f"  http://{listen}/login?code=" in told
    again.terminate()
    again.communicate(timeout=PATIENCE)


def test_a_node_that_all_could_reach_is_not_served(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    done = alone("serve", "--listen", "0.0.0.0:1", "--behind-proxy", MAO_NODE__HOME=home)
    assert (done.returncode, "set server.hosts to the names" in done.stderr) == (2, True), done.stderr


def test_the_founding_launcher_serves_a_node(tmp_path: Path) -> None:
    launcher = Path(__file__).parents[2] / "async_launcher.py"
    listen = f"127.0.0.1:{free_port()}"
    process, line = serving(str(launcher), home=tmp_path / "home", listen=listen)
    assert f"answers at http://{listen}" in line
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert (launcher.parent / "requirements.txt").read_text() == ".\n"
