"""Which variables of our environment foreign code does not get to see."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from preflight_ocr.harness.launched import without_launcher

__all__ = ["is_secret", "without_secrets"]

_ENDS = re.compile(
    r"(^|_)(API_?KEY|KEY|KEYS|TOKEN|TOKENS|SECRET|SECRETS|PASSWORD|PASSWD|PASS|PWD|PAT|CREDENTIALS?|AUTH|COOKIE|DSN"
    r"|SECRET_?ACCESS_?KEY|ACCESS_?KEY(_ID)?|PRIVATE_?KEY|CONNECTION_STRING|DATABASE_URL|KUBECONFIG|NETRC|AUTH_SOCK|ASKPASS)$"
)
_CLOUDS = (
    "AWS_", "AZURE_", "ARM_", "GOOGLE_", "GCP_", "GCLOUD_", "CLOUDSDK_", "ALIBABA_CLOUD_", "ALICLOUD_", "OCI_", "IBMCLOUD_",
    "DIGITALOCEAN_", "GITHUB_", "GITLAB_", "CI_JOB_", "KUBERNETES_", "VAULT_", "OP_SERVICE_", "ACTIONS_",
)  # fmt: skip
_HARMLESS = frozenset({"PWD", "OLDPWD"})
_NOT_ASKED = "TOKENIZERS_PARALLELISM"


def is_secret(name: str) -> bool:
    """Whether a variable is one that by its name holds a secret, or belongs to a cloud's or a forge's own tools."""
    upper = name.upper()
    if upper in _HARMLESS or upper == _NOT_ASKED:
        return False
    return bool(_ENDS.search(upper)) or upper.startswith(_CLOUDS) or "TOKEN" in upper.split("_")


def without_secrets(environment: Mapping[str, str], *, named: Collection[str] = ()) -> dict[str, str]:
    """The environment as foreign code gets it; `named` are those that the user gives it on purpose.

    What a launcher says to one of its processes is not for a child: it would wait for the others.
    """
    alone = without_launcher(environment)
    return {name: value for name, value in alone.items() if name in named or not is_secret(name)}
