from __future__ import annotations

import ctypes
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mao import config
from mao.client import Client
from mao.errors import BadSetting, NodeUnreachable, NotSignedIn
from mao.node_address import NodeAddress
from mao.web.listening import doors, listen
from peering import Authority
from serving import serving
from support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
# Python may be where nobody else can look.
ASKING = """
$SIG{PIPE} = "IGNORE";
$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print "closed: $!"; exit };
print $s "GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n";
$s->flush;
print "open, and ", scalar(<$s>) // "no answer";
"""


def test_an_address_that_is_taken_is_an_error_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadSetting, match=r"server\.listen"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_answers_are_not_held_back_for_the_client_to_acknowledge() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # asyncio sets TCP_NODELAY on those alone


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"listen": "0.0.0.0:0"}, "server.behind_proxy"),
        ({"listen": "10.0.0.1:0"}, "others than this machine can reach"),
        ({"listen": "[::]:0"}, "SSH tunnel"),
        ({"listen": "mao.example.org:0"}, "server.certificate"),
        ({"listen": "127.0.0.1.example.org:0"}, "server.certificate"),
        ({"listen": "0.0.0.0:0", "behind_proxy": "true"}, "server.hosts"),
        ({"certificate": "/x"}, "only one is set"),
        ({"key": "/x", "listen": ""}, "only one is set"),
        ({"certificate": "/dev/null", "key": "/dev/null"}, "no certificate in PEM"),
    ],
)
def test_where_tokens_could_be_read_by_others_the_node_does_not_listen(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    flags = {"server.listen": "127.0.0.1:0"} | {f"server.{name}": text for name, text in settings.items()}
    with ExitStack() as stack, pytest.raises(BadSetting) as refused:
        doors(config.load({}, {"node.home": str(tmp_path), **flags}), stack)
    assert words in refused.value.detail


def test_a_node_may_listen_everywhere_behind_a_proxy_under_its_names(tmp_path: Path) -> None:
    more = {"server__listen": "0.0.0.0:0", "server__behind_proxy": "true", "server__hosts": "MAO.example.org, [::1]"}
    with serving(tmp_path / "home", **more) as node:
        hosts = ("mao.example.org", "Mao.Example.Org:443", "[::1]", "0.0.0.0", "127.0.0.1", "localhost")  # noqa: S104  # names
        seen = [node.over_tcp("GET", "/healthz", headers={"Host": host}).status for host in hosts]
        assert seen == [200, 200, 200, 403, 403, 403]


def test_a_node_with_a_certificate_answers_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.signed("alpha")
    with serving(tmp_path / "home", server__certificate=str(certificate), server__key=str(key)) as node:
        url = f"https://127.0.0.1:{node.port}"
        token = node.token("read")
        assert list(Client(NodeAddress(url, token, str(authority.ca))).pages("/tools")) == []
        with pytest.raises(NodeUnreachable, match=r"not show a certificate that is trusted \(.+MAO_CA"):
            Client(NodeAddress(url, token)).get("/tools")
        with pytest.raises(BadSetting, match="MAO_CA"):
            Client(NodeAddress(url, token, "/dev/null")).get("/tools")
        with pytest.raises(NodeUnreachable):
            Client(f"http://127.0.0.1:{node.port}", patience=0.5).ready()
        assert node.api("POST", "/links")["url"].startswith(f"{url}/login?code=")


def test_a_node_that_listens_nowhere_answers_its_owner(tmp_path: Path) -> None:
    with serving(tmp_path / "home", server__listen="") as node:
        assert node.request("GET", "/readyz").status == 200
        assert node.request("POST", "/api/v1/links").json["code"] == "bad-setting"


def test_the_socket_is_for_its_owner_in_any_home_and_goes_with_the_node(tmp_path: Path) -> None:
    home = tmp_path / ("a-long-name-" * 12) / "home"
    home.mkdir(parents=True)
    with closing(socket.socket(socket.AF_UNIX)) as left_over:
        left_over.bind(f"/proc/self/fd/{os.open(home, os.O_PATH)}/socket")
    with serving(home) as node:
        path = home / "socket"
        assert path.is_socket()
        assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(home.stat().st_mode)) == (0o600, 0o700)
        assert len(os.fsencode(path)) > 107
        connection = node.connection()
        for _ in range(2):  # the connection is kept
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
        connection.close()
    assert not path.exists()


def test_what_is_no_socket_is_not_removed_for_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "socket").write_text("precious")
    with pytest.raises(BadSetting, match="'socket'"), serving(home):
        pass
    assert (home / "socket").read_text() == "precious"


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Have files opened by this thread as by a user to whom they do not belong."""
    libc = ctypes.CDLL(None)
    libc.setfsuid(NOBODY)  # setfsuid(2): of the thread alone
    try:
        yield
    finally:
        libc.setfsuid(os.geteuid())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("perl"), reason="only root can be somebody else, in perl")
def test_another_user_does_not_get_through_the_socket() -> None:
    with tempfile.TemporaryDirectory() as place, serving(Path(place) / "home") as node:
        Path(place).chmod(0o755)
        path = node.home / "socket"

        def as_nobody() -> str:
            ask = ["perl", "-MIO::Socket::UNIX", "-e", ASKING, str(path)]
            return subprocess.run(
                ask, user=NOBODY, cwd="/", capture_output=True, text=True, check=True, timeout=PATIENCE
            ).stdout

        assert as_nobody() == "closed: Permission denied"
        with as_somebody_else(), pytest.raises(NotSignedIn, match=r"for 'root' alone.+'mao token create'"):
            Client(node.url).ready()
        node.home.chmod(0o755)
        path.chmod(0o666)  # even if somebody opens it by mistake
        assert as_nobody() == "open, and no answer"
        assert node.request("GET", "/healthz").status == 200
