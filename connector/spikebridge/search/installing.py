"""The requests of `setup`, sent one after the other; what a server can't do is said, and what an operator made is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from spikebridge.errors import SinkDenied, SinkUnavailable
from spikebridge.search import answers
from spikebridge.search.answers import Outcome
from spikebridge.search.templates import Body, Step, policies, template_name, templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.search.server import Answer, Server
    from spikebridge.search.templates import Flavour, Mode

_OK = frozenset({200, 201})
_NO_SUCH_REQUEST = frozenset({400, 404, 405})


class Done(NamedTuple):
    """A step and what came of it."""

    step: Step
    result: Literal["installed", "left as it is", "not available"]


class _Template(msgspec.Struct):
    lifecycle: Body | None = None


class _Inner(msgspec.Struct):
    template: _Template | None = None


class _Named(msgspec.Struct):
    index_template: _Inner


class _Templates(msgspec.Struct):
    index_templates: list[_Named] = []


_read = msgspec.json.Decoder(_Templates).decode


def set_up(server: Server, flavour: Flavour, mode: Mode, keep_days: int | None) -> Iterator[Done]:
    """Install all; where a server has no policies, templates that name none. Without days, how long alerts are kept stays as it is."""
    kept = _kept(server, mode) if keep_days is None else None
    managed = True
    for done in install(server, policies(flavour, mode, keep_days)):
        managed = managed and done.result != "not available"
        yield done
    yield from install(server, templates(flavour, mode, keep_days, managed=managed, kept=kept))


def _kept(server: Server, mode: Mode) -> Body | None:
    """Return what the template that is installed says of a stream's lifecycle, which may be nothing; None where there is none."""
    if mode != "stream":
        return None
    step = Step("GET", f"/_index_template/{template_name(mode)}", {})
    answer = server.ask(step.method, step.path)
    if answer.status not in _OK | _NO_SUCH_REQUEST:
        raise _failed(step, answer)
    if answer.status not in _OK:
        return None
    try:
        found = _read(answer.body).index_templates
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = f"{answer.endpoint}: {step.method} {step.path}: expected index templates, found something else"
        raise SinkUnavailable(text) from None
    if not found:
        return None
    template = found[0].index_template.template
    return {"lifecycle": template.lifecycle} if template and template.lifecycle is not None else {}


def install(server: Server, steps: Sequence[Step]) -> Iterator[Done]:
    """Yield each step when it is done; raises at the first that fails."""
    for step in steps:
        if step.once and _is_there(server, step):
            yield Done(step, "left as it is")
            continue
        answer = server.ask(step.method, step.path, msgspec.json.encode(step.body))
        if answer.status in _OK:
            yield Done(step, "installed")
        elif step.without and _is_unknown(answer):
            yield Done(step, "not available")
        else:
            raise _failed(step, answer)


def _is_there(server: Server, step: Step) -> bool:
    """Look, and raise where the server doesn't say: what is there must not be replaced because it was not seen."""
    answer = server.ask("GET", step.path)
    if answer.status not in _OK | _NO_SUCH_REQUEST:
        raise _failed(step._replace(method="GET"), answer)
    return answer.status in _OK


def _is_unknown(answer: Answer) -> bool:
    """Say whether a server doesn't know the request at all: its error then has no type, only a sentence."""
    kind, reason = answers.error_of(answer.body)
    return answer.status in _NO_SUCH_REQUEST and kind in ("", "illegal_argument_exception") and "no handler found" in reason


def _failed(step: Step, answer: Answer) -> SinkUnavailable:
    kind, reason = answers.error_of(answer.body)
    found = ": ".join(part for part in (f"{answer.status} {kind}".strip(), reason) if part)
    text = f"{answer.endpoint}: {step.method} {step.path}: {found}"
    if answers.whole(answer.status, answer.body).outcome is Outcome.DENIED:
        return SinkDenied(f"{text}; installing needs an administrator: name one with --user or --api-key")
    return SinkUnavailable(text)
