from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from conftest import settings
from mao.approving import approve, withdraw
from mao.building import advance
from mao.catalogue import tool_key
from mao.consenting import find_approval
from mao.errors import ApprovalNotFound, DiskFull, NotApproved, PolicyRefused
from mao.finding import find_tool
from mao.installation import InstallationState, Step
from mao.installing import request_install, request_removal
from mao.local_node import opened
from mao.registering import register_tool, withdraw_tool
from mao.registry import Edit
from mao.updating import describe_update, refusal_of
from serving import serving
from support import bare, commit, eventually, fill, git, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.installation import Installation
    from mao.local_node import LocalNode
    from members import Clock


@pytest.fixture
def node(tmp_path: Path, clock: Clock) -> Iterator[LocalNode]:
    """A node that is open in this process, by the clock of the test; nothing advances by itself."""
    with opened(settings(tmp_path / "home"), clock) as opened_node:
        yield opened_node


def has_policy(node: LocalNode, **policy: str) -> None:
    """Give the node the settings that it would have been started with."""
    node.config = settings(node.config.home, **{f"policy.{name}": text for name, text in policy.items()})


def install(node: LocalNode, at: str | None = None) -> Installation:
    request_install(node, "probe", at)
    return built(node)


def built(node: LocalNode) -> Installation:
    """The installation when nothing of its attempt is left to be done."""
    while advance(node, "probe"):
        pass
    found = node.store.installation("probe")
    assert found is not None
    return found


def step_of(node: LocalNode) -> Step:
    found = node.store.installation("probe")
    assert found is not None
    return found.attempt.step


def updated(tool: Path) -> str:
    return commit(tool, {"more.txt": f"{(tool / 'more.txt').exists()}\n"})


def refused(node: LocalNode, words: str, at: str | None = None) -> None:
    """The policy refuses it, and nothing is changed."""
    before = node.store.installation("probe")
    with pytest.raises(PolicyRefused, match=words) as error:
        request_install(node, "probe", at)
    assert error.value.detail.endswith("Nothing was changed.")
    assert node.store.installation("probe") == before


def test_a_tool_is_taken_from_the_remotes_of_the_policy_alone(node: LocalNode, tool: Path) -> None:
    register_tool(node, str(tool))
    has_policy(node, remotes=f"https://github.com/institute/* {tool.parent}/others/*")
    refused(node, r"'probe' comes from .* the policy of this node \(policy.remotes, set by the command line\)")
    with pytest.raises(PolicyRefused):
        approve(node, "probe", git("rev-parse", "HEAD", cwd=tool), "owner")

    away = tool.rename(tool.with_name("away"))  # nothing is fetched from a remote that is not allowed
    with pytest.raises(PolicyRefused):
        describe_update(node, "probe")
    refused(node, "policy.remotes", "a" * 40)
    away.rename(tool)

    has_policy(node, remotes=f"{tool.parent}/*")
    assert install(node).state is InstallationState.INSTALLED


def test_data_goes_to_the_remotes_of_the_policy_alone(node: LocalNode, tool: Path, remote: Path) -> None:
    register_tool(node, str(tool))
    has_policy(node, data_remotes="https://github.com/institute/**")
    refused(node, rf"The data of 'probe' would go to {remote}, .*policy.data_remotes")
    has_policy(node, data_remotes=f"{remote.parent}/*")
    install(node)

    elsewhere = bare(remote.parent / "far" / "data.git")
    new = commit(tool, tool_files(elsewhere))
    refused(node, f"would go to {elsewhere}", new)
    shown = describe_update(node, "probe", new)
    assert (shown.old_remote, shown.new_remote, shown.error) == (str(remote), str(elsewhere), "policy-refused")
    assert not shown.approvable


