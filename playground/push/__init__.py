"""Push a stored variant to a repository on the hub: model card, files, upload."""

from playground.push.hub import Pushed, push
from playground.push.plan import Plan, plan

__all__ = ["Plan", "Pushed", "plan", "push"]
