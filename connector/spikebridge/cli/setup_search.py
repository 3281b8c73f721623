"""`spikebridge setup elasticsearch|opensearch`: templates, lifecycle, and the least rights of the sink's key."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spikebridge.cli.arguments import secret_reference
from spikebridge.cli.terminal import print_json, print_table, printable
from spikebridge.errors import SpikebridgeError
from spikebridge.units import parse_duration

if TYPE_CHECKING:
    from spikebridge.config import Config
    from spikebridge.config import Sink as SinkConfig
    from spikebridge.search.connection import Destination
    from spikebridge.search.rights import Rights
    from spikebridge.search.templates import Flavour, Step

PRODUCTS = {"elasticsearch": "Elasticsearch", "opensearch": "OpenSearch"}
_DAY_NS = 86_400_000_000_000


def describe(target: str) -> str:
    """Return what is prepared there."""
    return f"install index templates and lifecycle in {PRODUCTS[target]}, and print the least rights that the sink needs"


def arguments(parser: argparse.ArgumentParser, target: str) -> None:
    """Ask which sink, and who may do this."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the sink, where the configuration has several of this type")
    parser.add_argument("--config", metavar="FILE", type=Path, help="the configuration that names it")
    parser.add_argument("--dry-run", action="store_true", help="print the requests, send none")
    parser.add_argument(
        "--keep", metavar="TIME", type=_days, help="delete alerts after so many days (default: what is installed, else 365d)"
    )
    parser.add_argument("--user", metavar="NAME", help="an administrator (default: who the sink is)")
    parser.add_argument(
        "--password", metavar="SECRET", type=secret_reference, help="env:NAME or file:PATH that holds the password"
    )
    if target == "elasticsearch":
        parser.add_argument(
            "--api-key", metavar="SECRET", type=secret_reference, help="env:NAME or file:PATH that holds an API key"
        )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def set_up(args: argparse.Namespace) -> int:
    """Install, unless it is only to be shown, and print the rights."""
    from spikebridge.search.rights import needed
    from spikebridge.search.templates import policies, templates

    config = _config(args)
    sink = _sink(args, config)
    settings, flavour = cast("Destination", sink.settings), cast("Flavour", args.target)
    rights = needed(flavour, settings.mode, config.tenant)
    if args.dry_run:
        _show([*policies(flavour, settings.mode, args.keep), *templates(flavour, settings.mode, args.keep)], rights, args)
    else:
        _install(_administrator(settings, args), flavour, rights, args)
    return 0


def _install(settings: Destination, flavour: Flavour, rights: Rights, args: argparse.Namespace) -> None:
    from spikebridge.search.connection import connect
    from spikebridge.search.installing import set_up

    server = connect(settings)
    try:
        done = list(set_up(server, flavour, settings.mode, args.keep))
    finally:
        server.close()
    if args.json:
        steps = [{"path": one.step.path, "result": one.result} for one in done]
        print_json({"steps": steps, "rights": {"request": rights.request, "body": rights.body}})
        return
    print_table(("path", "result"), [(one.step.path, one.result) for one in done])
    notes = {"not available": "without", "left as it is": "left"}
    for note in dict.fromkeys(getattr(one.step, notes[one.result]) for one in done if one.result in notes):
        if note:
            print(f"note: {note}")
    _show_rights(rights)


def _show(steps: list[Step], rights: Rights, args: argparse.Namespace) -> None:
    if args.json:
        requests = [{"method": step.method, "path": step.path, "body": step.body} for step in steps]
        print_json({"requests": requests, "rights": {"request": rights.request, "body": rights.body}})
        return
    for step in steps:
        note = " (unless it is there)" if step.once else ""
        print(f"# {step.method} {step.path}{note}\n{_pretty(step.body)}\n")
    _show_rights(rights)


def _show_rights(rights: Rights) -> None:
    print(f"# the sink needs no more than {rights.what} with these rights\n# {rights.request}\n{_pretty(rights.body)}")


def _pretty(body: object) -> str:
    return "\n".join(map(printable, json.dumps(body, indent=2).splitlines()))


def _config(args: argparse.Namespace) -> Config:
    from spikebridge.cli.arguments import DEFAULT_FILE
    from spikebridge.config import load_config

    default = Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
    return load_config(args.config or default, os.environ)


def _sink(args: argparse.Namespace, config: Config) -> SinkConfig:
    fitting = [sink for sink in config.sinks.values() if sink.type == args.target]
    chosen = [sink for sink in fitting if args.name in (None, sink.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(sink.name for sink in fitting) or f"none: add one of `type: {args.target}` to the configuration"
    found = f'"{args.name}"' if args.name else "no name"
    raise SpikebridgeError(f"NAME: expected one of the sinks of type {args.target} ({names}), found {found}")


def _administrator(settings: Destination, args: argparse.Namespace) -> Destination:
    """Return the same cluster under the identity that may install; secrets are read here, and only from where they are safe."""
    from pydantic import SecretStr

    from spikebridge.config.overlay import secret

    api_key: str | None = getattr(args, "api_key", None)
    if bool(args.user) != bool(args.password):
        raise SpikebridgeError("expected --user and --password together")
    if api_key and args.user:
        raise SpikebridgeError("expected --user or --api-key, found both")
    found: dict[str, object] = {}
    if args.user:
        found = {"user": args.user, "password": SecretStr(secret(args.password, os.environ, Path())), "api_key": None}
    elif api_key:
        found = {"user": "", "password": SecretStr(""), "api_key": SecretStr(secret(api_key, os.environ, Path()))}
    known = {name: value for name, value in found.items() if name in type(settings).model_fields}
    return settings.model_copy(update=known)


def _days(text: str) -> int:
    try:
        duration_ns = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if duration_ns < _DAY_NS or duration_ns % _DAY_NS:
        message = f'expected whole days such as 90d, found "{text}"'
        raise argparse.ArgumentTypeError(message)
    return duration_ns // _DAY_NS
