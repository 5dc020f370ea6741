from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("smtpauth", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="smtpaccount",
            name="security",
            field=models.CharField(
                choices=[
                    ("starttls", "STARTTLS (usual on port 587)"),
                    ("implicit_tls", "Implicit TLS (usual on port 465)"),
                    ("opportunistic", "Opportunistic: not encrypted if the server offers no TLS"),
                    ("none", "None: not encrypted"),
                ],
                default="starttls",
                max_length=16,
                verbose_name="security",
            ),
        ),
    ]
