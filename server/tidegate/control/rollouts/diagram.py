"""The page of the state machine, made of its table: diagrams for Mermaid, and each row. Texts, not writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tidegate.control.rollouts.event import BY_HAND
from tidegate.control.rollouts.machine import TABLE, Effect, Row
from tidegate.control.rollouts.state import ACTIVE, State
from tidegate.resources.pages import MADE_BY

PAGE = "docs/rollouts_machine.md"
AWAY = (State.PAUSED, State.ABORTING, State.ROLLED_BACK, State.FAILED, State.SUPERSEDED)
"""Where a rollout does not go on."""


def _goes_on(row: Row) -> bool:
    return row.target not in AWAY and row.event not in BY_HAND


def _goes_away(row: Row) -> bool:
    return row.target in AWAY


def _by_hand(row: Row) -> bool:
    return row.target not in AWAY and row.event in BY_HAND


DIAGRAMS: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("The way forward, which it goes by itself", _goes_on),
    ("The ways aside and back", _goes_away),
    ("What somebody asks for, beside pause and abort", _by_hand),
)
"""Each row is in one of them."""

_HEAD = f"""\
# The rollout's state machine

Every state of a rollout, and what leads from one to another. <!-- {MADE_BY} -->

## Try it

```console
$ tidegate explain msvc.spec.rollout.onFailure
KIND     ModelService
VERSION  tidegate.dev/v1
FIELD    spec.rollout.onFailure <string>
EXPECTED one of rollback, pause
DEFAULT  rollback

What happens when the analysis speaks against it.
```

## Reference

The server goes through this table at each look at a service, once a second while requests are counted for a rollout. Of
rows that fit the first counts. A row looks at what there is, not at what happened: so a restart in between changes
nothing, and a lost notice costs a look.

| state | what it means |
|---|---|
| `Pending` | It is about to begin. |
| `Warming` | Replicas of the new revision are started and warmed up. It answers nobody. |
| `Golden` | It is sent requests whose answers are known. It answers nobody. |
| `Shadow` | It gets copies of requests. It answers nobody. |
| `Step` | It has the share of a step. |
| `Promoting` | It is to have all of the traffic, and gets it once all its replicas are ready. |
| `Paused` | It stays as it is until somebody says more; harm still leads back. |
| `Aborting` | The stable revision gets its traffic back. |
| `Succeeded` | The new revision is the stable one. |
| `RolledBack` | The new revision was rejected, and the stable one is what it was. |
| `Failed` | The new revision could not be started, and never answered anybody. |
| `Superseded` | The spec means another revision by now. |
"""

_TAIL = """\
**Passed** means: the new revision is ready, its hold's `min` is over, it had `minSamples` requests in this phase, each
of your own checks has answered, and every verdict is a pass. Once the hold's `max` is over it is enough that no verdict
speaks against it and none lacks data. Without an analysis there is no verdict, and the hold alone decides. Golden
requests are passed by their verdict.

**No verdict in time** is counted from the beginning of the phase: `analysis.timeout`, or the step's hold where that is
longer. While the service is stopped no time passes.

A wish is carried out once, whatever is restarted in between. One that means nothing in the state that it meets is
passed over; `promote` waits while the new revision cannot answer, and everything waits while the service is stopped
and the rollout is `Pending`.

## Limits

A rollout remembers its last 64 transitions. A change of a step's weight begins its evidence anew; a change of what is
compared does not. Resumed, a phase has its whole error probability once more.
"""


def generated() -> dict[str, str]:
    """Every file, by its path in the project."""
    return {PAGE: page()}


def page() -> str:
    """The page, as text."""
    parts = [_HEAD]
    for title, belongs in DIAGRAMS:
        parts += [f"**{title}**\n", f"```mermaid\n{mermaid(row for row in TABLE if belongs(row))}```\n"]
    return "\n".join([*parts, "**Every row**\n", table(TABLE), _TAIL])


def mermaid(rows: Iterable[Row]) -> str:
    """A ``stateDiagram-v2`` with one arrow for each pair of a source and a target.

    States that have a row in common are one node in it: of arrows from each of them nobody could see anything.
    """
    nodes: dict[str, str] = {}
    arrows: dict[tuple[str, State], list[str]] = {}
    for row in rows:
        for node, name in _nodes(row):
            if name:
                nodes[node] = name
            arrows.setdefault((node, row.target), []).append(_label(row))
    told = [f'    state "{name}" as {node}' for node, name in nodes.items()]
    told += [f"    {node} --> {target} : {', or '.join(labels)}" for (node, target), labels in arrows.items()]
    return "\n".join(["stateDiagram-v2", *told, ""])


def table(rows: Iterable[Row]) -> str:
    """Markdown: a line for each row."""
    head = "| in | if | and | to | effect |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| {', '.join(_name(source) for source in row.sources)} | {row.event} | {row.guard.name or '–'} "
        f"| {_name(row.target)} | {row.effect if row.effect is not Effect.NOTHING else '–'} |\n"
        for row in rows
    )


def _name(state: State | None) -> str:
    return f"`{state}`" if state is not None else "no rollout yet"


def _nodes(row: Row) -> Iterator[tuple[str, str]]:
    """The nodes that a row begins in, with the text of one that stands for several states."""
    if None in row.sources:
        yield "[*]", ""
    states = [str(state) for state in row.sources if state is not None]
    if len(states) == 1:
        yield states[0], ""
    elif states:
        yield "_".join(states), _together(row, states)


def _together(row: Row, states: list[str]) -> str:
    others = [str(state) for state in ACTIVE if state not in row.sources]
    if len(states) <= len(others) or not set(row.sources) <= set(ACTIVE):
        return ", ".join(states)
    return "any that is not over" + (f", but {' and '.join(others)}" if others else "")


def _label(row: Row) -> str:
    """Without colons and semicolons, which end a label."""
    guard = f" [{row.guard.name.replace(': ', ' ')}]" if row.guard.name else ""
    return f"{row.event}{guard}"
