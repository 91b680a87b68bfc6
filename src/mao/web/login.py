"""The page on which a browser signs in, with a token or a link. It has no scripts, and nothing from other hosts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import Request, Response  # noqa: TC002  # FastAPI reads the annotations
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from mao.caller import Right
from mao.errors import NotSignedIn
from mao.tokens import SESSION
from mao.values import now
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.callers import COOKIE, cookies
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.caller import Caller
    from mao.web.callers import Entrance

router = root()

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>MAO: sign in</title>
<h1>Node {node}</h1>
{body}
</html>
"""
_FORM = """<form method="post" action="/login">
<p><label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Sign in</button></p>
</form>
<p><code>mao token link</code> on the node's machine prints a link that needs no token.</p>"""
_BY_CODE = """<form method="post" action="/login">
<input type="hidden" name="code" value="{code}">
<p><button autofocus>Sign in</button></p>
</form>"""
_SIGNED_IN = """<p>You are signed in as {name}. <a href="/docs">The API</a></p>
<form method="post" action="/logout"><p><button>Sign out</button></p></form>"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # Not "no-referrer": browsers would then send a form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SEE_OTHER = 303


def _page(node: Node, body: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(node=escape(node.config.node), body=body), status, _HEADERS)


@router.get("/login", include_in_schema=False)
async def show(request: Request, node: Node, code: str = "") -> Response:
    """Ask for a token; or, with the code of a link, whether to sign in: what merely looks at a link uses nothing up."""
    caller: Caller = request.state.caller
    if code:
        return _page(node, _BY_CODE.format(code=escape(code)))
    return _page(node, _FORM if caller.right is Right.NONE else _SIGNED_IN.format(name=escape(caller.name)))


@router.post("/login", include_in_schema=False)
async def sign_in(request: Request, node: Node) -> Response:
    """Open a session with what the form holds."""
    form = parse_qs((await request.body()).decode("latin-1"))
    act = node.tokens.sign_in_by_code if "code" in form else node.tokens.sign_in
    text = form.get("code", form.get("token", [""]))[0].strip()
    try:
        secret = await run_in_threadpool(act, text, now())
    except NotSignedIn as error:
        entrance: Entrance = request.app.state.entrance
        await entrance.failures.hold(request.state.caller.origin)
        return _page(node, f"<p>{escape(error.detail)}</p>\n{_FORM}", error.status)
    request.state.caller = node.tokens.of_session(secret, now(), request.state.caller.origin)  # who it was after all
    answer = RedirectResponse("/login", _SEE_OTHER, _HEADERS)
    secure = request.scope["scheme"] == "https"
    answer.set_cookie(
        COOKIE, secret, int(SESSION.total_seconds()), secure=secure, httponly=True, samesite="strict", path="/"
    )
    return answer


@router.post("/logout", include_in_schema=False)
async def sign_out(request: Request, node: Node) -> Response:
    """End the session."""
    if secret := cookies(dict(request.headers.raw)).get(COOKIE):
        await run_in_threadpool(node.tokens.sign_out, secret)
    answer = RedirectResponse("/login", _SEE_OTHER, _HEADERS)
    answer.delete_cookie(COOKIE, path="/")
    return answer
