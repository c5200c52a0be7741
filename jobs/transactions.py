"""The number of the transaction at hand, as jobs remember which one queued them. See `claims.CLAIM`."""

from __future__ import annotations

from django.db.models import BigIntegerField, Func


class CurrentTransaction(Func):
    """PostgreSQL's id of the top-level transaction: 64 bits, never reused within one cluster."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field = BigIntegerField()
    allowed_default = True
