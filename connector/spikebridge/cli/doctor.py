"""`spikebridge doctor`: whether everything that the configuration names can be reached, and is as it must be."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.cli.arguments import DEFAULT_FILE, configuration
from spikebridge.cli.terminal import counted, print_json, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from spikebridge.config import Config
    from spikebridge.config import Sink as SinkConfig
    from spikebridge.probe import Check

NAME = "doctor"
HELP = "try the way to every log and sink of the configuration, step by step, and say what to do"
EXAMPLE = """
spikebridge doctor --config spikebridge.yaml
spikebridge doctor --only elastic --json
"""

AHEAD_NS = 1_000_000_000


class _Found(NamedTuple):
    """A check and what it was of."""

    what: str
    check: Check


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the configuration."""
    parser.add_argument("--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_FILE}, if there is one)")
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="this log or sink only; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print each check as it is made; 1 when one failed. What it writes is marked as a test."""
    config = configuration(args)
    found: list[_Found] = []
    for one in _checks(config, args.only):
        found.append(one)
        if not args.json:
            print(printable(_line(one)), flush=True)
    levels = [one.check.level for one in found]
    failed, warned = levels.count("FAIL"), levels.count("warn")
    if args.json:
        told = [{"what": one.what, "level": one.check.level, **one.check._asdict()} for one in found]
        print_json({"checks": told, "failed": failed, "warned": warned})
    else:
        print(f"{counted(len(found), 'check')}, {failed} failed, {counted(warned, 'warning')}")
    return int(failed > 0)


def _line(found: _Found) -> str:
    check = found.check
    advice = f"; {check.advice}" if check.advice else ""
    return f"{check.level:<4} {found.what}: {check.name}: {check.detail}{advice}"


def _checks(config: Config, only: list[str]) -> Iterator[_Found]:
    """Try everything, in the order in which an alert meets it; a mistake in one check doesn't hide the others."""
    from spikebridge.errors import SpikebridgeError

    log = config.source.name if config.source else "spool"
    known = ["data", log, *config.sinks]
    for name in only:
        if name not in known:
            raise SpikebridgeError(f'--only: expected one of {", ".join(known)}, found "{name}"')
    parts = {"data": ("data", _data(config)), log: (f"log {log}", _log(config))}
    parts |= {name: (f"sink {name}", _sink(sink, config)) for name, sink in config.sinks.items()}
    for name, (what, checks) in parts.items():
        if not only or name in only:
            yield from (_Found(what, check) for check in _guarded(checks))


def _guarded(checks: Iterator[Check]) -> Iterator[Check]:
    """Have what ends a series of checks told as one."""
    from spikebridge.errors import SpikebridgeError
    from spikebridge.probe import Check

    try:
        yield from checks
    except SpikebridgeError as error:
        yield Check("stopped", False, str(error))
    except Exception as error:  # noqa: BLE001 -- a mistake of ours must not keep an operator from the other findings
        yield Check("stopped", False, f"unexpected {type(error).__name__}: {error}", "please report this")


def _data(config: Config) -> Iterator[Check]:
    """Look at the directory of spool and store."""
    from spikebridge.probe import writable

    yield writable(config.data)


def _log(config: Config) -> Iterator[Check]:
    """Ask the configured log, or the spool of the data directory."""
    if config.source is not None:
        module = import_module(f"spikebridge.logs.{config.source.type}.probe_log")
        yield from module.probe(config.source.settings, config.tenant, config.limits.look_back_ns)
        return
    yield from _spool(config)


def _spool(config: Config) -> Iterator[Check]:
    from spikebridge.logs.spool import Spool
    from spikebridge.probe import Check
    from spikebridge.units import format_duration

    if not (config.data / "spool.db").exists():
        yield Check("file", True, f"{config.data / 'spool.db'} is not there yet: `run` or `send` makes it")
        return
    with Spool(config.data, read_only=True) as spool:
        first, end = spool.bounds()
        yield Check("file", True, f"{config.data / 'spool.db'} is readable, and holds records {first} to {end}")
        ahead_ns = spool.ahead_ns()
    if ahead_ns > AHEAD_NS:
        detail = f"append times are {format_duration(ahead_ns // AHEAD_NS * AHEAD_NS)} ahead of this machine's clock, which was set back"
        yield Check("clock", True, detail, "let NTP set the clock; append times wait for it, and nothing is lost")
    else:
        yield Check("clock", True, "append times are not ahead of this machine's clock")


def _sink(sink: SinkConfig, config: Config) -> Iterator[Check]:
    """Ask a sink's module; one without a server has nothing to be asked but the data directory."""
    from spikebridge import registry
    from spikebridge.probe import writable

    module = import_module(registry.SINKS[sink.type].partition(":")[0])
    probe = getattr(module, "probe", None)
    if probe is None:
        yield writable(config.data)
    else:
        yield from probe(sink.settings, config.tenant)
