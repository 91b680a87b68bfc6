"""What there is to be said of a failed exchange with a remote, and the rules for trying again."""

from __future__ import annotations

from dataclasses import dataclass

from mao.errors import MaoError, RemoteRefused


@dataclass(frozen=True, slots=True)
class Retry:
    """How the pauses between attempts grow: from the first, doubled each time, to the longest.

    Args:
        first: pause, as a multiple of the setting `publishing.first_pause`.
        longest: pause, likewise; `publishing.longest_pause` in any case, and alone where this is None.
        chance: the share of a pause that is left to chance, so that nodes do not all come back in the same moment.
        least: seconds that neither a setting nor chance makes shorter.
    """

    first: float
    longest: float | None = None
    chance: float = 0.25
    least: float = 0

    def pause(self, attempts: int, first: float, longest: float) -> float:
        """Seconds until an exchange is tried again.

        Args:
            attempts: that have failed, from 1.
            first: the setting `publishing.first_pause`, in seconds.
            longest: the setting `publishing.longest_pause`, in seconds.
        """
        most = longest if self.longest is None else min(longest, self.longest * first)
        doubled = self.first * first * 2.0 ** min(attempts - 1, 60)
        return max(self.least, min(most, doubled))


RACING = Retry(0.2, longest=12, chance=1)  # full jitter: fixed pauses let the same ones meet again
AWAY = Retry(1)
MENDED_BY_SOMEBODY = Retry(12)
RATE_LIMITED = Retry(16, longest=180, least=60)  # the usual limits are so many a minute
ONLY_WHEN_ASKED = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A cause for which an exchange with a remote fails.

    Args:
        cause: its code.
        means: a sentence for people.
        remedy: what people do about it, likewise.
        pattern: of git's words; None where this program finds it out itself.
        error: the class of error that it is.
        retry: its rule for trying again; None: only when somebody asks for it, as it needs a decision.
    """

    cause: str
    means: str
    remedy: str
    pattern: str | None = None
    error: type[MaoError] = RemoteRefused
    retry: Retry | None = MENDED_BY_SOMEBODY
