"""Fakes are first-class code: typed, documented, shared by every test that needs one."""
