"""The parts of `manage.py smtptest`: its arguments, what they mean, and what it shows."""
