from django.db import migrations

import django_smtpauth.names


class Migration(migrations.Migration):
    dependencies = [("smtpauth", "0004_account_complete")]

    operations = [
        migrations.AlterField(
            model_name="smtpaccount",
            name="scope",
            field=django_smtpauth.names.ExactCharField(
                blank=True, default="", max_length=63, verbose_name="scope"
            ),
        ),
        migrations.AlterField(
            model_name="smtpaccount",
            name="slug",
            field=django_smtpauth.names.ExactSlugField(
                db_index=False, max_length=63, verbose_name="short name"
            ),
        ),
    ]
