"""Which job types an organisation may submit: what the platform granted it, or what settings let everybody do.

Asked by `jobs.services` for each job that is submitted, by whatever way, and by the page that offers the types.
"""

from __future__ import annotations

from django.conf import settings

from jobs.payloads import JOB_TYPES
from orgs.exceptions import InvalidInput
from orgs.models import Organization


class TypeNotAllowed(InvalidInput):
    """Your organisation may not submit jobs of this type."""


def types_of(org: Organization) -> tuple[str, ...]:
    """In the order in which they are offered."""
    allowed = settings.JOB_TYPES_FOR_ALL if org.job_types is None else org.job_types
    return tuple(name for name in JOB_TYPES if name in allowed)


def refusal(org: Organization, job_type: str) -> TypeNotAllowed | None:
    """Why `org` may not submit a job of this type, which exists; None where it may."""
    allowed = types_of(org)
    if job_type in allowed:
        return None
    expected = f"Expected one of {', '.join(allowed)}" if allowed else "It may submit none"
    return TypeNotAllowed(
        fields={
            "type": [
                f"Your organisation may not submit {job_type} jobs. {expected}; the platform grants more."
            ]
        }
    )
