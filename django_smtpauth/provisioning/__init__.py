"""Accounts as operators and deployments keep them: read, compare, write, move, import, export.

`manage.py smtpaccounts` renders what is done here. Nothing here asks, prints or reads a command
line.
"""
