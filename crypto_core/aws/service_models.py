"""What botocore reads of AWS's services: those that are asked here, and nothing of their documentation.

botocore keeps all that it reads, as long as its session lives: the endpoints of four hundred services and the
sentences of a service's reference are most of it.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader

SERVICES = frozenset(
    {"athena", "cloudtrail", "iam", "kms", "oidc", "portal.sso", "rds", "s3", "s3-control", "signin", "sts"}
)
"""The services that are asked, by their prefixes of endpoints: any other has its partition's usual one."""


class ServiceModels(JSONFileLoader):
    """Reads botocore's files as botocore does, and keeps less of them."""

    def load_file(self, file_path: str) -> dict[str, Any] | None:
        """Return what a file holds, its ending being botocore's to add; None where there is none."""
        for ending, opened in ((".json", open), (".json.gz", gzip.open)):
            path = Path(file_path + ending)
            if path.is_file():
                with opened(path, "rb") as file:
                    content: dict[str, Any] = json.loads(file.read())
                if path.name == "endpoints.json":
                    _keep_services(content)
                else:
                    _drop_documentation(content)
                return content
        return None


def _keep_services(endpoints: dict[str, Any]) -> None:
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in SERVICES & services.keys()}


def _drop_documentation(node: Any) -> None:
    """A text of that name is documentation; a member of a structure that is called so is no text."""
    if isinstance(node, dict):
        if isinstance(node.get("documentation"), str):
            node["documentation"] = ""  # some of it is asked for
        for child in node.values():
            _drop_documentation(child)
    elif isinstance(node, list):
        for child in node:
            _drop_documentation(child)
