from django.db import migrations, models

import django_smtpauth.choices
import django_smtpauth.validators


class Migration(migrations.Migration):
    dependencies = [
        ("smtpauth", "0002_opportunistic_security"),
    ]

    operations = [
        migrations.AddField(
            model_name="smtpaccount",
            name="bdat",
            field=models.CharField(
                blank=True,
                choices=django_smtpauth.choices.Chunks.listed,
                default="",
                max_length=16,
                verbose_name="send content in chunks",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="dsn_notify",
            field=models.CharField(
                blank=True,
                default="",
                max_length=32,
                validators=[django_smtpauth.validators.validate_notify],
                verbose_name="delivery reports",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="dsn_ret",
            field=models.CharField(
                blank=True,
                choices=django_smtpauth.choices.Returned.listed,
                default="",
                max_length=16,
                verbose_name="delivery reports contain",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="protocol",
            field=models.CharField(
                choices=django_smtpauth.choices.Protocol.listed,
                default="smtp",
                max_length=16,
                verbose_name="protocol",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="recipients",
            field=models.CharField(
                blank=True,
                choices=django_smtpauth.choices.Recipients.listed,
                default="",
                max_length=16,
                verbose_name="if a recipient is refused",
            ),
        ),
        migrations.AddField(
            model_name="smtpaccount",
            name="require_tls",
            field=models.BooleanField(
                blank=True, null=True, verbose_name="demand TLS all the way"
            ),
        ),
        migrations.AlterField(
            model_name="smtpaccount",
            name="security",
            field=models.CharField(
                choices=django_smtpauth.choices.Security.listed,
                default="starttls",
                max_length=16,
                verbose_name="security",
            ),
        ),
    ]