def test_a_commit_that_no_branch_and_no_tag_leads_to_is_not_of_the_remote(node: LocalNode, tool: Path) -> None:
    """Hosts give out the commits of forks at the address of the original, too."""
    first = register_tool(node, str(tool)).commit
    newer = updated(tool)
    git("checkout", "--quiet", "--orphan", "fork", cwd=tool)
    forked = commit(tool, {"evil.txt": "x"})
    git("update-ref", "refs/pull/1/head", forked, cwd=tool)
    git("checkout", "--quiet", "main", cwd=tool)
    git("branch", "--quiet", "-D", "fork", cwd=tool)
    has_policy(node, remotes=f"{tool.parent}/*")

    refused(node, f"Commit {forked} of 'probe' is in the history of no branch and no tag", forked)
    assert describe_update(node, "probe", forked).error == "policy-refused"
    with pytest.raises(PolicyRefused):
        approve(node, "probe", forked, "owner")

    assert install(node, newer).commit == newer
    assert install(node, first).commit == first


def test_a_policy_of_pinned_tools_takes_tags_and_commits_that_are_registered(node: LocalNode, tool: Path) -> None:
    by_branch = register_tool(node, str(tool))
    has_policy(node, pinned="true")
    refused(node, "registered with refs/heads/main, which may name another commit tomorrow.*policy.pinned")
    refused(node, "registered with refs/heads/main", by_branch.commit)
    withdraw_tool(node, "probe")

    git("tag", "v1", cwd=tool)
    register_tool(node, str(tool), ref="v1")
    assert install(node).commit == by_branch.commit
    moved = updated(tool)
    git("tag", "--force", "v1", cwd=tool)
    refused(node, f"is not the registered one, {by_branch.commit}.*mao tool approve probe {moved}", moved)
    assert describe_update(node, "probe").error == "policy-refused"

    approve(node, "probe", moved, "owner")
    assert install(node, moved).commit == moved


def test_what_is_approved_is_one_commit_and_no_other(node: LocalNode, tool: Path) -> None:
    first = register_tool(node, str(tool)).commit
    has_policy(node, approve="all")
    with pytest.raises(NotApproved, match=f"'mao tool approve probe {first}' shows .* Nothing was changed"):
        request_install(node, "probe")
    assert node.store.installation("probe") is None
    shown = describe_update(node, "probe")
    assert (shown.old_commit, shown.new_commit, shown.error) == (None, first, "not-approved")
    assert shown.approvable

    newer = updated(tool)  # the branch goes on between the look and the approval
    approval = approve(node, "Probe", shown.new_commit, "owner")
    assert (approval.tool, approval.commit, approval.tree) == ("probe", first, shown.tree)
    assert approval == approve(node, "probe", first, "somebody else")
    assert install(node).commit == first
    with pytest.raises(NotApproved, match=newer):
        request_install(node, "probe", newer)
    assert built(node).commit == first

    withdraw(node, "probe", first)
    with pytest.raises(ApprovalNotFound):
        withdraw(node, "probe", first)
    assert built(node).commit == first
    assert describe_update(node, "probe", first).error is None  # it is here


def test_what_is_registered_is_told_to_be_refused_before_anybody_asks_for_it(node: LocalNode, tool: Path) -> None:
    registered = register_tool(node, str(tool))
    assert refusal_of(node, registered) is None
    for policy, helps in (({"approve": "all"}, True), ({"cooldown": "2"}, True), ({"remotes": "https://a/**"}, False)):
        has_policy(node, **policy)
        found = refusal_of(node, registered)
        assert found is not None
        assert (type(found.error), found.approvable) == (NotApproved if "approve" in policy else PolicyRefused, helps)

    has_policy(node, approve="all")
    approve(node, "probe", registered.commit, "owner")
    assert refusal_of(node, registered) is None
    install(node)
    withdraw(node, "probe", registered.commit)
    assert refusal_of(node, registered) is None  # it is here


def test_a_policy_about_updates_lets_first_installations_in(node: LocalNode, tool: Path) -> None:
    first = register_tool(node, str(tool)).commit
    has_policy(node, approve="updates")
    assert install(node).commit == first
    newer = updated(tool)
    with pytest.raises(NotApproved, match=newer):
        request_install(node, "probe", newer)
    approve(node, "probe", newer, "owner")
    assert install(node, newer).commit == newer
    with pytest.raises(NotApproved, match=first):  # back again is an update, too
        request_install(node, "probe", first)


