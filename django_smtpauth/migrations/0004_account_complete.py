from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import django_smtpauth.choices
import django_smtpauth.secrets.fields
import django_smtpauth.validators


def mend_numbers(apps: Any, schema_editor: Any) -> None:
    """Numbers that no server was ever reached with would fail the constraints below, halfway
    where a database can't roll a change of tables back.
    """
    account = apps.get_model("smtpauth", "SMTPAccount")
    rows = account._base_manager.using(schema_editor.connection.alias)
    rows.exclude(port__range=(1, 65535)).update(port=account._meta.get_field("port").default)
    rows.exclude(timeout=None).exclude(timeout__range=(1, 3600)).update(timeout=None)


class Migration(migrations.Migration):
    dependencies = [
        ("smtpauth", "0003_account_delivery"),
    ]

    operations = [
        migrations.RunPython(mend_numbers, migrations.RunPython.noop),
        migrations.CreateModel(
            name="SMTPAccountHealth",
            fields=[
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="health",
                        serialize=False,
                        to="smtpauth.smtpaccount",
                    ),
                ),
                ("last_success_at", models.DateTimeField(null=True)),
                ("successes", models.PositiveIntegerField(default=0)),
                ("last_failure_at", models.DateTimeField(null=True)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("failure_stage", models.CharField(blank=True, max_length=16)),
                ("failure_code", models.PositiveSmallIntegerField(null=True)),
                ("failure_status", models.CharField(blank=True, max_length=16)),
                ("failure_text", models.CharField(blank=True, max_length=300)),
            ],
            options={
                "verbose_name": "state of an SMTP account",
                "verbose_name_plural": "states of SMTP accounts",
                "default_permissions": (),
            },
        ),
        migrations.AlterModelOptions(
            name="smtpaccount",
            options={
                "ordering": ["scope", "slug"],
                "permissions": [
                    ("test_smtpaccount", "Can test SMTP accounts"),
                    ("change_secret_smtpaccount", "Can change the secrets of SMTP accounts"),
                    ("use_internal_host", "Can let SMTP accounts reach internal hosts"),
                ],
                "verbose_name": "SMTP account",
                "verbose_name_plural": "SMTP accounts",
            },
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="auth_mechanisms",
            field=models.CharField(
                blank=True,
                default="",
                max_length=200,
                validators=[django_smtpauth.validators.validate_mechanisms],
                verbose_name="allowed mechanisms",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="authentication",
            field=models.CharField(
                choices=django_smtpauth.choices.Authentication.listed,
                default="password",
                max_length=16,
                verbose_name="log-in",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="changed_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, editable=False, verbose_name="changed"
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="changed_by",
            field=models.CharField(
                blank=True, editable=False, max_length=150, verbose_name="changed by"
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="client_certificate",
            field=models.TextField(
                blank=True,
                validators=[django_smtpauth.validators.validate_certificates],
                verbose_name="client certificate",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="client_key",
            field=django_smtpauth.secrets.fields.EncryptedTextField(
                blank=True,
                purpose="smtp account client key",
                verbose_name="key of the client certificate",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="created_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, editable=False, verbose_name="created"
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="created_by",
            field=models.CharField(
                blank=True, editable=False, max_length=150, verbose_name="created by"
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="ehlo_name",
            field=models.CharField(
                blank=True,
                max_length=253,
                validators=[django_smtpauth.validators.validate_client_name],
                verbose_name="own name (EHLO)",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="foreign_from",
            field=models.CharField(
                blank=True,
                choices=django_smtpauth.choices.ForeignFrom.listed,
                default="",
                max_length=16,
                verbose_name="another From",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="from_name",
            field=models.CharField(
                blank=True,
                max_length=100,
                validators=[django_smtpauth.validators.validate_name],
                verbose_name="From name",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="internal_host",
            field=models.BooleanField(default=False, verbose_name="internal host"),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="may_send_as",
            field=models.TextField(
                blank=True,
                validators=[django_smtpauth.validators.validate_senders],
                verbose_name="may send as",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="notes",
            field=models.TextField(blank=True, verbose_name="notes"),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="preset",
            field=models.CharField(
                blank=True,
                choices=django_smtpauth.choices.listed_presets,
                default="",
                max_length=40,
                verbose_name="provider",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="proxy",
            field=models.CharField(
                blank=True,
                max_length=300,
                validators=[django_smtpauth.validators.validate_proxy],
                verbose_name="proxy",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="secret_changed_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="secret changed"),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="secret_changed_by",
            field=models.CharField(
                blank=True, editable=False, max_length=150, verbose_name="secret changed by"
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="source_address",
            field=models.CharField(
                blank=True,
                max_length=45,
                validators=[django_smtpauth.validators.validate_ip_address],
                verbose_name="source address",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="tls_minimum",
            field=models.CharField(
                blank=True,
                choices=django_smtpauth.choices.TLSMinimum.listed,
                default="",
                max_length=8,
                verbose_name="oldest TLS",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="tls_pin",
            field=models.TextField(
                blank=True,
                validators=[django_smtpauth.validators.validate_pins],
                verbose_name="pinned keys",
            ),
        ),
        migrations.AddConstraint(
            model_name="smtpaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(("port__gte", 1), ("port__lte", 65535)),
                name="smtpauth_account_port",
            ),
        ),
        migrations.AddConstraint(
            model_name="smtpaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("timeout__isnull", True), ("timeout__range", (1, 3600)), _connector="OR"
                ),
                name="smtpauth_account_timeout",
            ),
        ),
        migrations.AddConstraint(
            model_name="smtpaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("authentication", "certificate"), _negated=True),
                    models.Q(("security", "none"), _negated=True),
                    _connector="OR",
                ),
                name="smtpauth_account_certificate",
            ),
        ),
    ]
