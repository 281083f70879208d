"""Where Django and its kin keep their WSGI application."""

from wsgi_app import app as application

__all__ = ["application"]
