"""Accounts of the database, and what stands in their column."""

from django.db import connection

from django_smtpauth.models import SMTPAccount


def make(slug="club", **fields):
    return SMTPAccount(
        **{"slug": slug, "host": "smtp.example.com", "username": "u", "password": "hunter2"}
        | fields
    )


def columns():
    """The stored column of each row, by SQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM smtpauth_smtpaccount ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def revealed(slug="club"):
    return SMTPAccount.objects.get(slug=slug).password.reveal()
