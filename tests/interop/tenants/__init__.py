"""A site with a schema for each tenant, which `test_tenants.py` runs in a process of its own.

settings.py   for the package that SMTPAUTH_TEST_TENANTS names
models.py     the tenants, as the package wants them
site.py       creates two tenants, sends as one and the other, and tells what it saw
"""
