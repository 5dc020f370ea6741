from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("smtpauth", "0006_account_checks"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="smtpaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("slug", ""), _negated=True), models.Q(("host", ""), _negated=True)
                ),
                name="smtpauth_account_names",
            ),
        ),
    ]
