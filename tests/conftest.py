"""Speed is measured in benchmarks, never asserted in a test: Hypothesis has no deadline here."""

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