def test_a_new_commit_waits_from_when_this_node_has_first_read_it(node: LocalNode, tool: Path, clock: Clock) -> None:
    first = register_tool(node, str(tool)).commit
    has_policy(node, cooldown="2")
    refused(node, "takes it from .* on.*policy.cooldown, set by .*'mao tool approve probe")
    clock.passes(days=1, hours=23)
    refused(node, "policy.cooldown")
    clock.passes(hours=1)
    assert install(node).commit == first

    git("commit", "--quiet", "--allow-empty", "--date=2001-01-01", "--message=old", cwd=tool)  # its dates are its own
    forged = git("rev-parse", "HEAD", cwd=tool)
    clock.passes(days=30)
    assert describe_update(node, "probe").error == "policy-refused"
    clock.passes(days=1)
    refused(node, "policy.cooldown", forged)
    approve(node, "probe", forged, "owner")
    assert install(node, forged).commit == forged


def test_when_a_commit_was_seen_outlives_the_node_as_approvals_do(tmp_path: Path, tool: Path, clock: Clock) -> None:
    with opened(settings(tmp_path / "home"), clock) as node:
        first = register_tool(node, str(tool)).commit
        approval = approve(node, "probe", first, "owner")
    clock.passes(days=2)
    with opened(settings(tmp_path / "home", **{"policy.cooldown": "2"}), clock) as node:
        assert find_approval(node, "probe", first) == approval
        withdraw(node, "probe", first)
        assert install(node).commit == first


def test_a_changed_policy_holds_for_what_is_under_way(node: LocalNode, tool: Path) -> None:
    first = register_tool(node, str(tool)).commit
    assert install(node).commit == first
    newer = updated(tool)
    changes = [
        (Step.CLONING, {"remotes": "https://github.com/institute/*"}, "policy-refused"),
        (Step.CLONING, {"approve": "updates"}, "not-approved"),
        (Step.INSTALLING, {"pinned": "true"}, "policy-refused"),
        (Step.DATASET, {"cooldown": "1"}, "policy-refused"),
        (Step.SWITCHING, {"data_remotes": "https://github.com/institute/*"}, "policy-refused"),
    ]
    for step, policy, error in changes:
        has_policy(node)
        request_install(node, "probe", newer)
        while step_of(node) is not step:
            advance(node, "probe")
        has_policy(node, **policy)
        ended = built(node)
        assert (ended.attempt.step, ended.attempt.error, ended.commit) == (Step.FAILED, error, first)
        assert not node.workspace.tree("probe", ended.attempt.id).exists()


def test_an_approval_that_is_withdrawn_ends_what_is_under_way(node: LocalNode, tool: Path) -> None:
    first = register_tool(node, str(tool)).commit
    has_policy(node, approve="all")
    approve(node, "probe", first, "owner")
    request_install(node, "probe")
    advance(node, "probe")
    withdraw(node, "probe", first)
    assert built(node).attempt.error == "not-approved"


def killed_while_data_moved(node: LocalNode, tool: Path, remote: Path) -> tuple[str, Path]:
    """An update to a newer commit, killed between two files of the data directory; the commit and the new directory."""
    commit(tool, tool_files(remote, fresh=False))
    register_tool(node, str(tool))
    before = install(node)
    assert before.tree is not None
    old = node.workspace.tree("probe", before.tree) / "data"
    for name in ("one", "two"):
        (old / name).write_text(name)
    newer = updated(tool)
    begun = request_install(node, "probe", newer)
    while step_of(node) is not Step.SWITCHING:
        advance(node, "probe")
    new = node.workspace.tree("probe", begun.attempt.id) / "data"
    new.mkdir()
    (node.workspace.attempt("probe", begun.attempt.id) / "moving").touch()
    (old / "one").rename(new / "one")
    return newer, new


