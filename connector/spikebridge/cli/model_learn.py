"""`spikebridge model learn`: the weights of a model from labelled examples, by gradients."""

from __future__ import annotations

import hashlib
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.model_files import model_at, named
from spikebridge.cli.terminal import counted, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from spikebridge_detectors.train.gradients.learn import Learned
    from spikebridge_detectors.train.gradients.plan import Examples, Plan
    from spikebridge_detectors.train.gradients.process import Progress

_TOLD_EACH = 10
_MOST_SECONDS = 1_000_000
_MOST_TEXT = 2000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Ask for examples, a model to begin from in shape, and how to learn."""
    parser.add_argument("file", metavar="EXAMPLES", type=Path, help="arrays spikes and labels, as numpy.savez writes them")
    parser.add_argument("--like", metavar="FILE", type=Path, required=True, help="the model that gives all but the weights")
    parser.add_argument("--version", metavar="N", type=int, required=True, help="the version of the new model")
    parser.add_argument("--data", metavar="TEXT", required=True, help="what it is trained on, in words")
    parser.add_argument("--out", metavar="OUT", type=Path, required=True, help="the file to write")
    numbers: list[tuple[str, type, int | float, str]] = [
        ("bits", int, 8, "bits of a weight, 2 to 8"),
        ("keep", float, 1.0, "the share of weights that stay, the largest"),
        ("passes", int, 60, "how often all examples are shown"),
        ("batch", int, 64, "examples at once"),
        ("rate", float, 0.01, "how far a step goes"),
        ("wanted", float, 0.2, "the share of steps in which the right output shall fire"),
        ("seed", int, 0, "the seed of all luck"),
        ("held-back", float, 0.2, "the share of examples that it is tried with and never learns from"),
        ("limit", float, 3600.0, "seconds that it may take"),
    ]
    for name, kind, default, meaning in numbers:
        parser.add_argument(f"--{name}", metavar="N", type=kind, default=default, help=f"{meaning} (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where the same learning was ended")


def learn(args: argparse.Namespace) -> int:
    """Learn, hold the spikes to ours, and write the model."""
    from spikebridge_detectors.errors import BackendError
    from spikebridge_detectors.model import container
    from spikebridge_detectors.model.header import Training
    from spikebridge_detectors.train.gradients import examples as files
    from spikebridge_detectors.train.gradients import learn as learning
    from spikebridge_detectors.train.gradients.model import by_unit, retrained, shaped
    from spikebridge_detectors.train.gradients.plan import Plan
    from spikebridge_detectors.train.gradients.process import Torch

    _check(args)
    like = model_at(args.like)
    given = {name: getattr(args, name) for name in ("bits", "keep", "passes", "batch", "rate", "wanted", "seed")}
    with named(args.like):
        plan = shaped(like, Plan(hidden=(), outputs=1, **given))
    with named(args.file):
        every = by_unit(like, files.read(args.file))
        some, held = files.held_back(every, args.held_back, args.seed)
        some.check(plan)
    checkpoint = args.out.with_name(f"{args.out.name}.checkpoint")
    if not args.resume:
        checkpoint.unlink(missing_ok=True)
    try:
        with _telling(plan.passes) as tell:
            found = learning.learn(plan, some, Torch.found(args.limit), checkpoint=checkpoint, progress=tell)
    except BackendError as error:
        raise SpikebridgeError(str(error)) from error
    digest = hashlib.sha256(args.file.read_bytes()).hexdigest()
    training = Training(data=args.data, sha256=digest, generator="", seed=args.seed)
    with named(args.out):
        data = retrained(like, found, some, version=args.version, training=training, bits=args.bits)
    container.save(args.out, data)
    checkpoint.unlink(missing_ok=True)
    _tell(args, found, plan, every, held)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Say before the minutes of learning what would be refused after them, all at once."""
    text = len(args.data)
    problems = [
        f"{name}: expected {expected}, found {found}"
        for name, expected, found, fits in (
            ("--held-back", "0 or more and less than 1", args.held_back, 0 <= args.held_back < 1),
            ("--limit", f"seconds above 0 and at most {_MOST_SECONDS:,}", args.limit, 0 < args.limit <= _MOST_SECONDS),
            ("--version", "1 or more", args.version, 1 <= args.version < 1 << 31),
            ("--data", f"at most {_MOST_TEXT:,} letters", f"{text:,}", text <= _MOST_TEXT),
            ("--out", "a file in a directory that is there", args.out, args.out.parent.is_dir() and not args.out.is_dir()),
        )
        if not fits
    ]
    if problems:
        raise SpikebridgeError("\n".join(problems))


def _tell(args: argparse.Namespace, found: Learned, plan: Plan, every: Examples, held: NDArray[np.bool_]) -> None:
    import numpy as np

    from spikebridge_detectors.train.gradients.learn import told

    spikes = int(np.bitwise_count(found.outputs).sum())
    differing = counted(found.differing, "spike")
    print(
        printable(
            f"{args.out}: {differing} of {spikes:,} differ between snnTorch {found.versions.get('snntorch')} and our engine; unsigned"
        )
    )
    right = told(found.outputs, plan.wanted) == every.labels
    for name, which in (("learned from", ~held & (every.labels >= -1)), ("held back", held)):
        if count := int(which.sum()):
            print(f"{counted(count, 'example')} {name}: {int((right & which).sum()):,} told rightly")


@contextmanager
def _telling(passes: int) -> Iterator[Callable[[Progress], None]]:
    """Tell how far it is: by a bar where a person watches, else in a line now and then."""
    if not sys.stderr.isatty():

        def line(done: Progress) -> None:
            if done.number % _TOLD_EACH == 0 or done.number == passes:
                said = f"learn: pass {done.number} of {passes}, loss {done.loss:.4f}, {done.right:.1%} told rightly"
                print(said, file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("learning", total=passes)
        yield lambda done: bar.update(task, completed=done.number, description=f"loss {done.loss:.4f}, {done.right:.1%} right")
