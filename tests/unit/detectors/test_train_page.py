"""The report page: one file that loads and runs nothing, and says what was learned from and what it finds."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from spikebridge_detectors.train import page
from spikebridge_detectors.train.gather import Given
from spikebridge_detectors.train.traffic import HeldBack, Quiet, Trial

HOSTILE = "<img src=//evil onerror=alert(1)>\u202e"


class Tags(HTMLParser):
    """Collects the elements of a page, their attributes and its text."""

    def __init__(self) -> None:
        """Begin."""
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.said.append(data)


def found(by_class: float | None = 10.0, alone: float | None = 20.0, devices: int = 2) -> HeldBack:
    """Return four attacks on each device and a day without."""
    names = [f"lock {number}" for number in range(devices)]
    trials = [Trial(name, "scan", 0, by_class, alone) for name in names for _ in range(4)]
    return HeldBack(trials, [Quiet(name, 0, 1, 0) for name in names], {})


def written(name: str = "lock", held_back: HeldBack | None = None) -> str:
    """Return a page."""
    said = page.Said(name, {name: name}, [Given(name, "ab" * 32, 1000)], ("device", "days"), [(name, "3")], {name: 2})
    return page.written(said, [(name, page.held_back(held_back))])


def test_the_page_loads_and_runs_nothing() -> None:
    """Whatever files and devices are called: no script, no link, no picture from elsewhere, and a policy that forbids them."""
    seen = Tags()
    text = written(HOSTILE, HeldBack([Trial(HOSTILE, "scan", 0, None, 3.0)], [Quiet(HOSTILE, 0, 0, 0)], {}))
    seen.feed(text)
    assert not seen.tags & {"script", "img", "link", "iframe", "a", "object", "form", "base"}
    assert not {name for name in seen.attributes if name.startswith("on")} | (seen.attributes & {"src", "href", "style"})
    assert "alert(1)" in "".join(seen.said)
    assert "\u202e" not in text


def test_the_policy_lets_just_the_page_s_own_style_through() -> None:
    """By its digest."""
    text = written()
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"content=\"default-src 'none'; style-src 'sha256-{digest}'\"" in text


def test_the_page_says_what_was_learned_from_and_what_was_found() -> None:
    """Files by their digest, attacks of each kind, and the false alarms with their interval."""
    text = written(held_back=found())
    assert "ab" * 32 in text
    assert "<td>scan</td><td>8 of 8</td><td>10 s</td><td>8 of 8</td>" in text
    assert "False alarms: 2 in 2 device-days, 1.00 per device-day (95 % interval 0.12 to 3.61)" in text


def test_what_was_not_measured_is_said() -> None:
    """With the reason."""
    assert "Not measured: a day can be held back only where more than three days are left" in written()


def test_the_advice_follows_what_was_found() -> None:
    """A class that loses what single devices find isn't one; one device is no class."""
    assert "learn each device by itself" in page.advice(found(by_class=None))
    assert "does better" in page.advice(found(alone=None))
    assert "loses nothing" in page.advice(found()._replace(quiet=[Quiet("a", 0, 0, 0), Quiet("b", 0, 0, 0)]))
    assert page.advice(found(devices=1)).startswith("One device")
