"""Which beats are issued. A new schedule is one file, one line here, and a window that follows it."""

from intaglio.hardware.schedules.dense import DenseSchedule
from intaglio.hardware.schedules.listed import ListedSchedule
from intaglio.hardware.schedules.schedule import Schedule, Steps

SCHEDULES: tuple[type[Schedule], ...] = (DenseSchedule, ListedSchedule)

__all__ = ["SCHEDULES", "DenseSchedule", "Schedule", "Steps"]
