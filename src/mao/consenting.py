"""See that what is installed on this node is what its people let in: its policy, and the commits they have approved."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from mao.approval import Approval, Sighting, commit_key
from mao.bare_cache import BareCache
from mao.catalogue import tool_in
from mao.errors import NotApproved, PolicyRefused, RegistryUnavailable
from mao.git import fetchable
from mao.installation import Installation
from mao.policy import allows, is_pinned
from mao.values import new_id, rfc3339

if TYPE_CHECKING:
    from mao.definition import Definition
    from mao.installation import Attempt
    from mao.local_node import LocalNode


def check_source(node: LocalNode, tool: str, url: str, ref: str) -> None:
    """See that `tool` may come from the remote at `url`, by `ref`: before anything is fetched from there.

    Raises:
        PolicyRefused: with the setting that decides.
    """
    if not allows(node.config["policy.remotes"], url):
        raise _refused(
            node,
            "policy.remotes",
            f"'{tool}' comes from {url}, which is none of the remotes that this node takes tools from.",
        )
    if node.config["policy.pinned"] and not is_pinned(ref):
        raise _refused(
            node,
            "policy.pinned",
            f"'{tool}' was registered with {ref}, which may name another commit tomorrow. Have it registered with a tag"
            " or a commit ('mao tool register --ref').",
        )


def check_places(node: LocalNode, tool: str, url: str, ref: str, definition: Definition) -> None:
    """See that `tool` may come from where it is, and its data go where it would: that no approval changes.

    Raises:
        PolicyRefused: with the setting that decides.
    """
    check_source(node, tool, url, ref)
    remote = definition.data.repo.remote
    if not allows(node.config["policy.data_remotes"], remote):
        raise _refused(
            node,
            "policy.data_remotes",
            f"The data of '{tool}' would go to {remote}, which is none of the remotes that this node publishes to.",
        )


def check(node: LocalNode, tool: str, attempt: Attempt, installed: str | None) -> None:
    """See that `tool` may be installed as `attempt` would, in place of the commit `installed`.

    It is asked before each step of an attempt: what a changed policy refuses, or whose approval was withdrawn, is not
    gone on with.

    Raises:
        PolicyRefused: with the setting that decides.
        NotApproved: with the command that approves it.
    """
    check_places(node, tool, attempt.url, attempt.ref, attempt.definition)
    if find_approval(node, tool, attempt.commit) is None:
        _check_unapproved(node, tool, attempt.commit, installed)


def _check_unapproved(node: LocalNode, tool: str, commit: str, installed: str | None) -> None:
    config = node.config
    approving = f"'mao tool approve {tool} {commit}' shows what it brings, and lets it in."
    if config["policy.approve"] == "all" or (installed and config["policy.approve"] == "updates"):
        raise NotApproved(
            f"Nobody has approved commit {commit} of '{tool}' on this node, which wants that"
            f" ({_where(node, 'policy.approve')}). {approving} Nothing was changed."
        )
    if config["policy.pinned"] and (registered := tool_in(node.mirror.get, tool)) and registered.commit != commit:
        raise _refused(
            node,
            "policy.pinned",
            f"Commit {commit} of '{tool}' is not the registered one, {registered.commit}.",
            approving,
        )
    if config["policy.cooldown"]:
        seen = find_sighting(node, tool, commit)
        first = seen.seen_at if seen else node.clock()
        until = first + timedelta(days=config["policy.cooldown"])
        if node.clock() < until:
            words = f"This node has first seen commit {commit} of '{tool}' at {rfc3339(first)}, and takes it from"
            raise _refused(node, "policy.cooldown", f"{words} {rfc3339(until)} on.", approving)


def _refused(node: LocalNode, setting: str, words: str, remedy: str = "") -> PolicyRefused:
    remedy = remedy or "Whoever keeps this node decides about that."
    return PolicyRefused(
        f"{words} That is the policy of this node ({_where(node, setting)}). {remedy} Nothing was changed."
    )


def _where(node: LocalNode, setting: str) -> str:
    return f"{setting}, set by {node.config.origin[setting]}"


def check_belongs(node: LocalNode, tool: str, url: str, commit: str) -> None:
    """See that `commit` is in the history of a branch or a tag of the remote, where `policy.remotes` names remotes.

    Hosts of many give out the commits of copies (forks), which anybody may make, at the address of the original, too.

    Raises:
        PolicyRefused
        OutsideFailed: the remote could not be asked.
    """
    if not node.config["policy.remotes"] or find_approval(node, tool, commit) is not None:
        return
    tips = node.git.run("ls-remote", "--heads", "--tags", "--", fetchable(url), cwd=node.workspace.temporary)
    if commit.encode() in {line.partition(b"\t")[0] for line in tips.splitlines()}:
        return
    with node.workspace.aside(new_id()) as repository:
        node.git.run("init", "--bare", "--quiet", "--template=", ".", cwd=repository)
        refspecs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        BareCache(node.git, repository, url).fetch(*refspecs, limit="tree:0")
        asked = ("for-each-ref", "--count=1", f"--contains={commit}", "refs/heads", "refs/tags")
        if not node.git.attempt(*asked, cwd=repository).out:
            words = (
                f"Commit {commit} of '{tool}' is in the history of no branch and no tag of {url}: it may be anybody's."
            )
            raise _refused(node, "policy.remotes", words)


def saw(node: LocalNode, tool: str, commit: str, definition: Definition) -> None:
    """Remember that this node has read `definition` in the repository of `tool` at `commit`; the first time counts."""
    with node.locked("commit", commit):
        if find_sighting(node, tool, commit) is None:
            digest = _digest(definition)
            node.store.save(Sighting(tool=tool, commit=commit, definition=digest, seen_at=node.clock()))


def has_read(node: LocalNode, tool: str, commit: str, definition: Definition) -> bool:
    """Whether this node has read just this definition in the repository of `tool` at `commit`."""
    seen = find_sighting(node, tool, commit)
    return seen is not None and seen.definition == _digest(definition)


def _digest(definition: Definition) -> str:
    return hashlib.sha256(definition.model_dump_json(by_alias=True).encode()).hexdigest()


def find_sighting(node: LocalNode, tool: str, commit: str) -> Sighting | None:
    """What this node knows of the first time that it has read `tool` at `commit`."""
    body = node.store.body("sighting", commit_key(tool, commit))
    return Sighting.model_validate_json(body) if body else None


def find_approval(node: LocalNode, tool: str, commit: str) -> Approval | None:
    """The approval of `commit` of `tool` on this node."""
    body = node.store.body("approval", commit_key(tool, commit))
    return Approval.model_validate_json(body) if body else None


def awaited(node: LocalNode) -> list[tuple[str, str]]:
    """The commits of tools that wait to be approved, each with the name of its tool.

    They are those that were asked for and refused, and what is registered of tools that are installed at another one.
    """
    wanted = node.config["policy.approve"]
    if wanted == "none":
        return []
    found: list[tuple[str, str]] = []
    for _, body in node.store.bodies("installation"):
        installation = Installation.model_validate_json(body)
        attempt, installed = installation.attempt, installation.commit
        commit = attempt.commit if attempt.error == NotApproved.code() else _registered(node, installation.tool)
        if commit not in {None, installed} and (installed or wanted == "all"):
            found.append((installation.tool, str(commit)))
    return [(tool, commit) for tool, commit in found if find_approval(node, tool, commit) is None]


def _registered(node: LocalNode, name: str) -> str | None:
    try:
        tool = tool_in(node.mirror.get, name)
    except RegistryUnavailable:
        return None
    return tool.commit if tool else None
