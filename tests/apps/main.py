"""The names that README.md's recipes use, so that they can be run word for word."""

from fastapi_app import app

__all__ = ["app"]
