"""Keys and invitations are of the organisation of whoever made them."""

from __future__ import annotations

from django.db import migrations

from orgs.link_operations import same_org


class Migration(migrations.Migration):
    dependencies = [("orgs", "0007_audit_chain")]

    operations = [
        same_org("orgs_apikey", user_id="orgs_user"),
        same_org("orgs_invitation", created_by_id="orgs_user"),
    ]
