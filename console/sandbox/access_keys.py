"""Access key ids by which the sandbox's AWS endpoint tells who is calling. It checks no signatures."""

from __future__ import annotations

PLATFORM = "ASIAKEYDECKPLATFORM1"
"""Role keydeck-platform: the platform's API servers."""
OPERATOR = "ASIAKEYDECKOPERATOR1"
"""Role keydeck-operator."""
ON_CALL = "ASIAKEYDECKONCALL001"
"""Role keydeck-oncall: the operator of the console in the sandbox."""
ANALYST = "AKIAKEYDECKANALYST01"
"""User keydeck-analyst, in the office."""
INTRUDER = "AKIAKEYDECKINTRUDER1"
"""User intruder, whose access key leaked."""

DEPLOYMENT = "ASIAKEYDECKDEPLOY001"
"""Role keydeck-deployment, which made the keys; registered by the sandbox."""
BACKUP = "ASIAKEYDECKBACKUP001"
"""AWS Backup's service role; registered by the sandbox."""

SECRET = "not-a-secret-in-the-sandbox"  # noqa: S105
"""The secret access key of them all."""
