"""A training run on stderr: a bar where a person watches, a line per log where not."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta

from tqdm import tqdm

from gato_gym.training.progress import StepLog, ValidationLog

# The bar's own guess of the time left knows nothing of saves and validation.
_FORMAT = "{percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt} {elapsed}{postfix}"


class Console:
    """Shows a run; inside of it as a context manager with a bar, if a person watches.

    Args:
        step, steps: where it begins and how long it is.
    """

    def __init__(self, step: int, steps: int) -> None:
        self.steps, self._first = steps, step
        self._bar = tqdm(disable=True)

    def log(self, log: StepLog | ValidationLog) -> None:
        """Show a log."""
        if isinstance(log, ValidationLog):
            self.tell(validation_line(log, self.steps))
        elif self._bar.disable:
            self.tell(log_line(log, self.steps))
        else:
            self._bar.set_postfix_str(f"{_measures(log)}  {_by_domain(log.domain_losses)}", False)
            self._bar.update(log.step - self._bar.n)
            self._bar.refresh()

    def tell(self, text: str) -> None:
        """Write a line, above the bar if there is one."""
        if self._bar.disable:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.write(text, file=sys.stderr)

    def __enter__(self) -> Console:
        # "disable=None" means: silent unless stderr is a terminal.
        self._bar = tqdm(
            total=self.steps,
            initial=self._first,
            disable=None,
            dynamic_ncols=True,
            bar_format=_FORMAT,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        self._bar = tqdm(disable=True)


def log_line(log: StepLog, steps: int) -> str:
    """One line for people: losses by domain, as tasks may be hundreds."""
    return f"step {log.step}/{steps}  {_measures(log)}  {_by_domain(log.domain_losses)}".rstrip()


def validation_line(log: ValidationLog, steps: int) -> str:
    """The same of held-out episodes."""
    return (
        f"step {log.step}/{steps}  validation loss {log.loss:.3f}  {_by_domain(log.domain_losses)}"
    ).rstrip()


def _measures(log: StepLog) -> str:
    used = "" if log.utilisation is None else f"MFU {log.utilisation:.1%}  "
    left = timedelta(seconds=round(log.seconds_left))
    return (
        f"loss {log.loss:.3f}  {log.tokens_per_second:,.0f} tok/s  {used}"
        f"waiting {log.loader_wait:.1%}  left {left}"
    )


def _by_domain(losses: Mapping[str, float]) -> str:
    return "  ".join(f"{domain} {loss:.3f}" for domain, loss in losses.items())