@pytest.mark.parametrize("end", ["policy", "removal"])
def test_data_that_has_begun_to_move_over_arrives_whatever_comes_between(
    node: LocalNode, tool: Path, remote: Path, end: str
) -> None:
    newer, new = killed_while_data_moved(node, tool, remote)
    if end == "policy":
        has_policy(node, approve="all")
    else:
        request_removal(node, "probe")
    assert built(node).commit == newer
    assert sorted(path.name for path in new.iterdir()) == ["one", "two"]


def test_data_that_has_begun_to_move_over_arrives_though_the_disk_is_full_for_a_while(
    tmp_path: Path, tool: Path, remote: Path, small_disk: Callable[[Path, int], None]
) -> None:
    small_disk(tmp_path / "disk", 20)
    with opened(settings(tmp_path / "disk" / "home")) as node:
        newer, new = killed_while_data_moved(node, tool, remote)
        ballast = fill(tmp_path / "disk")
        with pytest.raises(DiskFull):
            advance(node, "probe")
        ballast.unlink()
        assert built(node).commit == newer
        assert sorted(path.name for path in new.iterdir()) == ["one", "two"]


def test_what_the_registry_says_of_a_definition_is_not_what_is_installed(node: LocalNode, tool: Path) -> None:
    """Whoever can write to the registry cannot have other commands installed than those of the commit."""
    honest = register_tool(node, str(tool))
    entry = node.registry.get(tool_key("probe"))
    assert entry is not None
    forged = json.loads(entry.value)
    forged["definition"]["Data"]["Repo"]["Remote"] = "https://evil.org/data"
    node.registry.write(Edit(entry.key, json.dumps(forged).encode(), entry.revision))
    eventually(lambda: find_tool(node, "probe").definition != honest.definition, "the node hears of it")

    assert install(node).definition == honest.definition


def test_registering_elsewhere_changes_nothing_of_what_is_installed_here(tmp_path: Path, tool: Path) -> None:
    """Two nodes over one registry; what the other one does with the registration does not matter here."""
    with serving(tmp_path / "alpha") as alpha:
        (tmp_path / "beta").mkdir()
        (tmp_path / "beta" / "registry.sqlite").symlink_to(tmp_path / "alpha" / "registry.sqlite")
        with opened(settings(tmp_path / "beta", **{"node.name": "beta"})) as beta:
            registered = register_tool(beta, str(tool))
            eventually(lambda: alpha.node.mirror.get(tool_key("probe")), "alpha hears of the tool")
            alpha.api("POST", "/installations", {"tool": "probe"})
            installed, shown = alpha.installed(), alpha.api("GET", "/installations/probe/help")
            remote = tmp_path / "remotes" / "data.git"

            moved = tmp_path / "remotes" / "moved"
            commit(moved, tool_files(bare(tmp_path / "remotes" / "other.git"), scripts={"Other": "true\n"}))
            definition = (moved / "mao.yaml").read_text().replace("probe-data", "other-data")
            newer = commit(moved, {"mao.yaml": definition})
            entry = beta.registry.get(tool_key("probe"))
            register_tool(beta, str(moved), if_revision=entry.revision if entry else None)
            eventually(lambda: find_tool(alpha.node, "probe").commit == newer, "alpha hears of the change")
            run = alpha.ended(alpha.run("Write", "1", "one.txt"))
            assert (run["state"], run["tool_commit"]) == ("succeeded", registered.commit)

            update = alpha.api("GET", "/installations/probe/update")
            assert (update["old_url"], update["new_url"]) == (str(tool), str(moved))
            assert (update["old_remote"], update["new_remote"]) == (str(remote), str(remote.with_name("other.git")))

            withdraw_tool(beta, "probe")
            eventually(lambda: alpha.node.mirror.get(tool_key("probe")) is None, "alpha hears that it is gone")
            assert alpha.ended(alpha.run("Write", "2", "two.txt"))["state"] == "succeeded"

        assert alpha.api("GET", "/installations/probe") == installed
        assert alpha.api("GET", "/installations/probe/help") == shown
        assert published(remote) == {"one.txt": "1", "two.txt": "2"}
