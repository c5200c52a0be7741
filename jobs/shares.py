"""What organisations have received, in rows that workers share: `exchange` is the one writer of `Share`.

A lead is as one worker sees it, which serves some of the queues: the row has that of whoever charged the organisation
last, and 0 where the worker that was told last to be ahead says that it no longer is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orgs.walls import rows_of

# In the order of the organisations: two workers that tell of some of the same must not wait in a circle. A row is not
# written for each change of a lead: workers that serve different queues see different ones, all the time.
EXCHANGE = """
WITH told AS MATERIALIZED (
    SELECT * FROM unnest(%(orgs)s::bigint[], %(charges)s::float8[], %(leads)s::float8[], %(caught_up)s::bool[])
        AS t(org_id, seconds, lead_s, caught_up)
    ORDER BY org_id
), noted AS (
    INSERT INTO jobs_share AS share (org_id, charged_s, recent_s, lead_s, as_of)
    SELECT org_id, seconds, greatest(seconds, 0), lead_s, now() FROM told
    WHERE seconds <> 0
        OR caught_up AND EXISTS (SELECT 1 FROM jobs_share old WHERE old.org_id = told.org_id AND old.lead_s > 0)
    ON CONFLICT (org_id) DO UPDATE SET
        charged_s = share.charged_s + excluded.charged_s,
        recent_s = greatest(share.recent_s * power(0.5, greatest(extract(epoch FROM now() - share.as_of), 0)
            / %(half_life_s)s) + excluded.charged_s, 0),
        lead_s = excluded.lead_s, as_of = now()
    RETURNING org_id, charged_s
)
SELECT org_id, charged_s FROM noted
UNION ALL
SELECT org_id, charged_s FROM jobs_share
WHERE org_id = ANY(%(orgs)s::bigint[]) AND org_id NOT IN (SELECT org_id FROM noted)
"""


def exchange(
    charges: Mapping[int, float],
    leads: Mapping[int, float],
    half_life_s: float,
    caught_up: Collection[int] = (),
) -> dict[int, float]:
    """Add what this worker charged; answers what all workers have charged since ever, of these organisations.

    `charges` and `leads` are seconds by organisation. What is received lately halves every `half_life_s`. `caught_up`
    are organisations that were ahead the last time and are no longer: only of these is a lead written without a charge.
    """
    orgs = list(charges.keys() | leads.keys() | set(caught_up))
    if not orgs:
        return {}
    parameters = {
        "orgs": orgs,
        "charges": [float(charges.get(org, 0.0)) for org in orgs],
        "leads": [float(leads.get(org, 0.0)) for org in orgs],
        "caught_up": [org in caught_up for org in orgs],
        "half_life_s": half_life_s,
    }
    return {org: float(charged_s) for org, charged_s in rows_of(EXCHANGE, parameters)}
