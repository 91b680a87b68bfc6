"""Why an exchange with a git remote failed: how the cause is known, what it means, and when it is tried again."""

from __future__ import annotations

import re

from mao.errors import (
    DiskFull,
    GitFailed,
    OutsideFailed,
    PathClash,
    RegistryUnavailable,
    RemoteRewritten,
    RemoteUnreachable,
    RepositoryRefused,
    RepositoryTooLarge,
    SecretInData,
    SlotTaken,
)
from mao.retry import AWAY, ONLY_WHEN_ASKED, RACING, RATE_LIMITED, Failure

# git has no exit codes for these. The order matters, as several texts accompany many causes, and a hook says anything.
# The words are those of git 2.39 to 2.52 with LC_ALL=C, and of the usual hosts.
FAILURES = (
    Failure(
        "repository-refused",
        "The repository holds what no honest git makes, such as a file called `.git`. Nothing of it was kept.",
        "Find out who made it. Whoever it belongs to has to take it out of the history.",
        r"(?m)^(fatal|error): (fsck error in pack|invalid path|object of unexpected type)",
        error=RepositoryRefused,
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "repository-too-large",
        "The repository is larger than `install.size_limit`, or git needed more memory than `git.memory_limit` for it.",
        "Find out why. If it is right, raise the limit.",
        r"(?m)^error: .* died of signal 25|^fatal:.*File too large|exit status -25$|^fatal: Out of memory"
        r"|^fatal: mmap failed: Cannot allocate memory",
        error=RepositoryTooLarge,
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "lost-race",
        "Others published in the same moment, each time that it was tried.",
        "Nothing; if it happens often, give busy tools datasets of their own.",
        r"\[rejected\] \((fetch first|non-fast-forward|stale info|already exists|remote ref updated since checkout)"
        r"|cannot lock ref .* (is at [0-9a-f]+ but expected|reference already exists|reference is missing but expected)"
        r"|cannot lock ref .*: unable to resolve reference '[^']*' *(\n|$)"
        r"|\((incorrect old value provided|reference already exists|reference does not exist)\)",
        retry=RACING,
    ),
    Failure(
        "remote-locked",
        "Another push holds a lock in the remote's repository, or one that was killed left it there.",
        "If it lasts: on the host, remove the `.lock` file that git names.",
        r"\.lock': File exists",
    ),
    Failure(
        "file-too-large",
        "A file is larger than the host takes (100 MB at most of them).",
        "Raise the host's limit, if it is yours, and ask for the run to be published again; or write smaller files.",
        r"exceeds GitHub's file size limit|remote: error: GH001|Cannot commit files larger than"
        r"|blobs? which exceed the|is larger than the allowed size of|files larger than \d|Object too large \("
        r"|files exceeding the (file )?size limit|exceeds? .{0,30}file size limit",
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "large-file",
        "A file is as large as `publishing.large_file` or larger, and there is no git-lfs here, or no LFS at the host.",
        "Install git-lfs on the node or have the host turn LFS on; or raise `publishing.large_file`, if the host takes"
        " such files; then ask for the run to be published again. Or let the tool write smaller files.",
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "lfs-refused",
        "The LFS of the host does not take a large file: it has no room left, or the node no right, or for another"
        " reason that git-lfs's words have.",
        "Get more room for LFS from the host, or the right; as the node's user, try `git lfs push`.",
    ),
    Failure(
        "lfs-unreachable",
        "The LFS of the host did not answer, had a fault of its own, or took longer than `git.time_limit`.",
        "Nothing; if it lasts, look at the network and the host. For very large files, raise the limit.",
        error=RemoteUnreachable,
        retry=AWAY,
    ),
    Failure(
        "quota",
        "The repository, or whom it belongs to, has used up the room that the host gives.",
        "Get more room from the host, or begin a new dataset.",
        r"(?i:over (its|the|your) .{0,20}quota|(?<!disk )quota (was |is |has been )?exceeded"
        r"|exceed(s|ed) .{0,30}\bquota|repository has exceeded its size limit|repository.{0,40} size .{0,20}exceeds"
        r"|repo(sitory)? size is over|exceed the allocated storage|above the storage limit)",
    ),
    Failure(
        "push-too-large",
        "The run has more data than the host takes in one push (2 GB at most of them; a proxy often less).",
        "Raise the host's limit, if it is yours (`receive.maxInputSize`, the proxy's size of a request), and ask for"
        " the run to be published again; let the tool write less in one run.",
        r"pack exceeds maximum allowed size|(error:|HTTP|HTTP code =) 413\b|Request Entity Too Large"
        r"|its size is greater than the maximum allowed|(?i:push (size )?exceeds|push is too large)",
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "rate-limited",
        "The host allows only so many exchanges a minute, and there were more.",
        "Nothing; if it lasts, let the node's tools run less often, or ask the host for more.",
        r"(error:|HTTP|HTTP code =) 429\b"
        r"|(?i:(secondary|request|api) rate limit|rate limit (\w+ )*(exceeded|reached)|exceeded .{0,20}rate limit"
        r"|being rate.?limited|too many requests|requested too many times)",
        retry=RATE_LIMITED,
    ),
    Failure(
        "protected-branch",
        "The host protects the branch: this node may not put commits on it directly.",
        "On the host, allow the node's user to push to that branch.",
        r"protected branch|GH006|TF402455|:refs/heads/[^\t]*\t\[remote rejected\] \(prohibited by",
    ),
    Failure(
        "hook-declined",
        "A hook or a rule of the host refuses the commit; git's words have its reason.",
        "Change the rule for the node's user, or commit the files of the run by hand.",
        r"hook declined|push declined due to",
    ),
    Failure(
        "remote-disk-full",
        "The remote's disk is full.",
        "Make room there.",
        r"unpacker error[\s\S]*(No space left|Disk quota exceeded)"
        r"|(No space left|Disk quota exceeded)[\s\S]*unpacker error"
        r"|remote: [^\n]*(No space left on device|Disk quota exceeded)",
    ),
    Failure(
        "remote-not-writable",
        "The host cannot store what it is sent.",
        "Look at the rights in the remote's repository, and whether its disk is writable.",
        r"unpacker error|remote: [^\n]*(Read-only file system|insufficient permission for adding an object)",
    ),
    Failure(
        "disk-full",
        "There is no room on this node's disk; the run's files may still have to be set aside.",
        "Make room. Until then, the tool's next run waits if it shares a data directory.",
        r"No space left on device|Disk quota exceeded",
        error=DiskFull,
        retry=AWAY,
    ),
    Failure(
        "not-allowed",
        "The node has no credentials, wrong ones, or no right to push.",
        "As the node's user, try `git ls-remote URL` and `git push`; mend the key or token.",
        r"Authentication failed|could not read Username|could not read Password|(error:|HTTP|HTTP code =) 40[13]\b"
        r"|Permission denied|Permission to \S+ denied|[Aa]ccess denied|not exported|dubious ownership"
        r"|not allowed to (push|upload|access)|marked as read.only|does not have write access|Too many authentication",
    ),
    Failure(
        "host-key",
        "The SSH host or its certificate is not known to this node, or its key has changed.",
        "Find out whether the change is right; then put the key into `known_hosts` of the node's user, or the"
        " certificate among those that the machine trusts.",
        r"Host key verification failed|IDENTIFICATION HAS CHANGED|server certificate verification failed"
        r"|SSL certificate problem|certificate subject name|no alternative certificate subject name",
    ),
    Failure(
        "no-such-repository",
        "There is no repository at that address, or it is hidden from this node.",
        "Make it, bring it back, or get the right to see it.",
        r"does not appear to be a git repository|[Rr]epository ('[^']*' )?(not found|does not exist)"
        r"|could not be found or you don't have permission|(error:|HTTP|HTTP code =) 4(04|10)\b|[Nn]o such repository",
    ),
    Failure(
        "object-format",
        "The repository names its objects by SHA-256, which this version does not.",
        "Make it anew without `--object-format=sha256`.",
        r"does not support this repository's hash algorithm|mismatched algorithms",
    ),
    Failure(
        "no-branch",
        "The remote's HEAD names no branch that is there, and there are several.",
        "Set it on the host: `git symbolic-ref HEAD refs/heads/main`.",
    ),
    Failure(
        "atomic-unsupported",
        "The host cannot change several refs in one step.",
        "On the host, set `receive.advertiseAtomic` to true, or update its git.",
        r"does not support --atomic push",
    ),
    Failure(
        "refs-refused",
        "The host takes branches only, and no other refs.",
        "On the host, allow the node's user to write below `refs/mao/`.",
        r"deny (updating|deleting) a hidden ref|funny refname|refusing to (create|update) ref|prohibited by"
        r"|\t[^\t]*:refs/(?!heads/)[^\t]*\t\[remote rejected\]",
    ),
    Failure(
        "refused-by-remote",
        "The host refuses, for a reason of its own.",
        "Read git's words.",
        r"\[remote rejected\]|(error:|HTTP|HTTP code =) 4(?!08)\d\d\b",
    ),
    Failure(
        "unreachable",
        "There was no connection or no answer, or the host had a fault of its own (HTTP 5xx).",
        "Nothing; if it lasts, look at the network and the host.",
        r"Connection refused|Couldn't connect|Could not resolve host|unable to look up|Temporary failure in name"
        r"|timed out|(error:|HTTP|HTTP code =) 5\d\d\b|curl \d+|unexpected disconnect|Connection (reset|closed)"
        r"|No route to host|Network is unreachable|Name or service not known|Failed to connect|unable to access"
        r"|hung up unexpectedly|Could not read from remote|[Bb]roken pipe|early EOF|Operation too slow",
        error=RemoteUnreachable,
        retry=AWAY,
    ),
    Failure(
        "timed-out",
        "git took longer than `git.time_limit` (10 minutes, if not set) and was ended.",
        "Look at the connection; for very large files, raise the limit.",
        error=RemoteUnreachable,
        retry=AWAY,
    ),
    Failure(
        "file-changed",
        "A file of the run changed, or went away, while it was read.",
        "Find out who writes into `runs/<id>/data`; nobody should.",
        error=OutsideFailed,
        retry=AWAY,
    ),
    Failure(
        "git-failed",
        "git failed in a way that is none of these; the node makes its cache of the dataset anew.",
        "Read git's words; if it lasts, report it.",
        error=GitFailed,
        retry=AWAY,
    ),
    Failure(
        "remote-rewritten",
        "The branch no longer holds what this node saw there.",
        "Find out what happened, and decide whether it shall stay so.",
        error=RemoteRewritten,
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "path-clash",
        "The run wrote a file where the dataset has a folder, or the reverse.",
        "Rename the one in the dataset, and change the tool.",
        error=PathClash,
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "registry-unavailable",
        "The run is of a schedule of the cluster, and the registry, which says whose its slot is, is away.",
        "Nothing; if it lasts, see what `mao cluster status` says.",
        error=RegistryUnavailable,
        retry=AWAY,
    ),
    Failure(
        "slot-taken",
        "The run is of a schedule of the cluster, and the registry, set back perhaps, gives its slot to another run.",
        "Look at both runs. Ask for this one to be published, if its data is to be there, too.",
        error=SlotTaken,
        retry=ONLY_WHEN_ASKED,
    ),
    Failure(
        "secret-in-data",
        "A file of the run holds a secret that the run was given: itself, or encoded. Nothing of the run was pushed.",
        "Change that secret. Then see to the file, and ask with `mao run publish RUN --despite-secret`, which publishes"
        " the files as they are then; or leave the run as it is.",
        error=SecretInData,
        retry=ONLY_WHEN_ASKED,
    ),
)

_BY_CAUSE = {failure.cause: failure for failure in FAILURES}


def classify(text: str) -> Failure | None:
    """Which of `FAILURES` git's words tell of."""
    return next((failure for failure in FAILURES if failure.pattern and re.search(failure.pattern, text)), None)


def known(cause: str) -> Failure:
    """What is known of the cause of an error; one that is not in the table is a failure of git."""
    return _BY_CAUSE.get(cause, _BY_CAUSE["git-failed"])


def pause(cause: str, attempts: int, first: float, longest: float) -> float | None:
    """`Retry.pause` after a failure for `cause`; None if it is not tried again before somebody asks for it."""
    retry = known(cause).retry
    return None if retry is None else retry.pause(attempts, first, longest)


def spread(cause: str, seconds: float, chance: float) -> float:
    """A `pause` with the part of it that is left to chance; `chance` is a random number from 0 to 1."""
    retry = known(cause).retry
    return seconds if retry is None else max(retry.least, seconds * (1 - retry.chance * chance))
