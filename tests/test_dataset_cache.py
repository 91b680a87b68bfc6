from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mao.bare_cache import Tip
from mao.data_directory import DataFile, publishable
from mao.dataset_cache import DatasetCache, Update
from mao.errors import GitFailed, OutsideFailed, PathClash, RemoteRefused
from mao.fast_import import Addition, Author, Existing, Placement
from mao.git import Git
from mao.git_environment import MARKER
from mao.processes import kill_marked
from mao.workspace import remove_tree
from support import bare, commit, git, published

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[..., list[DataFile]]
    Place = Callable[[Existing], list[tuple[bytes, DataFile]]]

AUTHOR = Author("alpha", "mao@alpha", datetime(2026, 1, 1, tzinfo=UTC))
FOLDERS, FILES = 60, 50


@pytest.fixture
def caller(tmp_path: Path) -> Git:
    return Git(tmp_path / "home", 60)


@pytest.fixture
def cache(tmp_path: Path, caller: Git, remote: Path) -> DatasetCache:
    """A cache of the empty remote, not yet filled."""
    return made(tmp_path, caller, remote)


def made(tmp_path: Path, caller: Git, url: Path | str, name: str = "data.git") -> DatasetCache:
    (tmp_path / "caches").mkdir(exist_ok=True)
    return DatasetCache(caller, tmp_path / "caches" / name, str(url))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """The files of a run: `write({"a/b": "content"})`."""
    number = 0

    def write_files(contents: dict[str, str]) -> list[DataFile]:
        nonlocal number
        number += 1
        root = tmp_path / "runs" / str(number)
        for name, content in contents.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        return publishable(root)[0]

    return write_files


def build(cache: DatasetCache, base: str | None, files: list[DataFile], place: Place, message: str = "m") -> str | None:
    """The commit of files that `place` puts somewhere."""
    addition = Addition(
        AUTHOR, AUTHOR, [file.path for file in files], lambda existing: Placement(message, place(existing))
    )
    (made,) = cache.build(base, [addition])
    if made.clash is not None:
        raise made.clash
    return made.commit


def add(cache: DatasetCache, base: str | None, files: list[DataFile], message: str = "m") -> str:
    """Commit the files where they belong."""
    added = build(cache, base, files, lambda _: [(file.path, file) for file in files], message)
    assert added is not None
    return added


def push(cache: DatasetCache, commit: str, branch: str = "main", onto: str | None = None) -> bool:
    """Put a commit on the branch; False if somebody else was first."""
    return not cache.push([Update(f"refs/heads/{branch}", commit, old=onto)])


def elsewhere(tmp_path: Path, remote: Path, files: dict[str, str], message: str = "other") -> str:
    """What another writer adds to the remote."""
    work = tmp_path / "elsewhere"
    if not work.exists():
        git("clone", "--quiet", remote, work, cwd=tmp_path)
    if git("for-each-ref", "refs/heads/main", cwd=remote):
        git("pull", "--quiet", "--rebase", remote, "main", cwd=work)
    added = commit(work, files, message)
    git("push", "--quiet", remote, "HEAD:main", cwd=work)
    return added


