"""From a stored variant to a repository on the hub: the model card, the files that go, the upload."""

from playground.push.hub import Pushed, push
from playground.push.plan import Plan, plan

__all__ = ["Plan", "Pushed", "plan", "push"]
