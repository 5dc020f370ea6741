"""A model with two secrets, as an app of the site may have one."""

from django.db import models

from django_smtpauth.secrets.fields import EncryptedTextField
from django_smtpauth.secrets.rows import SealedRow
from django_smtpauth.secrets.token import SealingContext


class Visible(models.Manager):
    def get_queryset(self):
        return super().get_queryset().exclude(name="hidden")


class Vault(SealedRow):
    name = models.CharField(max_length=50)
    host = models.CharField(max_length=50, default="a.example")
    changed = models.DateTimeField(auto_now=True)
    first = EncryptedTextField(purpose="first of a vault", blank=True)
    second = EncryptedTextField(purpose="second of a vault", blank=True)

    objects = models.Manager()
    visible = Visible()

    class Meta:
        ordering = ["-name"]
        default_manager_name = base_manager_name = "visible"

    def __str__(self):
        return self.name

    def sealing_context(self):
        return SealingContext(str(self.uuid), {"host": self.host}, self.host)