def objects(cache: DatasetCache) -> Counter[str]:
    """How many objects of each type the cache holds."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", cwd=cache.path)
    return Counter(listed.split())


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A remote with 3,000 files in 60 folders and a little history."""
    directory = tmp_path_factory.mktemp("large")
    remote = bare(directory / "data.git")
    for part in (range(FOLDERS // 2), range(FOLDERS // 2, FOLDERS)):
        commit(directory / "work", {f"{n:02}/{m:02}.txt": f"{n} {m}" for n in part for m in range(FILES)})
    git("push", "--quiet", remote, "main", cwd=directory / "work")
    return remote


@pytest.fixture
def large_remote(tmp_path: Path, large: Path) -> Path:
    shutil.copytree(large, tmp_path / "large.git")
    return tmp_path / "large.git"


def test_an_empty_remote_gets_its_first_commit(cache: DatasetCache, remote: Path, write: Write) -> None:
    assert cache.tip() is None
    tip = cache.fill()
    assert tip == cache.tip() == Tip("main", None)
    first = add(cache, None, write({"a/b": "1"}))
    assert push(cache, first)
    assert published(remote) == {"a/b": "1"}
    assert cache.refresh("main") == Tip("main", first)


def test_an_empty_remote_gets_the_branch_that_its_head_names(cache: DatasetCache, remote: Path) -> None:
    git("symbolic-ref", "HEAD", "refs/heads/data/live", cwd=remote)
    assert cache.fill() == Tip("data/live", None)


@pytest.mark.parametrize("serves", ["filters", "no filters"])
def test_a_remote_with_files_is_added_to(tmp_path: Path, caller: Git, write: Write, serves: str) -> None:
    filters = serves == "filters"
    remote = bare(tmp_path / "remotes" / "other.git", filters=filters)
    elsewhere(tmp_path, remote, {"a/b": "1", "c": "2"})
    head = elsewhere(tmp_path, remote, {"c": "3"})
    cache = made(tmp_path, caller, remote)
    assert cache.fill() == cache.tip() == Tip("main", head)
    assert objects(cache)["commit"] == 1
    assert objects(cache)["blob"] == (0 if filters else 2)
    assert push(cache, add(cache, head, write({"a/d": "4", "c": "5"})))
    assert published(remote) == {"a/b": "1", "a/d": "4", "c": "5"}
    git("fsck", "--strict", "--full", cwd=remote)


def test_the_same_commit_has_the_same_id_in_every_cache(
    tmp_path: Path, caller: Git, remote: Path, write: Write
) -> None:
    head = elsewhere(tmp_path, remote, {"a/b": "1"})
    caches = [made(tmp_path, caller, remote, name) for name in ("one.git", "two.git")]
    files = write({"a/c": "2", "d": "3"})
    ids = []
    for cache in caches:
        cache.fill()
        ids += [add(cache, head, files), add(cache, head, files)]
    assert len(set(ids)) == 1
    assert add(caches[0], head, files, "another message") not in ids


def test_what_a_commit_needs_does_not_grow_with_the_dataset(
    tmp_path: Path, caller: Git, large_remote: Path, write: Write
) -> None:
    cache = made(tmp_path, caller, large_remote)
    tip = cache.fill()
    assert objects(cache) == {"commit": 1}
    before = git("rev-parse", "main^{tree}", cwd=large_remote)
    second = add(cache, tip.commit, write({"07/new.txt": "x", "new/a/b": "y", "08/00.txt": "changed"}))
    # The root and two folders that were there, the same and two more as they are now; three files.
    # The commit that fast-import is asked in what is there counts, too.
    assert objects(cache) == {"commit": 3, "tree": 3 + 5, "blob": 3}
    assert push(cache, second)
    assert objects(cache) == {"commit": 3, "tree": 3 + 5, "blob": 3}
    changed = git("diff-tree", "-r", "--name-status", before, "main", cwd=large_remote).splitlines()
    assert changed == ["A\t07/new.txt", "M\t08/00.txt", "A\tnew/a/b"]
    git("fsck", "--strict", "--full", cwd=large_remote)


def test_a_rejected_push_and_what_follows_bring_few_objects(
    tmp_path: Path, caller: Git, large_remote: Path, write: Write
) -> None:
    cache = made(tmp_path, caller, large_remote)
    tip = cache.fill()
    files = write({"07/new.txt": "x"})
    mine = add(cache, tip.commit, files)
    others = [elsewhere(tmp_path, large_remote, {f"{n:02}/other.txt": "y"}) for n in range(5)]
    known = objects(cache)
    assert not push(cache, mine)
    assert objects(cache) == known
    assert cache.refresh("main") == Tip("main", others[-1])
    assert objects(cache) - known == {"commit": 5}
    again = add(cache, others[-1], files)
    assert objects(cache) - known <= Counter(commit=7, tree=4)
    assert push(cache, again)
    assert git("diff-tree", "-r", "--name-only", "main^", "main", cwd=large_remote) == "07/new.txt"
    assert len(published_names(large_remote)) == FOLDERS * FILES + 6


def published_names(remote: Path) -> list[str]:
    return git("ls-tree", "-r", "--name-only", "main", cwd=remote).splitlines()


def test_what_a_commit_is_placed_by_is_what_its_base_holds(
    tmp_path: Path, cache: DatasetCache, remote: Path, write: Write
) -> None:
    head = elsewhere(tmp_path, remote, {"a/b": "theirs", "a/same": "same"})
    cache.fill()
    files = write({"a/b": "mine", "a/same": "same", "a/new": "new"})
    seen: list[Existing] = []

    def beside(existing: Existing) -> list[tuple[bytes, DataFile]]:
        seen.append(existing)
        new = [file for file in files if existing.get(file.path) != file.blob()]
        return [(file.path + b".conflict" if file.path in existing else file.path, file) for file in new]

    mine = build(cache, head, files, beside)
    assert seen[-1] == {
        b"a/b": git("rev-parse", f"{head}:a/b", cwd=remote),
        b"a/same": git("rev-parse", f"{head}:a/same", cwd=remote),
    }
    assert mine is not None
    assert push(cache, mine)
    assert published(remote) == {"a/b": "theirs", "a/b.conflict": "mine", "a/new": "new", "a/same": "same"}
    assert build(cache, mine, files, lambda _: []) is None
    assert list(cache.path.glob("objects/*/tmp_*")) == []
    assert cache.tip() == Tip("main", head)


@pytest.mark.parametrize(("there", "here"), [("a", "a/b"), ("a/b", "a")])
def test_a_clash_changes_nothing_and_the_cache_goes_on(
    tmp_path: Path, cache: DatasetCache, remote: Path, write: Write, there: str, here: str
) -> None:
    head = elsewhere(tmp_path, remote, {there: "1"})
    cache.fill()
    with pytest.raises(PathClash):
        add(cache, head, write({here: "2"}))
    assert cache.tip() == Tip("main", head)
    cache.prepare()
    assert push(cache, add(cache, head, write({"other": "3"})))
    assert published(remote) == {there: "1", "other": "3"}


def test_names_modes_and_links_arrive(tmp_path: Path, cache: DatasetCache, remote: Path, write: Write) -> None:
    head = elsewhere(tmp_path, remote, {"a/b": "1"})
    cache.fill()
    names = ["with space", "new\nline", "quote\"'\\", os.fsdecode(b"\xff\xfe"), "gr\u00fcn", "-n", "*"]
    files = write({f"a/{name}": name.encode("utf-8", "surrogateescape").hex() for name in names})
    root = files[0].source.parents[1]
    (root / "program").write_text("#!/bin/sh\n")
    (root / "program").chmod(0o755)
    (root / "link").symlink_to("a/b")
    assert push(cache, add(cache, head, publishable(root)[0]))
    listed = subprocess.run(["git", "ls-tree", "-r", "-z", "main"], cwd=remote, capture_output=True, check=True).stdout
    entries = [entry.partition(b"\t") for entry in listed.split(b"\0")[:-1]]
    found = {os.fsdecode(path): entry[:6] for entry, _, path in entries}
    assert found == {
        **dict.fromkeys(["a/b", *(f"a/{name}" for name in names)], b"100644"),
        "program": b"100755",
        "link": b"120000",
    }
    git("fsck", "--strict", "--full", cwd=remote)


def test_a_cache_knows_what_came_before_what(tmp_path: Path, cache: DatasetCache, remote: Path, write: Write) -> None:
    first = elsewhere(tmp_path, remote, {"a": "1"})
    tip = cache.fill()
    mine = add(cache, tip.commit, write({"b": "2"}))
    assert cache.contains(first, first)
    assert cache.contains(mine, first)
    assert not cache.contains(first, mine)
    assert push(cache, mine)
    later = elsewhere(tmp_path, remote, {"c": "3"})
    assert cache.refresh("main") == Tip("main", later)
    assert cache.contains(later, mine)
    with pytest.raises(GitFailed):
        cache.arrivals(later, "0" * 40)


def test_a_branch_that_was_rewritten_or_removed_is_noticed(tmp_path: Path, cache: DatasetCache, remote: Path) -> None:
    first = elsewhere(tmp_path, remote, {"a": "1"})
    cache.fill()
    work = tmp_path / "elsewhere"
    git("commit", "--quiet", "--amend", "-m", "rewritten", cwd=work)
    git("push", "--quiet", "--force", remote, "HEAD:main", cwd=work)
    tip = cache.refresh("main")
    assert tip.commit == git("rev-parse", "main", cwd=remote)
    assert not cache.contains(str(tip.commit), first)
    git("update-ref", "-d", "refs/heads/main", cwd=remote)
    assert cache.refresh("main") == Tip("main", None)


def test_a_branch_that_was_set_back_is_not_brought_forward(
    tmp_path: Path, cache: DatasetCache, remote: Path, write: Write
) -> None:
    first = elsewhere(tmp_path, remote, {"a": "1"})
    second = elsewhere(tmp_path, remote, {"a": "2"})
    cache.fill()
    mine = add(cache, second, write({"b": "3"}))
    git("update-ref", "refs/heads/main", first, cwd=remote)
    assert not push(cache, mine, onto=second)
    assert git("rev-parse", "main", cwd=remote) == first
    git("update-ref", "refs/heads/main", second, cwd=remote)
    assert push(cache, mine, onto=second)
    assert git("rev-parse", "main", cwd=remote) == mine


def test_what_cannot_be_remembered_is_asked_again(cache: DatasetCache) -> None:
    tip = cache.fill()
    (cache.path / "tip.json.part").mkdir()
    cache.remember(Tip("other", None))
    assert cache.tip() == tip
    remove_tree(cache.path)
    cache.remember(tip)
    assert cache.tip() is None


def test_if_head_names_no_branch_the_likely_one_is_taken(tmp_path: Path, cache: DatasetCache, remote: Path) -> None:
    head = elsewhere(tmp_path, remote, {"a": "1"})
    git("symbolic-ref", "HEAD", "refs/heads/gone", cwd=remote)
    assert cache.fill() == Tip("main", head)
    git("branch", "-m", "main", "data/live", cwd=tmp_path / "elsewhere")
    git("push", "--quiet", remote, "data/live", ":main", cwd=tmp_path / "elsewhere")
    assert cache.fill() == Tip("data/live", head)
    git("push", "--quiet", remote, "data/live:other", cwd=tmp_path / "elsewhere")
    with pytest.raises(RemoteRefused, match="there are several: data/live, other") as unclear:
        cache.fill()
    assert unclear.value.cause == "no-branch"
    assert cache.tip() == Tip("data/live", head)
    git("push", "--quiet", remote, "data/live:master", cwd=tmp_path / "elsewhere")
    assert cache.fill() == Tip("master", head)
    git("update-ref", "--no-deref", "HEAD", head, cwd=remote)
    assert git("rev-parse", "--abbrev-ref", "HEAD", cwd=remote) == "HEAD"
    assert cache.fill() == Tip("master", head)


def test_a_repository_of_sha256_is_refused_clearly(tmp_path: Path, caller: Git, write: Write) -> None:
    remote = tmp_path / "sha256.git"
    git("init", "--quiet", "--bare", "--object-format=sha256", "--initial-branch=main", remote, cwd=tmp_path)
    cache = made(tmp_path, caller, remote)

    def publish() -> None:
        assert push(cache, add(cache, cache.fill().commit, write({"a": "1"})))

    with pytest.raises(RemoteRefused) as refused:  # git before 2.41 does not tell while it is empty
        publish()
    assert refused.value.cause == "object-format"
    git("init", "--quiet", "--object-format=sha256", "--initial-branch=main", "work", cwd=tmp_path)
    commit(tmp_path / "work", {"a": "1"})
    git("push", "--quiet", remote, "main", cwd=tmp_path / "work")
    with pytest.raises(RemoteRefused, match="SHA-256") as refused:
        publish()
    assert refused.value.cause == "object-format"


def test_a_remote_that_cannot_be_read_leaves_the_cache_as_it_is(
    tmp_path: Path, cache: DatasetCache, remote: Path, write: Write
) -> None:
    head = elsewhere(tmp_path, remote, {"a": "1"})
    tip = cache.fill()
    remote.rename(tmp_path / "away")
    with pytest.raises(RemoteRefused):
        cache.fill()
    assert cache.tip() == tip
    mine = add(cache, None, write({"b": "2"}))
    with pytest.raises(RemoteRefused) as refused:
        assert push(cache, mine)
    assert refused.value.cause == "no-such-repository"
    assert cache.tip() == tip == Tip("main", head)


def test_a_cache_of_another_address_is_none(tmp_path: Path, caller: Git, cache: DatasetCache) -> None:
    tip = cache.fill()
    assert made(tmp_path, caller, bare(tmp_path / "other.git")).tip() is None
    assert cache.tip() == tip
    (cache.path / "tip.json").write_text("{")
    assert cache.tip() is None


def test_an_address_that_looks_like_an_option_runs_nothing(
    tmp_path: Path, caller: Git, cache: DatasetCache, write: Write
) -> None:
    trap = tmp_path / "sprung"
    cache.fill()
    mine = add(cache, None, write({"a": "1"}))
    hostile = made(tmp_path, caller, f"--upload-pack=touch {trap};")
    with pytest.raises(OutsideFailed):
        push(hostile, mine)
    with pytest.raises(OutsideFailed):
        hostile.refresh("main")
    with pytest.raises(OutsideFailed):
        hostile.fill()
    assert not trap.exists()


def test_many_commits_leave_few_packs_and_all_of_the_data(
    tmp_path: Path, cache: DatasetCache, remote: Path, write: Write
) -> None:
    base = elsewhere(tmp_path, remote, {"seed": "0"})
    cache.fill()
    for number in range(100):
        assert len(list(cache.path.glob("objects/pack/*.pack"))) <= 31
        base = add(cache, base, write({f"{number % 10}/{number}": str(number)}))
    assert push(cache, base)
    expected = {f"{number % 10}/{number}": str(number) for number in range(100)}
    assert published(remote) == expected | {"seed": "0"}
    git("fsck", "--strict", "--full", cwd=remote)


def test_git_that_dies_while_it_writes_leaves_a_cache_that_goes_on(
    tmp_path: Path, caller: Git, cache: DatasetCache, remote: Path, write: Write
) -> None:
    head = elsewhere(tmp_path, remote, {"a/b": "1"})
    cache.fill()
    files = write({"a/c": "2", "d": "x" * 1_000_000})

    def deadly(_: Existing) -> list[tuple[bytes, DataFile]]:
        (process,) = caller._live
        process.kill()
        return [(file.path, file) for file in files]

    with pytest.raises(GitFailed):
        build(cache, head, files, deadly)
    tip = cache.tip() or cache.fill()
    cache.prepare()
    assert push(cache, add(cache, tip.commit, files))
    assert published(remote) == {"a/b": "1", "a/c": "2", "d": "x" * 1_000_000}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_dataset_cache import build, made, push
from mao.data_directory import publishable
from mao.git import Git
tmp_path, step = Path(sys.argv[2]), sys.argv[3]
caller = Git(tmp_path / "home", 60)
cache = made(tmp_path, caller, sys.argv[4])

def die():
    for process in caller._live:
        process.kill()
    os.kill(os.getpid(), signal.SIGKILL)

class Deadly:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def chunks(self):
        yield b"x" * 1000
        for process in caller._live:
            process.stdin.flush()
        die()

if step == "filled":
    cache.remember = lambda tip, **more: die()
tip = cache.tip() or cache.fill()
files = publishable(tmp_path / "runs" / "1")[0]
place = lambda existing: [(f.path, Deadly(f) if step == "writing" else f) for f in files]
made = build(cache, tip.commit, files, place)
if step == "committed":
    die()
assert push(cache, made)
die()
"""


@pytest.mark.parametrize("step", ["filled", "writing", "committed", "pushed"])
def test_a_cache_goes_on_wherever_its_node_is_killed(
    tmp_path: Path, caller: Git, remote: Path, write: Write, request: pytest.FixtureRequest, step: str
) -> None:
    elsewhere(tmp_path, remote, {"a/b": "1"})
    files = write({"a/c": "2", "d": "x" * 100_000})
    arguments = [str(request.path.parent), str(tmp_path), step, str(remote)]
    for _ in range(2):
        if step == "filled":
            remove_tree(tmp_path / "caches" / "data.git")
        killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        kill_marked(MARKER, str(caller.home))
        cache = made(tmp_path, caller, remote)
        assert (cache.tip() is None) == (step == "filled")
        tip = cache.tip() or cache.fill()
        cache.prepare()
        assert [path.name for path in cache.path.rglob("*") if "tmp_" in path.name or path.suffix == ".lock"] == []
        mine = add(cache, tip.commit, files)
    if step != "pushed":
        assert push(cache, mine)
    assert published(remote) == {"a/b": "1", "a/c": "2", "d": "x" * 100_000}
    assert git("rev-parse", "main", cwd=remote) == mine
    assert git("rev-list", "--count", "main", cwd=remote) == "2"


def test_what_killed_processes_left_is_taken_away(cache: DatasetCache, write: Write) -> None:
    cache.fill()
    mine = add(cache, None, write({"a": "1"}))
    (pack,) = cache.path.glob("objects/pack/*.pack")
    left = [
        *("refs/mao/remote.lock", "refs/mao/publication.lock", "shallow.lock", "packed-refs.lock", "config.lock"),
        *("fast_import_crash_1", "objects/pack/tmp_pack_x", "objects/pack/tmp_idx_x", "objects/pack/.tmp-1-pack-x"),
        *("objects/aa/tmp_obj_x", f"objects/pack/{pack.stem}.keep"),
    ]
    for name in left:
        (cache.path / name).parent.mkdir(exist_ok=True)
        (cache.path / name).touch()
    cache.refresh("main")
    assert [name for name in left if (cache.path / name).exists()] == []
    assert push(cache, mine)
    cache.refresh("main")


def test_throwing_the_cache_away_at_any_moment_is_harmless(
    tmp_path: Path, cache: DatasetCache, remote: Path, write: Write
) -> None:
    head = elsewhere(tmp_path, remote, {"a": "1"})
    files = write({"b": "2"})
    tip = cache.fill()
    steps: list[Callable[[], object]] = [
        lambda: add(cache, head, files),
        lambda: push(cache, head),
        lambda: cache.refresh("main"),
        lambda: cache.contains(head, head),
    ]
    for step in steps:
        remove_tree(cache.path)
        with pytest.raises(GitFailed, match="made anew"):
            step()
        assert cache.tip() is None
        assert cache.fill() == tip
    mine = add(cache, head, files, "m\n\nMAO-Run: 1\n")
    assert push(cache, mine)
    for number in range(3):
        last = elsewhere(tmp_path, remote, {"c": str(number)})
    remove_tree(cache.path)
    assert cache.fill() == Tip("main", last)
    there = cache.arrivals(last, None)
    assert {run: arrival.commit for run, arrival in there.items()} == {"1": mine}, "it is found below what came since"
    assert objects(cache)["blob"] == 0


@pytest.mark.parametrize("damage", ["pack", "head", "objects"])
def test_a_cache_that_is_damaged_is_made_anew(
    tmp_path: Path, cache: DatasetCache, remote: Path, write: Write, damage: str
) -> None:
    head = elsewhere(tmp_path, remote, {"a/b": "1"})
    cache.fill()
    match damage:
        case "pack":
            (pack,) = cache.path.glob("objects/pack/*.pack")
            pack.chmod(0o600)
            pack.write_bytes(b"")
        case "head":
            (cache.path / "HEAD").write_text("")
        case _:
            shutil.rmtree(cache.path / "objects" / "pack")
    files = write({"a/c": "2"})
    with pytest.raises(GitFailed):
        add(cache, head, files)
    assert cache.tip() is None
    tip = cache.fill()
    assert push(cache, add(cache, tip.commit, files))
    assert published(remote) == {"a/b": "1", "a/c": "2"}


def test_a_file_that_changes_while_it_is_committed_stops_the_commit(
    cache: DatasetCache, remote: Path, write: Write
) -> None:
    tip = cache.fill()
    files = write({"a": "12345", "b": "12345"})
    files[1].source.write_text("commit refs/heads/evil\n")
    with pytest.raises(OutsideFailed, match="'b' changed while it was read"):
        add(cache, None, files)
    assert git("for-each-ref", cwd=cache.path) == ""
    assert cache.tip() == tip
    assert push(cache, add(cache, None, files[:1]))
    assert published(remote) == {"a": "12345"}


def test_a_cache_never_fetches_by_itself(tmp_path: Path, caller: Git, large_remote: Path) -> None:
    cache = made(tmp_path, caller, large_remote)
    tip = cache.fill()
    for command in (("log", "-p"), ("ls-tree", "-r", str(tip.commit)), ("cat-file", "-p", f"{tip.commit}^{{tree}}")):
        assert caller.attempt(*command, cwd=cache.path).status != 0
    assert objects(cache) == {"commit": 1}
    assert "remote" not in (cache.path / "config").read_text()


def test_the_whole_history_is_told_without_its_files(tmp_path: Path, cache: DatasetCache, remote: Path) -> None:
    first = elsewhere(tmp_path, remote, {"a": "1"}, "one\n\nMAO-Run: 1\nMAO-Node: alpha\n  and more\nOther: x")
    elsewhere(tmp_path, remote, {"b": "2"}, "by hand")
    third = elsewhere(tmp_path, remote, {"c": "3"}, "three\n\nnone here: x\n\nMAO-Run: 3\nMAO-Beside: gr\u00fcn\u2028x")
    tip = cache.fill().commit
    assert tip == third

    found = cache.history(tip, "MAO-Run", "MAO-Node", "MAO-Beside")

    assert [(one.commit, one.trailers) for one in found] == [
        (third, {"MAO-Run": "3", "MAO-Beside": "gr\u00fcn\u2028x"}),
        (first, {"MAO-Run": "1", "MAO-Node": "alpha and more"}),
    ]
    assert [one.commit for one in cache.history(tip, "MAO-Run", since=first)] == [third]
    assert cache.history(tip, "Nothing") == []
    assert int(found[0].moment.timestamp()) == int(git("log", "-1", "--format=%at", third, cwd=remote))
    assert set(objects(cache)) == {"commit"}


def test_the_branch_that_the_remotes_head_names_is_told(tmp_path: Path, cache: DatasetCache, remote: Path) -> None:
    elsewhere(tmp_path, remote, {"a": "1"})
    cache.fill()
    assert cache.head() == "main"
    git("branch", "-m", "main", "trunk", cwd=remote)
    git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=remote)
    assert cache.head() == "trunk"
    git("symbolic-ref", "HEAD", "refs/heads/gone", cwd=remote)
    assert cache.head() is None
