import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("smtpauth", "0005_exact_names")]

    operations = [
        migrations.CreateModel(
            name="SMTPAccountCheck",
            fields=[
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="last_check",
                        serialize=False,
                        to="smtpauth.smtpaccount",
                    ),
                ),
                ("at", models.DateTimeField()),
                ("by", models.CharField(blank=True, max_length=150)),
                ("ok", models.BooleanField()),
                ("stage", models.CharField(blank=True, max_length=16)),
                ("rule", models.CharField(blank=True, max_length=64)),
                ("title", models.CharField(blank=True, max_length=200)),
                ("facts", models.JSONField(default=dict)),
                ("good_at", models.DateTimeField(null=True)),
                ("good_facts", models.JSONField(default=dict)),
            ],
            options={
                "verbose_name": "check of an SMTP account",
                "verbose_name_plural": "checks of SMTP accounts",
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="smtpaccounthealth",
            name="failure_rule",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
    ]
