"""
OpenSearch 3, with an index per day or a data stream, and ECS documents.

::

    sinks:
      search:
        type: opensearch
        endpoint: https://search.example:9200
        user: spikebridge
        password: ${file:search-password}
        tls: {ca: search-ca.pem}

`spikebridge setup opensearch` installs the templates first, and prints what the user's role must allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.search import probe_server
from spikebridge.search.bulk import SearchSink
from spikebridge.search.connection import Destination

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.probe import Check


class Settings(Destination):
    """Which cluster, who we are there, and how much goes into a request."""


class OpenSearchSink(SearchSink):
    """
    Write alerts and incidents into OpenSearch, acknowledged when they are on its disks.

    Exactly once in mode `index`: an alert is created under its own id in the index of its day, and one that is there already is delivered.
    In mode `stream` an alert that is written again after a rollover of the data stream is there twice: ids are unique per backing index.
    An incident replaces its older version, never a newer one.
    A document that the server can't take is a dead letter; blocks, missing indices and full disks hold everything, and nothing is given up.
    """

    flavour = "opensearch"


def probe(settings: Settings, tenant: str) -> Iterator[Check]:
    """Try the way to the cluster step by step, for `doctor`; what is written there is removed again."""
    return probe_server.probe(settings, tenant, OpenSearchSink.flavour)
