"""Training: one loop, its checkpoints, optimizers and plan, for every network here."""

from armchair.train.folder import saved_recipe, saved_using
from armchair.train.loop import export, run
from armchair.train.plan import Plan, plan
from armchair.train.recipe import OptimConfig, Recipe, ScheduleConfig, build_task

__all__ = [
    "OptimConfig",
    "Plan",
    "Recipe",
    "ScheduleConfig",
    "build_task",
    "export",
    "plan",
    "run",
    "saved_recipe",
    "saved_using",
]
