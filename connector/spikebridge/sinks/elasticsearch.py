"""
Elasticsearch 8.19 and newer, with an index per day or a data stream, and ECS documents.

::

    sinks:
      elastic:
        type: elasticsearch
        endpoint: [https://search-1.example:9200, https://search-2.example:9200]
        api_key: ${env:ELASTIC_API_KEY}
        tls: {ca: search-ca.pem}

`spikebridge setup elasticsearch` installs the templates first, and prints what the API key must be allowed to do.
Until there is a key the variable may hold anything: with `--dry-run` nothing is sent, and otherwise `--user` or `--api-key` names an administrator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, SecretStr, model_validator

from spikebridge.search import probe_server
from spikebridge.search.bulk import SearchSink
from spikebridge.search.connection import Destination, Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.probe import Check


class Settings(Destination):
    """Which cluster, who we are there, and how much goes into a request."""

    api_key: Key | None = Field(None, description="Our API key, as the server encoded it; instead of user and password.")

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if self.api_key and self.user:
            message = "expected api_key or user, found both"
            raise ValueError(message)
        return self

    def authorization(self) -> str | None:
        """Return the value of the header that says who we are: a secret."""
        return f"ApiKey {self.api_key.get_secret_value()}" if isinstance(self.api_key, SecretStr) else super().authorization()


class ElasticsearchSink(SearchSink):
    """
    Write alerts and incidents into Elasticsearch, acknowledged when they are on its disks.

    Exactly once in mode `index`: an alert is created under its own id in the index of its day, and one that is there already is delivered.
    In mode `stream` an alert that is written again after a rollover of the data stream is there twice: ids are unique per backing index.
    An incident replaces its older version, never a newer one.
    A document that the server can't take is a dead letter; blocks, missing indices and full disks hold everything, and nothing is given up.
    """

    flavour = "elasticsearch"


def probe(settings: Settings, tenant: str) -> Iterator[Check]:
    """Try the way to the cluster step by step, for `doctor`; what is written there is removed again."""
    return probe_server.probe(settings, tenant, ElasticsearchSink.flavour)
