"""Settings of the doors: whose address counts, and how often who may knock. Part of `smartqueue.settings`."""

from __future__ import annotations

from smartqueue.env import env_int, env_rate

TRUSTED_PROXIES = env_int(
    "SMARTQUEUE_TRUSTED_PROXIES",
    0,
    "Proxies of yours in front of each web process. The client's address is the entry of X-Forwarded-For that the "
    "outermost one wrote; with 0 it is the other end of the connection.",
    low=0,
    high=10,
)
RATELIMIT_IP_META_KEY = "orgs.limits.counted_address"

RATE_REGISTER = env_rate("SMARTQUEUE_RATE_REGISTER", "5/m", "Registrations per client address.")
RATE_LOGIN = env_rate("SMARTQUEUE_RATE_LOGIN", "10/m", "Logins per client address.")
RATE_REFRESH = env_rate("SMARTQUEUE_RATE_REFRESH", "60/m", "Exchanges of refresh tokens per client address.")
RATE_INVITATION = env_rate(
    "SMARTQUEUE_RATE_INVITATION", "10/m", "Attempts to accept an invitation per client address."
)
RATE_USER = env_rate("SMARTQUEUE_RATE_USER", "6000/m", "API requests per user.", or_off=True)
RATE_ORG = env_rate("SMARTQUEUE_RATE_ORG", "30000/m", "API requests per organisation.", or_off=True)

LOGIN_FREE = env_int(
    "SMARTQUEUE_LOGIN_FREE",
    5,
    "Failed logins of one account from one address before the next one has to wait.",
    low=1,
    high=1000,
)
LOGIN_FREE_ACCOUNT = env_int(
    "SMARTQUEUE_LOGIN_FREE_ACCOUNT",
    20,
    "Failed logins of one account before addresses that it never came from have to wait.",
    low=1,
    high=100_000,
)
LOGIN_FREE_ADDRESS = env_int(
    "SMARTQUEUE_LOGIN_FREE_ADDRESS",
    30,
    "Failed logins from one address before accounts that never came from it have to wait there.",
    low=1,
    high=100_000,
)
LOGIN_LONGEST_WAIT_S = env_int(
    "SMARTQUEUE_LOGIN_LONGEST_WAIT_S",
    900,
    "Longest wait between two failed logins, in seconds: it grows from 1 by doubling.",
    low=1,
    high=3600,
)
