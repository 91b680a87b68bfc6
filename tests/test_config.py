from __future__ import annotations

from pathlib import Path

import pytest

from mao.config import cluster_file, config_file, load
from mao.errors import BadSetting
from mao.settings import SETTINGS


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a process that has nothing but a home directory."""
    return {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "nothing"), **more}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_setting_has_a_default_that_can_be_read(tmp_path: Path) -> None:
    config = load(environment(tmp_path))
    assert set(config.values) == set(SETTINGS) == set(config.origin)
    assert config.listen == ("127.0.0.1", 8080)
    assert config.home == Path.home() / "mao"
    assert config["runs.log_limit"] == 50_000_000
    assert config["git.allow_http"] is False
    assert {config.origin[name] for name in SETTINGS} == {"default", "the machine's name"}


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = written(tmp_path / "mao.toml", '[node]\nname = "file"\nhome = "/file"\n[runs]\nlimit = 3\n')
    given = environment(tmp_path, MAO_CONFIG=str(file), MAO_NODE__NAME="environment", MAO_NODE__HOME="/environment")
    config = load(given, {"node.name": "flag"})
    assert (config.node, config.home, config["runs.limit"]) == ("flag", Path("/environment"), 3)
    assert config["install.time_limit"] == 3600
    assert [config.origin[name] for name in ("node.name", "node.home", "runs.limit", "install.time_limit")] == [
        *("the command line", "MAO_NODE__HOME"),
        *(str(file), "default"),
    ]


def test_the_file_is_the_one_that_is_named_before_that_of_the_user(tmp_path: Path) -> None:
    user = written(tmp_path / "xdg" / "mao" / "config.toml", '[node]\nname = "user"\n')
    named = written(tmp_path / "named.toml", '[node]\nname = "named"\n')
    xdg = environment(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"))
    assert config_file(xdg) == user
    assert load(xdg).node == "user"
    assert load(xdg | {"MAO_CONFIG": str(named)}).node == "named"
    home = written(tmp_path / ".config" / "mao" / "config.toml", '[node]\nname = "home"\n')
    assert config_file({"HOME": str(tmp_path)}) == home


def test_values_of_every_kind_can_stand_in_a_file(tmp_path: Path) -> None:
    text = """
    [runs]
    limit = 2
    log_limit = "1 kB"
    time_limit = 0.5
    pass_environment = ["PATH", "LANG"]
    [git]
    allow_http = true
    author_email = ""
    """
    config = load(environment(tmp_path, MAO_CONFIG=str(written(tmp_path / "mao.toml", text))))
    assert (config["runs.limit"], config["runs.log_limit"], config["runs.time_limit"]) == (2, 1000, 0.5)
    assert config["runs.pass_environment"] == ("PATH", "LANG")
    assert (config["git.allow_http"], config["git.author_email"]) == (True, "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("node.name", text) for text in ("", "a/b", "con", "x" * 101)),
        *(("node.home", text) for text in ("", "~nobody-of-that-name/mao")),
        *(("server.listen", text) for text in ("8080", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1")),
        *(("server.listen", text) for text in (":8080", "127.0.0.1:\u00b2", "a b:80")),
        *(("server.hosts", text) for text in ("https://example.org", "example.org:80", "a/b", "*")),
        ("registry.url", "etcd://127.0.0.1"),
        *(("runs.limit", text) for text in ("0", "-1", "1.5", "many", "", "\u00b2")),
        *(("runs.log_limit", text) for text in ("", "10 XB", "MB", "-1 MB", "1.5 MB", "10 MB MB")),
        *(("git.time_limit", text) for text in ("0", "-1", "nan", "inf", "1e9", "soon", "")),
        *(("git.allow_http", text) for text in ("1", "yes", "")),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(tmp_path: Path, name: str, text: str) -> None:
    variable = "MAO_" + name.replace(".", "__").upper()
    with pytest.raises(BadSetting, match=variable) as refused:
        load(environment(tmp_path, **{variable: text}))
    assert f"{name} = '{text}'" in refused.value.detail


@pytest.mark.parametrize(
    ("text", "listen"),
    [("[::1]:9", ("::1", 9)), ("localhost:0", ("localhost", 0)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("", None)],  # noqa: S104  # it only reads
)
def test_an_address_can_be_listened_on_or_none(tmp_path: Path, text: str, listen: tuple[str, int] | None) -> None:
    assert load(environment(tmp_path), {"server.listen": text}).listen == listen


@pytest.mark.parametrize(
    ("text", "size"), [("7", 7), ("7kB", 7000), ("7 MB", 7_000_000), ("7 GB", 7_000_000_000), ("0", 0)]
)
def test_sizes_may_have_units(tmp_path: Path, text: str, size: int) -> None:
    assert load(environment(tmp_path), {"runs.log_limit": text})["runs.log_limit"] == size


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    file = written(tmp_path / "mao.toml", '[node]\nnmae = "x"\n')
    with pytest.raises(BadSetting, match=r"mao\.toml: there is no setting 'node\.nmae'; did you mean 'node\.name'\?"):
        load(environment(tmp_path, MAO_CONFIG=str(file)))
    with pytest.raises(BadSetting, match=r"MAO_ZZZ__QQQ: there is no setting 'zzz\.qqq'\."):
        load(environment(tmp_path, MAO_ZZZ__QQQ="1"))


@pytest.mark.parametrize("text", ["name = 'x'", "[node", "[node]\nname = 'a'\nname = 'b'", "\ufeff\x00"])
def test_a_file_that_cannot_be_understood_is_named(tmp_path: Path, text: str) -> None:
    file = written(tmp_path / "mao.toml", text)
    with pytest.raises(BadSetting, match=r"mao\.toml"):
        load(environment(tmp_path, MAO_CONFIG=str(file)))


@pytest.mark.parametrize("content", [b"\xff", b"[node]\nname = '\xff'"])
def test_a_file_that_is_not_text_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mao.toml"
    file.write_bytes(content)
    with pytest.raises(BadSetting, match=r"mao\.toml"):
        load(environment(tmp_path, MAO_CONFIG=str(file)))


@pytest.mark.parametrize("name", ["absent.toml", ".", "x" * 5000])
def test_a_file_that_is_named_must_be_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSetting, match="cannot be read"):
        load(environment(tmp_path, MAO_CONFIG=str(tmp_path / name)))


def test_a_place_where_no_file_can_be_looked_for_is_a_bad_setting(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="cannot be seen"):
        load(environment(tmp_path) | {"XDG_CONFIG_HOME": "/" + "x" * 5000})


def test_other_variables_of_mao_are_no_settings(tmp_path: Path) -> None:
    config = load(environment(tmp_path, MAO_RUN_ID="x", MAO_NODE="y", NODE__NAME="z", MAO_DATA_DIR="w"))
    assert config.values == load(environment(tmp_path)).values


def test_what_a_cluster_set_stands_below_all_that_people_set(tmp_path: Path) -> None:
    home = tmp_path / "home"
    text = '[registry]\nurl = "etcd://10.0.0.1:2379"\nca = "/cluster/ca.pem"\nlease = 20\n'
    kept = written(cluster_file(home), text + '[cluster]\nlisten = "10.0.0.2:8443"\n')
    file = written(tmp_path / "mao.toml", f'[node]\nhome = "{home}"\n[registry]\nlease = 30\n')
    config = load(environment(tmp_path, MAO_CONFIG=str(file), MAO_REGISTRY__CA="/mine.pem"))
    shown = {name: (config[name], config.origin[name]) for name in config.values}
    assert shown["registry.url"] == ("etcd://10.0.0.1:2379", str(kept))
    assert shown["registry.ca"] == (Path("/mine.pem"), "MAO_REGISTRY__CA")
    assert shown["registry.lease"] == (30, str(file))
    assert shown["cluster.listen"] == (("10.0.0.2", 8443), str(kept))

    elsewhere = load(environment(tmp_path, MAO_CONFIG=str(file), MAO_NODE__HOME=str(tmp_path / "elsewhere")))
    assert elsewhere["registry.url"] == "sqlite"


def test_what_a_cluster_set_is_checked_like_any_other_file(tmp_path: Path) -> None:
    kept = written(cluster_file(tmp_path / "home"), "[registry]\nlease = 1\n")
    with pytest.raises(BadSetting, match=rf"{kept}: registry.lease = '1'"):
        load(environment(tmp_path, MAO_NODE__HOME=str(tmp_path / "home")))


def test_a_secret_comes_from_the_environment_or_from_a_file_that_that_names(tmp_path: Path) -> None:
    file = written(tmp_path / "secret", " s3cret \n")
    for given in ({"MAO_REGISTRY__PASSWORD": "s3cret"}, {"MAO_REGISTRY__PASSWORD_FILE": str(file)}):
        config = load(environment(tmp_path, **given))
        assert (config["registry.password"], config.origin["registry.password"]) == ("s3cret", next(iter(given)))


def test_a_file_with_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"MAO_REGISTRY__PASSWORD_FILE: .*absent cannot be read"):
        load(environment(tmp_path, MAO_REGISTRY__PASSWORD_FILE=str(tmp_path / "absent")))


def test_only_secrets_come_from_files_that_the_environment_names(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"MAO_NODE__NAME_FILE: there is no setting 'node\.name_file'"):
        load(environment(tmp_path, MAO_NODE__NAME_FILE=str(tmp_path)))


@pytest.mark.parametrize(
    "text", ["etcd://", "etcd://a", "etcd://http://a:1", "etcd://a b:1", "etcd://a:1,", "http://a:1"]
)
def test_a_registry_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadSetting, match="the members of etcd"):
        load(environment(tmp_path, MAO_REGISTRY__URL=text))
