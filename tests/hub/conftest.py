"""How the hub's tests use Hypothesis: without clocks, since a busy machine proves nothing."""

from hypothesis import HealthCheck, settings

settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")
