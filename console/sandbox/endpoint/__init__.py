"""The sandbox's AWS endpoint: moto's server behind "the gate".

The gate is one asyncio HTTP server on the loopback interface. It answers by itself what moto lacks and
operators depend on: KMS's cryptographic operations with key states, key material generations and
principals, and CloudTrail's records. Everything else passes through to moto, whose backends live in the
same process and hold the one truth about keys, aliases, states, policies, buckets and trails.

`python -m console.sandbox.endpoint` runs it; `EndpointProcess` starts it as a child; `EndpointControl`
sets what no AWS API can set: latency, throttling, faults, denials, past rotations and past calls.
"""

from console.sandbox.access_keys import ANALYST, INTRUDER, ON_CALL, OPERATOR, PLATFORM
from console.sandbox.endpoint.control import EndpointControl, EndpointControlError
from console.sandbox.endpoint.principals import ACCOUNT
from console.sandbox.endpoint.process import EndpointProcess, EndpointStartError
from console.sandbox.endpoint.scenario import Denial, EndpointStats, Fault, MadeDataKey, PastCall

__all__ = [
    "ACCOUNT",
    "ANALYST",
    "INTRUDER",
    "ON_CALL",
    "OPERATOR",
    "PLATFORM",
    "Denial",
    "EndpointControl",
    "EndpointControlError",
    "EndpointProcess",
    "EndpointStartError",
    "EndpointStats",
    "Fault",
    "MadeDataKey",
    "PastCall",
]
