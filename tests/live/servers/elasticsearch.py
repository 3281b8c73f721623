"""
Elasticsearch as a test server: `python -m tests.live.servers.elasticsearch [VERSION] [secured]` prints its URL and runs until Ctrl-C.

The distribution is the small one that plug-in authors test with: bulk, ids, versions, templates, data streams, TLS, users and roles are the real ones.
It has no ILM, no ingest pipelines, no scripts, and lacks the field types that `search_templates.loadable` maps.
A module of our own (`lab/`) adds `GET /`, and the analysis parts without which it can't make API keys.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.servers import search_home
from tests.live.servers.fetch import pinned
from tests.live.servers.process import java
from tests.live.servers.search import FOLDER_OF_CERTIFICATES, JAVA, SearchServer, run
from tests.live.servers.search_client import ApiKey, User
from tests.live.servers.search_home import completed, unpack
from tests.live.servers.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Mapping

NEWEST = "9.5.3"
OLDER = "8.19.21"

_HERE = Path(__file__)
_LAB = _HERE.with_name("lab")
_DESCRIPTOR = """\
name=lab
description=What the test distribution lacks
version=1
classname=lab.LabPlugin
java.version={java}
elasticsearch.version={version}
"""
_COST = 10_000


class Elasticsearch(SearchServer):
    """One Elasticsearch node; `secured` means TLS on HTTP, users and API keys."""

    product = "elasticsearch"
    variables = "ES"

    def api_key(self, role: Mapping[str, object]) -> ApiKey:
        """Make an API key that may do what one role may, in the words of Elasticsearch's role descriptors."""
        name = secrets.token_hex(8)
        made = self.admin.post("/_security/api_key", {"name": name, "role_descriptors": {name: role}}).expect().json
        return ApiKey(made["id"], made["encoded"])

    def user(self, role: Mapping[str, object]) -> User:
        """Make a user who has one role, in the words of Elasticsearch's role descriptors."""
        user = User(f"user-{secrets.token_hex(8)}", secrets.token_urlsafe(24))
        self.admin.put(f"/_security/role/{user.name}", role).expect()
        self.admin.put(f"/_security/user/{user.name}", {"password": user.password, "roles": [user.name]}).expect()
        return user

    def _home(self) -> Path:
        name = f"elasticsearch-{self.version}"
        sources = [*sorted(_LAB.glob("*.java")), *sorted((_LAB / f"elasticsearch{self._major}").glob("*.java"))]

        def complete(folder: Path) -> None:
            (archive,) = pinned(name).values()
            unpack(archive, folder)
            self._add_lab(folder, sources)

        return completed(name, [_HERE.with_name("pins") / f"{name}.json", *sources, _HERE, Path(search_home.__file__)], complete)

    @property
    def _major(self) -> str:
        return self.version.partition(".")[0]

    def _add_lab(self, home: Path, sources: list[Path]) -> None:
        module, tools = home / "modules/lab", java(JAVA, full_jdk=True) / "bin"
        release = "17" if self._major == "8" else "21"
        classes = module / "classes"
        classes.mkdir(parents=True)
        subprocess.run([tools / "javac", "--release", release, "-cp", f"{home}/lib/*", "-d", classes, *sources], check=True)
        subprocess.run([tools / "jar", "--create", "--file", module / "lab.jar", "-C", classes, "."], check=True)
        (module / "plugin-descriptor.properties").write_text(_DESCRIPTOR.format(java=release, version=self.version))

    def _configure(self, conf: Path) -> dict[str, object]:
        if self.administrator is None:
            return {"xpack.security.enabled": False}
        authority = Authority(conf / FOLDER_OF_CERTIFICATES)
        self.ca = authority.ca
        (conf / "users").write_text(f"{self.administrator.name}:{_hashed(self.administrator.password)}\n")
        (conf / "users_roles").write_text(f"superuser:{self.administrator.name}\n")
        return {
            "xpack.security.enabled": True,
            "xpack.security.autoconfiguration.enabled": False,
            "xpack.security.enrollment.enabled": False,
            "xpack.security.transport.ssl.enabled": False,
            "xpack.security.http.ssl.enabled": True,
            "xpack.security.http.ssl.key": str(authority.server_key),
            "xpack.security.http.ssl.certificate": str(authority.server_cert),
            "xpack.security.http.ssl.certificate_authorities": [str(authority.ca)],
        }


def _hashed(password: str) -> str:
    """Return a password as the file of users wants it; the server's own tool takes 3 s for that."""
    salt = secrets.token_bytes(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _COST, 32)
    return f"{{PBKDF2}}{_COST}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


if __name__ == "__main__":
    version = next((argument for argument in sys.argv[1:] if argument != "secured"), NEWEST)
    run(Elasticsearch(version, secured="secured" in sys.argv))
