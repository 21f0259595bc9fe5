"""Whose mistake was it? What is raised here is the caller's; any other exception is a defect of ours."""

from __future__ import annotations


class UserError(ValueError):
    """Something given is not as it must be; the message names it, what was wanted and what came.

    The command line tells it in one line and exits with 2.
    """
