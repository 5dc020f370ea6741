import uuid

import django.core.validators
from django.db import migrations, models

import django_smtpauth.secrets.fields
import django_smtpauth.validators


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="SMTPAccount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "uuid",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, unique=True, verbose_name="identity"
                    ),
                ),
                (
                    "scope",
                    models.CharField(blank=True, default="", max_length=63, verbose_name="scope"),
                ),
                (
                    "slug",
                    models.SlugField(db_index=False, max_length=63, verbose_name="short name"),
                ),
                ("label", models.CharField(blank=True, max_length=100, verbose_name="label")),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "host",
                    models.CharField(
                        max_length=253,
                        validators=[django_smtpauth.validators.validate_host],
                        verbose_name="server",
                    ),
                ),
                (
                    "port",
                    models.PositiveIntegerField(
                        default=587,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(65535),
                        ],
                        verbose_name="port",
                    ),
                ),
                (
                    "security",
                    models.CharField(
                        choices=[
                            ("starttls", "STARTTLS (usual on port 587)"),
                            ("implicit_tls", "Implicit TLS (usual on port 465)"),
                            ("none", "None: not encrypted"),
                        ],
                        default="starttls",
                        max_length=16,
                        verbose_name="security",
                    ),
                ),
                (
                    "verify",
                    models.BooleanField(default=True, verbose_name="verify the certificate"),
                ),
                (
                    "ca_text",
                    models.TextField(
                        blank=True,
                        validators=[django_smtpauth.validators.validate_certificates],
                        verbose_name="own certificate authority",
                    ),
                ),
                (
                    "allow_auth_without_tls",
                    models.BooleanField(
                        default=False, verbose_name="allow a password without TLS"
                    ),
                ),
                (
                    "timeout",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(3600),
                        ],
                        verbose_name="time-out",
                    ),
                ),
                (
                    "username",
                    models.CharField(blank=True, max_length=254, verbose_name="user name"),
                ),
                (
                    "password",
                    django_smtpauth.secrets.fields.EncryptedTextField(
                        blank=True, purpose="smtp account password", verbose_name="password"
                    ),
                ),
                (
                    "from_email",
                    models.CharField(
                        blank=True,
                        max_length=254,
                        validators=[django_smtpauth.validators.validate_sender],
                        verbose_name="From address",
                    ),
                ),
                (
                    "default_slot",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=64,
                        null=True,
                        unique=True,
                        verbose_name="default account",
                    ),
                ),
                (
                    "sender_slot",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=64,
                        null=True,
                        unique=True,
                        verbose_name="chosen by its From address",
                    ),
                ),
            ],
            options={
                "verbose_name": "SMTP account",
                "verbose_name_plural": "SMTP accounts",
                "ordering": ["scope", "slug"],
                "constraints": [
                    models.UniqueConstraint(fields=("scope", "slug"), name="smtpauth_account_slug")
                ],
            },
        ),
    ]
