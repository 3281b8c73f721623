"""The topics of one configuration as the cluster has them: compared before anything is read of them, and looked after from then on."""

from __future__ import annotations

import logging
import re
from threading import Lock
from typing import TYPE_CHECKING

from spikebridge.errors import LogMissing, LogUnavailable, SpikebridgeError
from spikebridge.logs.kafka.sealed import Home
from spikebridge.logs.kafka.topics import differences, least_shape, wanted, wanted_spikes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.kafka.client import Admin, Client, Reader, TopicFacts
    from spikebridge.logs import Switches
    from spikebridge.logs.kafka.settings import Names, Settings
    from spikebridge.logs.kafka.topics import Wanted

SETUP = "make it with: spikebridge setup kafka"
REFUSED = "retention.ms"
"""What is too low here is refused: a restart would read back what is gone. Other differences are said, and worked with."""

_log = logging.getLogger(__name__)


def spike_topics(settings: Settings, admin: Admin) -> list[str]:
    """Return the topics with spikes: those that are named, or of those that are there all that match."""
    return settings.topics or [name for name in admin.topics() if re.fullmatch(settings.matching, name)]


class CheckedTopics:
    """Asked by every stage, each in its own thread."""

    def __init__(self, settings: Settings, names: Names, client: Client, look_back_ns: int) -> None:
        """Ask nothing yet."""
        self._settings = settings
        self._where = f"kafka {settings.where}"
        self._client = client
        self._look_back_ns = look_back_ns
        self._shape = least_shape(look_back_ns)
        self._named = wanted(settings.topics, names, self._shape)
        self._judged: set[str] = set()
        self._lock = Lock()
        self._asking: Admin | None = None
        self._cluster = ""

    def check(self) -> None:
        """Refuse topics that are not there, or keep less than a restart reads back; once they were found good they are not asked again."""
        with self._lock:
            if self._cluster:
                return
            cluster = self._admin.cluster_id()
            named = {one.topic.name for one in self._named}
            matching = [
                wanted_spikes(name, self._shape) for name in spike_topics(self._settings, self._admin) if name not in named
            ]
            found = self._admin.describe([one.topic.name for one in (*self._named, *matching)])
            missing = [name for name in named if name not in found]
            if missing:
                raise LogMissing(f"{self._where}: topic {', '.join(sorted(missing))}: expected to be there, found none; {SETUP}")
            self._judge([one for one in (*self._named, *matching) if one.topic.name in found], found)
            self._cluster = cluster

    def gone(self) -> str:
        """Say which topics were there and are not any more, "" if none: their groups go on without them, and without a word."""
        names = [one.topic.name for one in self._named]
        with self._lock:
            if not self._cluster:
                return ""
            found = self._admin.describe(names)
        missing = [name for name in names if name not in found]
        return f"{self._where}: topic {', '.join(missing)}: it was there and is gone; {SETUP}" if missing else ""

    def home(self, reader: Reader, topic: str) -> Home:
        """Return the ids of a topic."""
        found = reader.topic_id(topic)
        if not found:
            raise LogUnavailable(f"{self._where}: topic {topic}: its id is not known; it may have been deleted")
        return Home(self._cluster, found)

    def switches(self, topic: str) -> Switches:
        """
        Say how a revision comes into force: where brokers don't stamp records, or we may not append, silence is not watched.

        A topic that was not there at the start, and matches, is compared here.
        """
        with self._lock:
            found = self._admin.describe([topic])
            if topic not in found:
                raise LogUnavailable(f"{self._where}: topic {topic} is not there")
            if topic not in self._judged:
                self._judge([wanted_spikes(topic, self._shape)], found)
        stamped = found[topic].configs.get("message.timestamp.type") == "LogAppendTime"
        if stamped and self._settings.append:
            return "marker"
        reason = "append is false" if stamped else "message.timestamp.type is not LogAppendTime"
        _log.warning("topic %s: silence is not watched: %s", topic, reason)
        return "commit"

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._asking is not None:
                self._asking.close()

    @property
    def _admin(self) -> Admin:
        if self._asking is None:
            self._asking = self._client.admin()
        return self._asking

    def _judge(self, asked: Sequence[Wanted], found: dict[str, TopicFacts]) -> None:
        """Refuse what no waiting mends; say what else breaks a promise, once for each topic."""
        told = differences(asked, found, look_back_ns=self._look_back_ns, servers=self._settings.where)
        errors = [difference for difference in told if difference.level == "error"]
        refused = [difference for difference in errors if difference.what == REFUSED]
        if refused:
            raise SpikebridgeError("; ".join(f"{self._where}: {difference}" for difference in refused))
        for difference in errors:
            _log.error("%s: %s", self._where, difference)
        self._judged |= {one.topic.name for one in asked}
