"""Every error this project raises on purpose.

UpnextError
├── BadInput               the caller's data or arguments are wrong; the message says what to do
│   ├── SchemaMismatch     a column is missing or has the wrong type; names the nearest match
│   ├── TooManyBrokenRows  more rows were quarantined than the threshold allows
│   └── ConfigError        an unknown or ill-typed configuration key
├── ReleaseRefused         a release failed verification; the one that is live keeps serving
│   └── IndexRefused       an index whose recall against exact search is below its bound
└── Unavailable            a dependency is down, slow or wrong; the caller degrades and says why
    ├── StoreUnavailable
    └── LogUnavailable
"""


class UpnextError(Exception):
    """Base of all errors raised on purpose; its text is meant for a person."""


class BadInput(UpnextError):
    """The caller's data or arguments are wrong."""


class SchemaMismatch(BadInput):
    """A column is missing or has the wrong type."""


class TooManyBrokenRows(BadInput):
    """The share of quarantined rows passed the threshold."""


class ConfigError(BadInput):
    """An unknown or ill-typed configuration key."""


class ReleaseRefused(UpnextError):
    """A release failed verification."""


class IndexRefused(ReleaseRefused):
    """An index finds too few of the exact neighbours."""


class Unavailable(UpnextError):
    """A dependency is down, slow or wrong."""


class StoreUnavailable(Unavailable):
    """The online store did not answer in time."""


class LogUnavailable(Unavailable):
    """The event log could not commit."""
