"""
OpenSearch as a test server: `python -m tests.live.servers.opensearch [VERSION] [secured]` prints its URL and runs until Ctrl-C.

3.8.0 is the complete minimal server: pipelines, scripts, the data stream API, every field type; no ISM.
The security plugin is to be had for 3.4.0 only, whose distribution is smaller: TLS, users and roles are the real ones.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.servers import search_home
from tests.live.servers.fetch import pinned
from tests.live.servers.process import java
from tests.live.servers.search import FOLDER_OF_CERTIFICATES, JAVA, SearchServer, run
from tests.live.servers.search_client import User
from tests.live.servers.search_home import completed, unpack
from tests.live.servers.tls import CLIENT_NAME, Authority

if TYPE_CHECKING:
    from collections.abc import Mapping

NEWEST = "3.8.0"
WITH_SECURITY = "3.4.0"

_HERE = Path(__file__)
_PLUGIN = "plugins/opensearch-security"
_HASH_TIMEOUT_S = 60


class OpenSearch(SearchServer):
    """One OpenSearch node; `secured` means TLS, users and roles, and needs the version `WITH_SECURITY`."""

    product = "opensearch"
    variables = "OPENSEARCH"

    def user(self, role: Mapping[str, object]) -> User:
        """Make a user who has one role, in the words of the security plugin's roles."""
        user, security = User(f"user-{secrets.token_hex(8)}", secrets.token_urlsafe(24)), "/_plugins/_security/api"
        self.admin.put(f"{security}/roles/{user.name}", role).expect()
        self.admin.put(f"{security}/internalusers/{user.name}", {"password": user.password}).expect()
        self.admin.put(f"{security}/rolesmapping/{user.name}", {"users": [user.name]}).expect()
        return user

    def _home(self) -> Path:
        name = f"opensearch-{self.version}"

        def complete(folder: Path) -> None:
            server, *security = pinned(name).values()
            unpack(server, folder)
            if security:
                _add_security(folder, *security)

        return completed(name, [_HERE.with_name("pins") / f"{name}.json", _HERE, Path(search_home.__file__)], complete)

    def _configure(self, conf: Path) -> dict[str, object]:
        plugin = self._folder / "home" / _PLUGIN
        if self.administrator is None:
            return {"plugins.security.disabled": True} if plugin.exists() else {}
        if not plugin.exists():
            raise ValueError(f"OpenSearch {self.version} has no security plugin here, {WITH_SECURITY} has one")
        authority = Authority(conf / FOLDER_OF_CERTIFICATES)
        self.ca = authority.ca
        shutil.copytree(plugin / "config", conf / "opensearch-security")
        (conf / "opensearch-security/internal_users.yml").write_text(_users(plugin, self.administrator))
        layers = {
            f"plugins.security.ssl.{layer}.{kind}_filepath": str(path)
            for layer in ("transport", "http")
            for kind, path in (
                ("pemcert", authority.server_cert),
                ("pemkey", authority.server_key),
                ("pemtrustedcas", authority.ca),
            )
        }
        return layers | {
            "plugins.security.ssl.http.enabled": True,
            "plugins.security.ssl.transport.enforce_hostname_verification": False,
            "plugins.security.nodes_dn": ["CN=localhost"],
            "plugins.security.authcz.admin_dn": [f"CN={CLIENT_NAME}"],
            "plugins.security.allow_default_init_securityindex": True,
            "plugins.security.restapi.roles_enabled": ["all_access"],
            "plugins.security.audit.type": "noop",
        }


def _add_security(home: Path, plugin: Path, collections: Path) -> None:
    """Install the security plugin; two things that it expects from the complete server are not in the small one."""
    folder = home / _PLUGIN
    unpack(plugin, folder)
    shutil.copy(collections, folder)
    descriptor = folder / "plugin-descriptor.properties"
    lines = descriptor.read_text().splitlines()
    # It names plugins to extend that aren't to be had, and works without them.
    descriptor.write_text(
        "\n".join("extended.plugins=" if line.startswith("extended.plugins=") else line for line in lines) + "\n"
    )


def _users(plugin: Path, administrator: User) -> str:
    """Return the file of users with nobody else in it: the plugin's own has known passwords."""
    home = java(JAVA, full_jdk=True)
    environment = {**os.environ, "OPENSEARCH_JAVA_HOME": str(home), "PASSWORD": administrator.password}
    command: list[str | Path] = ["bash", plugin / "tools/hash.sh", "-env", "PASSWORD"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=_HASH_TIMEOUT_S)
    user = {"hash": done.stdout.split()[-1], "reserved": True, "backend_roles": ["admin"]}
    return json.dumps({"_meta": {"type": "internalusers", "config_version": 2}, administrator.name: user})


if __name__ == "__main__":
    secured = "secured" in sys.argv
    default = WITH_SECURITY if secured else NEWEST
    run(OpenSearch(next((argument for argument in sys.argv[1:] if argument != "secured"), default), secured=secured))
