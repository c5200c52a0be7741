from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def put_cold_start_in_force(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    versions = apps.get_model("predictor", "ModelVersion").objects.using(schema_editor.connection.alias)
    if not versions.exists():
        versions.create(kind="cold_start", active=True)


class Migration(migrations.Migration):
    dependencies = [("predictor", "0001_initial")]

    operations = [migrations.RunPython(put_cold_start_in_force, migrations.RunPython.noop)]
